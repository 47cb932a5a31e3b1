/** TCP segments (RFC 9293; window scale and timestamps RFC 7323, SACK RFC 2018). The state machine is its user's. */
import { assert } from '../assert.ts';
import type { Ipv4 } from './address.ts';
import { readU16, readU32, writeU16, writeU32 } from './address.ts';
import { addBytes, finish, pseudoHeaderSum } from './checksum.ts';
import { IpProtocol } from './ipv4.ts';

export const TCP_HEADER = 20;
export const TCP_OPTIONS_MAX = 40;
const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ = 4;
const ACK = 8;
const OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;

/** Bits of the flags byte. */
export const TcpFlag = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 0x10, URG: 0x20, ECE: 0x40, CWR: 0x80 } as const;

const END = 0;
const NOP = 1;
const MSS = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMPS = 8;
const SACK_BLOCK = 8;

export type TcpOption =
  | { readonly kind: 'nop' }
  | { readonly kind: 'mss'; readonly value: number }
  | { readonly kind: 'window-scale'; readonly shift: number }
  | { readonly kind: 'sack-permitted' }
  | { readonly kind: 'sack'; readonly blocks: readonly { readonly left: number; readonly right: number }[] }
  | { readonly kind: 'timestamps'; readonly value: number; readonly echo: number }
  /** Anything else; `number` is the option's kind byte. */
  | { readonly kind: 'other'; readonly number: number; readonly data: Uint8Array };

export interface TcpSegment {
  readonly srcPort: number;
  readonly dstPort: number;
  /** 32 bits, unsigned. */
  readonly seq: number;
  /** 32 bits, unsigned; meaningful with {@link TcpFlag}.ACK. */
  readonly ack: number;
  /** {@link TcpFlag} bits. */
  readonly flags: number;
  /** 16 bits, unscaled. */
  readonly window: number;
  readonly urgent: number;
  /** In order; what follows an end-of-options byte is dropped. */
  readonly options: readonly TcpOption[];
  readonly payload: Uint8Array;
}

/** Shorter than a header; data offset below 5 or beyond the bytes; wrong checksum; an option whose length is wrong. */
export type TcpReject = 'truncated' | 'bad-header-length' | 'bad-checksum' | 'bad-option';

/** `bytes` is the whole payload of an IPv4 packet between `src` and `dst`; byte fields of the result are views of it. */
export function decodeTcp(bytes: Uint8Array, src: Ipv4, dst: Ipv4): TcpSegment | TcpReject {
  if (bytes.length < TCP_HEADER) return 'truncated';
  const header = 4 * ((bytes[OFFSET] ?? 0) >>> 4);
  if (header < TCP_HEADER || header > bytes.length) return 'bad-header-length';
  const sum = addBytes(pseudoHeaderSum(src, dst, IpProtocol.TCP, bytes.length), bytes);
  if (finish(sum) !== 0) return 'bad-checksum';
  const options = decodeOptions(bytes.subarray(TCP_HEADER, header));
  if (options === null) return 'bad-option';
  return {
    srcPort: readU16(bytes, SRC_PORT),
    dstPort: readU16(bytes, DST_PORT),
    seq: readU32(bytes, SEQ),
    ack: readU32(bytes, ACK),
    flags: bytes[FLAGS] ?? 0,
    window: readU16(bytes, WINDOW),
    urgent: readU16(bytes, URGENT),
    options,
    payload: bytes.subarray(header),
  };
}

export function encodeTcp(segment: TcpSegment, src: Ipv4, dst: Ipv4): Uint8Array {
  const length = tcpOptionsLength(segment.options);
  assert(length <= TCP_OPTIONS_MAX, 'TCP options too long');
  const header = TCP_HEADER + length;
  const bytes = new Uint8Array(header + segment.payload.length);
  writeU16(bytes, SRC_PORT, segment.srcPort);
  writeU16(bytes, DST_PORT, segment.dstPort);
  writeU32(bytes, SEQ, segment.seq);
  writeU32(bytes, ACK, segment.ack);
  bytes[OFFSET] = (header / 4) << 4;
  bytes[FLAGS] = segment.flags;
  writeU16(bytes, WINDOW, segment.window);
  writeU16(bytes, URGENT, segment.urgent);
  let at = TCP_HEADER;
  for (const option of segment.options) {
    writeOption(bytes, at, option);
    at += optionLength(option);
  }
  bytes.set(segment.payload, header);
  writeU16(bytes, CHECKSUM, finish(addBytes(pseudoHeaderSum(src, dst, IpProtocol.TCP, bytes.length), bytes)));
  return bytes;
}

