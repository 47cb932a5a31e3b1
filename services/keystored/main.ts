/**
 * keystored, the key store (sheet 60, section 3): waits for its endpoints, loads the device key, then serves one request
 * after the other. What a request means is decided in handle.ts.
 */
import { Errno } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys, Syscall } from '../../kernel-model/sys.ts';
import { checkReplyNonce, DelegatedCheck } from '../lib/delegated-check.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import {
  budgetOf,
  CLOCK_EVERY,
  movedSlot,
  recvRequest,
  replyAndClose,
  send,
  TIMEOUT,
  WOULD_BLOCK,
} from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ReplyInbox } from '../lib/reply-inbox.ts';
import { ascii, sameBytes } from '../lib/text.ts';
import { StatefsClient } from '../statefsd/client.ts';
import { EntropyClient, entropyReplyNonce } from './entropy.ts';
import { Keystore } from './handle.ts';
import type { KeystoreCapability, Work, World } from './handle.ts';
import { KEYSTORED_CONTRACT } from './options.ts';
import type { KeystoredOptions } from './options.ts';
import { KeyStore } from './store.ts';
import { decodeRequest } from './wire.ts';

export const KEYSTORED = 'keystored';

/** Slots as init wires them (section 2.2). */
export const Slot = {
  REQUESTS: 3,
  RESPONSES: 4,
  INBOX_RECV: 5,
  INBOX_SEND: 6,
  STATEFSD: 7,
  POLICYD: 9,
  RNGD: 0x0a,
} as const;

/** How long the service waits for its endpoints. */
export const SLOT_WAIT_NS = 10_000_000_000;

const END_ERROR = 'keystored::os_stub::ServerError';
const CHECK_SLOTS = { policyd: Slot.POLICYD, inboxSend: Slot.INBOX_SEND } as const;
/** A GET of this key is announced once: the selftest's probe of moved capabilities. */
const PROBE_KEY = 'capmove.miss';

/** The service as a task program. */
export function keystoredProgram(options: KeystoredOptions = KEYSTORED_CONTRACT): Program {
  return serviceProgram(KEYSTORED, (sys) => new Keystored(sys, options).run());
}

class Keystored implements World<Syscall> {
  readonly #sys: Sys;
  readonly #receiveMax: number;
  readonly #policy: DelegatedCheck;
  readonly #rngd: EntropyClient;
  readonly #keystore: Keystore<Syscall>;
  #sawMove = false;
  #sawProbe = false;

  constructor(sys: Sys, options: KeystoredOptions) {
    this.#sys = sys;
    this.#receiveMax = options.receiveMax;
    const inbox = new ReplyInbox(sys, Slot.INBOX_RECV, [checkReplyNonce, entropyReplyNonce], options);
    this.#policy = new DelegatedCheck(inbox);
    this.#rngd = new EntropyClient(inbox, Slot.RNGD, Slot.INBOX_SEND);
    const statefs = new StatefsClient(sys, Slot.STATEFSD, Slot.INBOX_SEND, inbox.inbox);
    const store = new KeyStore(statefs, () => this.line('keystored: statefs access denied fallback'));
    this.#keystore = new Keystore(this, store);
  }

  *run(): Call<ServiceEnd> {
    const sys = this.#sys;
    yield sys.println('keystored: ready');
    if (!(yield* this.#awaitSlots())) return END_ERROR;
    yield sys.println('keystored: statefs backend ok');
    yield* this.#keystore.load();
    for (;;) {
      const got = yield* recvRequest(sys, Slot.REQUESTS, 'forever', this.#receiveMax);
      if (got >= 0) {
        yield* this.#serve(sys.message.payload, sys.message.serviceId, movedSlot(sys));
        continue;
      }
      if (got !== WOULD_BLOCK && got !== TIMEOUT) {
        yield sys.println(`keystored: recv ${got === -Errno.ENOSPC ? 'nospace' : 'kernel'}`);
        return END_ERROR;
      }
      yield sys.yieldCpu();
    }
  }

  *allows(sender: ServiceId, capability: KeystoreCapability): Call<boolean> {
    return yield* this.#policy.allows(CHECK_SLOTS, sender, capability);
  }

  *entropy(count: number): Call<Uint8Array | null> {
    return yield* this.#rngd.request(count);
  }

  *line(text: string): Call<void> {
    yield this.#sys.println(text);
  }

  work(label: Work, units: number): void {
    this.#sys.compute(label, units);
  }

  *#serve(frame: Uint8Array, sender: ServiceId, replySlot: number): Call<void> {
    const sys = this.#sys;
    const request = decodeRequest(frame);
    if (replySlot >= 0 && !this.#sawMove) {
      this.#sawMove = true;
      yield sys.println('keystored: capmove seen');
    }
    if (!this.#sawProbe && request.kind === 'get' && sameBytes(request.key, ascii(PROBE_KEY))) {
      this.#sawProbe = true;
      yield sys.println('keystored: capmove req');
    }
    const response = yield* this.#keystore.respond(request, sender);
    if (replySlot >= 0) yield* replyAndClose(sys, replySlot, response);
    else yield* send(sys, Slot.RESPONSES, response, 'forever');
  }

  /** Slots 3 and 4 count as wired when they can be cloned (section 3.1, step 2). */
  *#awaitSlots(): Call<boolean> {
    const sys = this.#sys;
    const { deadline } = yield* budgetOf(sys, SLOT_WAIT_NS);
    // From one look at the clock to the next nothing is remembered: where init has died, they are all alike.
    const lap = new Lap();
    lap.until = deadline;
    for (let round = 0; ; round++) {
      if (round % CLOCK_EVERY === 0) yield sys.lap(lap);
      if ((yield* this.#present(Slot.REQUESTS)) && (yield* this.#present(Slot.RESPONSES))) return true;
      if (round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= deadline) return false;
      yield sys.yieldCpu();
    }
  }

  *#present(slot: number): Call<boolean> {
    const clone = yield this.#sys.capClone(slot);
    if (clone < 0) return false;
    yield this.#sys.capClose(clone);
    return true;
  }
}
