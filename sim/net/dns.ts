/**
 * DNS messages (RFC 1035, section 4). Names are lists of labels, one character per byte. The encoder compresses names;
 * the data of records stays raw, so compression pointers inside it (CNAME, MX, ...) are not resolved.
 */
import { assert } from '../assert.ts';
import { readU16, readU32, writeU32 } from './address.ts';

export const DNS_PORT = 53;
export const DNS_HEADER = 12;
export const DNS_MESSAGE_MAX = 0xffff;
export const DNS_LABEL_MAX = 63;
/** Bytes of a whole name on the wire, length bytes and root included. */
export const DNS_NAME_MAX = 255;
/** Pointers followed in one name: a name has at most 127 labels, and each pointer should lead to one. */
export const DNS_POINTERS_MAX = 127;
const POINTER = 0xc0;
const POINTER_RANGE = 0x3fff;

/** Types and the class that are used here. */
export const DnsType = { A: 1 } as const;
export const DnsClass = { IN: 1 } as const;
/** Response codes. */
export const DnsRcode = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4 } as const;

/** Labels without the root; each 1 to {@link DNS_LABEL_MAX} bytes. */
export type DnsName = readonly string[];

export interface DnsQuestion {
  readonly name: DnsName;
  readonly type: number;
  readonly class: number;
}

