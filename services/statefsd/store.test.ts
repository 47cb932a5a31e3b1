import { describe, expect, it } from 'vitest';
import { MemoryBlocks } from './blocks.ts';
import { MAX_REPLAY_RECORDS } from './journal.ts';
import { encodeRecord, RECORD_CHECKPOINT, RECORD_DELETE, RECORD_PUT } from './record.ts';
import { CONTRACT_STORE, REFERENCE_STORE, Store } from './store.ts';
import type { StoreOptions } from './store.ts';
import { hex, openStore as open, run, textOf, utf8, WriteLogBlocks } from './test-kit.ts';

const BOTH: readonly (readonly [string, StoreOptions])[] = [
  ['contract', CONTRACT_STORE],
  ['reference', REFERENCE_STORE],
];

describe.each(BOTH)('reference unit tests (section 15.4), %s', (_name, options) => {
  it('put, get, list, delete', () => {
    const store = open(new MemoryBlocks(), options);
    expect(run(store.put('/state/b', utf8('2')))).toBeNull();
    expect(run(store.put('/state/a', utf8('1')))).toBeNull();
    expect(textOf(store.get('/state/a'))).toBe('1');
    expect(store.list('/state/', 10)).toEqual(['/state/a', '/state/b']);
    expect(run(store.delete('/state/a'))).toBeNull();
    expect(store.list('/state', 10)).toEqual(['/state/b']);
    expect(store.get('/state/a')).toBe('not-found');
    expect(run(store.delete('/state/a'))).toBe('not-found');
  });

  it('last values survive three reopens with overwrites and deletes', () => {
    const device = new MemoryBlocks();
    const store = open(device, options);
    for (let cycle = 0; cycle < 3; cycle++) {
      for (const value of ['x', 'y', `z${cycle}`]) expect(run(store.put('/state/k', utf8(value)))).toBeNull();
      expect(run(store.put(`/state/gone`, utf8('g')))).toBeNull();
      expect(run(store.delete('/state/gone'))).toBeNull();
      expect(run(store.reopen())).toBeNull();
      expect(textOf(store.get('/state/k'))).toBe(`z${cycle}`);
      expect(store.list('/state/', 9)).toEqual(['/state/k']);
    }
  });

  it('a flipped byte ends the journal before its record, without an error', () => {
    const device = new MemoryBlocks();
    run(open(device, options).put('/state/a', utf8('v')));
    device.bytes[11] = (device.bytes[11] ?? 0) ^ 0xff;
    expect(open(device, options).get('/state/a')).toBe('not-found');
  });

  it('an unknown opcode opens empty', () => {
    const device = new MemoryBlocks();
    device.bytes.set(hex('4653584e ff'));
    expect(open(device, options).size).toBe(0);
  });

  it('refuses too large values, too long and invalid keys, in that order of keys first', () => {
    const store = open(new MemoryBlocks(512, 400), options);
    expect(run(store.put('/state/a', new Uint8Array(65_537)))).toBe('value-too-large');
    expect(run(store.put('/state/a', new Uint8Array(65_536)))).toBeNull();
    expect(run(store.put(`/state/${'x'.repeat(255)}`, new Uint8Array(65_537)))).toBe('key-too-long');
    expect(run(store.put('/other/key', new Uint8Array(65_537)))).toBe('invalid-key');
    expect(store.get('/state')).toBe('invalid-key');
    expect(run(store.delete('state/key'))).toBe('invalid-key');
    expect(store.list('', 1)).toBe('invalid-key');
    expect(store.list('/stat', 1)).toBe('invalid-key');
  });

  it('list keeps to its limit', () => {
    const store = open(new MemoryBlocks(), options);
    for (let i = 0; i < 10; i++) run(store.put(`/state/k${i}`, utf8('v')));
    expect(store.list('/state/', 5)).toHaveLength(5);
    expect(store.list('/state/k3', 5)).toEqual(['/state/k3']);
    expect(store.list('/state/z', 5)).toEqual([]);
  });

  it('two records, then a header that claims K = 5 and V = 1000 with a partial key', () => {
    const device = new MemoryBlocks(64, 4);
    const store = open(device, options);
    run(store.put('/state/a', utf8('1')));
    run(store.put('/state/b', utf8('2')));
    device.bytes.set(hex('4653584e 01 0500 e8030000 2f73'), store.writePos);
    expect(open(device, options).list('/state/', 9)).toEqual(['/state/a', '/state/b']);
  });

  it('records that span two and more blocks', () => {
    const device = new MemoryBlocks(512, 6);
    const store = open(device, options);
    expect(run(store.put('/state/big', new Uint8Array(1300).fill(7)))).toBeNull();
    expect(run(store.put('/state/small', utf8('s')))).toBeNull();
    const again = open(device, options);
    expect(again.get('/state/big')).toEqual(new Uint8Array(1300).fill(7));
    expect(textOf(again.get('/state/small'))).toBe('s');
  });

  it('a full device refuses with io and stays as it was', () => {
    const store = open(new MemoryBlocks(64, 2), options);
    expect(run(store.put('/state/a', new Uint8Array(128 - 23)))).toBeNull();
    expect(store.writePos).toBe(128);
    expect(run(store.put('/state/b', utf8('')))).toBe('io');
    expect(run(store.reopen())).toBeNull();
    expect(store.list('/state/', 9)).toEqual(['/state/a']);
  });

  it('an I/O error leaves map and position unchanged', () => {
    const device = new WriteLogBlocks(64, 4);
    const store = open(device, options);
    run(store.put('/state/a', utf8('1')));
    const before = store.writePos;
    device.failAt = device.ops.length + 2;
    expect(run(store.put('/state/b', utf8('2')))).toBe('io');
    expect([store.writePos, store.recordCount, store.size]).toEqual([before, 1, 1]);
    device.failAt = device.ops.length + 1;
    expect(run(store.sync())).toBe('io');
  });

  it('replays deletes and checkpoints with a value, and empty keys; counts every record', () => {
    const device = new MemoryBlocks();
    const records = [
      encodeRecord(RECORD_PUT, utf8('/state/a'), utf8('1')),
      encodeRecord(RECORD_CHECKPOINT, utf8('x'), utf8('ignored')),
      encodeRecord(RECORD_DELETE, utf8('/state/a'), utf8('ignored')),
      encodeRecord(RECORD_PUT, utf8(''), utf8('no path')),
      encodeRecord(RECORD_DELETE, utf8('/state/missing'), utf8('')),
    ];
    device.bytes.set(Buffer.concat(records));
    const store = open(device, options);
    expect([store.recordCount, store.size]).toEqual([5, 1]);
  });
});

