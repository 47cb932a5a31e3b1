import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { ServiceRegistry, isResolvable, serveTable } from './registry.ts';
import {
  SamgrStatus,
  decodeRequest,
  encodePong,
  encodeProbeReply,
  encodeRequest,
  encodeSenderPid,
  encodeSenderServiceId,
  encodeTableReply,
  entryName,
  looksLikeRegister,
  tableOpByte,
} from './wire.ts';
import type { EntryName, EntrySlots, SamgrRequest, SlotNumber, TableRequest } from './wire.ts';

const RUNS = { seed: 20240, numRuns: 500 };
const { OK, NOT_FOUND, MALFORMED, UNSUPPORTED } = SamgrStatus;

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));
}

function frame(...parts: readonly (number | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

const ZEROS = new Array<number>(8).fill(0);
const slot = (value: number): SlotNumber => value as SlotNumber;
const slots = (send: number, recv: number): EntrySlots => ({ send: slot(send), recv: slot(recv) });

/** Op byte and status of a refusal. */
function refusal(bytes: Uint8Array, moved = false): readonly [number, number] | null {
  const request = decodeRequest(bytes, moved);
  return request.op === 'reject' ? [request.opByte, request.status] : null;
}

/** What the table answers, as bytes. */
function served(registry: ServiceRegistry, bytes: Uint8Array, sender: ServiceId): Uint8Array {
  const request = decodeRequest(bytes, false);
  if (request.op === 'reject') return encodeTableReply(request.opByte, request.status);
  if (request.op !== 'register' && request.op !== 'lookup' && request.op !== 'resolve_status')
    throw new Error(request.op);
  return serveTable(registry, request, sender);
}

describe('frames of the smoke run (sheet 60, section 9, rows 20 to 31)', () => {
  const selftest = serviceIdOf('selftest-client');

  it('registers and finds vfsd, misses an unknown name, refuses nonsense', () => {
    const registry = new ServiceRegistry();
    const register = hex('53 4D 01 01 04 03 00 00 00 04 00 00 00 76 66 73 64');
    expect(looksLikeRegister(register)).toBe(true);
    expect(served(registry, register, selftest)).toEqual(frame(0x53, 0x4d, 1, 0x81, 0, ZEROS));
    expect(served(registry, hex('53 4D 01 02 04 76 66 73 64'), selftest)).toEqual(
      hex('53 4D 01 82 00 03 00 00 00 04 00 00 00'),
    );
    const unknown = encodeRequest({ op: 'lookup', name: entryName('does.not.exist') });
    expect(served(registry, unknown, selftest)).toEqual(frame(0x53, 0x4d, 1, 0x82, 1, ZEROS));
    expect(served(registry, hex('62 61 64'), selftest)).toEqual(frame(0x53, 0x4d, 1, 0x82, 2, ZEROS));
  });

  it('has the answers of the ops about the message', () => {
    expect(encodePong(null)).toEqual(hex('50 4F 4E 47'));
    expect(encodePong(0x1000n)).toEqual(hex('50 4F 4E 47 00 10 00 00 00 00 00 00'));
    expect(encodeSenderPid(0x21, null)).toEqual(hex('53 4D 01 84 00 21 00 00 00'));
    expect(encodeSenderPid(0x21, 5n)).toEqual(hex('53 4D 01 84 00 21 00 00 00 05 00 00 00 00 00 00 00'));
    expect(encodeSenderServiceId(selftest, null)).toEqual(hex('53 4D 01 85 00 69 3F FB 4F A3 C4 C6 52'));
    expect(encodeSenderServiceId(selftest, 1n)).toEqual(
      hex('53 4D 01 85 00 69 3F FB 4F A3 C4 C6 52 01 00 00 00 00 00 00 00'),
    );
    expect(encodeProbeReply(true)).toEqual(hex('53 4D 01 FF 00'));
    expect(encodeProbeReply(false)).toEqual(hex('53 4D 01 FF 03'));
  });
});

describe('dispatch (sheet 60, section 7.2)', () => {
  it('COR-5: takes a nonce only in the one length that has it', () => {
    const nonce = [1, 0, 0, 0, 0, 0, 0, 0];
    const at = (op: number, ...rest: readonly (number | readonly number[])[]) => frame(0x53, 0x4d, 1, op, ...rest);
    expect(decodeRequest(at(3, nonce), false)).toEqual({ op: 'ping', nonce: 1n });
    expect(decodeRequest(at(5, nonce), true)).toEqual({ op: 'sender_service_id', nonce: 1n });
    expect(decodeRequest(at(4, [9, 9, 9, 9], nonce), true)).toEqual({ op: 'sender_pid', nonce: 1n });
    for (let extra = 0; extra < 30; extra++) {
      const rest = new Array<number>(extra).fill(1);
      if (extra !== 8) {
        expect(decodeRequest(at(3, rest), false)).toEqual({ op: 'ping', nonce: null });
        expect(decodeRequest(at(5, rest), true)).toEqual({ op: 'sender_service_id', nonce: null });
      }
      if (extra !== 12) expect(decodeRequest(at(4, rest), true)).toEqual({ op: 'sender_pid', nonce: null });
    }
  });

  it('knows ops 0x7f and 3 by four bytes, ops 4 and 5 only with a moved capability', () => {
    for (const moved of [false, true]) {
      expect(decodeRequest(hex('53 4D 01 7F'), moved)).toEqual({ op: 'log_probe' });
      expect(decodeRequest(hex('53 4D 01 03'), moved)).toEqual({ op: 'ping', nonce: null });
    }
    for (const op of [4, 5]) {
      expect(refusal(frame(0x53, 0x4d, 1, op))).toEqual([2, MALFORMED]);
      expect(refusal(frame(0x53, 0x4d, 1, op, 0))).toEqual([op, UNSUPPORTED]);
      expect(refusal(frame(0x53, 0x4d, 1, op, 0), true)).toBeNull();
    }
  });

  it('answers short frames and foreign magic as a malformed LOOKUP', () => {
    for (const bad of [[], [0x53], [0x53, 0x4d, 1], [0x53, 0x4d, 1, 1], [0x53, 0x4d, 1, 6], [0x53, 0x4e, 1, 1, 1, 0]])
      expect(refusal(frame(bad))).toEqual([2, MALFORMED]);
  });

  it('every other (version, op) is UNSUPPORTED with its op echoed', () => {
    const wrong: string[] = [];
    for (let version = 0; version < 256; version++) {
      for (let op = 0; op < 256; op++) {
        const got = refusal(frame(0x53, 0x4d, version, op, 0));
        let want: readonly number[] | null = [op, UNSUPPORTED];
        if (version === 1 && [1, 2, 6].includes(op)) want = [op, MALFORMED];
        if (version === 1 && [3, 0x7f].includes(op)) want = null;
        if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push(`${version}/${op}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('holds names to their lengths', () => {
    const name = (n: number) => new Array<number>(n).fill(0x61);
    const register = (n: number, length: number) => frame(0x53, 0x4d, 1, 1, n, ZEROS, name(length));
    const named = (op: number, n: number, length: number) => frame(0x53, 0x4d, 1, op, n, name(length));
    for (const n of [1, 48, 49, 255]) {
      expect(decodeRequest(register(n, n), false)).toMatchObject({ op: 'register', name: 'a'.repeat(n) });
      expect(decodeRequest(named(2, n, n), false)).toMatchObject({ op: 'lookup', name: 'a'.repeat(n) });
      expect(refusal(named(6, n, n))).toEqual(n <= 48 ? null : [6, MALFORMED]);
    }
    expect(refusal(register(0, 0))).toEqual([1, MALFORMED]);
    expect(refusal(register(2, 1))).toEqual([1, MALFORMED]);
    expect(refusal(register(2, 3))).toEqual([1, MALFORMED]);
    expect(refusal(frame(0x53, 0x4d, 1, 1, 1, 0, 0, 0))).toEqual([1, MALFORMED]);
    for (const op of [2, 6]) {
      expect(refusal(named(op, 0, 0))).toEqual([op, MALFORMED]);
      expect(refusal(named(op, 2, 1))).toEqual([op, MALFORMED]);
      expect(refusal(named(op, 2, 3))).toEqual([op, MALFORMED]);
    }
  });
});

describe('table (sheet 60, section 7.3)', () => {
  const a = serviceIdOf('a');
  const b = serviceIdOf('b');

  it('OBS-1: one sender never sees the entries of another', () => {
    const registry = new ServiceRegistry();
    registry.register(a, entryName('x'), slots(1, 2));
    expect(registry.lookup(b, entryName('x'))).toBeNull();
    registry.register(b, entryName('x'), slots(3, 4));
    expect(registry.lookup(a, entryName('x'))).toEqual(slots(1, 2));
    registry.register(a, entryName('x'), slots(0xffff_ffff, 0));
    expect(registry.lookup(a, entryName('x'))).toEqual(slots(0xffff_ffff, 0));
    expect(registry.lookup(b, entryName('x'))).toEqual(slots(3, 4));
  });

  it('resolves exactly nine names, whatever is registered', () => {
    const known = 'keystored policyd samgrd bundlemgrd packagefsd vfsd execd netstackd dsoftbusd'.split(' ');
    const unknown = 'logd metricsd statefsd updated timed rngd Samgrd samgrd2'.split(' ');
    const registry = new ServiceRegistry();
    for (const name of unknown) registry.register(a, entryName(name), slots(1, 2));
    const status = (name: string): Uint8Array =>
      serveTable(registry, { op: 'resolve_status', name: entryName(name) }, a);
    for (const name of known) expect(status(name)).toEqual(frame(0x53, 0x4d, 1, 0x86, OK, ZEROS));
    for (const name of unknown) expect(status(name)).toEqual(frame(0x53, 0x4d, 1, 0x86, NOT_FOUND, ZEROS));
    expect(isResolvable('' as EntryName)).toBe(false);
  });

  it('agrees with a flat map', () => {
    const names = fc.constantFrom('a', 'b', '\u00ff', 'vfsd').map((name) => name as EntryName);
    const values = fc.nat({ max: 0xffff_ffff }).map(slot);
    const senders = fc.constantFrom(a, b, 0n as ServiceId);
    const steps = fc.record({
      write: fc.boolean(),
      sender: senders,
      name: names,
      slots: fc.record({ send: values, recv: values }),
    });
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 60 }), (list) => {
        const registry = new ServiceRegistry();
        const model = new Map<string, EntrySlots>();
        for (const { write, sender, name, slots } of list) {
          const request: TableRequest = write ? { op: 'register', name, slots } : { op: 'lookup', name };
          const answer = serveTable(registry, request, sender);
          const key = `${sender}/${name}`;
          if (write) model.set(key, slots);
          const found = model.get(key);
          const view = new DataView(answer.buffer);
          expect(answer[3]).toBe(tableOpByte(request) | 0x80);
          expect(answer[4]).toBe(found === undefined ? NOT_FOUND : OK);
          expect(view.getUint32(5, true)).toBe(write ? 0 : (found?.send ?? 0));
          expect(view.getUint32(9, true)).toBe(write ? 0 : (found?.recv ?? 0));
        }
      }),
      RUNS,
    );
  });
});

describe('properties', () => {
  const names = (max: number) =>
    fc.uint8Array({ minLength: 1, maxLength: max }).map((bytes) => String.fromCharCode(...bytes) as EntryName);
  const u32 = fc.nat({ max: 0xffff_ffff }).map(slot);
  const nonce = fc.option(fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), { nil: null });
  const requests = fc.oneof(
    fc.record({
      op: fc.constant('register'),
      name: names(255),
      slots: fc.record({ send: u32, recv: u32 }),
    }),
    fc.record({ op: fc.constant('lookup'), name: names(255) }),
    fc.record({ op: fc.constant('resolve_status'), name: names(48) }),
    fc.record({ op: fc.constant('ping'), nonce }),
    fc.record({ op: fc.constant('sender_pid'), nonce }),
    fc.record({ op: fc.constant('sender_service_id'), nonce }),
    fc.constant({ op: 'log_probe' }),
  ) as fc.Arbitrary<SamgrRequest>;

  it('decode(encode(request)) is the request', () => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(decodeRequest(encodeRequest(request), true)).toEqual(request);
      }),
      RUNS,
    );
  });

  it('any bytes, and any mutation of a frame, give a request or a refusal', () => {
    const edit = fc.tuple(fc.nat({ max: 270 }), fc.nat({ max: 255 }));
    const mutated = fc
      .tuple(requests, fc.array(edit, { maxLength: 4 }), fc.nat({ max: 270 }))
      .map(([request, edits, cut]) => {
        const bytes = encodeRequest(request);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        return bytes.slice(0, Math.max(cut, 3));
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 8192 })), fc.boolean(), (bytes, moved) => {
        const request = decodeRequest(bytes, moved);
        looksLikeRegister(bytes);
        if (request.op === 'reject') {
          expect([MALFORMED, UNSUPPORTED]).toContain(request.status);
        } else if ('name' in request) {
          expect(encodeRequest(request)).toEqual(bytes);
        }
      }),
      RUNS,
    );
  });
});
