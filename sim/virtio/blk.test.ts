import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockImage } from '../block-image.ts';
import { SparseBlockImage, imagesEqual } from '../block-image.ts';
import { WriteLog } from '../write-log.ts';
import { VirtioBlk } from './blk.ts';
import * as mmio from './mmio-transport.ts';
import { BODY, FLUSH, HEADER, IN, OUT, r, ready, STATUS_BYTE, UNMAPPED, w } from './test-blk.ts';
import type { Buffer } from './test-rig.ts';
import { DATA, INDIRECT, TestRig, WRITE } from './test-rig.ts';

class FailingImage implements BlockImage {
  readonly sectors = 64;
  hostError: string | null = null;
  readonly #fail = (): boolean => {
    this.hostError = 'disk full';
    return false;
  };
  read = this.#fail;
  write = this.#fail;
  flush = this.#fail;
}

describe('measured vectors (sheet 05, section 12)', () => {
  const vectors: [string, number, number | bigint, Buffer[], [number, number]][] = [
    ['read 512', IN, 0, [r(512)], [0x201, 0]],
    ['write 512', OUT, 0, [w(512)], [1, 0]],
    ['read 1024', IN, 0, [r(1024)], [0x401, 0]],
    ['flush', 4, 0, [], [1, 0]],
    ['flush ignores the sector', 4, ~0n & 0xffff_ffff_ffff_ffffn, [], [1, 0]],
    ['get-id 20', 8, 0, [r(20)], [0x15, 0]],
    ['get-id 512', 8, 0, [r(512)], [0x201, 0]],
    ['read 100', IN, 0, [r(100)], [0x65, 1]],
    ['read with no data', IN, 0, [], [1, 0]],
    ['read sector 131071', IN, 131_071, [r(512)], [0x201, 0]],
    ['read sector 131072', IN, 131_072, [r(512)], [0x201, 1]],
    ['read nothing at the capacity', IN, 131_072, [], [1, 0]],
    ['read nothing behind the capacity', IN, 131_073, [], [1, 1]],
    ['read 1024 at 131071', IN, 131_071, [r(1024)], [0x401, 1]],
    ['sector ~0', IN, 0xffff_ffff_ffff_ffffn, [r(512)], [0x201, 1]],
    ['write at capacity', OUT, 131_072, [w(512)], [1, 1]],
    ['type 99', 99, 0, [r(512)], [0x201, 2]],
    ['type 2', 2, 0, [r(512)], [0x201, 1]],
    ['type 5', 5, 0, [r(512)], [0x201, 0]],
    ['type 80000000', 0x8000_0000, 0, [r(512)], [0x201, 0]],
    ['read whose data is readable', IN, 0, [w(512)], [1, 0]],
    ['SCSI with enough descriptors', 2, 0, [w(1), r(1), r(1)], [3, 2]],
    ['type 10 without the direction bit', 10, 0, [w(16)], [1, 2]],
    ['discard of 17 bytes', 11, 0, [w(17)], [1, 2]],
  ];
  it.each(vectors)('%s', (_name, type, sector, data, expected) => {
    const { rig, request } = ready();
    expect(request(type, sector, data)).toEqual(expected);
    expect(rig.brokenReasons).toEqual([]);
  });

  it.each([
    ['discard 8', 11, 0, 8, 0, 0],
    ['write-zeroes', 13, 0, 8, 0, 0],
    ['discard + unmap', 11, 0, 8, 1, 2],
    ['write-zeroes + unmap', 13, 0, 8, 1, 0],
    ['flags 2', 13, 0, 8, 2, 2],
    ['more than 3FFFFF sectors', 13, 0, 0x40_0000, 0, 1],
    ['behind the end', 11, 131_071, 2, 0, 1],
  ])('%s', (_name, type, sector, count, flags, status) => {
    const { request, segment } = ready();
    expect(request(type, 0, [segment(sector, count, flags)])).toEqual([1, status]);
  });

  it('config space', () => {
    const { rig } = ready();
    const hex = Array.from({ length: 57 }, (_, i) =>
      rig.device
        .read(0x100 + i, 1)
        .toString(16)
        .padStart(2, '0'),
    );
    expect(hex.join('')).toBe(
      '0000020000000000' +
        '00000000' +
        'fe000000' +
        '8200103f' +
        '00020000' +
        '00000000' +
        '00000000' +
        '01000100' +
        'ffff3f00' +
        '01000000' +
        '01000000' +
        'ffff3f00' +
        '01000000' +
        '01',
    );
  });

  it('only the write-back switch can be written', () => {
    const { rig } = ready();
    rig.device.write(0x100, 4, 7);
    expect(rig.device.read(0x100, 4)).toBe(0x2_0000);
    rig.device.write(0x120, 1, 0);
    expect(rig.device.read(0x120, 1)).toBe(0);
    rig.device.write(0x120, 4, 0x55);
    expect(rig.device.read(0x120, 4)).toBe(0x0001_0001);
    rig.device.write(0x120, 1, 0);
    rig.w(mmio.STATUS, 0);
    expect(rig.device.read(0x120, 1)).toBe(1);
  });
});

