import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDns, dnsAddressRecord, encodeDns, sameDnsName } from './dns.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyDns, codecLaws, u8 } from './fixtures/packets.ts';

const LOCALHOST = '096c6f63616c686f737400';
/** Sheet 70, section 4. */
const QUERY = '123401000001000000000000' + LOCALHOST + '00010001';

describe('DNS', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyDns, encodeDns, decodeDns, ['truncated', 'bad-label', 'bad-pointer', 'name-too-long']);
  });

  it('the query of sheet 70, section 4, and an answer with its name compressed', () => {
    const query = decodeDns(unhex(QUERY));
    if (typeof query === 'string') throw new Error(query);
    expect(query).toMatchObject({ id: 0x1234, recursionDesired: true, response: false });
    expect(query.questions).toEqual([{ name: ['localhost'], type: 1, class: 1 }]);
    expect(hex(encodeDns(query))).toBe(QUERY);
    const answers = [dnsAddressRecord(['localhost'], 0x7f00_0001, 60)];
    expect(hex(encodeDns({ ...query, response: true, recursionAvailable: true, answers }))).toBe(
      '123481800001000100000000' + LOCALHOST + '00010001' + 'c00c' + '00010001' + '0000003c' + '0004' + '7f000001',
    );
  });

  it('points back to the end of an earlier name', () => {
    const empty = decodeDns(unhex('00000000000000000000' + '0000'));
    if (typeof empty === 'string') throw new Error(empty);
    const questions = [
      ['a', 'test'],
      ['b', 'test'],
      ['a', 'test'],
    ].map((name) => ({ name, type: 1, class: 1 }));
    const bytes = encodeDns({ ...empty, questions });
    expect(hex(bytes.subarray(12))).toBe(
      '0161' + '0474657374' + '00' + '00010001' + '0162c00e00010001' + 'c00c00010001',
    );
    expect(decodeDns(bytes)).toMatchObject({ questions });
  });

  it.each([
    ['truncated', '0000010000010000000000'],
    ['truncated', '000001000001000000000000'],
    ['truncated', '000001000001000000000000' + '0361'],
    ['truncated', '000001000001000000000000' + 'c0'],
    ['truncated', '000001000001000000000000' + '00' + '0001'],
    ['truncated', '000001000000000100000000' + '00' + '0001000100000000' + '0001'],
    ['bad-label', '000001000001000000000000' + '40' + '00'.repeat(80)],
    ['bad-label', '000001000001000000000000' + '80' + '00'.repeat(80)],
    ['bad-pointer', '000001000001000000000000' + 'c00c' + '00010001'],
    ['bad-pointer', '000001000001000000000000' + '0161c00c' + '00010001'],
    ['bad-pointer', '000001000001000000000000' + 'c0ff' + '00010001'],
    ['name-too-long', '000001000001000000000000' + `3f${'61'.repeat(63)}`.repeat(4) + '00' + '00010001'],
  ])('%s: %s', (reject, bytes) => {
    expect(decodeDns(unhex(bytes))).toBe(reject);
  });

  it('bounds the pointers of one name', () => {
    const chain = (length: number) => {
      const bytes = new Uint8Array(12 + 4 + 2 * length + 11);
      bytes[7] = 1;
      // An address record whose data are pointers that each lead to the one before, first to the root in the header.
      const message = [...unhex('000000000001000100000000'), 0, 0, 1, 0, 1];
      const start = message.length + 11;
      message.push(0, 0, 1, 0, 1, 0, 0, 0, 0, (2 * length) >>> 8, (2 * length) & 0xff);
      for (let i = 0; i < length; i += 1) {
        const target = i === 0 ? 12 : start + 2 * (i - 1);
        message.push(0xc0 | (target >>> 8), target & 0xff);
      }
      message[7] = 2;
      const last = start + 2 * (length - 1);
      message.push(0xc0 | (last >>> 8), last & 0xff, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0);
      return decodeDns(Uint8Array.from(message));
    };
    expect(typeof chain(126)).toBe('object');
    expect(chain(127)).toBe('bad-pointer');
  });

  it('survives counts that promise more than there is', () => {
    fc.assert(
      fc.property(fc.array(u8, { maxLength: 2048 }), (body) => {
        const bytes = Uint8Array.from([0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...body]);
        expect(typeof decodeDns(bytes)).toBe('string');
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('compares names as the standard says', () => {
    expect(sameDnsName(['LocalHost'], ['localhost'])).toBe(true);
    expect(sameDnsName(['localhost'], ['localhost', 'test'])).toBe(false);
    expect(sameDnsName(['\u00c4'], ['\u00e4'])).toBe(false);
  });
});