describe('device traffic', () => {
  function withPosition186(options: StoreOptions): { readonly device: WriteLogBlocks; readonly store: Store<never> } {
    const device = new WriteLogBlocks(512, 8);
    const store = open(device, options);
    expect(device.ops).toEqual(['read 0']);
    run(store.put('/state/a', new Uint8Array(186 - 23)));
    expect(store.writePos).toBe(186);
    device.ops.length = 0;
    return { device, store };
  }

  it('the reference writes the blocks of a record in order (section 15.1)', () => {
    const { device, store } = withPosition186(REFERENCE_STORE);
    run(store.put('/state/x/big', new Uint8Array(400).fill(0x55)));
    expect(device.ops).toEqual(['read 0', 'write 0', 'read 1', 'write 1']);
    expect(device.current[1]?.slice(613 - 512 - 4, 613 - 512)).toEqual(hex('776aca9d'));
    device.ops.length = 0;
    run(store.reopen());
    expect(device.ops).toEqual(['read 0', 'read 1']);
  });

  it('the contract writes the last block first, and flushes only over stale bytes', () => {
    const { device, store } = withPosition186(CONTRACT_STORE);
    run(store.put('/state/x/big', new Uint8Array(400).fill(0x55)));
    expect(device.ops).toEqual(['read 1', 'write 1', 'read 0', 'write 0']);
    expect(device.current[1]?.slice(613 - 512 - 4, 613 - 512)).toEqual(hex('776aca9d'));

    const stale = withPosition186(CONTRACT_STORE);
    (stale.device.current[1] ?? hex('')).fill(0xaa);
    run(stale.store.put('/state/x/big', new Uint8Array(400).fill(0x55)));
    expect(stale.device.ops).toEqual(['read 1', 'write 1', 'read 0', 'flush', 'write 0']);
    expect(stale.device.current[1]?.slice(101, 112)).toEqual(new Uint8Array(11));
    expect(stale.device.current[1]?.[112]).toBe(0xaa);
  });

  it('reads ceil((write position + 15) / block size) blocks, at least one, at most all', () => {
    for (const valueLength of [0, 26, 27, 28, 41, 42, 43, 60, 106]) {
      const device = new WriteLogBlocks(64, 2);
      const store = open(device);
      expect(run(store.put('/state/', new Uint8Array(valueLength)))).toBeNull();
      device.ops.length = 0;
      run(store.reopen());
      const expected = Math.min(2, Math.ceil((store.writePos + 15) / 64));
      expect(device.ops, `write position ${store.writePos}`).toHaveLength(expected);
    }
  });

  it('sync flushes once, put and delete never', () => {
    const device = new WriteLogBlocks(512, 8);
    const store = open(device);
    run(store.put('/state/a', utf8('1')));
    run(store.delete('/state/a'));
    expect(device.ops).not.toContain('flush');
    expect(run(store.sync())).toBeNull();
    expect(device.ops.filter((op) => op === 'flush')).toHaveLength(1);
  });

  it('OBS-2: a header with impossible lengths ends replay at once; the reference reads on to the end', () => {
    for (const [options, reads] of [
      [CONTRACT_STORE, 1],
      [REFERENCE_STORE, 40],
    ] as const) {
      const device = new WriteLogBlocks(512, 40);
      (device.current[0] ?? hex('')).set(hex('4653584e 01 0500 ffffffff 6162636465'));
      expect(open(device, options).size).toBe(0);
      expect(device.ops).toHaveLength(reads);
    }
  });
});

