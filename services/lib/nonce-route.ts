/**
 * Route queries with a nonce that never give up (sheet 60, section 2.3, style A; COR-6): the query goes out again until
 * init says OK; answers to other queries are ignored.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { CTRL_RECV, CTRL_SEND, decodeRouteResponse, encodeRouteGet, ROUTE_BUFFER, WOULD_BLOCK } from './ipc.ts';
import type { Call, Route } from './ipc.ts';

/** Length of a route answer that carries the nonce extension, and where it stands. */
const NONCE_ANSWER = 17;
const NONCE_AT = 13;

/** One task's lookups; nonces count from 1 and stay fixed within a lookup. */
export class NonceRouter {
  readonly #sys: Sys;
  #nextNonce = 1;

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** Slots of `name`. Null: the control channel failed, or an answer with our nonce is none. */
  *lookup(name: string): Call<Route | null> {
    const nonce = this.#nextNonce;
    this.#nextNonce = (nonce + 1) >>> 0;
    const query = encodeRouteGet(name, nonce);
    const lap = new Lap();
    for (;;) {
      yield this.#sys.lap(lap);
      if (!(yield* this.#ask(query))) return null;
      const answer = yield* this.#answer(nonce);
      const response = answer === null ? null : decodeRouteResponse(answer);
      if (response === null) return null;
      if (response.status === 0) return { send: response.send, recv: response.recv };
    }
  }

  *#ask(query: Uint8Array): Call<boolean> {
    const sys = this.#sys;
    for (;;) {
      sys.beginPoll().sendSlots = [CTRL_SEND];
      if ((yield sys.runPoll()) < 0) return false;
      const sent = yield sys.send(CTRL_SEND, query, NONBLOCK);
      if (sent >= 0) return true;
      if (sent !== WOULD_BLOCK) return false;
    }
  }

  /** The answer to `nonce` without its nonce. */
  *#answer(nonce: number): Call<Uint8Array | null> {
    const sys = this.#sys;
    for (;;) {
      sys.beginPoll().slots = [CTRL_RECV];
      if ((yield sys.runPoll()) < 0) return null;
      const got = yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE);
      if (got === WOULD_BLOCK) continue;
      if (got < 0) return null;
      const frame = sys.message.payload;
      if (frame.length !== NONCE_ANSWER) continue;
      const echoed = new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(NONCE_AT, true);
      if (echoed === nonce) return frame.subarray(0, NONCE_AT);
    }
  }
}
