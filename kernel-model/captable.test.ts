import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CAP_SLOTS, Rights } from './abi.ts';
import { CapTable, traceCap } from './captable.ts';
import type { Capability } from './captable.ts';

const cap = (rights: number): Capability => ({ kind: 'vmo', base: 4096, len: 4096, rights });

type Op =
  | { readonly op: 'allocate' | 'clear'; readonly rights: number }
  | { readonly op: 'get' | 'take' | 'set' | 'setIfEmpty' | 'derive'; readonly slot: number; readonly rights: number };

/** The obvious table: a plain array searched from the start. */
function naive(model: (Capability | null)[], op: Op): unknown {
  switch (op.op) {
    case 'allocate': {
      const free = model.indexOf(null);
      if (free >= 0) model[free] = cap(op.rights);
      return free;
    }
    case 'clear':
      model.length = 0;
      return undefined;
    case 'get':
      return op.slot >= 0 && op.slot < model.length ? model[op.slot] : null;
    case 'take': {
      const held = op.slot >= 0 && op.slot < model.length ? model[op.slot] : null;
      if (held) model[op.slot] = null;
      return held;
    }
    case 'set':
      if (op.slot < 0 || op.slot >= model.length) return false;
      model[op.slot] = cap(op.rights);
      return true;
    case 'setIfEmpty':
      if (op.slot < 0 || op.slot >= model.length || model[op.slot] !== null) return false;
      model[op.slot] = cap(op.rights);
      return true;
    case 'derive': {
      const held = op.slot >= 0 && op.slot < model.length ? model[op.slot] : null;
      return held && (op.rights & held.rights) === op.rights ? cap(op.rights) : null;
    }
  }
}

function real(table: CapTable, op: Op): unknown {
  switch (op.op) {
    case 'allocate':
      return table.allocate(cap(op.rights));
    case 'clear':
      return table.clear();
    case 'set':
    case 'setIfEmpty':
      return table[op.op](op.slot, cap(op.rights));
    case 'derive':
      return table.derive(op.slot, op.rights);
    case 'get':
    case 'take':
      return table[op.op](op.slot);
  }
}

describe('CapTable', () => {
  it('behaves as the naive table', () => {
    const slot = fc.integer({ min: -1, max: 6 });
    const rights = fc.nat(15);
    const op: fc.Arbitrary<Op> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ op: fc.constant('allocate' as const), rights }) },
      {
        weight: 8,
        arbitrary: fc.record({
          op: fc.constantFrom('get', 'take', 'set', 'setIfEmpty', 'derive' as const),
          slot,
          rights,
        }),
      },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const), rights }) },
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const table = new CapTable(5);
        const model: (Capability | null)[] = new Array<Capability | null>(5).fill(null);
        for (const o of ops) {
          expect(real(table, o)).toEqual(naive(model, o));
          expect([...table.entries()]).toEqual([...model.entries()].filter(([, c]) => c !== null));
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('has 96 slots and refuses the 97th', () => {
    const table = new CapTable();
    for (let i = 0; i < CAP_SLOTS; i++) expect(table.allocate(cap(1))).toBe(i);
    expect(table.allocate(cap(1))).toBe(-1);
    expect(table.set(CAP_SLOTS, cap(1))).toBe(false);
  });

  it('rights 0 is a legal subset', () => {
    const table = new CapTable();
    table.allocate(cap(Rights.MAP));
    expect(table.derive(0, 0)).toEqual(cap(0));
    expect(table.derive(0, Rights.MAP | Rights.SEND)).toBeNull();
  });

  it('shows capabilities to the trace without extra fields', () => {
    expect(traceCap({ kind: 'factory', rights: 8 })).toEqual({ kind: 'factory', rights: 8 });
    expect(traceCap({ kind: 'endpoint', endpoint: 3, rights: 1 })).toEqual({
      kind: 'endpoint',
      endpoint: 3,
      rights: 1,
    });
    expect(traceCap({ kind: 'mmio', base: 1, len: 2, rights: 4 })).toEqual({
      kind: 'mmio',
      base: 1,
      len: 2,
      rights: 4,
    });
  });
});
