import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryBlocks } from './blocks.ts';
import { CONTRACT_STORE, REFERENCE_STORE } from './store.ts';
import type { Store, StoreOptions } from './store.ts';
import { hex, openStore as open, run, textOf, utf8, WriteLogBlocks } from './test-kit.ts';

const BOTH: readonly (readonly [string, StoreOptions])[] = [
  ['contract', CONTRACT_STORE],
  ['reference', REFERENCE_STORE],
];

type Op =
  | { readonly kind: 'put'; readonly key: string; readonly size: number }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'sync' }
  | { readonly kind: 'reopen' };

const KEYS = ['/state/a', '/state/b', '/state/c/d', '/state/\u{1f600}', '/state/\uffff'];
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('put'), key: fc.constantFrom(...KEYS), size: fc.nat(200) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete'), key: fc.constantFrom(...KEYS) }) },
  { weight: 1, arbitrary: fc.constant<Op>({ kind: 'sync' }) },
  { weight: 1, arbitrary: fc.constant<Op>({ kind: 'reopen' }) },
);

/** Comparable content of a store. */
function contentOf(store: Store<never>): string {
  const keys = store.list('/state/', Infinity) as readonly string[];
  return JSON.stringify(keys.map((key) => [key, textOf(store.get(key))]));
}

/** Runs ops on the store and on a plain map; returns the map's content after every op, and the last synced index. */
function drive(
  store: Store<never>,
  ops: readonly Op[],
  model: Map<string, string>,
  tag: string,
): { readonly states: readonly string[]; readonly synced: number } {
  const snapshot = (): string =>
    JSON.stringify([...model].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  const states = [snapshot()];
  let synced = 0;
  ops.forEach((operation, i) => {
    switch (operation.kind) {
      case 'put': {
        const value = `${tag}${i}`.padEnd(operation.size, '.');
        if (run(store.put(operation.key, utf8(value))) === null) model.set(operation.key, value);
        break;
      }
      case 'delete': {
        const result = run(store.delete(operation.key));
        expect(result === 'not-found').toBe(!model.has(operation.key));
        if (result === null) model.delete(operation.key);
        break;
      }
      case 'sync':
        if (run(store.sync()) === null) synced = i + 1;
        break;
      case 'reopen':
        while (run(store.reopen()) !== null) expect(run(store.put(KEYS[0] ?? '', utf8('refused')))).toBe('io');
        break;
    }
    states.push(snapshot());
  });
  return { states, synced };
}

/** A medium after a power cut: every block as it was flushed, or as any of the writes after that left it. */
function cutPower(device: WriteLogBlocks, chance: Iterator<number>): readonly Uint8Array[] {
  return device.durable.map((block, index) => {
    const versions = [block, ...device.pending.filter((write) => write.index === index).map((write) => write.data)];
    return versions[(chance.next().value as number) % versions.length] ?? block;
  });
}

describe('properties', () => {
  it.each(BOTH)('behaves as a sorted map, %s', (_name, options) => {
    const property = fc.property(fc.array(op, { maxLength: 60 }), fc.constantFrom(16, 64, 512), (ops, blockSize) => {
      const store = open(new MemoryBlocks(blockSize, Math.ceil(20_000 / blockSize)), options);
      const { states } = drive(store, ops, new Map(), 'v');
      expect(contentOf(store)).toBe(states.at(-1));
    });
    fc.assert(property, { seed: 20240, numRuns: 150 });
  });

  it.each(BOTH)('a full device never changes what is stored, %s', (_name, options) => {
    const property = fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const store = open(new MemoryBlocks(64, 8), options);
      const { states } = drive(
        store,
        ops.filter(({ kind }) => kind !== 'delete'),
        new Map(),
        'v',
      );
      expect(contentOf(store)).toBe(states.at(-1));
    });
    fc.assert(property, { seed: 20240, numRuns: 100 });
  });

  it('cut after any prefix of block writes: the state before or after the operation at hand', () => {
    const property = fc.property(fc.array(op, { maxLength: 14 }), fc.constantFrom(16, 64, 512), (ops, blockSize) => {
      const device = new WriteLogBlocks(blockSize, Math.ceil(4000 / blockSize));
      const { states } = drive(open(device), ops, new Map(), 'v');
      const medium: Uint8Array[] = device.current.map(() => new Uint8Array(blockSize));
      let last = 0;
      for (const write of [null, ...device.history]) {
        if (write !== null) medium[write.index] = write.data;
        const cut = new WriteLogBlocks(blockSize, device.blockCount);
        cut.restart(medium);
        const at = states.indexOf(contentOf(open(cut)), last);
        expect(at).toBeGreaterThanOrEqual(last);
        last = at;
      }
      expect(states[last]).toBe(states.at(-1));
    });
    fc.assert(property, { seed: 20240, numRuns: 80 });
  });

  it('lost unflushed writes, over several power cuts: nothing synced is lost, nothing torn, nothing out of order', () => {
    const session = fc.tuple(fc.array(op, { maxLength: 12 }), fc.infiniteStream(fc.nat(0xffff)));
    const property = fc.property(
      fc.array(session, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(16, 64, 512),
      (sessions, blockSize) => {
        const device = new WriteLogBlocks(blockSize, Math.ceil(12_000 / blockSize));
        let model = new Map<string, string>();
        sessions.forEach(([ops, chance], number) => {
          const store = open(device);
          const { states, synced } = drive(store, ops, new Map(model), `${number}:`);
          device.restart(cutPower(device, chance));
          const survivor = contentOf(open(device));
          expect(states.indexOf(survivor, synced)).toBeGreaterThanOrEqual(synced);
          model = new Map(JSON.parse(survivor) as [string, string][]);
        });
      },
    );
    fc.assert(property, { seed: 20240, numRuns: 300 });
  });

  it('I/O errors anywhere, then a power cut: what failed never shows, what was synced stays', () => {
    const errors = fc.uniqueArray(fc.integer({ min: 2, max: 60 }), { maxLength: 12 });
    const property = fc.property(
      fc.array(op, { maxLength: 14 }),
      errors,
      fc.constantFrom(16, 64, 512),
      fc.infiniteStream(fc.nat(0xffff)),
      (ops, failing, blockSize, chance) => {
        const device = new WriteLogBlocks(blockSize, Math.ceil(4000 / blockSize));
        const store = open(device);
        device.failing = (count) => failing.includes(count);
        const { states, synced } = drive(store, ops, new Map(), 'v');
        device.failing = null;
        expect(contentOf(store)).toBe(states.at(-1));
        device.restart(cutPower(device, chance));
        expect(states.indexOf(contentOf(open(device)), synced)).toBeGreaterThanOrEqual(synced);
      },
    );
    fc.assert(property, { seed: 20240, numRuns: 300 });
  });

  it('any bytes on the medium open without an error, and what is put then survives', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (noise, withMagic) => {
      const device = new MemoryBlocks(64, 40);
      device.bytes.set(noise);
      if (withMagic) device.bytes.set(hex('4653584e 01'));
      const store = open(device);
      expect(run(store.put('/state/a', utf8('1')))).toBeNull();
      expect(run(store.reopen())).toBeNull();
      expect(textOf(store.get('/state/a'))).toBe('1');
      expect(store.list('/state/', 9)).toEqual(['/state/a']);
    });
    fc.assert(property, { seed: 20240, numRuns: 300 });
  });
});
