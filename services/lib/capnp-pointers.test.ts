import * as capnp from 'capnp-es';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SystemSetIndex } from '../updated/system-set.capnp.ts';
import { CapnpMessage, SEGMENTS_LIMIT, TRAVERSAL_LIMIT_WORDS } from './capnp-pointers.ts';

/** Words of 8 bytes, given as [low, high]. */
type Words = readonly (readonly [number, number])[];

/** A message of these segments. */
function message(...segments: readonly Words[]): Uint8Array {
  const table = 4 * (1 + segments.length);
  const head = Math.ceil(table / 8) * 8;
  const bytes = new Uint8Array(head + 8 * segments.reduce((sum, words) => sum + words.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, segments.length - 1, true);
  segments.forEach((words, i) => view.setUint32(4 + 4 * i, words.length, true));
  segments.flat().forEach(([low, high], i) => {
    view.setUint32(head + 8 * i, low, true);
    view.setUint32(head + 8 * i + 4, high, true);
  });
  return bytes;
}

const struct = (offset: number, data: number, pointers: number): readonly [number, number] => [
  (offset << 2) >>> 0,
  data | (pointers << 16),
];
const list = (offset: number, size: number, count: number): readonly [number, number] => [
  ((offset << 2) | 1) >>> 0,
  ((count << 3) | size) >>> 0,
];
const far = (word: number, segment: number, isDouble = false): readonly [number, number] => [
  (word << 3) | (isDouble ? 4 : 0) | 2,
  segment,
];
const root = (...segments: readonly Words[]) => CapnpMessage.parse(message(...segments))!.root();
const HELLO: readonly [number, number] = [0x6c6c6568, 0x6f];
const text = (bytes: Uint8Array | null | undefined): string | null => (bytes ? new TextDecoder().decode(bytes) : null);

describe('framing', () => {
  it('all announced bytes must be there; what follows is ignored', () => {
    const whole = message([struct(0, 0, 0)]);
    expect(CapnpMessage.parse(whole)).not.toBeNull();
    expect(CapnpMessage.parse(Uint8Array.of(...whole, 1, 2, 3))).not.toBeNull();
    for (let length = 0; length < whole.length; length++)
      expect(CapnpMessage.parse(whole.subarray(0, length)), String(length)).toBeNull();
  });

  it('segments and words are limited', () => {
    const table = (count: number): Uint8Array => {
      const bytes = new Uint8Array(8 * (Math.floor(count / 2) + 1));
      new DataView(bytes.buffer).setUint32(0, count - 1, true);
      return bytes;
    };
    expect(CapnpMessage.parse(table(SEGMENTS_LIMIT - 1))).not.toBeNull();
    expect(CapnpMessage.parse(table(SEGMENTS_LIMIT))).toBeNull();
    const wrapped = new Uint8Array(64).fill(0xff);
    expect(CapnpMessage.parse(wrapped)).toBeNull();
    const sized = (words: number): Uint8Array => {
      const bytes = new Uint8Array(8 + 8 * words);
      new DataView(bytes.buffer).setUint32(4, words, true);
      return bytes;
    };
    expect(CapnpMessage.parse(sized(TRAVERSAL_LIMIT_WORDS))).not.toBeNull();
    expect(CapnpMessage.parse(sized(TRAVERSAL_LIMIT_WORDS + 1))).toBeNull();
  });
});

describe('root', () => {
  it('a null root is an empty struct; no segment word, no struct or no room is none', () => {
    const empty = root([[0, 0]]);
    expect(empty?.text(0)).toEqual(new Uint8Array(0));
    expect(empty?.u64(0)).toBe(0n);
    expect(empty?.structs(0)?.count).toBe(0);
    expect(root([])).toBeNull();
    expect(root([list(0, 2, 0)])).toBeNull();
    expect(root([[3, 0]])).toBeNull();
    expect(root([struct(0, 1, 0)])).toBeNull();
    expect(root([struct(-2, 0, 0)])).toBeNull();
    expect(root([struct(-1, 0, 0)])).not.toBeNull();
    expect(root([struct(0, 1, 0), [7, 0]])?.u64(0)).toBe(7n);
    expect(root([struct(0, 1, 0), [0x0201, 0]])?.u8(1)).toBe(2);
    expect(root([struct(0, 1, 0), [7, 0]])?.u64(8)).toBe(0n);
  });
});

describe('text and data', () => {
  const read = (pointer: readonly [number, number], ...rest: Words) =>
    root([struct(0, 0, 1), pointer, ...rest])?.text(0);

  it('missing is not empty', () => {
    expect(text(read(list(0, 2, 6), HELLO))).toBe('hello');
    expect(read([0, 0])).toEqual(new Uint8Array(0));
    expect(text(read(list(0, 2, 1), [0, 0]))).toBe('');
    expect(read(list(0, 2, 0))).toBeNull();
    expect(read(list(0, 2, 5), HELLO)).toBeNull();
    expect(read(list(0, 3, 3), HELLO)).toBeNull();
    expect(read(struct(0, 1, 0), HELLO)).toBeNull();
    expect(read(list(0, 2, 9), HELLO)).toBeNull();
    expect(read(list(-9, 2, 1), HELLO)).toBeNull();
    expect(read([3, 0])).toBeNull();
  });

  it('data needs no NUL and may be empty', () => {
    const data = (pointer: readonly [number, number], ...rest: Words) =>
      root([struct(0, 0, 1), pointer, ...rest])?.data(0);
    expect(data(list(0, 2, 5), HELLO)?.length).toBe(5);
    expect(data(list(0, 2, 0))).toEqual(new Uint8Array(0));
    expect(data(list(0, 1, 8), HELLO)).toBeNull();
  });

  it('far pointers: single, double, nowhere', () => {
    expect(text(root([struct(0, 0, 1), far(0, 1)], [list(0, 2, 6), HELLO])?.text(0))).toBe('hello');
    expect(text(root([far(0, 1)], [struct(0, 0, 1), list(0, 2, 6), HELLO])?.text(0))).toBe('hello');
    expect(text(root([struct(0, 0, 1), far(0, 1, true)], [far(0, 2), list(0, 2, 6)], [HELLO])?.text(0))).toBe('hello');
    expect(root([struct(0, 0, 1), far(0, 2)], [list(0, 2, 6), HELLO])?.text(0)).toBeNull();
    expect(root([struct(0, 0, 1), far(2, 1)], [list(0, 2, 6), HELLO])?.text(0)).toBeNull();
    expect(root([struct(0, 0, 1), far(1, 1, true)], [far(0, 2), list(0, 2, 6)], [HELLO])?.text(0)).toBeNull();
    expect(root([struct(0, 0, 1), far(0, 1)], [far(0, 2)], [list(0, 2, 6), HELLO])?.text(0)).toBeNull();
  });
});

describe('lists', () => {
  const structs = (...words: Words) => root([struct(0, 0, 1), ...words])?.structs(0) ?? null;

  it('composite lists; a tag larger than its list is refused', () => {
    const read = structs(list(0, 7, 2), struct(2, 1, 0), [5, 0], [6, 0]);
    expect([read?.count, read?.at(0).u64(0), read?.at(1).u64(0)]).toEqual([2, 5n, 6n]);
    expect(structs(list(0, 7, 2), struct(3, 1, 0), [5, 0], [6, 0])).toBeNull();
    expect(structs(list(0, 7, 3), struct(2, 1, 0), [5, 0], [6, 0])).toBeNull();
    expect(structs(list(0, 7, 2), list(2, 1, 0), [5, 0], [6, 0])).toBeNull();
  });

  it('other element sizes are truncated structs', () => {
    const words = structs(list(0, 5, 2), [5, 0], [6, 0]);
    expect([words?.count, words?.at(1).u64(0), words?.at(1).text(0)]).toEqual([2, 6n, new Uint8Array(0)]);
    const bytes = structs(list(0, 2, 2), [0x0605, 0]);
    expect([bytes?.at(1).u8(0), bytes?.at(1).u64(0)]).toEqual([6, 0n]);
    const pointers = structs(list(0, 6, 1), list(0, 2, 6), HELLO);
    expect(text(pointers?.at(0).text(0))).toBe('hello');
    expect(structs(list(0, 1, 9), [1, 0])?.count).toBe(9);
    expect(structs(list(0, 6, 2), [0, 0])).toBeNull();
  });

  it('elements without size count against the traversal limit', () => {
    expect(structs(list(0, 0, 1000))?.count).toBe(1000);
    expect(structs(list(0, 0, TRAVERSAL_LIMIT_WORDS))).toBeNull();
    expect(structs(list(0, 7, 0), struct(TRAVERSAL_LIMIT_WORDS, 0, 0))).toBeNull();
    expect(structs(list(0, 7, 0), struct(77, 0, 0))?.count).toBe(77);
  });

  it('lists of text', () => {
    const texts = (...words: Words) => root([struct(0, 0, 1), ...words])?.texts(0) ?? null;
    expect(texts(list(0, 6, 2), list(1, 2, 6), [0, 0], HELLO)?.map(text)).toEqual(['hello', '']);
    expect(texts(list(0, 7, 2), struct(1, 1, 1), [9, 9], list(0, 2, 6), HELLO)?.map(text)).toEqual(['hello']);
    expect(texts(list(0, 7, 1), struct(1, 1, 0), [9, 9])).toBeNull();
    expect(texts(list(0, 7, 2), struct(1, 1, 1), [9, 9], [0, 0])?.map(text)).toEqual(['']);
    expect(texts(list(0, 2, 1), [0, 0])).toBeNull();
    expect(texts([0, 0])).toEqual([]);
  });
});

describe('properties', () => {
  it('no bytes make it throw or read outside', () => {
    const small = fc.constantFrom<readonly [number, number]>(
      struct(0, 1, 2),
      struct(0, 0, 1),
      list(0, 2, 6),
      list(0, 7, 2),
      list(1, 6, 2),
      far(0, 0),
      far(1, 0, true),
      [0, 0],
      HELLO,
    );
    const words = fc.array(fc.oneof(small, fc.tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff))), { maxLength: 12 });
    const any = fc.oneof(
      fc.array(words, { minLength: 1, maxLength: 3 }).map((segments) => message(...segments)),
      fc.uint8Array({ maxLength: 8192 }),
    );
    fc.assert(
      fc.property(any, (bytes) => {
        const read = CapnpMessage.parse(bytes)?.root();
        for (let i = 0; i < 3; i++) {
          read?.data(i);
          read?.u64(8 * i);
          const value = read?.text(i);
          if (value) expect(value.length).toBeLessThan(bytes.length);
          read?.texts(i);
          const all = read?.structs(i);
          for (let j = 0; all && j < Math.min(all.count, 4); j++) {
            all.at(j).text(0);
            all.at(j).u64(0);
            all.at(j).data(1);
          }
        }
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('reads what capnp-es writes, as capnp-es reads it', () => {
    const bundle = fc.record({
      name: fc.string(),
      version: fc.string(),
      digest: fc.uint8Array(),
      size: fc.bigInt(0n, 2n ** 64n - 1n),
    });
    const set = fc.record({
      systemVersion: fc.string(),
      publisher: fc.uint8Array(),
      bundles: fc.array(bundle, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(set, (s) => {
        const built = new capnp.Message();
        const out = built.initRoot(SystemSetIndex);
        out.systemVersion = s.systemVersion;
        out._initPublisher(s.publisher.length).copyBuffer(s.publisher);
        const listOut = out._initBundles(s.bundles.length);
        s.bundles.forEach((b, i) => {
          const entry = listOut.get(i);
          entry.name = b.name;
          entry.version = b.version;
          entry._initManifestSha256(b.digest.length).copyBuffer(b.digest);
          entry.payloadSize = b.size;
        });
        const bytes = new Uint8Array(built.toArrayBuffer());
        const theirs = new capnp.Message(bytes, false).getRoot(SystemSetIndex);
        const ours = CapnpMessage.parse(bytes)!.root()!;
        expect(text(ours.text(0))).toBe(theirs.systemVersion);
        expect(ours.data(1)).toEqual(new Uint8Array(theirs.publisher.toUint8Array()));
        expect(ours.structs(2)?.count).toBe(theirs.bundles.length);
        s.bundles.forEach((_, i) => {
          const entry = ours.structs(2)!.at(i);
          expect(text(entry.text(0))).toBe(theirs.bundles.get(i).name);
          expect(text(entry.text(1))).toBe(theirs.bundles.get(i).version);
          expect(entry.u64(0)).toBe(theirs.bundles.get(i).payloadSize);
          expect(entry.data(2)).toEqual(new Uint8Array(theirs.bundles.get(i).manifestSha256.toUint8Array()));
        });
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
