import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { encodeRouteGet } from '../lib/ipc.ts';
import {
  decodeBootAttempt,
  decodeCheckCapReply,
  decodeExecCheck,
  decodeHealth,
  decodePolicyReply,
  decodeRouteGet,
  encodeCheckCap,
  encodeExecResponse,
  encodeHealthResponse,
  encodePolicyExec,
  encodePolicyRoute,
  encodeRouteResponse,
} from './wire.ts';

const SEED = 20240;
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'));

describe('routing (sheet 20, section 7.1)', () => {
  it('golden vectors', () => {
    expect(hexOf(encodeRouteGet('vfsd'))).toBe('525401400476667364');
    expect(decodeRouteGet(bytesOf('52 54 01 40 04 76 66 73 64'))).toEqual({ name: 'vfsd', nonce: null });
    expect(hexOf(encodeRouteResponse(0, 0x1122_3344, 0xaabb_ccdd, null))).toBe('525401410044332211ddccbbaa');
    expect(hexOf(encodeRouteResponse(3, 0, 0, 7))).toBe('52540141030000000000000000' + '07000000');
  });

  it('takes exactly 5+n or 9+n bytes, names of 1 to 48', () => {
    for (const length of [1, 48]) {
      const name = 'x'.repeat(length);
      expect(decodeRouteGet(encodeRouteGet(name))).toEqual({ name, nonce: null });
      expect(decodeRouteGet(encodeRouteGet(name, 0xffff_ffff))).toEqual({ name, nonce: 0xffff_ffff });
    }
    expect(decodeRouteGet(encodeRouteGet(''))).toBeNull();
    expect(decodeRouteGet(encodeRouteGet('x'.repeat(49)))).toBeNull();
    const frame = encodeRouteGet('logd', 1);
    for (let cut = 0; cut < frame.length; cut++) {
      expect(decodeRouteGet(frame.subarray(0, cut)) === null).toBe(cut !== 9);
    }
    expect(decodeRouteGet(Uint8Array.from([...frame, 0]))).toBeNull();
  });
});

describe('exec checks and health (sheet 20, sections 7.4 and 7.5)', () => {
  it('vectors', () => {
    const name = Buffer.from('selftest-client');
    const frame = Uint8Array.from([0x50, 0x43, 1, 1, 0x44, 0x33, 0x22, 0x11, name.length, ...name, 2]);
    expect(decodeExecCheck(frame)).toEqual({ nonce: 0x1122_3344, requester: 'selftest-client', image: 2 });
    expect(decodeExecCheck(frame.subarray(0, frame.length - 1))).toBeNull();
    expect(hexOf(encodeExecResponse(0xaabb_ccdd, 1))).toBe('50430181ddccbbaa01');
    expect(decodeHealth(bytesOf('49480101'))).toEqual({ nonce: null });
    expect(decodeHealth(bytesOf('4948010105000000'))).toEqual({ nonce: 5 });
    expect(decodeHealth(bytesOf('494801010500'))).toBeNull();
    expect(hexOf(encodeHealthResponse(1, 5))).toBe('494801810105000000');
  });

  it('boot attempt: the slot byte is the quirk, the length is not', () => {
    const reply = bytesOf('55 44 01 85 00 01 00 02');
    expect(decodeBootAttempt(reply, 5)).toEqual({ status: 0, slot: 1 });
    expect(decodeBootAttempt(reply, 7)).toEqual({ status: 0, slot: 2 });
    expect(decodeBootAttempt(reply.subarray(0, 7), 7)).toBeNull();
  });
});

describe('policy queries (sheet 30, section 3)', () => {
  it('golden vectors', () => {
    const route = encodePolicyRoute(0x1122_3344, 0x0102_0304_0506_0708n as never, 0xa0a1_a2a3_a4a5_a6a7n as never);
    expect(hexOf(route)).toBe('504f0302443322110807060504030201a7a6a5a4a3a2a1a0');
    const exec = encodePolicyExec(0x0102_0304, 0x1122_3344_5566_7788n as never, 9);
    expect(hexOf(exec)).toBe('504f030304030201887766554433221109');
    expect(decodePolicyReply(bytesOf('50 4f 03 82 dd cc bb aa 01 00'))).toEqual({
      op: 2,
      nonce: 0xaabb_ccdd,
      status: 1,
    });
    const check = encodeCheckCap(serviceIdOf('netstackd'), 'device.mmio.blk');
    expect(hexOf(check)).toBe('504f0104' + '1c9213034a904bb6' + '0f' + Buffer.from('device.mmio.blk').toString('hex'));
  });

  it('COR-5: a version 1 reply is never taken for a nonce-correlated one', () => {
    expect(decodePolicyReply(bytesOf('50 4f 01 82 dd cc bb aa 01 00'))).toBeNull();
    expect(decodeCheckCapReply(bytesOf('50 4f 02 84 00 00'))).toBeNull();
    expect(decodeCheckCapReply(bytesOf('50 4f 01 84 00 00'))).toBe('allowed');
    expect(decodeCheckCapReply(bytesOf('50 4f 01 84 01 00'))).toBe('denied');
    expect(decodeCheckCapReply(bytesOf('50 4f 01 84 02 00'))).toBeNull();
  });
});

describe('any input', () => {
  const decoders: readonly ((frame: Uint8Array) => unknown)[] = [
    decodeRouteGet,
    decodeExecCheck,
    decodeHealth,
    decodeCheckCapReply,
    decodePolicyReply,
    (frame) => decodeBootAttempt(frame, 7),
  ];

  it('OBS-2: decoders of arbitrary and mutated frames never throw and keep names within bounds', () => {
    const valid = [encodeRouteGet('statefsd', 3), encodeExecResponse(1, 0), bytesOf('4948010105000000')];
    const mutated = fc
      .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 }), fc.nat(70))
      .map(([frame, edits, length]) => {
        const out = new Uint8Array(length);
        out.set(frame.subarray(0, length));
        for (const [at, value] of edits) if (at < length) out[at] = value;
        return out;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 8192 }), mutated), (frame) => {
        for (const decode of decoders) decode(frame);
        const route = decodeRouteGet(frame);
        if (route !== null) {
          expect(route.name.length).toBeGreaterThan(0);
          expect(hexOf(encodeRouteGet(route.name, route.nonce ?? undefined))).toBe(hexOf(frame));
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});
