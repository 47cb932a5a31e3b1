/**
 * rngd, the entropy service (sheet 60, section 4): decode, bounds, policy, one whole device cycle per request. Nothing is
 * cached, and entropy is never printed.
 */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { checkReplyNonce, DelegatedCheck } from '../lib/delegated-check.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { CLIENT_RECV_MAX, movedSlot, recvRequest, replyAndClose, send, TIMEOUT, WOULD_BLOCK } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { NonceRouter } from '../lib/nonce-route.ts';
import { ReplyInbox } from '../lib/reply-inbox.ts';
import { VirtioRngDriver } from '../lib/virtio-rng-driver.ts';
import { decodeRequest, encodeMalformed, encodeResponse, Status } from './wire.ts';
import type { EntropyCount, EntropyNonce } from './wire.ts';

/** What an image decides about rngd, as plain data (quirks.md). */
export interface RngdOptions {
  /** Receive buffer in bytes: 8192, with quirk `receive-cut` 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** Bytes beyond used.len are given out (quirk `blk-status-preset`). */
  readonly staleBytes: boolean;
  /** A policy answer that came before its question serves it (quirk `stash-authorises`). */
  readonly stashAuthorises: boolean;
  /** Foreign frames on the reply inbox are dropped (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
}

/** The contract. */
export const RNGD_CONTRACT: RngdOptions = {
  receiveMax: MAX_FRAME,
  staleBytes: false,
  stashAuthorises: false,
  inboxDiscards: false,
};

/** The reference image. */
export const RNGD_REFERENCE: RngdOptions = {
  receiveMax: CLIENT_RECV_MAX,
  staleBytes: true,
  stashAuthorises: true,
  inboxDiscards: true,
};

export const RNGD = 'rngd';
/** Slot of the DeviceMmio window that init grants if policy allows it (section 2.2). */
export const RNG_MMIO_SLOT = 48;
/** RECV side of the reply inbox, as init wires and routes it. */
export const INBOX_RECV_SLOT = 5;

const CAPABILITY = 'rng.entropy';
const END_ERROR = 'rngd::os_lite::RngdError';

/** The service as a task program. */
export function rngdProgram(options: RngdOptions = RNGD_CONTRACT): Program {
  return serviceProgram(RNGD, (sys) => new Rngd(sys, options).run());
}

class Rngd {
  readonly #sys: Sys;
  readonly #receiveMax: number;
  readonly #router: NonceRouter;
  readonly #policy: DelegatedCheck;
  readonly #device: VirtioRngDriver;
  #saidMapped = false;

  constructor(sys: Sys, options: RngdOptions) {
    this.#sys = sys;
    this.#receiveMax = options.receiveMax;
    this.#router = new NonceRouter(sys);
    this.#policy = new DelegatedCheck(new ReplyInbox(sys, INBOX_RECV_SLOT, [checkReplyNonce], options));
    this.#device = new VirtioRngDriver(sys, RNG_MMIO_SLOT, options);
  }

  *run(): Call<ServiceEnd> {
    const sys = this.#sys;
    yield sys.println('rngd: ready');
    const own = yield* this.#router.lookup(RNGD);
    if (own === null) return END_ERROR;
    for (;;) {
      const got = yield* recvRequest(sys, own.recv, 'forever', this.#receiveMax);
      if (got === WOULD_BLOCK || got === TIMEOUT) {
        yield sys.yieldCpu();
        continue;
      }
      if (got < 0) {
        yield sys.println('rngd: recv error');
        return END_ERROR;
      }
      const { payload, serviceId } = sys.message;
      const reply = movedSlot(sys);
      const response = yield* this.#serve(payload, serviceId);
      if (reply >= 0) yield* replyAndClose(sys, reply, response);
      else yield* send(sys, own.send, response, 'forever');
    }
  }

  *#serve(frame: Uint8Array, sender: ServiceId): Call<Uint8Array> {
    const request = decodeRequest(frame);
    switch (request.kind) {
      case 'malformed':
        return encodeMalformed(request.op);
      case 'oversized':
        return encodeResponse(Status.OVERSIZED, request.nonce);
      case 'get':
        return yield* this.#entropy(request.nonce, request.count, sender);
    }
  }

  *#entropy(nonce: EntropyNonce, count: EntropyCount, sender: ServiceId): Call<Uint8Array> {
    const sys = this.#sys;
    yield sys.println('rngd: policy check');
    if (!(yield* this.#allowed(sender))) {
      yield sys.println('rngd: entropy denied');
      return encodeResponse(Status.DENIED, nonce);
    }
    const entropy = yield* this.#device.read(count);
    if (typeof entropy === 'string') {
      sys.note('rng.fault', entropy);
      return encodeResponse(Status.UNAVAILABLE, nonce);
    }
    if (!this.#saidMapped) {
      this.#saidMapped = true;
      yield sys.println('rngd: mmio window mapped ok');
    }
    yield sys.println('rngd: entropy ok');
    return encodeResponse(Status.OK, nonce, entropy);
  }

  /** Both routes are asked for before every check (section 4.1). */
  *#allowed(sender: ServiceId): Call<boolean> {
    const policyd = yield* this.#router.lookup('policyd');
    if (policyd === null) {
      yield this.#sys.println('rngd: policyd route fail');
      return false;
    }
    const inbox = yield* this.#router.lookup('@reply');
    if (inbox === null) return false;
    const slots = { policyd: policyd.send, inboxSend: inbox.send };
    return yield* this.#policy.allows(slots, sender, CAPABILITY);
  }
}
