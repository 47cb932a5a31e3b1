import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SlotMachine, decodeRecord, encodeRecord } from './slots.ts';
import type { BootctlRecord } from './slots.ts';
import { triesOf } from './wire.ts';
import type { SlotId } from './wire.ts';

const tries = (n: number) => triesOf(n)!;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const recordHex = (slots: SlotMachine): string => hex(encodeRecord(slots.record));
const load = (text: string): SlotMachine =>
  SlotMachine.fromRecord(decodeRecord(Uint8Array.from(Buffer.from(text, 'hex'))) as BootctlRecord);

describe('slot machine (sections 4 and 16)', () => {
  it('stage, switch, health', () => {
    const slots = new SlotMachine();
    expect(slots.stage()).toBe('b');
    expect(slots.switchTo(tries(2))).toBe('b');
    expect(slots.record).toEqual({ active: 'b', pending: 'b', staged: null, triesLeft: 2, healthOk: false });
    expect(slots.commitHealth()).toBeNull();
    expect(slots.record).toEqual({ active: 'b', pending: null, staged: null, triesLeft: 0, healthOk: true });
  });

  it('rollback', () => {
    const slots = new SlotMachine();
    slots.stage();
    slots.switchTo(tries(1));
    expect(slots.tickBootAttempt()).toBe('a');
    expect(slots.record).toMatchObject({ active: 'a', pending: null });
  });

  it('errors; AlreadyPending is looked for first', () => {
    const slots = new SlotMachine();
    expect(slots.switchTo(tries(1))).toBe('not-staged');
    expect(slots.commitHealth()).toBe('not-pending');
    expect(slots.rollback()).toBe('no-rollback');
    expect(slots.tickBootAttempt()).toBeNull();
    slots.stage();
    slots.switchTo(tries(1));
    expect(slots.switchTo(tries(1))).toBe('already-pending');
    slots.stage();
    expect(slots.switchTo(tries(1))).toBe('already-pending');
  });

  it('the default run ends with 01 02 ff ff 00 00 (section 9)', () => {
    const slots = new SlotMachine();
    expect(recordHex(slots)).toBe('0101ffff0000');
    slots.stage();
    expect(recordHex(slots)).toBe('0101ff020000');
    slots.switchTo(tries(2));
    expect(recordHex(slots)).toBe('010202ff0200');
    slots.commitHealth();
    expect(recordHex(slots)).toBe('0102ffff0001');
    slots.stage();
    slots.switchTo(tries(1));
    expect(recordHex(slots)).toBe('010101ff0100');
    expect(slots.tickBootAttempt()).toBe('b');
    expect(recordHex(slots)).toBe('0102ffff0000');
  });

  it('rebuild after load (section 4.3)', () => {
    const pending = load('010101ff0100');
    expect(pending.rollbackTarget).toBe('b');
    expect(pending.tickBootAttempt()).toBe('b');
    // Of the stored pending slot only its presence counts, and what was staged beside it is lost.
    expect(load('010201010301').record).toEqual({
      active: 'b',
      pending: 'b',
      staged: null,
      triesLeft: 3,
      healthOk: false,
    });
    expect(recordHex(load('0102ff010001'))).toBe('0102ffff0001');
    expect(recordHex(load('0102ff020700'))).toBe('0102ff010000');
    expect(recordHex(load('0102ffff0000'))).toBe('0102ffff0000');
    // Zero tries of a pending slot: the next boot rolls back.
    expect(load('010202ff0000').tickBootAttempt()).toBe('a');
  });
});

