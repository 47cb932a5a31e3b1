/** The peer table against a naive list (sheet 70, section 9.3). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { publicKey } from '../lib/noise.ts';
import type { Announce } from './discovery.ts';
import { PEERS_MAX, PeerAddresses, PeerTable } from './peers.ts';

const KEY = publicKey(new Uint8Array(32));
const peer = (deviceId: string, port = 1): Announce => ({ deviceId, port, staticKey: KEY, services: [] });

describe('peer table', () => {
  it('two places, three peers: the first is gone', () => {
    const table = new PeerTable(2);
    for (const id of ['1', '2', '3']) table.insert(peer(id));
    expect(table.ids).toEqual(['3', '2']);
    expect(table.peek('1')).toBeNull();
  });

  it('a peer heard again comes first, with its new data', () => {
    const table = new PeerTable(3);
    table.insert(peer('1', 10));
    table.insert(peer('2'));
    table.insert(peer('1', 11));
    expect(table.ids).toEqual(['1', '2']);
    expect(table.peek('1')?.port).toBe(11);
  });

  it('get makes it the most recent, peek does not', () => {
    const table = new PeerTable(3);
    for (const id of ['1', '2', '3']) table.insert(peer(id));
    table.peek('1');
    expect(table.ids).toEqual(['3', '2', '1']);
    expect(table.get('1')?.deviceId).toBe('1');
    expect(table.ids).toEqual(['1', '3', '2']);
    expect(table.get('none')).toBeNull();
  });

  it('a known peer in a full table pushes nobody out', () => {
    const table = new PeerTable(2);
    for (const id of ['1', '2', '1']) table.insert(peer(id));
    expect(table.ids).toEqual(['1', '2']);
  });

  it('behaves as a list that is searched from the front', () => {
    const step = fc.record({
      kind: fc.constantFrom('insert', 'get', 'peek'),
      id: fc.nat(20).map((n) => `peer-${n}`),
      port: fc.nat(0xffff),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: PEERS_MAX }), fc.array(step, { maxLength: 60 }), (capacity, steps) => {
        const table = new PeerTable(capacity);
        let naive: Announce[] = [];
        for (const { kind, id, port } of steps) {
          const found = naive.find((p) => p.deviceId === id) ?? null;
          if (kind === 'insert') {
            table.insert(peer(id, port));
            naive = [peer(id, port), ...naive.filter((p) => p !== found)].slice(0, capacity);
          } else if (kind === 'get') {
            expect(table.get(id)).toEqual(found);
            if (found !== null) naive = [found, ...naive.filter((p) => p !== found)];
          } else expect(table.peek(id)).toEqual(found);
          expect(table.ids).toEqual(naive.map((p) => p.deviceId));
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});

describe('peer addresses', () => {
  const ip = (last: number): Ipv4 => ipv4(10, 0, 2, last);

  it('one address per id; pruning keeps the order it is given and forgets the rest', () => {
    const addresses = new PeerAddresses();
    addresses.set('a', ip(1));
    addresses.set('b', ip(2));
    addresses.set('a', ip(3));
    expect([addresses.get('a'), addresses.get('b'), addresses.get('c')]).toEqual([ip(3), ip(2), null]);
    expect(addresses.ids).toEqual(['a', 'b']);
    addresses.prune(['c', 'b', 'a']);
    expect(addresses.ids).toEqual(['b', 'a']);
    addresses.prune(['b']);
    expect(addresses.get('a')).toBeNull();
    expect(addresses.get('b')).toBe(ip(2));
  });
});
