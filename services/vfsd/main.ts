/**
 * vfsd, the file system switch (sheet 55, section 12): `pkg:/` paths, resolved by packagefsd on every OPEN and STAT. READ
 * serves the copy that OPEN took.
 */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { CLIENT_RECV_MAX, TIMEOUT, WOULD_BLOCK, recv, recvRequest, routeQuery, send } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { KIND_FILE, decodeReply, encodeResolve } from '../packagefsd/wire.ts';
import { HandleTable } from './handles.ts';
import { decodeRequest, encodeData, encodeFailure, encodeOpened, encodeStat } from './wire.ts';
import type { VfsRequest } from './wire.ts';

const NAME = 'vfsd';
const END_ERROR = 'vfsd::os_lite::ServerError';
/** Slots where the self-route fails, which are the ones init pins. */
const FALLBACK: Route = { send: 4, recv: 3 };
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/** What an image decides about vfsd. */
export interface VfsdOptions {
  /** Receive buffers in bytes, for requests and for packagefsd's replies: 8192, with quirk receive-cut 512. */
  readonly receiveMax: number;
}

export const VFSD_CONTRACT: VfsdOptions = { receiveMax: MAX_FRAME };
export const VFSD_REFERENCE: VfsdOptions = { receiveMax: CLIENT_RECV_MAX };

/** vfsd as a task program. */
export function vfsdProgram(options: VfsdOptions = VFSD_CONTRACT): Program {
  return serviceProgram(NAME, function* (sys) {
    yield sys.println('vfsd: ready');
    const slots = (yield* routeQuery(sys, NAME)) ?? FALLBACK;
    return yield* new Vfsd(sys, options).serve(slots);
  });
}

class Vfsd {
  readonly #sys: Sys;
  readonly #options: VfsdOptions;
  readonly #handles = new HandleTable();

  constructor(sys: Sys, options: VfsdOptions) {
    this.#sys = sys;
    this.#options = options;
  }

  *serve(slots: Route): Call<ServiceEnd> {
    const sys = this.#sys;
    for (;;) {
      const received = yield* recvRequest(sys, slots.recv, 'forever', this.#options.receiveMax);
      if (received === WOULD_BLOCK || received === TIMEOUT) {
        yield sys.yieldCpu();
        continue;
      }
      if (received < 0) return END_ERROR;
      const request = decodeRequest(sys.message.payload);
      if (request.op === 'ignored') continue;
      yield* send(sys, slots.send, yield* this.#answer(request), 'forever');
    }
  }

  *#answer(request: VfsRequest): Call<Uint8Array> {
    switch (request.op) {
      case 'open': {
        const entry = yield* this.#resolve(request.path);
        if (entry?.kind !== KIND_FILE) return encodeFailure();
        return encodeOpened(this.#handles.open(entry.bytes));
      }
      case 'stat': {
        const entry = yield* this.#resolve(request.path);
        return entry === null ? encodeFailure() : encodeStat(entry.size, entry.kind);
      }
      case 'read': {
        const bytes = this.#handles.read(request.handle, request.offset, request.length);
        return bytes === null ? encodeFailure() : encodeData(bytes);
      }
      case 'close':
        return this.#handles.close(request.handle) ? encodeData(NO_BYTES) : encodeFailure();
      default:
        return unreachable(request);
    }
  }

  /** Asks packagefsd, routed anew each time; the first frame that comes is the answer. */
  *#resolve(path: string | null): Call<ReturnType<typeof decodeReply>> {
    if (path === null) return null;
    const sys = this.#sys;
    const packagefsd = yield* routeQuery(sys, 'packagefsd');
    if (packagefsd === null) return null;
    if ((yield* send(sys, packagefsd.send, encodeResolve(path), 'forever')) < 0) return null;
    if ((yield* recv(sys, packagefsd.recv, 'forever', this.#options.receiveMax)) < 0) return null;
    return decodeReply(sys.message.payload);
  }
}
