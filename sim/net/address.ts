/**
 * Ethernet and IPv4 addresses as numbers, so that they compare with `===` and need no allocation, and big-endian field
 * access for the codecs beside this file. Reads beyond the end give 0: decoders check lengths first.
 */

/** 48 bits, first byte on the wire highest. */
export type Mac = number & { readonly __brand: 'Mac' };
/** 32 bits, unsigned, first byte on the wire highest. */
export type Ipv4 = number & { readonly __brand: 'Ipv4' };

export const MAC_SIZE = 6;
export const IPV4_SIZE = 4;

/** ff:ff:ff:ff:ff:ff. */
export const MAC_BROADCAST = 0xffff_ffff_ffff as Mac;
/** 00:00:00:00:00:00, the target of an ARP request. */
export const MAC_ZERO = 0 as Mac;
/** 0.0.0.0. */
export const IPV4_ANY = 0 as Ipv4;
/** 255.255.255.255. */
export const IPV4_BROADCAST = 0xffff_ffff as Ipv4;

/** `ipv4(10, 0, 2, 15)`; each part is cut to a byte. */
export function ipv4(a: number, b: number, c: number, d: number): Ipv4 {
  return ((((a & 0xff) << 24) | ((b & 0xff) << 16) | ((c & 0xff) << 8) | (d & 0xff)) >>> 0) as Ipv4;
}

/** Dotted decimal. */
export function formatIpv4(address: Ipv4): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** Six bytes as an address; missing ones are 0. */
export function macOf(bytes: ArrayLike<number>): Mac {
  let mac = 0;
  for (let i = 0; i < MAC_SIZE; i += 1) mac = mac * 256 + ((bytes[i] ?? 0) & 0xff);
  return mac as Mac;
}

/** Lower-case hexadecimal with colons. */
export function formatMac(mac: Mac): string {
  const digits = mac.toString(16).padStart(2 * MAC_SIZE, '0');
  return digits.replace(/..(?=.)/gu, '$&:');
}

/** True for group addresses, broadcast included (the lowest bit of the first byte). */
export function isGroupMac(mac: Mac): boolean {
  return Math.floor(mac / 2 ** 40) % 2 === 1;
}

/** True for 224.0.0.0/4. */
export function isMulticast(address: Ipv4): boolean {
  return address >>> 28 === 0xe;
}

/** The Ethernet address of an IPv4 group (RFC 1112, section 6.4): 01:00:5e and the low 23 bits. */
export function multicastMac(group: Ipv4): Mac {
  return (0x0100_5e00_0000 + (group & 0x7f_ffff)) as Mac;
}

/** Mask with `length` leading ones; 0 to 32. */
export function prefixMask(length: number): Ipv4 {
  return (length === 0 ? 0 : (-1 << (32 - length)) >>> 0) as Ipv4;
}

/** Leading ones of a mask, or null when ones follow a zero. */
export function prefixLength(mask: Ipv4): number | null {
  const length = Math.clz32(~mask);
  return prefixMask(length) === mask ? length : null;
}

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((readU16(bytes, at) << 16) | readU16(bytes, at + 2)) >>> 0;
}

export function readMac(bytes: Uint8Array, at: number): Mac {
  return (readU16(bytes, at) * 2 ** 32 + readU32(bytes, at + 2)) as Mac;
}

export function readIpv4(bytes: Uint8Array, at: number): Ipv4 {
  return readU32(bytes, at) as Ipv4;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  writeU16(bytes, at, value >>> 16);
  writeU16(bytes, at + 2, value);
}

export function writeMac(bytes: Uint8Array, at: number, mac: Mac): void {
  writeU16(bytes, at, Math.floor(mac / 2 ** 32));
  writeU32(bytes, at + 2, mac % 2 ** 32);
}