describe('the replay limit', () => {
  function longJournal(): MemoryBlocks {
    const record = encodeRecord(RECORD_PUT, utf8('/state/a'), utf8(''));
    const device = new MemoryBlocks(512, Math.ceil((record.length * MAX_REPLAY_RECORDS) / 512) + 3);
    for (let i = 0; i < MAX_REPLAY_RECORDS; i++) device.bytes.set(record, i * record.length);
    return device;
  }
  const device = longJournal();

  it('OBS-20: 100000 records fail the replay; the store is read-only until a replay succeeds', () => {
    expect(run(Store.open(device, CONTRACT_STORE))).toBe('replay-limit');

    const small = new WriteLogBlocks(512, 4);
    const store = open(small);
    run(store.put('/state/a', utf8('1')));
    run(store.put('/state/b', utf8('2')));
    small.failAt = small.ops.length + 1;
    expect(run(store.reopen())).toBe('io');
    expect(store.readOnly).toBe(true);
    expect(run(store.put('/state/c', utf8('3')))).toBe('io');
    expect(run(store.reopen())).toBeNull();
    expect(store.readOnly).toBe(false);
    expect(store.list('/state/', 9)).toEqual(['/state/a', '/state/b']);
  });

  it('statefs-tail: after a failed replay the reference writes over the head of the journal', () => {
    const small = new WriteLogBlocks(512, 4);
    const store = open(small, REFERENCE_STORE);
    run(store.put('/state/a', utf8('1')));
    run(store.put('/state/b', utf8('2')));
    small.failAt = small.ops.length + 1;
    expect(run(store.reopen())).toBe('io');
    expect(store.writePos).toBe(0);
    expect(run(store.put('/state/c', utf8('3')))).toBeNull();
    // Same length as the record it overwrote: the old second record is alive again, the first one is gone.
    expect(run(store.reopen())).toBeNull();
    expect(store.list('/state/', 9)).toEqual(['/state/b', '/state/c']);
  });
});

