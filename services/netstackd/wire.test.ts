import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import {
  answer,
  countAnswer,
  datagramAnswer,
  decodeRequest,
  decodeResponse,
  encodeReject,
  encodeRequest,
  encodeResponse,
  handleAnswer,
  localAddressAnswer,
  Op,
  port,
  readAnswer,
  Status,
} from './wire.ts';
import type { FacadeRequest, Handle } from './wire.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const nonce = fc.option(fc.uint8Array({ minLength: 8, maxLength: 8 }));
const handle = fc.nat({ max: 0xffff_ffff }).map((n) => n as Handle);
const ip = fc.nat({ max: 0xffff_ffff }).map((n) => n as Ipv4);
const anyPort = fc.nat({ max: 0xffff }).map(port);
const u16 = fc.nat({ max: 0xffff });
const data = fc.uint8Array({ maxLength: 600 });

const request: fc.Arbitrary<FacadeRequest> = fc.oneof(
  fc.record({ op: fc.constantFrom(Op.LISTEN, Op.UDP_BIND), ip: fc.option(ip), port: anyPort, nonce }),
  fc.record({ op: fc.constant(Op.ACCEPT), listener: handle, nonce }),
  fc.record({ op: fc.constant(Op.CONNECT), ip, port: anyPort, nonce }),
  fc.record({ op: fc.constant(Op.READ), stream: handle, max: u16, nonce }),
  fc.record({ op: fc.constant(Op.WRITE), stream: handle, data, nonce }),
  fc.record({ op: fc.constant(Op.UDP_SEND_TO), udp: handle, ip, port: anyPort, data, nonce }),
  fc.record({ op: fc.constant(Op.UDP_RECV_FROM), udp: handle, max: u16, nonce }),
  fc.record({ op: fc.constant(Op.ICMP_PING), ip, timeoutMs: u16, nonce }),
  fc.record({ op: fc.constant(Op.LOCAL_ADDR), nonce }),
  fc.record({ op: fc.constantFrom(Op.CLOSE, Op.WAIT_WRITABLE), stream: handle, nonce }),
);

/** Section 6.3 as it stands there: lengths without nonce per operation; null where the frame names a length. */
const LENGTHS: readonly (readonly number[] | null)[] = [
  [],
  [6, 10],
  [8],
  [10],
  [10],
  null,
  [6, 10],
  null,
  [10],
  [10],
  [4],
  [8],
  [8],
];

/** The reject class by the text of section 6.2, or the request's length without nonce. */
function naive(frame: Uint8Array): string | number {
  if (frame.length < 4) return 'head';
  if (text(frame.subarray(0, 3)) !== '4e5301') return 'head';
  const op = frame[3]!;
  const lengths = op === 0 ? undefined : LENGTHS[op];
  if (lengths === undefined) return 'unknown-op';
  const at = op === Op.WRITE ? 8 : 14;
  const base = lengths ?? (frame.length < at + 2 ? [] : [at + 2 + frame[at]! + 256 * frame[at + 1]!]);
  for (const length of base) if (frame.length === length || frame.length === length + 8) return length;
  return 'length';
}

describe('facade requests (sheet 70, section 6)', () => {
  it('decode gives back what was encoded', () => {
    fc.assert(
      fc.property(request, (wanted) => {
        expect(decodeRequest(encodeRequest(wanted))).toEqual(wanted);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  const mutated = fc
    .tuple(
      request,
      fc.array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 255 })), { maxLength: 3 }),
      fc.integer({ min: -9, max: 9 }),
    )
    .map(([wanted, edits, grow]) => {
      const frame = encodeRequest(wanted);
      for (const [at, value] of edits) if (at < frame.length) frame[at] = value;
      const out = new Uint8Array(Math.max(0, frame.length + grow));
      out.set(frame.subarray(0, out.length));
      return out;
    });
  const headed = fc
    .tuple(fc.nat({ max: 20 }), fc.uint8Array({ maxLength: 30 }))
    .map(([op, rest]) => Uint8Array.of(0x4e, 0x53, 1, op, ...rest));

  it('any bytes: the class of the naive table, no throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 8192 }), mutated, headed), (frame) => {
        const expected = naive(frame);
        const decoded = decodeRequest(frame);
        if (typeof expected === 'string') {
          expect(decoded).toEqual({ reject: expected, op: expected === 'head' ? 0 : frame[3] });
          return;
        }
        expect('reject' in decoded).toBe(false);
        if ('reject' in decoded) return;
        expect(decoded.nonce).toEqual(frame.length === expected ? null : frame.slice(expected));
        expect(text(encodeRequest(decoded))).toBe(text(frame));
      }),
      { seed: 20240, numRuns: 2000 },
    );
  });

  it('the shorter form wins only by length: a LISTEN of 14 bytes has a port and a nonce', () => {
    expect(decodeRequest(hex('4e530101 0787 0102030405060708'))).toEqual({
      op: Op.LISTEN,
      ip: null,
      port: 34_567,
      nonce: hex('0102030405060708'),
    });
    expect(decodeRequest(hex('4e530101 0a00020f 0787'))).toEqual({
      op: Op.LISTEN,
      ip: ipv4(10, 0, 2, 15),
      port: 34_567,
      nonce: null,
    });
  });

  it.each([
    ['62', '4e53018002'],
    ['4e530201', '4e53018002'],
    ['4e530100', '4e53018002'],
    ['4e53010d', '4e53018d02'],
    ['4e530181', '4e53018102'],
    ['4e530105 01000000 0500 0102', '4e53018502'],
    ['4e530107 01000000 0a00020f 9c90', '4e53018702'],
  ])('%s is malformed: %s', (frame, reply) => {
    const decoded = decodeRequest(hex(frame));
    expect('reject' in decoded && text(encodeReject(decoded))).toBe(reply);
  });
});

describe('facade responses', () => {
  const NONCE = hex('1112131415161718');
  it.each([
    [Op.LISTEN, handleAnswer(1), '4e53018100 01000000'],
    [Op.READ, readAnswer(hex('aabb')), '4e53018400 0200 aabb'],
    [Op.WRITE, countAnswer(5), '4e53018500 0500'],
    [Op.ICMP_PING, countAnswer(70_000), '4e53018900 ffff'],
    [Op.UDP_RECV_FROM, datagramAnswer(hex('cc'), ipv4(10, 0, 2, 15), port(37_020)), '4e53018800 0100 0a00020f 9c90 cc'],
    [Op.LOCAL_ADDR, localAddressAnswer(ipv4(10, 42, 0, 10), 24), '4e53018a00 0a2a000a 18'],
    [Op.CLOSE, answer(Status.NOT_FOUND), '4e53018b01'],
  ])('op %i', (op, result, frame) => {
    expect(text(encodeResponse(op, result))).toBe(text(hex(frame)));
    const withNonce = encodeResponse(op, result, NONCE);
    expect(text(withNonce)).toBe(text(hex(frame)) + text(NONCE));
    expect(decodeResponse(withNonce, op)?.status).toBe(result.status);
    expect(decodeResponse(withNonce, op === Op.CLOSE ? Op.READ : Op.CLOSE)).toBeNull();
  });

  it('any bytes decode without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (frame) => {
        const decoded = decodeResponse(frame, Op.READ);
        if (decoded !== null) expect(text(frame).slice(0, 8)).toBe('4e530184');
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
