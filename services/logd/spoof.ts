/**
 * Identity claims in a record's fields (sheet 40, section 5.1; OBS-1). Who logs is what the kernel says; fields that claim
 * it are refused. This is no parser: neither lengths nor character set nor order of the pairs are looked at.
 */
import { ascii } from '../lib/text.ts';

const CLAIMS: readonly Uint8Array[] = ['sender_service_id', 'service_id', 'requester_id', 'service'].map(ascii);
const LF = 0x0a;
const EQUALS = 0x3d;

/** True when a line `key=value` of the fields has one of the reserved keys, byte for byte. */
export function claimsIdentity(fields: Uint8Array): boolean {
  let start = 0;
  while (start < fields.length) {
    const newline = fields.indexOf(LF, start);
    const end = newline < 0 ? fields.length : newline;
    const equals = fields.indexOf(EQUALS, start);
    // No further `=` at all: no line behind this one can have a key either.
    if (equals < 0) return false;
    if (equals < end && isClaim(fields, start, equals)) return true;
    start = end + 1;
  }
  return false;
}

function isClaim(fields: Uint8Array, start: number, end: number): boolean {
  return CLAIMS.some((claim) => {
    if (claim.length !== end - start) return false;
    for (let i = 0; i < claim.length; i++) if (claim[i] !== fields[start + i]) return false;
    return true;
  });
}
