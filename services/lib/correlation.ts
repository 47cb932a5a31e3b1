/**
 * Request/reply correlation on shared inboxes, RFC-0019 (sheet 10, section 9.5; sheet 40, section 18.6; rules COR-1..8):
 * nonce generators, bounded buffers of foreign replies with deterministic eviction, and receives that match.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { CLOCK_EVERY, TIMEOUT, WOULD_BLOCK } from './ipc.ts';
import type { Budget, Call } from './ipc.ts';

const U64 = 0xffff_ffff_ffff_ffffn;

/** Monotonic nonces start, start+1, ... wrapping at 2^64 (COR-2). */
export class NonceGen {
  #next: bigint;
  #drawn = 0;
  constructor(start: bigint) {
    this.#next = start & U64;
  }
  /** Nonces drawn. */
  get count(): number {
    return this.#drawn;
  }
  next(): bigint {
    const nonce = this.#next;
    this.skip(1);
    return nonce;
  }
  /** Draws `n` at once. */
  skip(n: number): void {
    this.#next = (this.#next + BigInt(n)) & U64;
    this.#drawn += n;
  }
}

/** Why a buffer refused a frame; each refusal counts as a drop. */
export type PushRefusal = 'no-capacity' | 'too-large' | 'nonce-collision';

interface Slot {
  readonly nonce: bigint;
  readonly frame: Uint8Array;
}

/** Bounded buffer of replies to other requests, keyed by nonce. Full: overwrites round-robin and counts a drop (COR-3). */
export class ReplyBuffer {
  /** Frames refused or overwritten so far, and frames without a nonce that a receive dropped. */
  drops = 0;
  readonly #slots: (Slot | null)[];
  readonly #maxFrame: number;
  #cursor = 0;

  /** `capacity` frames of at most `maxFrame` bytes. */
  constructor(capacity: number, maxFrame: number) {
    this.#slots = Array.from({ length: capacity }, () => null);
    this.#maxFrame = maxFrame;
  }

  /** Keeps a copy of `frame` under `nonce`. Null = kept. */
  push(nonce: bigint, frame: Uint8Array): PushRefusal | null {
    const refusal = this.#refusal(nonce, frame);
    if (refusal !== null) {
      this.drops += 1;
      return refusal;
    }
    const entry: Slot = { nonce, frame: frame.slice() };
    const free = this.#slots.indexOf(null);
    if (free >= 0) {
      this.#slots[free] = entry;
      return null;
    }
    this.#slots[this.#cursor] = entry;
    this.#cursor = (this.#cursor + 1) % this.#slots.length;
    this.drops += 1;
    return null;
  }

  /** Takes the first frame with `nonce` if it has at most `max` bytes; a longer one stays (the caller's buffer is too small). */
  take(nonce: bigint, max = Infinity): Uint8Array | null {
    const index = this.#slots.findIndex((slot) => slot?.nonce === nonce);
    const slot = this.#slots[index];
    if (!slot || slot.frame.length > max) return null;
    this.#slots[index] = null;
    return slot.frame;
  }

  #refusal(nonce: bigint, frame: Uint8Array): PushRefusal | null {
    if (this.#slots.length === 0) return 'no-capacity';
    if (frame.length > this.#maxFrame) return 'too-large';
    return this.#slots.some((slot) => slot?.nonce === nonce) ? 'nonce-collision' : null;
  }
}

/** As {@link ReplyBuffer} without nonces: taken by predicate, first slot first. Used for inboxes with several protocols. */
export class FrameStash {
  drops = 0;
  readonly #slots: (Uint8Array | null)[];
  readonly #maxFrame: number;
  #cursor = 0;

  constructor(capacity: number, maxFrame: number) {
    this.#slots = Array.from({ length: capacity }, () => null);
    this.#maxFrame = maxFrame;
  }

  /** Keeps a copy. False: refused (no capacity or too large), counted as a drop. */
  push(frame: Uint8Array): boolean {
    if (this.#slots.length === 0 || frame.length > this.#maxFrame) {
      this.drops += 1;
      return false;
    }
    const free = this.#slots.indexOf(null);
    if (free >= 0) {
      this.#slots[free] = frame.slice();
      return true;
    }
    this.#slots[this.#cursor] = frame.slice();
    this.#cursor = (this.#cursor + 1) % this.#slots.length;
    this.drops += 1;
    return true;
  }

  /** Takes the first kept frame that satisfies `wanted`. */
  takeWhere(wanted: (frame: Uint8Array) => boolean): Uint8Array | null {
    const index = this.#slots.findIndex((slot) => slot !== null && wanted(slot));
    const frame = this.#slots[index];
    if (!frame) return null;
    this.#slots[index] = null;
    return frame;
  }
}

/** Extracts a reply's nonce; null where the frame carries none that this inbox knows. */
export type NonceOf = (frame: Uint8Array) => bigint | null;

/**
 * `recv_match_until` (sheet 10, section 9.5): buffered hit first, then NONBLOCK receives in a budget loop. A matching frame
 * is returned; another nonce is buffered; a frame without nonce is dropped and counted (COR-3); both count as would-block
 * (one yield).
 * Null: the deadline passed or a receive failed.
 */
export function* recvMatch(
  sys: Sys,
  slot: number,
  buffer: ReplyBuffer,
  nonceOf: NonceOf,
  nonce: bigint,
  budget: Budget,
  max: number,
  v2 = false,
): Call<Uint8Array | null> {
  const buffered = buffer.take(nonce, max);
  if (buffered !== null) return buffered;
  for (;;) {
    const poll = sys.beginPoll();
    poll.slots = [slot];
    poll.deadline = budget.deadline;
    poll.clockEvery = CLOCK_EVERY;
    poll.round = budget.round;
    const ended = yield sys.runPoll();
    budget.round = poll.round;
    if (ended < 0) return null;
    const n = yield v2 ? sys.recvV2(slot, max, NONBLOCK | TRUNCATE) : sys.recv(slot, max, NONBLOCK | TRUNCATE);
    if (n < 0 && n !== WOULD_BLOCK) return null;
    if (n >= 0) {
      const frame = sys.message.payload;
      const got = nonceOf(frame);
      if (got === nonce) return frame.slice();
      if (got === null) buffer.drops += 1;
      else buffer.push(got, frame);
    }
    // A frame that did not match counts as would-block: clock test in its rounds, one yield.
    if (budget.round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= budget.deadline) return null;
    yield sys.yieldCpu();
    budget.round += 1;
  }
}

/** `recv_match_bounded`: as {@link recvMatch} with at most `maxReceives` NONBLOCK receives and no yields. TIMEOUT at the end. */
export function* recvMatchBounded(
  sys: Sys,
  slot: number,
  buffer: ReplyBuffer,
  nonceOf: NonceOf,
  nonce: bigint,
  maxReceives: number,
  max: number,
): Call<Uint8Array | number> {
  const buffered = buffer.take(nonce, max);
  if (buffered !== null) return buffered;
  for (let i = 0; i < maxReceives; i++) {
    const n = yield sys.recv(slot, max, NONBLOCK | TRUNCATE);
    if (n === WOULD_BLOCK) continue;
    if (n < 0) return n;
    const frame = sys.message.payload;
    const got = nonceOf(frame);
    if (got === nonce) return frame.slice();
    if (got === null) buffer.drops += 1;
    else buffer.push(got, frame);
  }
  return TIMEOUT;
}
