/**
 * Keys of the state store (sheet 50, section 8.5): UTF-8 paths below `/state/`, at most 255 bytes, ordered by their
 * bytes. Inside the simulator a key is a JavaScript string; this file owns the places where the two differ (length in
 * bytes, byte order, strict decoding).
 */

/** Text that came from, or fits into, a key field: valid UTF-8 of at most {@link MAX_KEY_LEN} bytes. Not a valid path yet. */
export type KeyText = string & { readonly __brand: 'KeyText' };

/** Largest key in bytes. */
export const MAX_KEY_LEN = 255;

/** Every key starts with this. */
export const KEY_ROOT = '/state/';

// A leading BOM is part of the key: with ignoreBOM the decoder keeps it, and encode(decode(x)) = x.
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8 = new TextEncoder();

/** UTF-8 bytes of a key. */
export function keyBytes(key: string): Uint8Array {
  return utf8.encode(key);
}

/** Strict UTF-8 decoding of a key field; null when the bytes are not UTF-8. The caller has checked the length. */
export function keyText(bytes: Uint8Array): KeyText | null {
  try {
    return strictUtf8.decode(bytes) as KeyText;
  } catch {
    return null;
  }
}

/** Why a key is refused, in the order of the checks (section 8.5); null when it is a valid path. */
export function keyFault(key: string): 'key-too-long' | 'invalid-key' | null {
  // A UTF-16 unit is at most three UTF-8 bytes: short keys need no encoding to know that they fit.
  if (key.length * 3 > MAX_KEY_LEN && utf8.encode(key).length > MAX_KEY_LEN) return 'key-too-long';
  if (!key.startsWith(KEY_ROOT)) return 'invalid-key';
  if (key.includes('/../') || key.includes('/./') || key.endsWith('/..') || key.endsWith('/.')) return 'invalid-key';
  return null;
}

/** Order of the keys' UTF-8 bytes (= code point order), which differs from `<` where surrogate pairs take part. */
export function compareKeys(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

// Surrogates stand for code points above U+FFFF, so they sort behind U+E000..U+FFFF.
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}
