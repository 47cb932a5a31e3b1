import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HandleTable } from './handles.ts';
import { decodeRequest, encodeData, encodeFailure, encodeOpened, encodeRequest, encodeStat } from './wire.ts';
import type { FileHandle, VfsRequest } from './wire.ts';

const handle = (n: number): FileHandle => n as FileHandle;
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('wire (section 12)', () => {
  it('goldens', () => {
    expect(hex(encodeRequest({ op: 'open', path: 'a/b' }))).toBe('01706b673a2f612f62');
    expect(hex(encodeRequest({ op: 'stat', path: 'a' }))).toBe('04706b673a2f61');
    expect(hex(encodeRequest({ op: 'close', handle: handle(2) }))).toBe('0302000000');
    expect(hex(encodeRequest({ op: 'read', handle: handle(1), offset: 0n, length: 64 }))).toBe(
      '02' + '01000000' + '0000000000000000' + '40000000',
    );
    expect([encodeFailure(), encodeOpened(handle(1)), encodeData(bytes('aabb')), encodeStat(19n, 0)].map(hex)).toEqual([
      '00',
      '0101000000',
      '01aabb',
      '01' + '1300000000000000' + '0000',
    ]);
  });

  it('what gets no answer', () => {
    expect(decodeRequest(bytes(''))).toEqual({ op: 'ignored', reason: 'empty' });
    expect(decodeRequest(bytes('02' + '00'.repeat(15)))).toEqual({ op: 'ignored', reason: 'short' });
    expect(decodeRequest(bytes('03 000000'))).toEqual({ op: 'ignored', reason: 'short' });
    expect(decodeRequest(bytes('05'))).toEqual({ op: 'ignored', reason: 'unknown' });
    expect(decodeRequest(bytes('03 01000000 ff'))).toEqual({ op: 'close', handle: 1 });
    expect(decodeRequest(bytes('02' + '00'.repeat(20)))).toMatchObject({ op: 'read', length: 0 });
  });

  it('paths of other schemes and without UTF-8 have none', () => {
    for (const frame of ['01', '01 2f61', '04 ff', '01 706b673a', '04 504b473a2f61'])
      expect(decodeRequest(bytes(frame)), frame).toMatchObject({ path: null });
    expect(decodeRequest(bytes('01 706b673a2f'))).toEqual({ op: 'open', path: '' });
  });

  it('any bytes: the class of the naive reading; decode(encode(x)) = x', () => {
    const frame = fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 0xff), fc.uint8Array({ maxLength: 30 }));
    fc.assert(
      fc.property(
        fc.oneof(
          frame.map(([op, rest]) => Uint8Array.of(op, ...rest)),
          fc.uint8Array({ maxLength: 8192 }),
        ),
        (f) => {
          const wanted =
            f.length === 0 || f[0]! < 1 || f[0]! > 4
              ? 'ignored'
              : f[0] === 2 && f.length < 17
                ? 'ignored'
                : f[0] === 3 && f.length < 5
                  ? 'ignored'
                  : ['open', 'read', 'close', 'stat'][f[0]! - 1];
          expect(decodeRequest(f).op).toBe(wanted);
        },
      ),
      { seed: 20240, numRuns: 400 },
    );
    const u32 = fc.nat(0xffff_ffff);
    const request: fc.Arbitrary<VfsRequest> = fc.oneof(
      fc.record({
        op: fc.constantFrom('open' as const, 'stat' as const),
        path: fc.string({ unit: 'grapheme' }),
      }),
      fc.record({ op: fc.constant('close' as const), handle: u32.map(handle) }),
      fc.record({
        op: fc.constant('read' as const),
        handle: u32.map(handle),
        offset: fc.bigInt(0n, 2n ** 64n - 1n),
        length: u32,
      }),
    );
    fc.assert(
      fc.property(request, (r) => {
        expect(decodeRequest(encodeRequest(r))).toEqual(r);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('handles', () => {
  it('count from 1, and from 1 again behind the last u32', () => {
    const table = new HandleTable();
    expect([table.open(bytes('aa')), table.open(bytes('bb'))]).toEqual([1, 2]);
    const late = new HandleTable(0xffff_ffff);
    expect([late.open(bytes('aa')), late.open(bytes('bb'))]).toEqual([0xffff_ffff, 1]);
  });

  it('keep their own copy', () => {
    const file = bytes('aabb');
    const table = new HandleTable();
    const fh = table.open(file);
    file[0] = 0;
    expect(hex(table.read(fh, 0n, 9)!)).toBe('aabb');
  });

  it('read past the end is empty, offsets of any size', () => {
    const table = new HandleTable();
    const fh = table.open(bytes('aabbcc'));
    expect(hex(table.read(fh, 1n, 1)!)).toBe('bb');
    expect(hex(table.read(fh, 2n, 0xffff_ffff)!)).toBe('cc');
    expect(hex(table.read(fh, 3n, 1)!)).toBe('');
    expect(hex(table.read(fh, 2n ** 64n - 1n, 0xffff_ffff)!)).toBe('');
    expect(table.read(handle(9), 0n, 1)).toBeNull();
  });

  it('against a model', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('open' as const), data: fc.uint8Array({ maxLength: 8 }) }),
      fc.record({ op: fc.constant('close' as const), fh: fc.integer({ min: 0, max: 6 }) }),
      fc.record({
        op: fc.constant('read' as const),
        fh: fc.integer({ min: 0, max: 6 }),
        at: fc.nat(10),
        len: fc.nat(10),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const table = new HandleTable();
        const open: (string | null)[] = [null];
        for (const s of steps) {
          if (s.op === 'open') {
            open.push(hex(s.data));
            expect(table.open(s.data)).toBe(open.length - 1);
          } else if (s.op === 'close') {
            expect(table.close(handle(s.fh))).toBe((open[s.fh] ?? null) !== null);
            if (s.fh < open.length) open[s.fh] = null;
          } else {
            const file = open[s.fh] ?? null;
            const got = table.read(handle(s.fh), BigInt(s.at), s.len);
            expect(got === null ? null : hex(got)).toBe(file?.slice(2 * s.at, 2 * (s.at + s.len)) ?? null);
          }
          expect(table.size).toBe(open.filter((file) => file !== null).length);
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
