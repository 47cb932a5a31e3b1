import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from './test-kit.ts';
import {
  decodeGetReply,
  decodeListReply,
  decodeRequest,
  decodeStatusReply,
  encodeDel,
  encodeGet,
  encodeGetReply,
  encodeList,
  encodeListReply,
  encodePut,
  encodeRejectReply,
  encodeReopen,
  encodeStatusReply,
  encodeSync,
  errorOf,
  OP_DEL,
  OP_GET,
  OP_LIST,
  OP_PUT,
  OP_REOPEN,
  OP_SYNC,
  replyMatches,
  STATUS_ACCESS_DENIED,
  STATUS_OK,
  statefsNonce,
  statusOf,
} from './wire.ts';
import type { EncodeFault } from './wire.ts';

const SEVEN = statefsNonce(7n);
const EMPTY = new Uint8Array(0);

function frameOf(encoded: Uint8Array | EncodeFault): Uint8Array {
  if (typeof encoded === 'string') throw new Error(encoded);
  return encoded;
}

/** Status that the server answers for `frame`, or 'ok'. */
function decodeStatus(frame: Uint8Array): number | 'ok' {
  const decoded = decodeRequest(frame);
  return decoded.kind === 'reject' ? (encodeRejectReply(decoded, false)[4] ?? -1) : 'ok';
}

describe('request frames (section 15.2)', () => {
  const vectors: readonly (readonly [string, Uint8Array, string])[] = [
    ['v1 PUT', frameOf(encodePut(null, '/state/a', utf8('xy'))), '53460101 0800 02000000 2f73746174652f61 7879'],
    ['v1 GET', frameOf(encodeGet(null, '/state/a')), '53460102 0800 2f73746174652f61'],
    ['v1 LIST', frameOf(encodeList(null, '/state/', 16)), '53460104 0700 1000 2f73746174652f'],
    ['v1 SYNC', encodeSync(null), '53460105'],
    ['v1 REOPEN', encodeReopen(null), '53460106'],
    ['v2 PUT ok', encodeStatusReply(OP_PUT, STATUS_OK, SEVEN), '53460281 00 0700000000000000'],
    ['v2 GET ok', encodeGetReply(STATUS_OK, SEVEN, utf8('ok')), '53460282 00 0700000000000000 02000000 6f6b'],
    ['v2 GET denied', encodeGetReply(STATUS_ACCESS_DENIED, SEVEN, EMPTY), '53460282 02 0700000000000000 00000000'],
    [
      'v2 LIST',
      encodeListReply(STATUS_OK, SEVEN, ['/state/a']),
      '53460284 00 0700000000000000 0100 0800 2f73746174652f61',
    ],
  ];
  it.each(vectors)('%s', (_name, frame, expected) => {
    expect(frame).toEqual(hex(expected));
  });
});

describe('request decoding (sections 9.3, 15.3)', () => {
  const vectors: readonly (readonly [string, number | 'ok'])[] = [
    ['', 6],
    ['53 46', 6],
    ['53 46 03 02 00 00', 6],
    ['53 46 02 05 00 00 00 00 00 00 00', 6],
    ['53 46 01 09', 8],
    ['53 46 02 09 00 00 00 00 00 00 00 00', 8],
    ['53 46 01 05 00', 6],
    ['53 46 01 02 00 00', 6],
    ['53 46 01 02 00 01', 4],
    ['53 46 01 01 01 00 01 00 01 00 61', 3],
    ['53 46 01 04 00 00 00 00', 'ok'],
    ['53 46 01 01 00 00 00 00 00', 6],
    ['53 46 01 04 00 00 00', 6],
    ['53 46 01 04 00 01 00 00', 4],
    ['53 46 01 02 01 00 ff', 6],
    ['53 46 01 02 01 00 61 61', 6],
    ['53 46 01 01 00 01 01 00 01 00', 4],
  ];
  it.each(vectors)('%s -> %s', (frame, status) => {
    expect(decodeStatus(hex(frame))).toBe(status);
  });

  it('reads LIST limits 0 as 1 and above 256 as 256, in encoder and decoder', () => {
    const zero = decodeRequest(hex('53 46 01 04 00 00 00 00'));
    expect(zero).toMatchObject({ kind: 'list', prefix: '', limit: 1 });
    expect(decodeRequest(hex('53 46 01 04 00 00 ff ff'))).toMatchObject({ limit: 256 });
    expect(frameOf(encodeList(null, '', 0))).toEqual(hex('53460104 0000 0100'));
    expect(frameOf(encodeList(null, '', 1000))).toEqual(hex('53460104 0000 0001'));
  });

  it('OBS-2: refuses announced lengths above the limits before it looks at the rest', () => {
    expect(decodeStatus(hex('53 46 01 01 ff ff ff ff ff ff'))).toBe(4);
    expect(decodeStatus(hex('53 46 01 01 ff 00 ff ff ff ff'))).toBe(3);
  });

  it('OBS-3: names each reject class', () => {
    const reasons = ['53 46', '53 46 01 09', '53 46 01 02 00 01', '53 46 01 01 01 00 01 00 01 00 61'].map((frame) =>
      decodeRequest(hex(frame)),
    );
    expect(reasons.map((r) => r.kind === 'reject' && r.reason)).toEqual([
      'malformed',
      'unsupported',
      'key-too-long',
      'value-too-large',
    ]);
  });
});

