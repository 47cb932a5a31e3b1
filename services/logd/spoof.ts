/**
 * Identity claims in a record's fields (sheet 40, section 5.1; OBS-1). Who logs is what the kernel says; fields that claim
 * it are refused. This is no parser: neither lengths nor character set nor order of the pairs are looked at.
 */
const CLAIMS = ['sender_service_id', 'service_id', 'requester_id', 'service'] as const;
const LF = 0x0a;
const EQUALS = 0x3d;

/** True when a line `key=value` of the fields has one of the reserved keys, byte for byte. */
export function claimsIdentity(fields: Uint8Array): boolean {
  let start = 0;
  for (let equals = fields.indexOf(EQUALS); equals >= 0; equals = fields.indexOf(EQUALS, start)) {
    // The line that holds this `=`: lines before it have none.
    const line = fields.lastIndexOf(LF, equals) + 1;
    if (CLAIMS.some((claim) => isAt(fields, line, equals, claim))) return true;
    const end = fields.indexOf(LF, equals);
    if (end < 0) return false;
    start = end + 1;
  }
  return false;
}

/** True when the bytes from `start` up to `end` are the ASCII text. */
function isAt(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
