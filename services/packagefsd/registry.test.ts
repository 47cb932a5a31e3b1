import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemImage, decodeImage } from '../bundlemgrd/image.ts';
import type { Image, ImageEntry } from '../bundlemgrd/image.ts';
import { demoManifest } from '../bundlemgrd/manifest.ts';
import { ascii } from '../lib/text.ts';
import { Registry } from './registry.ts';
import { decodeReply, decodeRequest, encodeReply, encodeResolve } from './wire.ts';

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes);
const utf8 = (t: string): Uint8Array => new TextEncoder().encode(t);
const entry = (bundle: string, version: string, path: string, data = 'x', kind = 0): ImageEntry => ({
  bundle: utf8(bundle),
  version: utf8(version),
  path: utf8(path),
  kind,
  data: utf8(data),
});
const read = (registry: Registry | null, path: string): string | undefined => text(registry?.resolve(path)?.bytes);

describe('seed (section 11.1)', () => {
  const seed = Registry.seed();

  it('three bundles', () => {
    expect(read(seed, 'system/build.prop')).toBe('ro.nexus.build=dev\n');
    expect(seed.resolve('system@1.0.0/.')).toEqual({ kind: 1, bytes: new Uint8Array(0) });
    expect(read(seed, 'demo.hello/payload.elf')).toBe('HELLO_PAYLOAD_BYTES');
    expect(read(seed, 'demo.exit0/payload.elf')).toBe('EXIT0');
    expect(seed.resolve('demo.hello/manifest.nxb')?.bytes).toEqual(demoManifest('demo.hello', '0.0.1'));
    expect(seed.resolve('demo.exit0@1.0.0/manifest.nxb')?.bytes).toEqual(demoManifest('demo.exit0', '1.0.0'));
  });

  it('paths (section 11.2)', () => {
    expect(read(seed, '///system/build.prop')).toBe('ro.nexus.build=dev\n');
    expect(seed.resolve('system@1.0.0/build.prop')).not.toBeNull();
    for (const path of [
      '',
      '/',
      'system',
      'system/',
      'system//build.prop',
      'system@1.0.1/build.prop',
      'nobody/.',
      'system/./build.prop',
      '@/x',
    ])
      expect(seed.resolve(path), path).toBeNull();
  });
});

describe('from an image (sections 11.1 and 18)', () => {
  it("bundlemgrd's own", () => {
    const image = decodeImage(systemImage('b')) as Image;
    const registry = Registry.fromImage(image.entries);
    expect(read(registry, 'system/build.prop')).toBe('ro.nexus.build=dev\nro.nexus.slot=b\n');
    expect(registry?.resolve('system@1.0.0-b/.')?.kind).toBe(1);
    expect(registry?.resolve('demo.hello/payload.elf')).toBeNull();
  });

  it('no entries: an empty registry', () => {
    expect(Registry.fromImage([])?.resolve('system/build.prop')).toBeNull();
  });

  it('entries that are no files are passed over, even without UTF-8', () => {
    const odd = { ...entry('b', '1', 'x', 'x', 7), bundle: Uint8Array.of(0xff) };
    expect(Registry.fromImage([odd, entry('c', '1', 'f')])?.resolve('c/f')).not.toBeNull();
    expect(Registry.fromImage([{ ...odd, kind: 0 }])).toBeNull();
  });

  it('the last version in the image is active', () => {
    const registry = Registry.fromImage([entry('b', '2', 'f', 'two'), entry('b', '1', 'f', 'one')]);
    expect(read(registry, 'b/f')).toBe('one');
    expect(read(registry, 'b@2/f')).toBe('two');
  });

  it('name@version is split again at the first @', () => {
    const registry = Registry.fromImage([entry('b@c', '1.0.0', 'f', 'split')]);
    expect(read(registry, 'b/f')).toBe('split');
    const both = Registry.fromImage([entry('b@c', '1.0.0', 'f', 'split'), entry('b', '9', 'f', 'own')]);
    expect(read(both, 'b/f')).toBe('own');
    expect(read(both, 'b@c@1.0.0/f')).toBe('split');
  });

  it('a file named . replaces the directory', () => {
    expect(Registry.fromImage([entry('b', '1', '.', 'file')])?.resolve('b/.')).toMatchObject({ kind: 0 });
  });
});

