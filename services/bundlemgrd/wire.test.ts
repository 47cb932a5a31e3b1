import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ascii } from '../lib/text.ts';
import { decodeImage, encodeImage, systemImage } from './image.ts';
import type { ImageEntry } from './image.ts';
import {
  decodeImageReply,
  decodeReply,
  decodeRequest,
  encodeImageReply,
  encodeReject,
  encodeReply,
  encodeRequest,
  targetName,
} from './wire.ts';
import type { BundleRequest } from './wire.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const rejected = (frame: string): string => {
  const request = decodeRequest(bytes(frame));
  return request.op === 'reject' ? hex(encodeReject(request)) : 'accepted';
};
const FULL_REPLY_A =
  '424e0183004b0000004e5842490101000673797374656d07312e302e302d610a006275696c642e70726f70000023000000726f2e6e657875732e6275696c643d6465760a726f2e6e657875732e736c6f743d610a';

/** Section 10.2 once more: the reject reply, or null. */
function naiveReject(f: Uint8Array): string | null {
  if (f.length < 4 || hex(f.subarray(0, 2)) !== '424e') return '424e018101000000';
  const op = f[3]!;
  const reply = (status: number): string => hex(Uint8Array.of(0x42, 0x4e, 1, op | 0x80, status, 0, 0, 0));
  if (f[2] !== 1) return reply(2);
  if (op === 1) return f.length === 4 ? null : reply(1);
  if (op === 2) return f.length > 5 && f[4]! <= 48 && f.length === 5 + f[4]! ? null : reply(1);
  if (op === 4) return f.length === 5 && (f[4] === 1 || f[4] === 2) ? null : reply(1);
  return op === 3 || op === 0x7f ? null : reply(2);
}

