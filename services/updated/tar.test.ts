import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ascii } from '../lib/text.ts';
import { BLOCK, walkTar, writeTar } from './tar.ts';
import type { TarEntry } from './tar.ts';

const file = (name: string, data = 'x'): Uint8Array => writeTar([{ name, data: ascii(data) }]);
const patched = (archive: Uint8Array, at: number, bytes: readonly number[]): Uint8Array => {
  const copy = archive.slice();
  copy.set(bytes, at);
  return copy;
};
const names = (archive: Uint8Array): unknown => {
  const entries = walkTar(archive);
  return typeof entries === 'string' ? entries : entries.map((entry) => entry.name);
};

describe('walk (section 5.5)', () => {
  it('names', () => {
    expect(names(file('a/b.txt'))).toEqual(['a/b.txt']);
    expect(names(file('a..b/..c/d'))).toEqual(['a..b/..c/d']);
    for (const name of ['/etc/passwd', '../escape/payload.elf', 'a/../b', 'a/..', '..', ' /x', ' ../x'])
      expect(names(file(name)), name).toBe('unsafe path');
    expect(names(file('  spaced\t'))).toEqual(['spaced']);
    expect(names(file(' '))).toBe('empty tar name');
    expect(names(patched(file('x'), 0, [0]))).toBe('empty tar name');
    expect(names(patched(file('xx'), 0, [0xff]))).toBe('tar name invalid utf-8');
    // U+0085 is trimmed, U+FEFF is not (section 18).
    expect(names(patched(file('xxxx'), 0, [0xc2, 0x85, 0x61, 0]))).toEqual(['a']);
    expect(names(patched(file('xxxx'), 0, [0xef, 0xbb, 0xbf, 0x61]))).toEqual(['\ufeffa']);
  });

  it('a name of 100 bytes has no NUL', () => {
    expect(names(file('n'.repeat(100)))).toEqual(['n'.repeat(100)]);
  });

  it('sizes', () => {
    const size = (text: string): unknown => names(patched(file('a'), 124, [...ascii(text)]));
    expect(size('\0\0\0\0\0\0\0\0\0\0\x001')).toEqual(['a']);
    expect(size(' 0 0 0 0 0 1')).toEqual(['a']);
    expect(size('00000000008\0')).toBe('invalid tar size');
    expect(size('            ')).toBe('missing tar size');
    expect(size('77777777777\0')).toBe('truncated tar entry');
    expect(size('777777777777')).toBe('truncated tar entry');
  });

  it('data must be there, its padding need not', () => {
    const archive = file('a', 'hello');
    expect(names(archive.subarray(0, BLOCK + 5))).toEqual(['a']);
    expect(names(archive.subarray(0, BLOCK + 4))).toBe('truncated tar entry');
    expect(names(archive.subarray(0, BLOCK - 1))).toEqual([]);
    expect(names(new Uint8Array(0))).toEqual([]);
  });

  it('a zero header ends the walk; checksum, magic and type are not looked at', () => {
    const two = Uint8Array.of(...file('a'), ...file('b'));
    expect(names(two)).toEqual(['a']);
    const odd = patched(patched(file('a'), 148, [9, 9, 9]), 257, [1, 2, 3]);
    expect(walkTar(patched(odd, 156, [0x32]))).toMatchObject([{ name: 'a', directory: false }]);
    expect(walkTar(patched(odd, 156, [0x35]))).toMatchObject([{ name: 'a', directory: true }]);
  });
});

/** Section 5.5 on text: each rule once. */
function naiveWalk(archive: Uint8Array): readonly string[] | string {
  const found: string[] = [];
  for (let at = 0; archive.length - at >= 512;) {
    const header = Buffer.from(archive.slice(at, at + 512));
    if (header.equals(Buffer.alloc(512))) return found;
    const raw = header.subarray(0, 100).toString('latin1').split('\0')[0]!;
    const text = Buffer.from(raw, 'latin1');
    if (!text.equals(Buffer.from(text.toString('utf8'), 'utf8'))) return 'tar name invalid utf-8';
    const name = text.toString('utf8').replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
    if (name === '') return 'empty tar name';
    if (/^\/|(^|\/)\.\.(\/|$)/.test(name)) return 'unsafe path';
    const digits = header.subarray(124, 136).toString('latin1').replaceAll('\0', '').replaceAll(' ', '');
    if (/[^0-7]/.test(digits)) return 'invalid tar size';
    if (digits === '') return 'missing tar size';
    const size = parseInt(digits, 8);
    if (at + 512 + size > archive.length) return 'truncated tar entry';
    found.push(`${name}|${header[156] === 0x35}|${size}`);
    at += 512 + size + ((512 - (size % 512)) % 512);
  }
  return found;
}

const told = (entries: readonly TarEntry[] | string): unknown =>
  typeof entries === 'string' ? entries : entries.map((e) => `${e.name}|${e.directory}|${e.data.length}`);

describe('properties', () => {
  const member = fc.record({
    name: fc.stringMatching(/^[a-z]{1,20}$/),
    data: fc.option(fc.uint8Array({ maxLength: 1200 }), { nil: null }),
  });

  it('walk(write(x)) = x', () => {
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), (members) => {
        const archive = writeTar(members);
        expect(archive.length % 512).toBe(0);
        const entries = walkTar(archive);
        const wanted = members.map(({ name, data }) => ({
          name,
          directory: data === null,
          data: data ?? new Uint8Array(0),
        }));
        expect(entries).toEqual(wanted);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('mutated archives and any bytes: as the naive walk, no throw', () => {
    const where = fc.oneof(fc.nat(4), fc.integer({ min: 99, max: 160 }), fc.nat(4000));
    const change = fc.tuple(where, fc.oneof(fc.nat(255), fc.constantFrom(0, 0x20, 0x2e, 0x2f, 0x38, 0xc2, 0x85)));
    fc.assert(
      fc.property(
        fc.array(member, { minLength: 1, maxLength: 3 }),
        fc.array(change, { maxLength: 5 }),
        fc.nat(700),
        (members, changes, cut) => {
          const archive = writeTar(members);
          for (const [at, value] of changes) if (at < archive.length) archive[at] = value;
          const shorter = archive.subarray(0, archive.length - cut);
          expect(told(walkTar(shorter))).toEqual(naiveWalk(shorter));
        },
      ),
      { seed: 20240, numRuns: 400 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (bytes) => {
        expect(told(walkTar(bytes))).toEqual(naiveWalk(bytes));
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