describe('record', () => {
  it('reject classes in their order', () => {
    const decode = (text: string): unknown => decodeRecord(Uint8Array.from(Buffer.from(text, 'hex')));
    expect(decode('0101ffff00')).toBe('length');
    expect(decode('0201ffff000000')).toBe('length');
    expect(decode('020300000000')).toBe('version');
    expect(decode('010000000000')).toBe('active');
    expect(decode('010100000000')).toBe('pending');
    expect(decode('0101ff000000')).toBe('staged');
    expect(decode('0101ffff0902')).toEqual({
      active: 'a',
      pending: null,
      staged: null,
      triesLeft: 9,
      healthOk: false,
    });
  });

  it('any bytes: class as the naive reading; decode(encode(x)) = x', () => {
    const slot = fc.constantFrom<SlotId>('a', 'b');
    const optional = fc.option(slot, { nil: null });
    const record = fc.record({
      active: slot,
      pending: optional,
      staged: optional,
      triesLeft: fc.nat(255),
      healthOk: fc.boolean(),
    });
    fc.assert(
      fc.property(record, (r) => {
        expect(decodeRecord(encodeRecord(r))).toEqual(r);
      }),
      { seed: 20240, numRuns: 200 },
    );
    const odd = fc.constantFrom(0, 1, 2, 3, 0xff);
    fc.assert(
      fc.property(fc.oneof(fc.array(odd, { maxLength: 8 }), fc.uint8Array({ maxLength: 20 })), (list) => {
        const b = [...list];
        const code = (n: number | undefined): boolean => n === 1 || n === 2 || n === 0xff;
        const wanted =
          b.length !== 6
            ? 'length'
            : b[0] !== 1
              ? 'version'
              : b[1] !== 1 && b[1] !== 2
                ? 'active'
                : !code(b[2])
                  ? 'pending'
                  : !code(b[3])
                    ? 'staged'
                    : null;
        const got = decodeRecord(Uint8Array.from(b));
        expect(typeof got === 'string' ? got : null).toBe(wanted);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});

/** The table of section 4, on plain fields. */
interface Model {
  active: number;
  pending: number;
  staged: number;
  rollback: number;
  tries: number;
  health: number;
}

function modelStep(m: Model, op: string): string {
  const back = (): string => {
    if (m.rollback === 0) return 'no-rollback';
    Object.assign(m, { active: m.rollback, pending: 0, rollback: 0, staged: 0, tries: 0, health: 0 });
    return String(m.active);
  };
  switch (op) {
    case 'stage':
      m.staged = 3 - m.active;
      return String(m.staged);
    case 'commit':
      if (m.pending === 0) return 'not-pending';
      Object.assign(m, { pending: 0, rollback: 0, tries: 0, health: 1 });
      return 'null';
    case 'tick':
      if (m.pending === 0) return 'null';
      m.tries = Math.max(0, m.tries - 1);
      return m.tries === 0 ? back() : 'null';
    case 'rollback':
      return back();
    default: {
      if (m.pending !== 0) return 'already-pending';
      if (m.staged === 0) return 'not-staged';
      const from = m.active;
      Object.assign(m, {
        active: m.staged,
        pending: m.staged,
        rollback: from,
        staged: 0,
        tries: Number(op),
        health: 0,
      });
      return String(m.active);
    }
  }
}

describe('against the model', () => {
  it('any operations, with loads in between', () => {
    const op = fc.oneof(
      fc.constantFrom('stage', 'commit', 'tick', 'rollback', 'reload'),
      fc.integer({ min: 1, max: 3 }).map(String),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), (ops) => {
        let slots = new SlotMachine();
        const m: Model = { active: 1, pending: 0, staged: 0, rollback: 0, tries: 0, health: 0 };
        const say = (result: string | null): string => (result === 'a' ? '1' : result === 'b' ? '2' : String(result));
        for (const each of ops) {
          if (each === 'reload') {
            slots = SlotMachine.fromRecord(decodeRecord(encodeRecord(slots.record)) as BootctlRecord);
            // What a load does not bring back: the staged slot beside anything else.
            if (m.pending !== 0 || m.health === 1) m.staged = 0;
          } else {
            const got =
              each === 'stage'
                ? slots.stage()
                : each === 'commit'
                  ? slots.commitHealth()
                  : each === 'tick'
                    ? slots.tickBootAttempt()
                    : each === 'rollback'
                      ? slots.rollback()
                      : slots.switchTo(tries(Number(each)));
            expect(say(got)).toBe(modelStep(m, each));
          }
          const wanted = [1, m.active, m.pending || 255, m.staged || 255, m.tries, m.health];
          expect([...encodeRecord(slots.record)]).toEqual(wanted);
        }
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});
