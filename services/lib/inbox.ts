/**
 * A task's shared reply inbox (sheet 10, section 9.5; COR-3). Several clients of one task receive on it: each takes the
 * frames it knows; the others stay in one bounded stash until their client asks. With `discards` (quirk inbox-discards)
 * foreign frames are dropped, as the reference's readers do.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { FrameStash } from './correlation.ts';
import { CLOCK_EVERY } from './ipc.ts';
import type { Budget, Call } from './ipc.ts';

/** Frames the stash keeps, and their largest size in bytes (an inbox is 8 deep). */
export const STASH_FRAMES = 8;
export const STASH_FRAME_MAX = 512;

/** Decides whether a frame belongs to the asking client. */
export type Wanted = (frame: Uint8Array) => boolean;

/** One inbox: a RECV slot and the stash in front of it. */
export class Inbox {
  readonly slot: number;
  readonly #discards: boolean;
  readonly #stash = new FrameStash(STASH_FRAMES, STASH_FRAME_MAX);
  /** Foreign frames lost before the stash: discarded by the quirk, or cut. */
  #discarded = 0;

  constructor(slot: number, discards: boolean) {
    this.slot = slot;
    this.#discards = discards;
  }

  /** Foreign frames that were dropped so far; by contract each loss is also a note. */
  get drops(): number {
    return this.#discarded + this.#stash.drops;
  }

  /** Keeps (or, with the quirk, drops) a frame that the reader in front of us does not know. */
  keep(frame: Uint8Array): void {
    if (this.#discards) this.#discarded += 1;
    else this.#stash.push(frame);
  }

  /** A stashed frame for this client, or null. No syscall. */
  takeStashed(wanted: Wanted): Uint8Array | null {
    return this.#stash.takeWhere(wanted);
  }

  /**
   * Up to `frames` NONBLOCK receives, stopping at the first error or when empty; `consume` sees at most `max` bytes. Every
   * frame that it refuses is kept for others. Stashed frames that `consume` takes come first. Returns the number of frames
   * received: fewer than `frames` says that the inbox is empty now.
   */
  *drain(sys: Sys, frames: number, max: number, consume: Wanted): Call<number> {
    const wanted = (frame: Uint8Array): boolean => consume(cut(frame, max));
    while (this.takeStashed(wanted) !== null) continue;
    for (let i = 0; i < frames; i++) {
      if ((yield sys.recv(this.slot, this.#buffer(max), NONBLOCK | TRUNCATE)) < 0) return i;
      if (!wanted(sys.message.payload)) this.#keepReceived(sys);
    }
    return frames;
  }

  /**
   * Waits for a frame of this client in a budget loop (sheet 10, section 9.4); foreign frames are kept and count as
   * would-block. The frame is cut to `max` bytes, as the client's buffer would. Null at the deadline or on a receive error.
   */
  *take(sys: Sys, wanted: Wanted, budget: Budget, max: number): Call<Uint8Array | null> {
    const stashed = this.takeStashed((frame) => wanted(cut(frame, max)));
    if (stashed !== null) return cut(stashed, max);
    for (;;) {
      const poll = sys.beginPoll();
      poll.slots = [this.slot];
      poll.deadline = budget.deadline;
      poll.clockEvery = CLOCK_EVERY;
      poll.round = budget.round;
      const ended = yield sys.runPoll();
      budget.round = poll.round;
      if (ended < 0) return null;
      if ((yield sys.recv(this.slot, this.#buffer(max), NONBLOCK | TRUNCATE)) < 0) return null;
      const frame = cut(sys.message.payload, max);
      if (wanted(frame)) return frame;
      this.#keepReceived(sys);
      if (budget.round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= budget.deadline) return null;
      yield sys.yieldCpu();
      budget.round += 1;
    }
  }

  /** A reader's small buffer must not cut what it keeps for others. */
  #buffer(max: number): number {
    return this.#discards ? max : Math.max(max, STASH_FRAME_MAX);
  }

  /** Keeps the frame just received, unless the receive cut it: half a frame is no use to its reader. */
  #keepReceived(sys: Sys): void {
    const { payload, len } = sys.message;
    const before = this.drops;
    if (len > payload.length) this.#discarded += 1;
    else this.keep(payload);
    if (!this.#discards && this.drops > before) sys.note('inbox.dropped', this.drops);
  }
}

function cut(frame: Uint8Array, max: number): Uint8Array {
  return frame.length > max ? frame.subarray(0, max) : frame;
}