/** Bytes the options take in the header, padding to a multiple of 4 included. */
export function tcpOptionsLength(options: readonly TcpOption[]): number {
  let length = 0;
  for (const option of options) length += optionLength(option);
  return (length + 3) & ~3;
}

function decodeOptions(bytes: Uint8Array): TcpOption[] | null {
  const options: TcpOption[] = [];
  let at = 0;
  while (at < bytes.length) {
    const kind = bytes[at] ?? END;
    if (kind === END) break;
    if (kind === NOP) {
      options.push({ kind: 'nop' });
      at += 1;
      continue;
    }
    const length = bytes[at + 1] ?? 0;
    if (length < 2 || at + length > bytes.length) return null;
    const option = decodeOption(kind, bytes.subarray(at + 2, at + length));
    if (option === null) return null;
    options.push(option);
    at += length;
  }
  return options;
}

function decodeOption(kind: number, data: Uint8Array): TcpOption | null {
  switch (kind) {
    case MSS:
      return data.length === 2 ? { kind: 'mss', value: readU16(data, 0) } : null;
    case WINDOW_SCALE:
      return data.length === 1 ? { kind: 'window-scale', shift: data[0] ?? 0 } : null;
    case SACK_PERMITTED:
      return data.length === 0 ? { kind: 'sack-permitted' } : null;
    case SACK:
      if (data.length % SACK_BLOCK !== 0) return null;
      return {
        kind: 'sack',
        blocks: Array.from({ length: data.length / SACK_BLOCK }, (_, i) => ({
          left: readU32(data, SACK_BLOCK * i),
          right: readU32(data, SACK_BLOCK * i + 4),
        })),
      };
    case TIMESTAMPS:
      return data.length === 8 ? { kind: 'timestamps', value: readU32(data, 0), echo: readU32(data, 4) } : null;
    default:
      return { kind: 'other', number: kind, data };
  }
}

function optionLength(option: TcpOption): number {
  switch (option.kind) {
    case 'nop':
      return 1;
    case 'sack-permitted':
      return 2;
    case 'window-scale':
      return 3;
    case 'mss':
      return 4;
    case 'timestamps':
      return 10;
    case 'sack':
      return 2 + SACK_BLOCK * option.blocks.length;
    case 'other':
      return 2 + option.data.length;
  }
}

function writeOption(bytes: Uint8Array, at: number, option: TcpOption): void {
  if (option.kind === 'nop') {
    bytes[at] = NOP;
    return;
  }
  bytes[at] = optionKind(option);
  bytes[at + 1] = optionLength(option);
  const data = at + 2;
  switch (option.kind) {
    case 'sack-permitted':
      return;
    case 'mss':
      writeU16(bytes, data, option.value);
      return;
    case 'window-scale':
      bytes[data] = option.shift;
      return;
    case 'timestamps':
      writeU32(bytes, data, option.value);
      writeU32(bytes, data + 4, option.echo);
      return;
    case 'sack':
      option.blocks.forEach(({ left, right }, i) => {
        writeU32(bytes, data + SACK_BLOCK * i, left);
        writeU32(bytes, data + SACK_BLOCK * i + 4, right);
      });
      return;
    case 'other':
      bytes.set(option.data, data);
  }
}

function optionKind(option: Exclude<TcpOption, { kind: 'nop' }>): number {
  switch (option.kind) {
    case 'mss':
      return MSS;
    case 'window-scale':
      return WINDOW_SCALE;
    case 'sack-permitted':
      return SACK_PERMITTED;
    case 'sack':
      return SACK;
    case 'timestamps':
      return TIMESTAMPS;
    case 'other':
      return option.number;
  }
}
