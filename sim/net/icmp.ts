/** ICMP messages (RFC 792; the MTU of code 4 is RFC 1191's). */
import { readU16, readU32, writeU16, writeU32 } from './address.ts';
import { checksum } from './checksum.ts';

export const ICMP_HEADER = 8;
const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;

/** Type byte. */
export const IcmpType = { ECHO_REPLY: 0, DESTINATION_UNREACHABLE: 3, ECHO_REQUEST: 8, TIME_EXCEEDED: 11 } as const;
/** Code of destination unreachable. */
export const Unreachable = { NET: 0, HOST: 1, PROTOCOL: 2, PORT: 3, FRAGMENTATION_NEEDED: 4 } as const;
/** Code of time exceeded: the TTL ran out on the way. */
export const TTL_EXCEEDED = 0;

/** Echo request or reply; code 0. */
export interface IcmpEcho {
  readonly kind: 'echo-request' | 'echo-reply';
  readonly ident: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** A message about a packet. `original` starts with that packet's IPv4 header. */
export type IcmpError =
  | {
      readonly kind: 'destination-unreachable';
      readonly code: number;
      /** MTU of the next hop with code 4, else 0. */
      readonly mtu: number;
      readonly original: Uint8Array;
    }
  | { readonly kind: 'time-exceeded'; readonly code: number; readonly original: Uint8Array };

/** Any other type, or an echo with a code. */
export interface IcmpOther {
  readonly kind: 'other';
  readonly type: number;
  readonly code: number;
  /** The header's last 4 bytes. */
  readonly rest: number;
  readonly payload: Uint8Array;
}

export type IcmpMessage = IcmpEcho | IcmpError | IcmpOther;

/** Shorter than a header; wrong checksum. */
export type IcmpReject = 'truncated' | 'bad-checksum';

/** `bytes` is the whole payload of an IPv4 packet; byte fields of the result are views of it. */
export function decodeIcmp(bytes: Uint8Array): IcmpMessage | IcmpReject {
  if (bytes.length < ICMP_HEADER) return 'truncated';
  if (checksum(bytes) !== 0) return 'bad-checksum';
  const type = bytes[TYPE] ?? 0;
  const code = bytes[CODE] ?? 0;
  const payload = bytes.subarray(ICMP_HEADER);
  const echo = type === IcmpType.ECHO_REQUEST || type === IcmpType.ECHO_REPLY;
  if (echo && code === 0) {
    return {
      kind: type === IcmpType.ECHO_REQUEST ? 'echo-request' : 'echo-reply',
      ident: readU16(bytes, REST),
      sequence: readU16(bytes, REST + 2),
      payload,
    };
  }
  if (type === IcmpType.DESTINATION_UNREACHABLE) {
    return { kind: 'destination-unreachable', code, mtu: readU16(bytes, REST + 2), original: payload };
  }
  if (type === IcmpType.TIME_EXCEEDED) return { kind: 'time-exceeded', code, original: payload };
  return { kind: 'other', type, code, rest: readU32(bytes, REST), payload };
}

export function encodeIcmp(message: IcmpMessage): Uint8Array {
  switch (message.kind) {
    case 'echo-request':
      return pack(IcmpType.ECHO_REQUEST, 0, message.ident * 0x1_0000 + message.sequence, message.payload);
    case 'echo-reply':
      return pack(IcmpType.ECHO_REPLY, 0, message.ident * 0x1_0000 + message.sequence, message.payload);
    case 'destination-unreachable':
      return pack(IcmpType.DESTINATION_UNREACHABLE, message.code, message.mtu, message.original);
    case 'time-exceeded':
      return pack(IcmpType.TIME_EXCEEDED, message.code, 0, message.original);
    case 'other':
      return pack(message.type, message.code, message.rest, message.payload);
  }
}

function pack(type: number, code: number, rest: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ICMP_HEADER + payload.length);
  bytes[TYPE] = type;
  bytes[CODE] = code;
  writeU32(bytes, REST, rest);
  bytes.set(payload, ICMP_HEADER);
  writeU16(bytes, CHECKSUM, checksum(bytes));
  return bytes;
}