export interface DnsRecord extends DnsQuestion {
  /** Seconds, 32 bits. */
  readonly ttl: number;
  readonly data: Uint8Array;
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  /** 4 bits. */
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  /** The three bits between RA and the response code. */
  readonly z: number;
  /** 4 bits. */
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** Ends early; a label type that is neither text nor pointer; a pointer that does not point back, or too many; a name over 255 bytes. */
export type DnsReject = 'truncated' | 'bad-label' | 'bad-pointer' | 'name-too-long';

/** Bytes after the last record are ignored. Record data are views of `bytes`. */
export function decodeDns(bytes: Uint8Array): DnsMessage | DnsReject {
  if (bytes.length < DNS_HEADER) return 'truncated';
  const flags = readU16(bytes, 2);
  const cursor: Cursor = { bytes, at: DNS_HEADER };
  const questions: DnsQuestion[] = [];
  for (let i = readU16(bytes, 4); i > 0; i -= 1) {
    const question = readQuestion(cursor);
    if (typeof question === 'string') return question;
    questions.push(question);
  }
  const sections: DnsRecord[][] = [];
  for (const count of [6, 8, 10]) {
    const records: DnsRecord[] = [];
    for (let i = readU16(bytes, count); i > 0; i -= 1) {
      const record = readRecord(cursor);
      if (typeof record === 'string') return record;
      records.push(record);
    }
    sections.push(records);
  }
  const [answers = [], authorities = [], additionals = []] = sections;
  return {
    id: readU16(bytes, 0),
    response: (flags & 0x8000) !== 0,
    opcode: (flags >>> 11) & 0xf,
    authoritative: (flags & 0x400) !== 0,
    truncated: (flags & 0x200) !== 0,
    recursionDesired: (flags & 0x100) !== 0,
    recursionAvailable: (flags & 0x80) !== 0,
    z: (flags >>> 4) & 7,
    rcode: flags & 0xf,
    questions,
    answers,
    authorities,
    additionals,
  };
}

export function encodeDns(message: DnsMessage): Uint8Array {
  const { questions, answers, authorities, additionals } = message;
  const out: number[] = [];
  push16(out, message.id);
  push16(
    out,
    (message.response ? 0x8000 : 0) |
      ((message.opcode & 0xf) << 11) |
      (message.authoritative ? 0x400 : 0) |
      (message.truncated ? 0x200 : 0) |
      (message.recursionDesired ? 0x100 : 0) |
      (message.recursionAvailable ? 0x80 : 0) |
      ((message.z & 7) << 4) |
      (message.rcode & 0xf),
  );
  for (const section of [questions, answers, authorities, additionals]) push16(out, section.length);
  const known = new Map<string, number>();
  for (const question of questions) pushQuestion(out, question, known);
  for (const record of [...answers, ...authorities, ...additionals]) {
    pushQuestion(out, record, known);
    push16(out, record.ttl >>> 16);
    push16(out, record.ttl);
    push16(out, record.data.length);
    for (const byte of record.data) out.push(byte);
  }
  assert(out.length <= DNS_MESSAGE_MAX, 'DNS message too long');
  return Uint8Array.from(out);
}

/** True when two names are the same; ASCII letters match in either case. */
export function sameDnsName(a: DnsName, b: DnsName): boolean {
  return a.length === b.length && a.every((label, i) => lower(label) === lower(b[i] ?? ''));
}

function lower(label: string): string {
  return label.replace(/[A-Z]/gu, (letter) => letter.toLowerCase());
}

/** An address record of the Internet class. */
export function dnsAddressRecord(name: DnsName, address: number, ttl: number): DnsRecord {
  const data = new Uint8Array(4);
  writeU32(data, 0, address);
  return { name, type: DnsType.A, class: DnsClass.IN, ttl, data };
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function readQuestion(cursor: Cursor): DnsQuestion | DnsReject {
  const name = readName(cursor);
  if (typeof name === 'string') return name;
  const { bytes, at } = cursor;
  if (at + 4 > bytes.length) return 'truncated';
  cursor.at += 4;
  return { name, type: readU16(bytes, at), class: readU16(bytes, at + 2) };
}

function readRecord(cursor: Cursor): DnsRecord | DnsReject {
  const head = readQuestion(cursor);
  if (typeof head === 'string') return head;
  const { bytes, at } = cursor;
  const end = at + 6 + readU16(bytes, at + 4);
  if (at + 6 > bytes.length || end > bytes.length) return 'truncated';
  cursor.at = end;
  return { ...head, ttl: readU32(bytes, at), data: bytes.subarray(at + 6, end) };
}

/** Follows pointers; each must lead before the place where the part that holds it began, so that the walk ends. */
function readName(cursor: Cursor): DnsName | DnsReject {
  const { bytes } = cursor;
  const labels: string[] = [];
  let total = 1;
  let at = cursor.at;
  let start = at;
  let after = -1;
  let pointers = 0;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return 'truncated';
    if ((length & POINTER) === POINTER) {
      if (at + 1 >= bytes.length) return 'truncated';
      const target = readU16(bytes, at) & POINTER_RANGE;
      pointers += 1;
      if (target >= start || pointers > DNS_POINTERS_MAX) return 'bad-pointer';
      if (after < 0) after = at + 2;
      at = target;
      start = target;
      continue;
    }
    if (length > DNS_LABEL_MAX) return 'bad-label';
    at += 1;
    if (length === 0) break;
    if (at + length > bytes.length) return 'truncated';
    total += 1 + length;
    if (total > DNS_NAME_MAX) return 'name-too-long';
    labels.push(String.fromCharCode(...bytes.subarray(at, at + length)));
    at += length;
  }
  cursor.at = after < 0 ? at : after;
  return labels;
}

function push16(out: number[], value: number): void {
  out.push((value >>> 8) & 0xff, value & 0xff);
}

function pushQuestion(out: number[], question: DnsQuestion, known: Map<string, number>): void {
  pushName(out, question.name, known);
  push16(out, question.type);
  push16(out, question.class);
}

function pushName(out: number[], name: DnsName, known: Map<string, number>): void {
  assert(name.reduce((sum, label) => sum + 1 + label.length, 1) <= DNS_NAME_MAX, 'DNS name too long');
  for (let i = 0; i < name.length; i += 1) {
    const rest = JSON.stringify(name.slice(i));
    const target = known.get(rest);
    if (target !== undefined) {
      push16(out, (POINTER << 8) | target);
      return;
    }
    if (out.length <= POINTER_RANGE) known.set(rest, out.length);
    const label = name[i] ?? '';
    assert(label.length >= 1 && label.length <= DNS_LABEL_MAX, 'DNS label must be 1 to 63 bytes');
    out.push(label.length);
    for (let at = 0; at < label.length; at += 1) out.push(label.charCodeAt(at) & 0xff);
  }
  out.push(0);
}