describe('requests (sections 10.2 and 16)', () => {
  it('goldens', () => {
    expect(hex(encodeRequest({ op: 'list' }))).toBe('424e0101');
    expect(hex(encodeRequest({ op: 'fetch_image' }))).toBe('424e0103');
    expect(hex(encodeRequest({ op: 'set_active_slot', slot: 'a' }))).toBe('424e010401');
    expect(hex(encodeRequest({ op: 'route_status', target: targetName(ascii('execd'))! }))).toBe(
      '424e0102056578656364',
    );
  });

  it('refusals', () => {
    expect(rejected('626164')).toBe('424e018101000000');
    expect(rejected('')).toBe('424e018101000000');
    expect(rejected('424f0103')).toBe('424e018101000000');
    expect(rejected('424e0203')).toBe('424e018302000000');
    expect(rejected('424e0101 00')).toBe('424e018101000000');
    for (const frame of ['424e0102', '424e0102 00', '424e0102 03 6162', `424e0102 31 ${'61'.repeat(49)}`])
      expect(rejected(frame), frame).toBe('424e018201000000');
    for (const frame of ['424e0104', '424e0104 ff', '424e0104 00', '424e0104 0101'])
      expect(rejected(frame), frame).toBe('424e018401000000');
    expect(rejected('424e0105')).toBe('424e018502000000');
    expect(decodeRequest(bytes('424e0103 0000'))).toEqual({ op: 'fetch_image' });
    expect(decodeRequest(bytes('424e017f ff'))).toEqual({ op: 'log_probe' });
  });

  it('any bytes: the class of the naive reading, no throw', () => {
    const head = fc.constantFrom('424e0101', '424e0102', '424e0103', '424e0104', '424e017f', '424e02', '424e', '');
    const rest = fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ maxLength: 8192 }));
    fc.assert(
      fc.property(head, rest, (start, tail) => {
        const frame = Uint8Array.of(...bytes(start), ...tail);
        const request = decodeRequest(frame);
        expect(request.op === 'reject' ? hex(encodeReject(request)) : null).toBe(naiveReject(frame));
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('decode(encode(x)) = x', () => {
    const request: fc.Arbitrary<BundleRequest> = fc.oneof(
      fc.constantFrom<BundleRequest>({ op: 'list' }, { op: 'fetch_image' }, { op: 'log_probe' }),
      fc.constantFrom<BundleRequest>({ op: 'set_active_slot', slot: 'a' }, { op: 'set_active_slot', slot: 'b' }),
      fc
        .uint8Array({ minLength: 1, maxLength: 48 })
        .map((name): BundleRequest => ({ op: 'route_status', target: targetName(name)! })),
    );
    fc.assert(
      fc.property(request, (r) => {
        expect(decodeRequest(encodeRequest(r))).toEqual(r);
      }),
      { seed: 20240, numRuns: 200 },
    );
    expect(targetName(new Uint8Array(49))).toBeNull();
    expect(targetName(new Uint8Array(0))).toBeNull();
  });

  it('replies', () => {
    expect(hex(encodeReply(1, 0, 1))).toBe('424e018100010000');
    expect(decodeReply(bytes('424e018100010000'), 1)).toEqual({ status: 0, value: 1 });
    expect(decodeReply(bytes('424e018100010000'), 4)).toBeNull();
    expect(decodeReply(bytes('424e01810001000000'), 1)).toBeNull();
    expect(decodeImageReply(bytes('424e018300 01000000 aa'))).toEqual(Uint8Array.of(0xaa));
    for (const frame of [
      '424e018301 01000000 aa',
      '424e018300 02000000 aa',
      '424e018300 000000',
      '424e018400 01000000 aa',
    ])
      expect(decodeImageReply(bytes(frame)), frame).toBeNull();
  });
});

describe('image (section 10.3)', () => {
  it('what is served, byte for byte', () => {
    expect(systemImage('a').length).toBe(75);
    expect(hex(encodeImageReply(systemImage('a')))).toBe(FULL_REPLY_A);
    const b = FULL_REPLY_A.replace('2d610a00', '2d620a00').replace(/610a$/, '620a');
    expect(hex(encodeImageReply(systemImage('b')))).toBe(b);
  });

  it('golden vector of the decoder', () => {
    const vector = bytes(
      `4e584249 01 0100 06 73797374656d 05 312e302e30 0a00 6275696c642e70726f70 0000 13000000 ${hex(ascii('ro.nexus.build=dev\n'))}`,
    );
    const image = decodeImage(vector);
    expect(image).toMatchObject({ end: vector.length, entries: [{ kind: 0, data: ascii('ro.nexus.build=dev\n') }] });
    for (let length = 0; length < vector.length; length++)
      expect(decodeImage(vector.subarray(0, length)), String(length)).toBe(length < 7 ? 'short' : 'truncated');
    expect(decodeImage(Uint8Array.of(...vector, 9))).toMatchObject({ end: vector.length });
  });

  it('magic, then version', () => {
    expect(decodeImage(bytes('4e584248 02 0000'))).toBe('magic');
    expect(decodeImage(bytes('4e584249 02 0000'))).toBe('version');
    expect(decodeImage(bytes('4e584249 01 0000'))).toEqual({ entries: [], end: 7 });
    expect(decodeImage(bytes('4e584249 01 0100 00 00 0000 0000 ffffffff'))).toBe('truncated');
  });

  const field = fc.uint8Array({ maxLength: 20 });
  const entry: fc.Arbitrary<ImageEntry> = fc.record({
    bundle: field,
    version: field,
    path: field,
    kind: fc.nat(0xffff),
    data: fc.uint8Array({ maxLength: 300 }),
  });

  it('decode(encode(x)) = x; a cut image is truncated, a mutated one never throws', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), fc.nat(), fc.nat(), fc.nat(255), (entries, cut, at, value) => {
        const image = encodeImage(entries);
        expect(decodeImage(image)).toEqual({ entries, end: image.length });
        const shorter = image.subarray(0, cut % image.length);
        expect(decodeImage(shorter)).toBe(shorter.length < 7 ? 'short' : 'truncated');
        image[at % image.length] = value;
        const again = decodeImage(image);
        if (typeof again !== 'string') expect(again.end).toBeLessThanOrEqual(image.length);
      }),
      { seed: 20240, numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (any) => {
        const image = decodeImage(Uint8Array.of(...bytes('4e584249 01'), ...any));
        if (typeof image === 'string') expect(image).toBe(any.length < 2 ? 'short' : 'truncated');
        else expect(image.end).toBeLessThanOrEqual(5 + any.length);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
