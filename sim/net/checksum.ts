/** The Internet checksum (RFC 1071) and the pseudo header of UDP and TCP (RFC 768, RFC 9293 section 3.1). */
import type { Ipv4 } from './address.ts';

/** Adds bytes as big-endian 16-bit words to a sum; an odd last byte counts as a word's high byte. */
export function addBytes(sum: number, bytes: Uint8Array): number {
  let total = sum;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if (even < bytes.length) total += (bytes[even] ?? 0) << 8;
  return total;
}

/** Sum of the pseudo header: addresses, protocol number, and the length of what follows the IPv4 header. */
export function pseudoHeaderSum(src: Ipv4, dst: Ipv4, protocol: number, length: number): number {
  return (src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff) + protocol + length;
}

/** One's complement of a sum, 16 bits: the value of the checksum field, and 0 over data whose field is right. */
export function finish(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 0x1_0000) + (folded & 0xffff);
  return folded ^ 0xffff;
}

/** The checksum over bytes whose own field is zero; 0 over bytes that carry a right one. */
export function checksum(bytes: Uint8Array): number {
  return finish(addBytes(0, bytes));
}
