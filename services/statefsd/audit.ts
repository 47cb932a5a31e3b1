/**
 * What statefsd says about a denied request (sheet 50, sections 10.4 and 10.5): one UART line, and the same text as a
 * record for logd.
 */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16 } from '../lib/text.ts';
import { encodeAppendV1, LogLevel } from '../logd/wire.ts';
import { keyBytes } from './key.ts';

/** Bytes of the line's buffer; a piece that does not fit is left out whole. */
export const DENIAL_LINE_MAX = 160;

const AUDIT_SCOPE = 'statefsd.audit';

/** The denial's text, without the newline. */
export function denialText(path: string, sender: ServiceId): Uint8Array {
  const line = new Uint8Array(DENIAL_LINE_MAX);
  let length = 0;
  const pieces = [ascii('statefsd: access denied path='), keyBytes(path), ascii(' sender=0x'), ascii(hex16(sender))];
  for (const piece of pieces) {
    if (length + piece.length > DENIAL_LINE_MAX) continue;
    line.set(piece, length);
    length += piece.length;
  }
  return line.subarray(0, length);
}

/**
 * Offers the denial to logd: APPEND v1 without waiting, a clone of the inbox's SEND moved along for the acknowledgement.
 * Returns false when logd did not take it; the clone then stays in the table.
 */
export function* sendAudit(sys: Sys, logd: number, inboxSend: number, text: Uint8Array): Call<boolean> {
  const reply = yield sys.capClone(inboxSend);
  if (reply < 0) return false;
  return (yield sys.send(logd, encodeAppendV1(LogLevel.INFO, ascii(AUDIT_SCOPE), text), NONBLOCK, 0, reply)) >= 0;
}