describe('wire (section 11.2)', () => {
  const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');

  it('requests', () => {
    expect(decodeRequest(encodeResolve('system/build.prop'))).toEqual({ op: 'resolve', path: 'system/build.prop' });
    expect(decodeRequest(Uint8Array.of(2, 0xff))).toEqual({ op: 'resolve', path: '' });
    expect(decodeRequest(Uint8Array.of(1, 2))).toEqual({ op: 'unknown' });
    expect(decodeRequest(new Uint8Array(0))).toEqual({ op: 'empty' });
  });

  it('replies', () => {
    expect(hex(encodeReply(null))).toBe('00'.repeat(11));
    expect(hex(encodeReply({ kind: 0, bytes: ascii('ab') }))).toBe('01' + '0200000000000000' + '0000' + '6162');
    expect(hex(encodeReply({ kind: 1, bytes: new Uint8Array(0) }))).toBe('01' + '0000000000000000' + '0100');
    expect(decodeReply(encodeReply(null))).toBeNull();
    expect(decodeReply(new Uint8Array(10).fill(1))).toBeNull();
  });

  it('decode(encode(x)) = x; any bytes have a class', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(0xffff), (bytes, kind) => {
        expect(decodeReply(encodeReply({ kind, bytes }))).toEqual({ size: BigInt(bytes.length), kind, bytes });
      }),
      { seed: 20240, numRuns: 100 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (any) => {
        const wanted = any.length === 0 ? 'empty' : any[0] === 2 ? 'resolve' : 'unknown';
        expect(decodeRequest(any).op).toBe(wanted);
        decodeReply(any);
      }),
      { seed: 20240, numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.string(), (path) => {
        const kept = Buffer.from(path, 'utf8').toString('utf8');
        expect(decodeRequest(encodeResolve(path))).toEqual({ op: 'resolve', path: kept });
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});

describe('against a model', () => {
  it('any image: what resolves is what a list of its files says', () => {
    const name = fc.constantFrom('a', 'b', 'a@x', 'é', 'b@1');
    const one = fc.tuple(
      name,
      fc.constantFrom('1', '2', 'x@1'),
      fc.constantFrom('f', '.', 'd/f'),
      fc.stringMatching(/^[a-z]{0,3}$/),
    );
    fc.assert(
      fc.property(
        fc.array(one, { maxLength: 8 }),
        fc.constantFrom('a', 'b', 'é', 'a@1', 'a@x@1', 'b@2'),
        fc.constantFrom('f', '.', 'd/f', 'g'),
        (files, bundle, path) => {
          const registry = Registry.fromImage(files.map(([b, v, p, d]) => entry(b, v, p, d)))!;
          let key: string = bundle;
          if (!bundle.includes('@')) {
            const own = files.filter(([b]) => b === bundle).at(-1);
            const keys = files.map(([b, v]) => `${b}@${v}`).filter((k) => k.split('@')[0] === bundle);
            keys.sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
            key = own !== undefined ? `${bundle}@${own[1]}` : (keys.at(-1) ?? '');
          }
          const found = files.filter(([b, v, p]) => `${b}@${v}` === key && p === path).at(-1);
          const isDirectory = path === '.' && files.some(([b, v]) => `${b}@${v}` === key);
          const got = registry.resolve(`${bundle}/${path}`);
          expect(got === null ? null : `${got.kind}${text(got.bytes)}`).toBe(
            found !== undefined ? `0${found[3]}` : isDirectory ? '1' : null,
          );
        },
      ),
      { seed: 20240, numRuns: 500 },
    );
  });
});
