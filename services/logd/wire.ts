/**
 * logd's frames (sheet 40, section 2): magic `LO`, versions 1 and 2 (u64 nonce), ops APPEND, QUERY, STATS.
 */

/** Level byte on the wire (sheet 40, section 2.1). */
export const LogLevel = { ERROR: 0, WARN: 1, INFO: 2, DEBUG: 3, TRACE: 4 } as const;
export type WireLogLevel = 0 | 1 | 2 | 3 | 4;

/** Status byte of responses (sheet 40, section 2.1). */
export const AppendStatus = {
  OK: 0,
  MALFORMED: 1,
  UNSUPPORTED: 2,
  TOO_LARGE: 3,
  INVALID_ARGS: 4,
  OVER_LIMIT: 5,
  RATE_LIMITED: 6,
} as const;

/** APPEND v1 without fields (sheet 40, section 2.3). Caller keeps the wire caps. */
export function encodeAppendV1(level: WireLogLevel, scope: Uint8Array, message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(10 + scope.length + message.length);
  frame.set([0x4c, 0x4f, 1, 1, level, scope.length, message.length & 0xff, message.length >> 8, 0, 0]);
  frame.set(scope, 10);
  frame.set(message, 10 + scope.length);
  return frame;
}

/** True for an APPEND v1 acknowledgement (sheet 40, section 2.4): `LO`, 1, 0x81, status. */
export function isAppendAckV1(frame: Uint8Array): boolean {
  return frame.length >= 5 && frame[0] === 0x4c && frame[1] === 0x4f && frame[2] === 1 && frame[3] === 0x81;
}

/** Why a QUERY page could not be read (sheet 40, section 7; order of the checks as there). */
export type PageFault =
  'truncated' | 'bad-magic' | 'bad-version' | 'bad-opcode' | 'bad-nonce' | 'bad-status' | 'too-large';

/** What a page scan found; `maxTimestamp` 0 = no record. */
export interface PageScan {
  readonly count: number;
  readonly found: boolean;
  readonly maxTimestamp: bigint;
}
