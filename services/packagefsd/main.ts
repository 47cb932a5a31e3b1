/**
 * packagefsd, the packages' directory (sheet 55, section 11): loads its registry once from bundlemgrd, or takes the built-in
 * one, then answers lookups. All answers go to one endpoint; nothing but their order tells them apart.
 */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { decodeImage } from '../bundlemgrd/image.ts';
import { BundleOp, decodeImageReply, decodeReply, encodeRequest } from '../bundlemgrd/wire.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { routeWithin } from '../lib/bounded-route.ts';
import {
  CLIENT_RECV_MAX,
  ROUTE_BUDGET_NS,
  TIMEOUT,
  WOULD_BLOCK,
  recv,
  recvRequest,
  routeQuery,
  send,
} from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { Registry } from './registry.ts';
import { decodeRequest, encodeReply } from './wire.ts';
import type { PackageEntry } from './wire.ts';

const NAME = 'packagefsd';
const END_ERROR = 'packagefsd::os_lite::ServerError';
/** Slots where the self-route fails, which are the ones init pins. */
const FALLBACK: Route = { send: 4, recv: 3 };
/** Time for each half of an exchange with bundlemgrd. */
export const LOAD_NS = 1_000_000_000;

/** What an image decides about packagefsd. */
export interface PackagefsdOptions {
  /** Receive buffer in bytes: 8192, with quirk receive-cut 512. Longer frames are cut to it. */
  readonly receiveMax: number;
}

export const PACKAGEFSD_CONTRACT: PackagefsdOptions = { receiveMax: MAX_FRAME };
export const PACKAGEFSD_REFERENCE: PackagefsdOptions = { receiveMax: CLIENT_RECV_MAX };

/** packagefsd as a task program. */
export function packagefsdProgram(options: PackagefsdOptions = PACKAGEFSD_CONTRACT): Program {
  return serviceProgram(NAME, function* (sys) {
    yield sys.println('packagefsd: ready');
    const slots = (yield* routeQuery(sys, NAME)) ?? FALLBACK;
    const loaded = yield* load(sys, options);
    sys.note('registry', loaded === null ? 'seed' : 'bundlemgrd');
    return yield* serve(sys, slots, loaded ?? Registry.seed(), options);
  });
}

/** Section 11.1. Null: anything at all went wrong. */
function* load(sys: Sys, options: PackagefsdOptions): Call<Registry | null> {
  // The query for the own name may still be unanswered; without a nonce its late answer would be taken for bundlemgrd's.
  const bundlemgrd = yield* routeWithin(sys, 'bundlemgrd', 1, ROUTE_BUDGET_NS);
  if (bundlemgrd?.status !== 0) return null;
  const inbox = yield* routeWithin(sys, '@reply', 2, ROUTE_BUDGET_NS);
  if (inbox?.status !== 0) return null;
  const list = yield* ask(sys, bundlemgrd.send, inbox, encodeRequest({ op: 'list' }), options);
  if (list === null || decodeReply(list, BundleOp.LIST) === null) return null;
  const fetched = yield* ask(sys, bundlemgrd.send, inbox, encodeRequest({ op: 'fetch_image' }), options);
  const bytes = fetched === null ? null : decodeImageReply(fetched);
  const image = bytes === null ? null : decodeImage(bytes);
  return image === null || typeof image === 'string' ? null : Registry.fromImage(image.entries);
}

/** One exchange; the first frame that comes is the answer. */
function* ask(
  sys: Sys,
  slot: number,
  inbox: Route,
  frame: Uint8Array,
  options: PackagefsdOptions,
): Call<Uint8Array | null> {
  const clone = yield sys.capClone(inbox.send);
  if (clone < 0) return null;
  if ((yield* send(sys, slot, frame, LOAD_NS, clone)) < 0) {
    yield sys.capClose(clone);
    return null;
  }
  return (yield* recv(sys, inbox.recv, LOAD_NS, options.receiveMax)) < 0 ? null : sys.message.payload;
}

/** Moved capabilities are neither used nor closed. */
function* serve(sys: Sys, slots: Route, registry: Registry, options: PackagefsdOptions): Call<ServiceEnd> {
  for (;;) {
    const received = yield* recvRequest(sys, slots.recv, 'forever', options.receiveMax);
    if (received === WOULD_BLOCK || received === TIMEOUT) {
      yield sys.yieldCpu();
      continue;
    }
    if (received < 0) return END_ERROR;
    const request = decodeRequest(sys.message.payload);
    let found: PackageEntry | null = null;
    switch (request.op) {
      case 'resolve':
        found = registry.resolve(request.path);
        break;
      case 'unknown':
        break;
      case 'empty':
        continue;
      default:
        return unreachable(request);
    }
    yield* send(sys, slots.send, encodeReply(found), 'forever');
  }
}
