/** Bytes as text, for tests. */

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** `n:` in front gives a length to fill up to with zeros. */
export function unhex(text: string): Uint8Array {
  const [length, digits] = text.includes(':') ? text.split(':') : [null, text];
  const bytes = Uint8Array.from(digits?.match(/../gu) ?? [], (pair) => parseInt(pair, 16));
  if (length === null) return bytes;
  const padded = new Uint8Array(Number(length));
  padded.set(bytes);
  return padded;
}
