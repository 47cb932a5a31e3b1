import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import {
  PolicyOp,
  PolicyStatus,
  capabilityName,
  claimedName,
  decodeDelegatedReply,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  opByte,
  policyNonce,
  replyTo,
} from './wire.ts';
import type { CapabilityName, ClaimedName, Decoded, PolicyRequest } from './wire.ts';

const RUNS = { seed: 20240, numRuns: 500 };

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));
}

function text(value: string): number[] {
  return [...new TextEncoder().encode(value)];
}

function frame(...parts: readonly (number | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

function id(value: bigint): ServiceId {
  return value as ServiceId;
}

const EIGHT = [1, 2, 3, 4, 5, 6, 7, 8];
const NONCE = [0x44, 0x33, 0x22, 0x11];

/** Bytes of the answer that refuses a frame. */
function refusal(bytes: Uint8Array): Uint8Array {
  const decoded = decodeRequest(bytes);
  if (decoded.ok) throw new Error('accepted');
  return encodeReply(decoded.reply);
}

function accepted(bytes: Uint8Array): PolicyRequest {
  const decoded = decodeRequest(bytes);
  if (!decoded.ok) throw new Error('refused');
  return decoded.request;
}

describe('golden vectors (sheet 30, section 3)', () => {
  it('encodes and decodes a version 3 ROUTE', () => {
    const request: PolicyRequest = {
      op: 'route',
      version: 3,
      nonce: policyNonce(0x11223344),
      requester: id(0x0102030405060708n),
      target: id(0xa0a1a2a3a4a5a6a7n),
    };
    const bytes = hex('50 4F 03 02 44 33 22 11 08 07 06 05 04 03 02 01 A7 A6 A5 A4 A3 A2 A1 A0');
    expect(encodeRequest(request)).toEqual(bytes);
    expect(accepted(bytes)).toEqual(request);
  });

  it('encodes and decodes a version 3 EXEC', () => {
    const request: PolicyRequest = {
      op: 'exec',
      version: 3,
      nonce: policyNonce(0x01020304),
      requester: id(0x1122334455667788n),
      image: 9,
    };
    const bytes = hex('50 4F 03 03 04 03 02 01 88 77 66 55 44 33 22 11 09');
    expect(encodeRequest(request)).toEqual(bytes);
    expect(accepted(bytes)).toEqual(request);
  });

  it('encodes version 3, 2 and 1 answers', () => {
    const nonce = policyNonce(0xaabbccdd);
    const { ROUTE } = PolicyOp;
    const { DENY } = PolicyStatus;
    expect(encodeReply({ version: 3, op: ROUTE, nonce, status: DENY })).toEqual(hex('50 4F 03 82 DD CC BB AA 01 00'));
    expect(encodeReply({ version: 2, op: ROUTE, nonce, status: DENY })).toEqual(hex('50 4F 02 82 DD CC BB AA 01 00'));
    expect(encodeReply({ version: 1, op: ROUTE, status: DENY })).toEqual(hex('50 4F 01 82 01 00'));
  });

  it('round-trips the version 2 vectors', () => {
    const route: PolicyRequest = {
      op: 'route',
      version: 2,
      nonce: policyNonce(0x12345678),
      requester: claimedName('bundlemgrd'),
      target: claimedName('execd'),
    };
    expect(encodeRequest(route)).toEqual(
      frame(0x50, 0x4f, 2, 2, [0x78, 0x56, 0x34, 0x12], 10, text('bundlemgrd'), 5, text('execd')),
    );
    expect(accepted(encodeRequest(route))).toEqual(route);
    const exec: PolicyRequest = {
      op: 'exec',
      version: 2,
      nonce: policyNonce(0x90abcdef),
      requester: claimedName('selftest-client'),
      image: 2,
    };
    expect(encodeRequest(exec)).toEqual(
      frame(0x50, 0x4f, 2, 3, [0xef, 0xcd, 0xab, 0x90], 15, text('selftest-client'), 2),
    );
    expect(accepted(encodeRequest(exec))).toEqual(exec);
    const reply = {
      version: 2,
      op: PolicyOp.ROUTE,
      nonce: policyNonce(0xaabbccdd),
      status: PolicyStatus.DENY,
    } as const;
    expect(decodeReply(encodeReply(reply))).toEqual(reply);
  });

  it('encodes the delegated checks of keystored and rngd (sheet 60, section 9)', () => {
    const selftest = serviceIdOf('selftest-client');
    const ask = (capability: string, nonce: number, subject: ServiceId) =>
      encodeRequest({
        op: 'check_cap_delegated',
        version: 2,
        nonce: policyNonce(nonce),
        subject,
        capability: capabilityName(new TextEncoder().encode(capability)),
      });
    expect(ask('device.keygen', 1, selftest)).toEqual(
      frame([...hex('50 4F 02 05 01 00 00 00 69 3F FB 4F A3 C4 C6 52 0D')], text('device.keygen')),
    );
    expect(ask('rng.entropy', 2, serviceIdOf('keystored'))).toEqual(
      frame([...hex('50 4F 02 05 02 00 00 00 1B 84 2A B0 F1 EC 6C 86 0B')], text('rng.entropy')),
    );
  });

  it('decodes answers of exactly 10 bytes, version 2 or 3, with bit 7', () => {
    const good = hex('50 4F 03 82 DD CC BB AA 01 00');
    expect(decodeReply(good)).toEqual({
      version: 3,
      op: 2,
      nonce: 0xaabbccdd,
      status: 1,
    });
    expect(decodeReply(new Uint8Array(7))).toBeNull();
    for (const [at, value] of [
      [0, 0x51],
      [1, 0],
      [2, 1],
      [2, 4],
      [3, 2],
    ] as const) {
      const bad = good.slice();
      bad[at] = value;
      expect(decodeReply(bad)).toBeNull();
    }
    expect(decodeReply(good.slice(0, 9))).toBeNull();
    expect(decodeReply(frame([...good], 0))).toBeNull();
  });

  it('OBS-23: a delegated answer counts only with length, version, op and nonce right', () => {
    expect(decodeDelegatedReply(hex('50 4F 02 85 D4 C3 B2 A1 00 00'), 0xa1b2c3d4)).toBe(0);
    expect(decodeDelegatedReply(new Uint8Array(4), 1)).toBeNull();
    expect(decodeDelegatedReply(hex('50 4F 02 85 01 00 00 00 00 00'), 2)).toBeNull();
    expect(decodeDelegatedReply(hex('50 4F 03 85 01 00 00 00 00 00'), 1)).toBeNull();
    expect(decodeDelegatedReply(hex('50 4F 02 84 01 00 00 00 00 00'), 1)).toBeNull();
    expect(decodeDelegatedReply(hex('50 4F 02 85 01 00 00 00 01 FF'), 1)).toBe(1);
  });
});

describe('acceptance order (sheet 30, section 2)', () => {
  it('answers short frames and foreign magic as a malformed version 1 CHECK', () => {
    const malformed = hex('50 4F 01 81 02 00');
    for (const bad of [[], text('bad'), [0x50, 0x4f, 2, 5, 0], [0x50, 0x4e, 3, 2, 0, 0, 0], [0x4f, 0x50, 1, 1, 1, 0]])
      expect(refusal(frame(bad))).toEqual(malformed);
  });

  it('takes the log probe in version 1 alone, whatever follows', () => {
    expect(accepted(hex('50 4F 01 7F 00 00'))).toEqual({
      op: 'log_probe',
      version: 1,
    });
    expect(accepted(frame(0x50, 0x4f, 1, 0x7f, new Array<number>(600).fill(9)))).toEqual({
      op: 'log_probe',
      version: 1,
    });
    expect(refusal(hex('50 4F 02 7F 00 00'))).toEqual(hex('50 4F 01 FF 03 00'));
  });

  it('COR-5: nonces exist in versions 2 and 3 alone; every other (version, op) is UNSUPPORTED in version 1 shape', () => {
    const known: Readonly<Record<number, readonly number[]>> = {
      1: [1, 2, 3, 4, 5, 0x7f],
      2: [2, 3, 5],
      3: [2, 3],
    };
    const wrong: string[] = [];
    for (let version = 0; version < 256; version++) {
      for (let op = 0; op < 256; op++) {
        // Six bytes are too short for anything but the probe and CHECK of a one-byte name.
        const decoded = decodeRequest(frame(0x50, 0x4f, version, op, 0, 0));
        const nonce = version > 1 ? { nonce: 0 } : {};
        let reply: unknown = {
          version: 1,
          op,
          status: PolicyStatus.UNSUPPORTED,
        };
        if (known[version]?.includes(op) === true)
          reply = op === PolicyOp.LOG_PROBE ? null : { version, op, ...nonce, status: PolicyStatus.MALFORMED };
        const got = decoded.ok ? null : decoded.reply;
        if (JSON.stringify(got) !== JSON.stringify(reply)) wrong.push(`${version}/${op}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('lengths of each op (sheet 30, section 3)', () => {
  const v1 = (op: number, ...rest: readonly (number | readonly number[])[]) => frame(0x50, 0x4f, 1, op, ...rest);
  const v2 = (op: number, ...rest: readonly (number | readonly number[])[]) => frame(0x50, 0x4f, 2, op, NONCE, ...rest);
  const name = (n: number) => new Array<number>(n).fill(0x61);

  it('CHECK: exactly 5+n, n may exceed 48', () => {
    expect(accepted(v1(1, 2, text('ab')))).toEqual({
      op: 'check',
      version: 1,
      requester: 'ab',
    });
    expect(accepted(v1(1, 255, name(255)))).toMatchObject({ op: 'check' });
    expect(refusal(v1(1, 2, text('a')))).toEqual(hex('50 4F 01 81 02 00'));
    expect(refusal(v1(1, 1, text('ab')))).toEqual(hex('50 4F 01 81 02 00'));
    expect(refusal(v1(1, 0, text('a')))).toEqual(hex('50 4F 01 81 02 00'));
  });

  it('ROUTE by names: two names of 1..48 bytes and no more', () => {
    for (const make of [v1, v2]) {
      expect(accepted(make(2, 48, name(48), 48, name(48)))).toMatchObject({
        op: 'route',
        requester: 'a'.repeat(48),
      });
      for (const bad of [
        make(2, 0, 1, name(1)),
        make(2, 49, name(49), 1, name(1)),
        make(2, 2, name(2)),
        make(2, 2, name(2), 0),
        make(2, 2, name(2), 49, name(49)),
        make(2, 2, name(2), 2, name(1)),
        make(2, 2, name(2), 2, name(3)),
      ])
        expect(decodeRequest(bad)).toMatchObject({
          ok: false,
          reject: 'malformed',
        });
    }
    expect(refusal(v1(2, 0, 0))).toEqual(hex('50 4F 01 82 02 00'));
    expect(refusal(v2(2, 0, 0))).toEqual(hex('50 4F 02 82 00 00 00 00 02 00'));
    expect(refusal(frame(0x50, 0x4f, 2, 2, NONCE, 1))).toEqual(hex('50 4F 02 82 00 00 00 00 02 00'));
  });

  it('EXEC by name: 1..48 bytes and one image byte', () => {
    for (const make of [v1, v2]) {
      expect(accepted(make(3, 48, name(48), 7))).toMatchObject({
        op: 'exec',
        image: 7,
      });
      for (const bad of [make(3, 0, 7), make(3, 49, name(49), 7), make(3, 2, name(2)), make(3, 2, name(2), 7, 7)])
        expect(decodeRequest(bad)).toMatchObject({
          ok: false,
          reject: 'malformed',
        });
    }
    expect(refusal(v1(3, 49, name(49), 7))).toEqual(hex('50 4F 01 83 02 00'));
    expect(refusal(v2(3, 49, name(49), 7))).toEqual(hex('50 4F 02 83 00 00 00 00 02 00'));
  });

  it('CHECK_CAP and its delegated form: 0..48 capability bytes', () => {
    for (const op of [4, 5]) {
      expect(accepted(v1(op, EIGHT, 3, text('a.b')))).toEqual({
        op: op === 4 ? 'check_cap' : 'check_cap_delegated',
        version: 1,
        subject: 0x0807060504030201n,
        capability: 'a.b',
      });
      expect(accepted(v1(op, EIGHT, 0))).toMatchObject({ capability: '' });
      expect(accepted(v1(op, EIGHT, 48, name(48)))).toMatchObject({
        capability: 'a'.repeat(48),
      });
      for (const bad of [v1(op, EIGHT), v1(op, EIGHT, 49, name(49)), v1(op, EIGHT, 3, text('ab')), v1(op, EIGHT, 0, 0)])
        expect(refusal(bad)).toEqual(frame(0x50, 0x4f, 1, 0x80 | op, 2, 0));
    }
  });

  it('COR-1: a malformed delegated check of version 2 carries its nonce once the header is there, else 0', () => {
    expect(refusal(v2(5, EIGHT))).toEqual(hex('50 4F 02 85 00 00 00 00 02 00'));
    expect(refusal(v2(5, EIGHT, 49, name(49)))).toEqual(hex('50 4F 02 85 44 33 22 11 02 00'));
    expect(refusal(v2(5, EIGHT, 2, name(3)))).toEqual(hex('50 4F 02 85 44 33 22 11 02 00'));
    expect(accepted(v2(5, EIGHT, 2, name(2)))).toMatchObject({
      nonce: 0x11223344,
      capability: 'aa',
    });
  });

  it('version 3: exactly 24 and 17 bytes', () => {
    const v3 = (op: number, length: number) => frame(0x50, 0x4f, 3, op, NONCE, new Array<number>(length - 8).fill(1));
    expect(accepted(v3(2, 24))).toMatchObject({
      op: 'route',
      nonce: 0x11223344,
    });
    expect(accepted(v3(3, 17))).toMatchObject({
      op: 'exec',
      nonce: 0x11223344,
      image: 1,
    });
    for (const length of [8, 16, 18, 23, 25]) {
      expect(refusal(v3(2, length))).toEqual(hex('50 4F 03 82 00 00 00 00 02 00'));
      expect(refusal(v3(3, length))).toEqual(hex('50 4F 03 83 00 00 00 00 02 00'));
    }
  });

  it('reads bytes that are not UTF-8 as the empty name and keeps a BOM (section 11)', () => {
    expect(capabilityName(hex('C3 28'))).toBe('');
    expect(capabilityName(hex('ED A0 80'))).toBe('');
    expect(capabilityName(hex('C0 AF'))).toBe('');
    expect(capabilityName(frame(0xef, 0xbb, 0xbf, text('ipc.core')))).toBe('\ufeffipc.core');
  });
});

const nonces = fc.nat({ max: 0xffff_ffff }).map(policyNonce);
const ids = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(id);
const images = fc.nat({ max: 255 });
const names = (max: number) =>
  fc.uint8Array({ minLength: 1, maxLength: max }).map((bytes) => String.fromCharCode(...bytes) as ClaimedName);
const capabilities = fc
  .string({ unit: 'binary', maxLength: 48 })
  .filter((value) => new TextEncoder().encode(value).length <= 48)
  .map((value) => value as CapabilityName);

const requests: fc.Arbitrary<PolicyRequest> = fc.oneof(
  fc.record({
    op: fc.constant('check'),
    version: fc.constant(1),
    requester: names(255),
  }),
  fc.record({
    op: fc.constant('route'),
    version: fc.constant(1),
    requester: names(48),
    target: names(48),
  }),
  fc.record({
    op: fc.constant('route'),
    version: fc.constant(2),
    nonce: nonces,
    requester: names(48),
    target: names(48),
  }),
  fc.record({
    op: fc.constant('route'),
    version: fc.constant(3),
    nonce: nonces,
    requester: ids,
    target: ids,
  }),
  fc.record({
    op: fc.constant('exec'),
    version: fc.constant(1),
    requester: names(48),
    image: images,
  }),
  fc.record({
    op: fc.constant('exec'),
    version: fc.constant(2),
    nonce: nonces,
    requester: names(48),
    image: images,
  }),
  fc.record({
    op: fc.constant('exec'),
    version: fc.constant(3),
    nonce: nonces,
    requester: ids,
    image: images,
  }),
  fc.record({
    op: fc.constant('check_cap'),
    version: fc.constant(1),
    subject: ids,
    capability: capabilities,
  }),
  fc.record({
    op: fc.constant('check_cap_delegated'),
    version: fc.constant(1),
    subject: ids,
    capability: capabilities,
  }),
  fc.record({
    op: fc.constant('check_cap_delegated'),
    version: fc.constant(2),
    nonce: nonces,
    subject: ids,
    capability: capabilities,
  }),
  fc.constant({ op: 'log_probe', version: 1 }),
);

/** What the answer to any frame must look like, told from the frame's first bytes alone. */
function expectAnswerShape(bytes: Uint8Array, decoded: Decoded): void {
  const reply = encodeReply(decoded.ok ? replyTo(decoded.request, PolicyStatus.DENY) : decoded.reply);
  const framed = bytes.length >= 6 && bytes[0] === 0x50 && bytes[1] === 0x4f;
  expect(reply[3]).toBe((framed ? bytes[3]! : 1) | 0x80);
  expect(reply.length).toBe(reply[2] === 1 ? 6 : 10);
  expect(reply.at(-1)).toBe(0);
  if (reply[2] !== 1) expect(reply[2]).toBe(bytes[2]);
  if (decoded.ok && decoded.request.version !== 1) expect(reply.subarray(4, 8)).toEqual(bytes.subarray(4, 8));
}

describe('properties', () => {
  it('decode(encode(request)) is the request', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const bytes = encodeRequest(request);
        expect(accepted(bytes)).toEqual(request);
        expect(bytes[3]).toBe(opByte(request));
        expectAnswerShape(bytes, decodeRequest(bytes));
      }),
      RUNS,
    );
  });

  it('decode(encode(answer)) is the answer', () => {
    const status = fc.nat({ max: 255 });
    const op = fc.nat({ max: 127 });
    fc.assert(
      fc.property(fc.constantFrom(2 as const, 3 as const), op, nonces, status, (version, op, nonce, status) => {
        const reply = { version, op, nonce, status };
        expect(decodeReply(encodeReply(reply))).toEqual(reply);
        expect(decodeDelegatedReply(encodeReply(reply), nonce)).toBe(version === 2 && op === 5 ? status : null);
      }),
      RUNS,
    );
  });

  it('any bytes give a request or an answer', () => {
    const heads = fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 6 })).map(([v, op]) => [0x50, 0x4f, v, op]);
    const framed = fc.tuple(heads, fc.uint8Array({ maxLength: 200 })).map(([head, rest]) => frame(head, [...rest]));
    fc.assert(
      fc.property(fc.oneof(framed, fc.uint8Array({ maxLength: 8192 })), (bytes) => {
        expectAnswerShape(bytes, decodeRequest(bytes));
        decodeReply(bytes);
        decodeDelegatedReply(bytes, 0);
      }),
      RUNS,
    );
  });

  it('mutated frames decode to a request that encodes to the same bytes, or are refused', () => {
    const edit = fc.tuple(fc.nat({ max: 130 }), fc.nat({ max: 255 }));
    const cut = fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 3 }));
    fc.assert(
      fc.property(requests, fc.array(edit, { maxLength: 3 }), cut, (request, edits, cut) => {
        let bytes = encodeRequest(request);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        bytes = cut < 0 ? bytes.slice(0, cut) : frame([...bytes], new Array<number>(cut).fill(0));
        const decoded = decodeRequest(bytes);
        expectAnswerShape(bytes, decoded);
        if (!decoded.ok || decoded.request.op === 'log_probe') return;
        const utf8 = !('capability' in decoded.request) || decoded.request.capability !== '';
        if (utf8) expect(encodeRequest(decoded.request)).toEqual(bytes);
      }),
      RUNS,
    );
  });
});