describe('stale tails', () => {
  function corruptedFirst(options: StoreOptions): Store<never> {
    const device = new MemoryBlocks();
    const first = open(device, options);
    run(first.put('/state/a', utf8('1')));
    run(first.put('/state/old', utf8('secret')));
    device.bytes[15] = (device.bytes[15] ?? 0) ^ 0xff;
    const store = open(device, options);
    expect(store.size).toBe(0);
    expect(run(store.put('/state/n', utf8('9')))).toBeNull();
    expect(run(store.reopen())).toBeNull();
    return store;
  }

  it('OBS-20: a record of a dead journal never comes alive again', () => {
    expect(corruptedFirst(CONTRACT_STORE).list('/state/', 9)).toEqual(['/state/n']);
  });

  it('statefs-tail: in the reference it does', () => {
    expect(corruptedFirst(REFERENCE_STORE).list('/state/', 9)).toEqual(['/state/n', '/state/old']);
  });

  /**
   * A record that crosses a block and one behind it; power fails with only their second block on the medium. Then the
   * same put is done again, and power fails once more: `survives` says which of its writes reach the medium.
   */
  function putTwice(options: StoreOptions, survives: (write: { index: number }, n: number) => boolean): Store<never> {
    const device = new WriteLogBlocks(64, 8);
    const first = open(device, options);
    run(first.put('/state/a', new Uint8Array(60)));
    run(first.put('/state/lost', utf8('x')));
    device.restart(device.current.map((block, i) => (i === 0 ? new Uint8Array(64) : block)));
    const again = open(device, options);
    expect(again.size).toBe(0);
    run(again.put('/state/a', new Uint8Array(60)));
    const medium = device.durable.map((block) => block);
    device.pending.filter(survives).forEach(({ index, data }) => (medium[index] = data));
    device.restart(medium);
    return open(device, options);
  }

  it('OBS-20: a put that is cut, or loses a block, never brings back what stood behind its predecessor', () => {
    expect(putTwice(CONTRACT_STORE, (_, n) => n === 0).list('/state/', 9)).toEqual(['/state/a']);
    expect(putTwice(CONTRACT_STORE, ({ index }) => index === 0).list('/state/', 9)).toEqual(['/state/a']);
    expect(putTwice(CONTRACT_STORE, () => false).list('/state/', 9)).toEqual([]);
  });

  it('statefs-tail: in the reference it does, also when nothing is lost', () => {
    expect(putTwice(REFERENCE_STORE, (_, n) => n === 0).list('/state/', 9)).toEqual(['/state/a', '/state/lost']);
    expect(putTwice(REFERENCE_STORE, () => true).list('/state/', 9)).toEqual(['/state/a', '/state/lost']);
  });

  it('what the contract writes, the reference reads, and the other way round', () => {
    for (const [writer, reader] of [
      [CONTRACT_STORE, REFERENCE_STORE],
      [REFERENCE_STORE, CONTRACT_STORE],
    ] as const) {
      const device = new MemoryBlocks(64, 40);
      const store = open(device, writer);
      for (let i = 0; i < 20; i++) run(store.put(`/state/${i % 7}`, new Uint8Array(i * 3).fill(i)));
      run(store.delete('/state/3'));
      const mounted = open(device, reader);
      expect(mounted.list('/state/', 99)).toEqual(store.list('/state/', 99));
      for (const key of store.list('/state/', 99) as string[]) expect(mounted.get(key)).toEqual(store.get(key));
      expect(mounted.writePos).toBe(store.writePos);
    }
  });
});
