/** DHCP messages (RFC 2131; options RFC 2132). Options keep their order; option 52 (overload) is not followed. */
import { assert } from '../assert.ts';
import type { Ipv4 } from './address.ts';
import { readIpv4, readU16, readU32, writeU16, writeU32 } from './address.ts';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

const OP = 0;
const HTYPE = 1;
const HLEN = 2;
const HOPS = 3;
const XID = 4;
const SECS = 8;
const FLAGS = 10;
const CIADDR = 12;
const YIADDR = 16;
const SIADDR = 20;
const GIADDR = 24;
const CHADDR = 28;
const SNAME = 44;
const FILE = 108;
const COOKIE = 236;
const OPTIONS = 240;

export const CHADDR_SIZE = 16;
export const SNAME_SIZE = 64;
export const FILE_SIZE = 128;
/** Longest data of one option. */
export const DHCP_OPTION_MAX = 255;
const MAGIC_COOKIE = 0x6382_5363;

/** First byte of a message. */
export const DhcpOp = { REQUEST: 1, REPLY: 2 } as const;
/** Value of option 53. */
export const DhcpType = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;
/** Option codes. */
export const DhcpCode = {
  PAD: 0,
  SUBNET_MASK: 1,
  ROUTER: 3,
  DNS: 6,
  REQUESTED_IP: 50,
  LEASE_TIME: 51,
  MESSAGE_TYPE: 53,
  SERVER_ID: 54,
  PARAMETER_LIST: 55,
  MESSAGE: 56,
  MAX_SIZE: 57,
  CLIENT_ID: 61,
  END: 255,
} as const;

/** `code` 1 to 254, at most {@link DHCP_OPTION_MAX} bytes. */
export interface DhcpOption {
  readonly code: number;
  readonly data: Uint8Array;
}

export interface DhcpMessage {
  readonly op: number;
  readonly htype: number;
  readonly hlen: number;
  readonly hops: number;
  readonly xid: number;
  readonly secs: number;
  readonly flags: number;
  readonly ciaddr: Ipv4;
  readonly yiaddr: Ipv4;
  readonly siaddr: Ipv4;
  readonly giaddr: Ipv4;
  /** {@link CHADDR_SIZE} bytes. */
  readonly chaddr: Uint8Array;
  /** {@link SNAME_SIZE} bytes. */
  readonly sname: Uint8Array;
  /** {@link FILE_SIZE} bytes. */
  readonly file: Uint8Array;
  readonly options: readonly DhcpOption[];
}

/** Shorter than header and cookie; another cookie; an option that runs beyond the message. */
export type DhcpReject = 'truncated' | 'bad-cookie' | 'bad-option';

/** Padding options are dropped, the end option may be missing. Byte fields are views of `bytes`. */
export function decodeDhcp(bytes: Uint8Array): DhcpMessage | DhcpReject {
  if (bytes.length < OPTIONS) return 'truncated';
  if (readU32(bytes, COOKIE) !== MAGIC_COOKIE) return 'bad-cookie';
  const options: DhcpOption[] = [];
  let at = OPTIONS;
  while (at < bytes.length) {
    const code = bytes[at] ?? 0;
    if (code === DhcpCode.END) break;
    at += 1;
    if (code === DhcpCode.PAD) continue;
    const end = at + 1 + (bytes[at] ?? 0);
    if (at >= bytes.length || end > bytes.length) return 'bad-option';
    options.push({ code, data: bytes.subarray(at + 1, end) });
    at = end;
  }
  return {
    op: bytes[OP] ?? 0,
    htype: bytes[HTYPE] ?? 0,
    hlen: bytes[HLEN] ?? 0,
    hops: bytes[HOPS] ?? 0,
    xid: readU32(bytes, XID),
    secs: readU16(bytes, SECS),
    flags: readU16(bytes, FLAGS),
    ciaddr: readIpv4(bytes, CIADDR),
    yiaddr: readIpv4(bytes, YIADDR),
    siaddr: readIpv4(bytes, SIADDR),
    giaddr: readIpv4(bytes, GIADDR),
    chaddr: bytes.subarray(CHADDR, SNAME),
    sname: bytes.subarray(SNAME, FILE),
    file: bytes.subarray(FILE, COOKIE),
    options,
  };
}

/** `size`: bytes to which a shorter message is padded with zeros behind the end option; 0 pads nothing. */
export function encodeDhcp(message: DhcpMessage, size = 0): Uint8Array {
  assert(message.chaddr.length === CHADDR_SIZE, 'chaddr is 16 bytes');
  assert(message.sname.length === SNAME_SIZE && message.file.length === FILE_SIZE, 'sname is 64 bytes, file 128');
  let length = OPTIONS + 1;
  for (const { code, data } of message.options) {
    assert(code > DhcpCode.PAD && code < DhcpCode.END && data.length <= DHCP_OPTION_MAX, 'DHCP option out of range');
    length += 2 + data.length;
  }
  const bytes = new Uint8Array(Math.max(length, size));
  bytes[OP] = message.op;
  bytes[HTYPE] = message.htype;
  bytes[HLEN] = message.hlen;
  bytes[HOPS] = message.hops;
  writeU32(bytes, XID, message.xid);
  writeU16(bytes, SECS, message.secs);
  writeU16(bytes, FLAGS, message.flags);
  writeU32(bytes, CIADDR, message.ciaddr);
  writeU32(bytes, YIADDR, message.yiaddr);
  writeU32(bytes, SIADDR, message.siaddr);
  writeU32(bytes, GIADDR, message.giaddr);
  bytes.set(message.chaddr, CHADDR);
  bytes.set(message.sname, SNAME);
  bytes.set(message.file, FILE);
  writeU32(bytes, COOKIE, MAGIC_COOKIE);
  let at = OPTIONS;
  for (const { code, data } of message.options) {
    bytes[at] = code;
    bytes[at + 1] = data.length;
    bytes.set(data, at + 2);
    at += 2 + data.length;
  }
  bytes[at] = DhcpCode.END;
  return bytes;
}

/** Data of the first option with that code. */
export function dhcpOption(message: DhcpMessage, code: number): Uint8Array | null {
  return message.options.find((option) => option.code === code)?.data ?? null;
}

/** Option 53, or null when it is missing or not one byte. */
export function dhcpType(message: DhcpMessage): number | null {
  const data = dhcpOption(message, DhcpCode.MESSAGE_TYPE);
  return data?.length === 1 ? (data[0] ?? 0) : null;
}

/** An option of exactly one address, or null. */
export function dhcpAddress(message: DhcpMessage, code: number): Ipv4 | null {
  const data = dhcpOption(message, code);
  return data?.length === 4 ? readIpv4(data, 0) : null;
}

/** Makes an option of one 32-bit value: an address, or a time in seconds. */
export function dhcpU32(code: number, value: number): DhcpOption {
  const data = new Uint8Array(4);
  writeU32(data, 0, value);
  return { code, data };
}