describe('replies to frames that do not decode', () => {
  const reply = (frame: string, echo: boolean): Uint8Array => {
    const decoded = decodeRequest(hex(frame));
    if (decoded.kind !== 'reject') throw new Error('decoded');
    return encodeRejectReply(decoded, echo);
  };
  const nonce = '0807060504030201';

  it('COR-1: echo the nonce in the version and shape of the request', () => {
    expect(reply(`53 46 02 02 ${nonce} 00 00`, true)).toEqual(hex(`53460282 06 ${nonce} 00000000`));
    expect(reply(`53 46 02 04 ${nonce}`, true)).toEqual(hex(`53460284 06 ${nonce} 0000`));
    expect(reply(`53 46 02 01 ${nonce} 00 01 01 00 00 00`, true)).toEqual(hex(`53460281 04 ${nonce}`));
    expect(reply(`53 46 02 09 ${nonce}`, true)).toEqual(hex(`53460289 08 ${nonce}`));
  });

  it('error-drops-nonce: the reference answers in version 1 without it', () => {
    expect(reply(`53 46 02 02 ${nonce} 00 00`, false)).toEqual(hex('53460182 06'));
    expect(reply(`53 46 02 04 ${nonce}`, false)).toEqual(hex('53460184 06'));
  });

  it.each([true, false])('without a known nonce the version 1 status form stands (echo %s)', (echo) => {
    expect(reply('', echo)).toEqual(hex('53460182 06'));
    expect(reply('53 46 02', echo)).toEqual(hex('53460182 06'));
    expect(reply('53 46 02 01 01 02', echo)).toEqual(hex('53460181 06'));
    expect(reply('53 46 01 02 00 00', echo)).toEqual(hex('53460182 06'));
    expect(reply(`53 47 02 02 ${nonce} 00 00`, echo)).toEqual(hex('53460182 06'));
    expect(reply('00 00 00 ff', echo)).toEqual(hex('534601ff 06'));
  });

  it('COR-5: version 2 exists beside version 1 and both decode alike', () => {
    expect(decodeRequest(frameOf(encodeGet(null, '/state/a')))).toEqual({ kind: 'get', nonce: null, key: '/state/a' });
    expect(decodeRequest(frameOf(encodeGet(7n, '/state/a')))).toEqual({ kind: 'get', nonce: 7n, key: '/state/a' });
  });
});

describe('LIST replies', () => {
  it('stop before the entry that would push the frame over 512 bytes, skipping keys over 255', () => {
    const long = `/state/${'k'.repeat(93)}`; // 100 bytes
    const keys = [long, 'x'.repeat(256), long, long, long, long, '/state/a'];
    const reply = encodeListReply(STATUS_OK, SEVEN, keys);
    // 15 + 4 × 102 = 423; a fifth would make 525, and the short key behind it does not slip in.
    expect(reply.length).toBe(423);
    expect(decodeListReply(reply, 7n)?.keys).toEqual([long, long, long, long]);
  });

  it('fill up to exactly 512 bytes', () => {
    const exact = ['a'.repeat(255), 'b'.repeat(238)]; // 15 + 257 + 240
    expect(encodeListReply(STATUS_OK, SEVEN, exact).length).toBe(512);
    expect(
      decodeListReply(encodeListReply(STATUS_OK, SEVEN, ['a'.repeat(255), 'b'.repeat(239)]), 7n)?.keys.length,
    ).toBe(1);
  });
});

describe('client side (sections 9.4, 20)', () => {
  it('needs the full reply length, errors included', () => {
    expect(decodeStatusReply(hex('53460181'), OP_PUT, null)).toBeNull();
    expect(decodeStatusReply(hex('5346018102'), OP_PUT, null)).toBe(2);
    expect(decodeGetReply(hex('53460182 02 000000'), null)).toBeNull();
    expect(decodeGetReply(hex('53460182 02 00000000'), null)).toEqual({ status: 2, value: EMPTY });
    expect(decodeGetReply(hex('53460182 00 01000000'), null)).toBeNull();
    expect(decodeGetReply(hex('53460182 00 00000000 00'), null)).toBeNull();
    expect(decodeListReply(hex('53460184 00 0000 ffff'), null)).toEqual({ status: 0, keys: [] });
    expect(decodeListReply(hex('53460184 00 0100 0500 61'), null)).toBeNull();
    expect(decodeListReply(hex('53460184 00 0100 0100 61'), null)?.keys).toEqual(['a']);
  });

  it('COR-3: takes only the reply that carries its op and nonce', () => {
    const reply = encodeStatusReply(OP_PUT, STATUS_OK, SEVEN);
    expect(replyMatches(reply, OP_PUT, 7n)).toBe(true);
    expect(replyMatches(reply, OP_PUT, 8n)).toBe(false);
    expect(replyMatches(reply, OP_GET, 7n)).toBe(false);
    expect(replyMatches(reply.subarray(0, 12), OP_PUT, 7n)).toBe(false);
    expect(replyMatches(encodeStatusReply(OP_PUT, STATUS_OK, null), OP_PUT, 7n)).toBe(false);
  });

  it('checks the key before the value', () => {
    expect(encodePut(1n, 'k'.repeat(256), new Uint8Array(65_537))).toBe('key-too-long');
    expect(encodePut(1n, 'k', new Uint8Array(65_537))).toBe('value-too-large');
    expect(encodeGet(1n, 'é'.repeat(128))).toBe('key-too-long');
    expect(frameOf(encodeDel(null, ''))).toEqual(hex('53460103 0000'));
  });

  it('maps status and error both ways', () => {
    const errors = ['not-found', 'access-denied', 'value-too-large', 'key-too-long', 'invalid-key', 'io'] as const;
    for (const error of errors) expect(errorOf(statusOf(error))).toBe(error);
    expect(statusOf(null)).toBe(0);
    expect(statusOf('replay-limit')).toBe(7);
    expect(statusOf('corrupted')).toBe(6);
    expect([0, 6, 8, 200].map(errorOf)).toEqual([null, 'corrupted', 'corrupted', 'corrupted']);
  });
});

