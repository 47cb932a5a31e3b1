/** Proxy records (sheet 70, section 12.6). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  REQUEST_AREA,
  REQUEST_PLAIN,
  REQUEST_WIRE,
  RESPONSE_AREA,
  RESPONSE_PLAIN,
  RESPONSE_WIRE,
  bundleCount,
  decodeRequestRecord,
  decodeResponseRecord,
  encodeRequestRecord,
  encodeResponseRecord,
  resolved,
} from './records.ts';

const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const SEED = { seed: 20240, numRuns: 200 };

describe('layout', () => {
  it('a request has 259 bytes, 275 on the wire; a response 515 and 531', () => {
    expect([REQUEST_PLAIN, REQUEST_WIRE, RESPONSE_PLAIN, RESPONSE_WIRE]).toEqual([259, 275, 515, 531]);
  });

  it('service, length, area with zeros behind', () => {
    const plain = encodeRequestRecord({ service: 1, payload: of(0x53, 0x4d, 1, 6) });
    expect([...plain.subarray(0, 8)]).toEqual([1, 4, 0, 0x53, 0x4d, 1, 6, 0]);
    expect(plain).toHaveLength(259);
    const answer = encodeResponseRecord({ status: 1, payload: new Uint8Array(300).fill(7) });
    expect([...answer.subarray(0, 3)]).toEqual([1, 0x2c, 1]);
    expect(answer[302]).toBe(7);
    expect(answer[303]).toBe(0);
  });

  it('what is too long is cut to the area', () => {
    const request = decodeRequestRecord(encodeRequestRecord({ service: 1, payload: new Uint8Array(260).fill(1) }));
    expect(request).toEqual({ service: 1, payload: new Uint8Array(256).fill(1) });
    const answer = decodeResponseRecord(encodeResponseRecord({ status: 0, payload: new Uint8Array(8000) }));
    expect(answer).toEqual({ status: 0, payload: new Uint8Array(512) });
  });
});

describe('refusals', () => {
  it('another length is malformed, more used than there is room is oversized', () => {
    expect(decodeRequestRecord(new Uint8Array(258))).toBe('malformed');
    expect(decodeResponseRecord(new Uint8Array(259))).toBe('malformed');
    const plain = new Uint8Array(REQUEST_PLAIN);
    plain[2] = 1;
    expect(decodeRequestRecord(plain)).toEqual({ service: 0, payload: new Uint8Array(256) });
    plain[1] = 1;
    expect(decodeRequestRecord(plain)).toBe('oversized');
  });

  it('any bytes decode or are refused', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      fc.uint8Array({ minLength: REQUEST_PLAIN, maxLength: REQUEST_PLAIN }),
      fc.uint8Array({ minLength: RESPONSE_PLAIN, maxLength: RESPONSE_PLAIN }),
    );
    fc.assert(
      fc.property(bytes, (plain) => {
        const request = decodeRequestRecord(plain);
        expect(request === 'malformed').toBe(plain.length !== REQUEST_PLAIN);
        if (typeof request !== 'string') expect(request.payload.length).toBeLessThanOrEqual(REQUEST_AREA);
        const response = decodeResponseRecord(plain);
        expect(response === 'malformed').toBe(plain.length !== RESPONSE_PLAIN);
        if (typeof response !== 'string') expect(response.payload.length).toBeLessThanOrEqual(RESPONSE_AREA);
      }),
      SEED,
    );
  });

  it('decode(encode(x)) = x', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.uint8Array({ maxLength: REQUEST_AREA }), (first, payload) => {
        const request = { service: first, payload };
        expect(decodeRequestRecord(encodeRequestRecord(request))).toEqual(request);
        const response = { status: first, payload };
        expect(decodeResponseRecord(encodeResponseRecord(response))).toEqual(response);
      }),
      SEED,
    );
  });
});

describe('what counts as success', () => {
  const sm = of(0x53, 0x4d, 1, 0x86, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const bn = of(0x42, 0x4e, 1, 0x81, 0, 1, 0, 0);

  it('resolve: record ok, 13 bytes, the op answered, its status ok', () => {
    expect(resolved({ status: 0, payload: sm })).toBe(true);
    expect(resolved({ status: 1, payload: sm })).toBe(false);
    expect(resolved({ status: 0, payload: sm.subarray(0, 12) })).toBe(false);
    for (let at = 0; at < 5; at++) {
      const other = sm.slice();
      other[at] = (other[at] ?? 0) ^ 1;
      expect(resolved({ status: 0, payload: other })).toBe(false);
    }
  });

  it('list: the count, where the answer is one', () => {
    expect(bundleCount({ status: 0, payload: bn })).toBe(1);
    expect(bundleCount({ status: 1, payload: bn })).toBeNull();
    expect(bundleCount({ status: 0, payload: bn.subarray(0, 7) })).toBeNull();
    for (let at = 0; at < 5; at++) {
      const other = bn.slice();
      other[at] = (other[at] ?? 0) ^ 1;
      expect(bundleCount({ status: 0, payload: other })).toBeNull();
    }
  });
});
