/**
 * One request of a client, from frame to reply (sheet 50, sections 9 and 10): decode, then identity and policy, then the
 * engine. The caller does the I/O around it through two questions: is this allowed, and what was denied.
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import { requirementOf } from './policy.ts';
import type { Requirement } from './policy.ts';
import type { Store } from './store.ts';
import {
  decodeRequest,
  encodeGetReply,
  encodeListReply,
  encodeRejectReply,
  encodeStatusReply,
  OP_DEL,
  OP_PUT,
  OP_REOPEN,
  OP_SYNC,
  STATUS_ACCESS_DENIED,
  STATUS_IO_ERROR,
  STATUS_OK,
  statusOf,
} from './wire.ts';
import type { StatefsRequest } from './wire.ts';

/** What handling needs from the service around it. `Y` is what its parts yield. */
export interface Guard<Y> {
  allows(requirement: Requirement): Generator<Y, boolean, number>;
  denied(requirement: Requirement, sender: ServiceId): Generator<Y, void, number>;
}

const NO_BYTES = new Uint8Array(0);
const NO_KEYS: readonly string[] = [];

/** Handles one frame and returns the reply. `store` null: no journal is open, every permitted request gets IO_ERROR. */
export function* handleFrame<Y>(
  frame: Uint8Array,
  sender: ServiceId,
  store: Store<Y> | null,
  guard: Guard<Y>,
  errorDropsNonce: boolean,
): Generator<Y, Uint8Array, number> {
  const request = decodeRequest(frame);
  if (request.kind === 'reject') return encodeRejectReply(request, !errorDropsNonce);
  const requirement = requirementOf(request, sender);
  if (!(yield* guard.allows(requirement))) {
    yield* guard.denied(requirement, sender);
    return failureReply(request, STATUS_ACCESS_DENIED);
  }
  return store === null ? failureReply(request, STATUS_IO_ERROR) : yield* serve(request, store);
}

function* serve<Y>(request: StatefsRequest, store: Store<Y>): Generator<Y, Uint8Array, number> {
  switch (request.kind) {
    case 'put':
      return encodeStatusReply(OP_PUT, statusOf(yield* store.put(request.key, request.value)), request.nonce);
    case 'get': {
      const value = store.get(request.key);
      if (typeof value === 'string') return failureReply(request, statusOf(value));
      return encodeGetReply(STATUS_OK, request.nonce, value);
    }
    case 'del':
      return encodeStatusReply(OP_DEL, statusOf(yield* store.delete(request.key)), request.nonce);
    case 'list': {
      const keys = store.list(request.prefix, request.limit);
      if (typeof keys === 'string') return failureReply(request, statusOf(keys));
      return encodeListReply(STATUS_OK, request.nonce, keys);
    }
    case 'sync':
      return encodeStatusReply(OP_SYNC, statusOf(yield* store.sync()), request.nonce);
    case 'reopen':
      return encodeStatusReply(OP_REOPEN, statusOf(yield* store.reopen()), request.nonce);
    default:
      return unreachable(request);
  }
}

/** The op's own reply shape with a status that is not OK. */
function failureReply(request: StatefsRequest, status: number): Uint8Array {
  switch (request.kind) {
    case 'put':
      return encodeStatusReply(OP_PUT, status, request.nonce);
    case 'get':
      return encodeGetReply(status, request.nonce, NO_BYTES);
    case 'del':
      return encodeStatusReply(OP_DEL, status, request.nonce);
    case 'list':
      return encodeListReply(status, request.nonce, NO_KEYS);
    case 'sync':
      return encodeStatusReply(OP_SYNC, status, request.nonce);
    case 'reopen':
      return encodeStatusReply(OP_REOPEN, status, request.nonce);
    default:
      return unreachable(request);
  }
}

/** True for frames that ask for a change, however malformed: PUT, DEL, SYNC, REOPEN by byte 3 (section 11.3). */
export function asksForChange(frame: Uint8Array): boolean {
  const op = frame[3];
  return op === OP_PUT || op === OP_DEL || op === OP_SYNC || op === OP_REOPEN;
}
