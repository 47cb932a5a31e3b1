import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, encodeRecord, parseRecord, RECORD_CHECKPOINT, RECORD_DELETE, RECORD_PUT } from './record.ts';
import { hex, utf8 } from './test-kit.ts';

const BOOTCTL = '/state/boot/bootctl.v1';

describe('journal records (section 15.1)', () => {
  it('CRC-32C check value', () => {
    expect(crc32c(utf8('123456789'))).toBe(0xe306_9283);
  });

  const vectors: readonly (readonly [string, Uint8Array, string])[] = [
    [
      'Put bootctl',
      encodeRecord(RECORD_PUT, utf8(BOOTCTL), hex('0101ffff0000')),
      '4653584e 01 1600 06000000 2f73746174652f626f6f742f626f6f7463746c2e7631 0101ffff0000 dd6d4a57',
    ],
    [
      'Put ping',
      encodeRecord(RECORD_PUT, utf8('/state/selftest/ping'), utf8('ok')),
      '4653584e 01 1400 02000000 2f73746174652f73656c66746573742f70696e67 6f6b fb1f0b12',
    ],
    [
      'Put persist',
      encodeRecord(RECORD_PUT, utf8('/state/selftest/persist'), utf8('persist-ok')),
      '4653584e 01 1700 0a000000 2f73746174652f73656c66746573742f70657273697374 706572736973742d6f6b b8d25a9e',
    ],
    [
      'Delete ping',
      encodeRecord(RECORD_DELETE, utf8('/state/selftest/ping'), hex('')),
      '4653584e 02 1400 00000000 2f73746174652f73656c66746573742f70696e67 a9308e57',
    ],
    [
      'Put empty value',
      encodeRecord(RECORD_PUT, utf8('/state/a'), hex('')),
      '4653584e 01 0800 00000000 2f73746174652f61 eb4e5b81',
    ],
    ['Checkpoint', encodeRecord(RECORD_CHECKPOINT, hex(''), hex('')), '4653584e 03 0000 00000000 fe9d2203'],
  ];
  it.each(vectors)('%s', (_name, record, expected) => {
    expect(record).toEqual(hex(expected));
  });

  it.each([
    ['0101ff020000', '78142089'],
    ['010202ff0200', '042658af'],
    ['0102ffff0001', '2a5e12ed'],
    ['0102ff010001', 'fce756d9'],
    ['010101ff0100', '50b7aeb1'],
    ['0102ffff0000', '29dd791f'],
  ])('CRC of bootctl %s', (value, crc) => {
    expect(encodeRecord(RECORD_PUT, utf8(BOOTCTL), hex(value)).subarray(-4)).toEqual(hex(crc));
  });
});

describe('parsing (section 8.2)', () => {
  const put = encodeRecord(RECORD_PUT, utf8('/state/a'), utf8('value'));
  const changed = (at: number, byte: number): Uint8Array => {
    const copy = put.slice();
    copy[at] = byte;
    return copy;
  };

  it('names what stands at the start of the bytes', () => {
    expect(parseRecord(put.subarray(0, 14))).toBe('none');
    expect(parseRecord(put.subarray(0, put.length - 1))).toBe('none');
    expect(parseRecord(changed(0, 0))).toBe('none');
    expect(parseRecord(changed(4, 0xff))).toBe('corrupted');
    expect(parseRecord(changed(6, 1))).toBe('corrupted'); // key length 264
    expect(parseRecord(changed(10, 1))).toBe('corrupted'); // value length 2^24 + 5
    expect(parseRecord(changed(12, 0))).toBe('corrupted');
    expect(parseRecord(encodeRecord(RECORD_PUT, hex('ff'), hex('')))).toBe('corrupted');
    expect(parseRecord(put)).toMatchObject({ opcode: RECORD_PUT, key: '/state/a', size: 28 });
  });

  it('parse(encode(x)) = x, whatever follows', () => {
    const property = fc.property(
      fc.constantFrom(RECORD_PUT, RECORD_DELETE, RECORD_CHECKPOINT),
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.uint8Array({ maxLength: 3000 }),
      fc.nat(20),
      (opcode, key, value, padding) => {
        const bytes = encodeRecord(opcode, utf8(key), value, padding);
        expect(parseRecord(bytes)).toEqual({ opcode, key, value, size: bytes.length - padding });
      },
    );
    fc.assert(property, { seed: 20240, numRuns: 200 });
  });

  it('never takes a record with any one byte changed', () => {
    for (let at = 0; at < put.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const record = parseRecord(changed(at, (put[at] ?? 0) ^ flip));
        expect(typeof record).toBe('string');
      }
    }
  });
});