describe('properties', () => {
  const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 });
  const nonce = fc.option(fc.bigInt(0n, 0xffff_ffff_ffff_ffffn));
  const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max });

  it('decode(encode(x)) = x', () => {
    const property = fc.property(nonce, key, bytes(9000), fc.integer({ min: 1, max: 256 }), (n, k, value, limit) => {
      expect(decodeRequest(frameOf(encodePut(n, k, value)))).toEqual({ kind: 'put', nonce: n, key: k, value });
      expect(decodeRequest(frameOf(encodeGet(n, k)))).toEqual({ kind: 'get', nonce: n, key: k });
      expect(decodeRequest(frameOf(encodeDel(n, k)))).toEqual({ kind: 'del', nonce: n, key: k });
      expect(decodeRequest(frameOf(encodeList(n, k, limit)))).toEqual({ kind: 'list', nonce: n, prefix: k, limit });
      expect(decodeRequest(encodeSync(n))).toEqual({ kind: 'sync', nonce: n });
      expect(decodeRequest(encodeReopen(n))).toEqual({ kind: 'reopen', nonce: n });
    });
    fc.assert(property, { seed: 20240, numRuns: 200 });
  });

  it('replies survive the way back', () => {
    const status = fc.integer({ min: 0, max: 255 });
    const property = fc.property(nonce, status, bytes(400), fc.array(key, { maxLength: 4 }), (n, s, value, keys) => {
      const echoed = n === null ? null : statefsNonce(n);
      for (const op of [OP_PUT, OP_DEL, OP_SYNC, OP_REOPEN]) {
        expect(decodeStatusReply(encodeStatusReply(op, s, echoed), op, n)).toBe(s);
      }
      expect(decodeGetReply(encodeGetReply(s, echoed, value), n)).toEqual({ status: s, value });
      const list = decodeListReply(encodeListReply(s, echoed, keys), n);
      expect(list?.status).toBe(s);
      expect(keys.slice(0, list?.keys.length)).toEqual(list?.keys);
    });
    fc.assert(property, { seed: 20240, numRuns: 200 });
  });

  it('OBS-2: any bytes and any mutated frame decode to a request within limits or a named reject', () => {
    const limits = (frame: Uint8Array): void => {
      const decoded = decodeRequest(frame);
      switch (decoded.kind) {
        case 'reject':
          expect([5, 9, 17, 13, 15]).toContain(encodeRejectReply(decoded, true).length);
          break;
        case 'put':
          expect(decoded.value.length).toBeLessThanOrEqual(65_536);
          expect(utf8(decoded.key).length).toBeLessThanOrEqual(255);
          break;
        case 'get':
        case 'del':
          expect(utf8(decoded.key).length).toBeGreaterThan(0);
          break;
        case 'list':
          expect(decoded.limit).toBeLessThanOrEqual(256);
          break;
        case 'sync':
        case 'reopen':
          break;
      }
      // The client's decoders face the same bytes.
      for (const n of [null, 7n]) {
        decodeGetReply(frame, n);
        decodeListReply(frame, n);
        decodeStatusReply(frame, OP_LIST, n);
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (frame) => {
        limits(frame);
      }),
      { seed: 20240, numRuns: 300 },
    );
    const mutated = fc
      .tuple(nonce, key, bytes(40), fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }), fc.nat(120))
      .map(([n, k, value, flips, cut]) => {
        const frame = frameOf(encodePut(n, k, value));
        frame[3] = 1 + (cut % 7);
        for (const [at, byte] of flips) if (at < frame.length) frame[at] = byte;
        return frame.subarray(0, frame.length - (cut > 60 ? cut - 60 : 0));
      });
    fc.assert(fc.property(mutated, limits), { seed: 20240, numRuns: 1000 });
  });
});
