/** updated's call to bundlemgrd: which slot to publish (sheet 55, section 4.2). */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { BundleOp, BundleStatus, decodeReply, encodeRequest } from '../bundlemgrd/wire.ts';
import type { Inbox } from '../lib/inbox.ts';
import { CLIENT_RECV_MAX, CLOCK_EVERY, TIMEOUT, WOULD_BLOCK } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { SlotId } from './wire.ts';

/** Time for the send, and again for the reply. */
export const PUBLISH_NS = 1_000_000_000;

/** Why the slot may not have been published, as the audit says it. */
export type PublishFault =
  | 'reply-clone'
  | 'send-wait'
  | 'send'
  | 'reply-time'
  | 'reply-timeout'
  | 'status'
  | 'reply-nosuch'
  | 'reply-denied'
  | 'reply-full'
  | 'reply-nospace'
  | 'reply-unsupported';

/** The caller's slots and inbox. */
export interface PublishSlots {
  /** SEND to bundlemgrd. */
  readonly bundlemgrd: number;
  /** SEND side of the inbox. */
  readonly replySend: number;
}

/** Asks bundlemgrd to serve `slot`. Null on success; the slot that the reply names is not looked at. */
export function* publishSlot(sys: Sys, slots: PublishSlots, inbox: Inbox, slot: SlotId): Call<PublishFault | null> {
  // The protocol has no nonce: an answer that was kept from an earlier call is nobody's, and only takes room.
  while (inbox.takeStashed(isReply) !== null) continue;
  const clone = yield sys.capClone(slots.replySend);
  if (clone < 0) return 'reply-clone';
  const start = yield sys.nsec();
  if (start < 0) return 'send-wait';
  const frame = encodeRequest({ op: 'set_active_slot', slot });
  if ((yield sys.send(slots.bundlemgrd, frame, 0, start + PUBLISH_NS, clone)) < 0) {
    yield sys.capClose(clone);
    return 'send';
  }
  const sent = yield sys.nsec();
  return sent < 0 ? 'reply-time' : yield* awaitReply(sys, inbox, sent + PUBLISH_NS);
}

function* awaitReply(sys: Sys, inbox: Inbox, deadline: number): Call<PublishFault | null> {
  let round = 0;
  for (;;) {
    const poll = sys.beginPoll();
    poll.slots = [inbox.slot];
    poll.deadline = deadline;
    poll.clockEvery = CLOCK_EVERY;
    poll.round = round;
    const ended = yield sys.runPoll();
    if (ended < 0) return faultOf(ended);
    round = poll.round;
    const received = yield sys.recv(inbox.slot, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE);
    if (received < 0) return faultOf(received);
    const answer = sys.message.payload;
    const reply = decodeReply(answer, BundleOp.SET_ACTIVE_SLOT);
    if (reply !== null) return reply.status === BundleStatus.OK ? null : 'status';
    inbox.keep(answer);
  }
}

function isReply(frame: Uint8Array): boolean {
  return decodeReply(frame, BundleOp.SET_ACTIVE_SLOT) !== null;
}

function faultOf(result: number): PublishFault {
  switch (result) {
    case TIMEOUT:
      return 'reply-timeout';
    case WOULD_BLOCK:
      return 'reply-full';
    case -Errno.ESRCH:
      return 'reply-nosuch';
    case -Errno.EPERM:
      return 'reply-denied';
    case -Errno.ENOSPC:
      return 'reply-nospace';
    default:
      return 'reply-unsupported';
  }
}