describe('requests', () => {
  it('moves data both ways and traces each request', () => {
    const { rig, request } = ready();
    for (let i = 0; i < 512; i += 1) rig.memory.writeU8(BODY + i, i & 0xff);
    request(OUT, 9, [w(512)]);
    rig.memory.slice(BODY, 512).fill(0);
    request(IN, 8, [r(1024)]);
    expect(rig.memory.readU8(BODY + 511)).toBe(0);
    expect(rig.memory.readU8(BODY + 512 + 77)).toBe(77);
    request(4, 0, []);
    expect(rig.events.filter((event) => event.kind === 'disk')).toMatchObject([
      { op: 'write', sector: 9, bytes: 512, status: 0 },
      { op: 'read', sector: 8, bytes: 1024, status: 0 },
      { op: 'flush', status: 0 },
    ]);
  });

  it('splits header, data and status anywhere', () => {
    const { rig, queue, header, request } = ready();
    rig.memory.slice(BODY, 512).fill(0x5a);
    request(OUT, 3, [w(512)]);
    rig.memory.slice(BODY, 1024).fill(0);
    header(IN, 3);
    const length = rig.submit(queue, [
      [HEADER, 5, 0],
      [HEADER + 5, 11, 0],
      [BODY, 100, WRITE],
      [BODY + 200, 413, WRITE],
    ]);
    expect(length).toBe(513);
    expect(rig.memory.readU8(BODY + 99)).toBe(0x5a);
    expect(rig.memory.readU8(BODY + 100)).toBe(0);
    expect(rig.memory.readU8(BODY + 611)).toBe(0x5a);
    expect(rig.memory.readU8(BODY + 612)).toBe(0);
  });

  it('reads a header whose every field lies in two places', () => {
    const image = new SparseBlockImage(64);
    image.write(7, new Uint8Array(512).fill(0x77));
    for (const cut of [1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 15]) {
      const { rig, queue, header } = ready(image);
      header(IN, 7);
      // The second part of the header moves away; what lies behind the first part would be another request.
      const away = BODY + 0x1000;
      rig.memory.slice(away, 16 - cut).set(rig.memory.slice(HEADER + cut, 16 - cut));
      rig.memory.slice(HEADER + cut, 16 - cut).fill(0xff);
      const length = rig.submit(queue, [
        [HEADER, cut, 0],
        [away, 16 - cut, 0],
        [BODY, 512, WRITE],
        [STATUS_BYTE, 1, WRITE],
      ]);
      expect([cut, length, rig.memory.readU8(STATUS_BYTE), rig.memory.readU8(BODY + 511)]).toEqual([cut, 513, 0, 0x77]);
    }
  });

  it('moves more than one bounce buffer at a time', () => {
    const image = new SparseBlockImage(200);
    for (let i = 0; i < 200; i += 1) image.write(i, new Uint8Array(512).fill(i + 1));
    const { rig, queue, header, request, segment } = ready(image);
    header(IN, 10);
    const table = DATA + 0x4000;
    const pages = new Array<Buffer>(18).fill([DATA + 0x2000, 4096, WRITE]);
    rig.chain(table, 0, [[HEADER, 16, 0], ...pages, [STATUS_BYTE, 1, WRITE]]);
    expect(rig.submit(queue, [[table, 20 * 16, INDIRECT]])).toBe(18 * 4096 + 1);
    // All pages are the same guest page: the last eight sectors stay.
    expect([0, 7].map((i) => rig.memory.readU8(DATA + 0x2000 + 512 * i))).toEqual([147, 154]);
    expect(request(13, 0, [segment(20, 140, 0)])).toEqual([1, 0]);
    const firsts = [19, 20, 147, 148, 159, 160].map((sector) => {
      const bytes = new Uint8Array(512);
      image.read(sector, bytes);
      return bytes[0];
    });
    expect(firsts).toEqual([20, 0, 0, 0, 0, 161]);
  });

  it('is served before DRIVER_OK (sheet 05, section 19, quirk 6)', () => {
    const rig = new TestRig(new VirtioBlk(new SparseBlockImage()));
    rig.negotiate();
    const queue = rig.setUp(0, 8);
    expect(
      rig.submit(queue, [
        [HEADER, 16, 0],
        [BODY, 512, WRITE],
        [STATUS_BYTE, 1, WRITE],
      ]),
    ).toBe(513);
  });

  it('one buffer outside RAM reads as zeros and swallows writes; a second one breaks the device', () => {
    const { rig, request } = ready();
    rig.memory.slice(BODY, 512).fill(0x11);
    request(OUT, 0, [w(512)]);
    expect(request(OUT, 0, [[UNMAPPED, 512, 0]])).toEqual([1, 0]);
    expect(request(IN, 0, [r(512)])).toEqual([0x201, 0]);
    expect(rig.memory.readU8(BODY)).toBe(0);
    expect(request(IN, 0, [[UNMAPPED, 512, WRITE]])).toEqual([0x201, 0]);
    expect(
      request(IN, 0, [
        [UNMAPPED, 512, WRITE],
        [UNMAPPED, 512, WRITE],
      ])[1],
    ).toBe(0xee);
    expect(rig.brokenReasons).toEqual(['second buffer outside RAM']);
  });

  it.each<[string, Buffer[], string]>([
    ['no writable part', [[HEADER, 16, 0]], 'request without header or status'],
    ['no readable part', [[STATUS_BYTE, 1, WRITE]], 'request without header or status'],
    [
      'short header',
      [
        [HEADER, 15, 0],
        [STATUS_BYTE, 1, WRITE],
      ],
      'request header too short',
    ],
  ])('%s breaks the device', (_name, buffers, reason) => {
    const { rig, queue } = ready();
    rig.submit(queue, buffers);
    expect(rig.brokenReasons).toEqual([reason]);
    expect(rig.usedIdx(queue)).toBe(0);
  });

  it('discards and zeroes 3F_FFFF sectors at most, however large the disk', () => {
    const { request, segment } = ready(new SparseBlockImage(0x80_0000));
    expect(request(11, 0, [segment(0, 0x40_0000, 0)])).toEqual([1, 1]);
    expect(request(13, 0, [segment(0, 0x40_0000, 0)])).toEqual([1, 1]);
    expect(request(13, 0, [segment(0x7f_ffff, 1, 0)])).toEqual([1, 0]);
    expect(request(13, 0, [segment(0x7f_ffff, 2, 0)])).toEqual([1, 1]);
  });

  it('a short discard segment breaks the device', () => {
    const { rig, request } = ready();
    request(11, 0, [w(15)]);
    expect(rig.brokenReasons).toEqual(['discard or write-zeroes segment too short']);
  });

  it('a failing host is IOERR', () => {
    const image = new FailingImage();
    const { request } = ready(image);
    expect(request(IN, 0, [r(512)])).toEqual([513, 1]);
    expect(request(OUT, 0, [w(512)])).toEqual([1, 1]);
    expect(request(4, 0, [])).toEqual([1, 1]);
    expect(image.hostError).toBe('disk full');
  });

  it('sends a serial number with its terminator, cut at 20 bytes', () => {
    const { rig, request } = ready(new SparseBlockImage(), { serial: 'nexus' });
    rig.memory.slice(BODY, 20).fill(0xcc);
    request(8, 0, [r(20)]);
    expect([...rig.memory.slice(BODY, 7)]).toEqual([...'nexus'].map((char) => char.charCodeAt(0)).concat(0, 0xcc));
    const long = ready(new SparseBlockImage(), { serial: '0123456789abcdefghijKLMN' });
    long.rig.memory.slice(BODY, 64).fill(0xcc);
    expect(long.request(8, 0, [r(64)])).toEqual([65, 0]);
    expect(String.fromCharCode(...long.rig.memory.slice(BODY, 20))).toBe('0123456789abcdefghij');
    expect(long.rig.memory.readU8(BODY + 20)).toBe(0xcc);
  });

  it('SCSI wants two readable and three writable descriptors before it is merely unsupported', () => {
    const { request } = ready();
    const parts = (readable: number, writable: number): Buffer[] => [
      ...Array.from({ length: readable - 1 }, (): Buffer => w(16)),
      ...Array.from({ length: writable - 1 }, (): Buffer => r(16)),
    ];
    expect(request(2, 0, parts(2, 3))[1]).toBe(2);
    expect(request(3, 0, parts(2, 3))[1]).toBe(2);
    expect(request(2, 0, parts(1, 3))[1]).toBe(1);
    expect(request(2, 0, parts(2, 2))[1]).toBe(1);
  });

  it('writes through when the driver cannot flush', () => {
    const kinds = (low: number) => {
      const log = new WriteLog(new SparseBlockImage(64));
      const { request } = ready(log, {}, low);
      request(OUT, 0, [w(512)]);
      return log.entries.map((entry) => entry.kind);
    };
    expect(kinds(FLUSH)).toEqual(['write']);
    expect(kinds(0)).toEqual(['write', 'flush']);
  });
});

