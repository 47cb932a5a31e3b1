/** Number formats of the OS's UART lines (sheet 80, section 1). */

/** Exactly `digits` lower-case hex digits, zero padded, no prefix. */
export function hex(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** 16 lower-case hex digits. */
export function hex16(value: number | bigint): string {
  return hex(value, 16);
}

/** The bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** True when the two byte strings are equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