describe('against a naive disk', () => {
  const SECTORS = 24;
  const op = fc.record({
    type: fc.constantFrom(IN, OUT, 4, 11, 13, 7),
    sector: fc.nat(SECTORS + 1),
    sectors: fc.nat(5),
    odd: fc.constantFrom(0, 0, 0, 7),
    fill: fc.nat(255),
    cut: fc.nat(600),
  });

  it('random requests', () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), (ops) => {
        const image = new SparseBlockImage(SECTORS);
        const { rig, request, segment } = ready(image);
        const model = new Uint8Array(SECTORS * 512);
        for (const { type, sector, sectors, odd, fill, cut } of ops) {
          const size = sectors * 512 + odd;
          const fits = size % 512 === 0 && sector + sectors <= SECTORS;
          const body = rig.memory.slice(BODY, 0x1000);
          body.fill(fill);
          if (type === IN || type === OUT) {
            const flag = type === IN ? WRITE : 0;
            const first = Math.min(cut, size);
            const data: Buffer[] = [];
            if (first > 0) data.push([BODY, first, flag]);
            if (size > first) data.push([BODY + first, size - first, flag]);
            expect(request(type, sector, data)).toEqual([type === IN ? size + 1 : 1, fits ? 0 : 1]);
            if (fits && type === OUT) model.fill(fill, sector * 512, sector * 512 + size);
            if (fits && type === IN) {
              expect(Buffer.compare(body.subarray(0, size), model.subarray(sector * 512, sector * 512 + size))).toBe(0);
            }
            expect(body[size]).toBe(fill);
          } else if (type === 11 || type === 13) {
            const inside = sector + sectors <= SECTORS;
            expect(request(type, 0, [segment(sector, sectors, 0)])).toEqual([1, inside ? 0 : 1]);
            if (inside) model.fill(0, sector * 512, (sector + sectors) * 512);
          } else {
            expect(request(type, sector, [])).toEqual([1, type === 4 ? 0 : 2]);
          }
        }
        expect(imagesEqual(image, SparseBlockImage.fromBytes(model))).toBe(true);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});
