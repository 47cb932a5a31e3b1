import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4 } from '../../sim/net/address.ts';
import { Assembler, ASSEMBLER_RUNS } from './assembler.ts';
import { ByteRing } from './bytes.ts';
import { UDP_QUEUE_BYTES, UDP_QUEUE_PACKETS, UdpSocket } from './datagram-sockets.ts';
import { ARP_SILENCE_MS, NEIGHBOR_ENTRIES, NEIGHBOR_LIFETIME_MS, NeighborCache } from './neighbors.ts';
import { Prng } from './prng.ts';
import { isLoopTcp, isLoopUdp, SocketTables } from './tables.ts';
import { TcpSocket } from './tcp-socket.ts';
import type { Ipv4, Mac } from '../../sim/net/address.ts';

/** Sections 6.3 and 6.5 with plain arrays. */
class NaiveTables {
  readonly listeners: { port: number; pending: number | null }[] = [];
  readonly streams: ({ peer: number; rx: number[] } | null)[] = [];

  connect(port: number): number {
    const id = this.streams.length + 1;
    this.streams.push({ peer: id + 1, rx: [] }, { peer: id, rx: [] });
    const taker = this.listeners.find((l) => l.port === port && l.pending === null);
    if (taker !== undefined) taker.pending = id + 1;
    return id;
  }

  write(id: number, data: readonly number[]): number | null | 'none' {
    const stream = this.streams[id - 1];
    if (stream === null || stream === undefined) return 'none';
    const peer = this.streams[stream.peer - 1];
    if (peer === null || peer === undefined) return null;
    const taken = data.slice(0, 128 - peer.rx.length);
    peer.rx.push(...taken);
    return taken.length;
  }

  read(id: number, max: number): number[] | 'none' {
    return this.streams[id - 1]?.rx.splice(0, max) ?? 'none';
  }
}

describe('handle tables and loopback against a naive model (sheet 70, sections 6.3 and 6.5)', () => {
  const id = fc.nat({ max: 12 });
  const tcpPort = fc.constantFrom(34_567, 34_568);
  const command = fc.oneof(
    fc.record({ kind: fc.constantFrom('listen', 'connect'), port: tcpPort, id, bytes: fc.constant(0) }),
    fc.record({ kind: fc.constantFrom('accept', 'close'), port: fc.constant(0), id, bytes: fc.constant(0) }),
    fc.record({ kind: fc.constantFrom('write', 'read'), port: fc.constant(0), id, bytes: fc.nat({ max: 150 }) }),
  );
  it('the same ids, bytes and failures after every step', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        const real = new SocketTables();
        const model = new NaiveTables();
        let byte = 0;
        for (const { kind, port, id: at, bytes } of commands) {
          if (kind === 'listen') {
            model.listeners.push({ port, pending: null });
            expect(real.addLoopListener(port)).toBe(model.listeners.length);
          } else if (kind === 'connect') {
            expect(real.connectLoop(port)).toBe(model.connect(port));
          } else if (kind === 'accept') {
            const listener = real.listener(at);
            const naive = model.listeners[at - 1];
            expect(listener === null).toBe(naive === undefined);
            if (listener?.kind !== 'loop' || naive === undefined) continue;
            expect(real.acceptLoop(listener)).toBe(naive.pending);
            naive.pending = null;
          } else if (kind === 'close') {
            const open = (model.streams[at - 1] ?? null) !== null;
            if (open) model.streams[at - 1] = null;
            expect(real.close(at)).toBe(open);
          } else if (kind === 'write') {
            const data = Array.from({ length: bytes }, () => (byte = (byte + 1) % 256));
            const stream = real.stream(at);
            const taken = stream?.kind === 'loop' ? real.writeLoop(stream, Uint8Array.from(data)) : 'none';
            expect(taken).toBe(model.write(at, data));
          } else {
            const stream = real.stream(at);
            expect(stream?.kind === 'loop' ? [...stream.rx.pop(bytes)] : 'none').toEqual(model.read(at, bytes));
          }
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('real and loopback sockets share the numbering of their table', () => {
    const tables = new SocketTables();
    const socket = new TcpSocket(8, 8, null);
    expect([tables.addListener(socket), tables.addLoopListener(34_567), tables.addListener(socket)]).toEqual([1, 2, 3]);
    expect([tables.addStream(socket), tables.connectLoop(34_567), tables.addStream(socket)]).toEqual([1, 2, 4]);
    expect(tables.close(4)).toBe(true);
    expect([tables.stream(4), tables.addStream(socket), tables.stream(0), tables.udp(1)]).toEqual([
      null,
      5,
      null,
      null,
    ]);
  });

  it('loopback is keyed on the literal address and ports', () => {
    const own = ipv4(10, 0, 2, 15);
    expect([isLoopTcp(own, 34_567), isLoopTcp(own, 34_568), isLoopTcp(own, 34_569)]).toEqual([true, true, false]);
    expect(isLoopTcp(ipv4(10, 42, 0, 10), 34_567)).toBe(false);
    expect([isLoopUdp(own, 37_020), isLoopUdp(ipv4(0, 0, 0, 0), 37_020), isLoopUdp(own, 1)]).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe('byte ring against an array', () => {
  it('push, pop, peek and bytes put behind the end', () => {
    const command = fc.record({ kind: fc.constantFrom('push', 'pop', 'peek', 'ahead'), n: fc.nat({ max: 12 }) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.array(command, { maxLength: 60 }), (capacity, commands) => {
        const ring = new ByteRing(capacity);
        const model: number[] = [];
        let byte = 0;
        for (const { kind, n } of commands) {
          const data = Array.from({ length: n }, () => (byte = (byte + 1) % 256));
          if (kind === 'push') {
            const taken = data.slice(0, capacity - model.length);
            model.push(...taken);
            expect(ring.push(Uint8Array.from(data))).toBe(taken.length);
          } else if (kind === 'pop') expect([...ring.pop(n)]).toEqual(model.splice(0, n));
          else if (kind === 'peek') expect([...ring.peek(n, 3)]).toEqual(model.slice(n, n + 3));
          else {
            // The second half first, then the first, then both are taken in.
            const fits = Math.min(n, ring.free);
            const half = fits >> 1;
            ring.writeAhead(half, Uint8Array.from(data.slice(half, fits)));
            ring.writeAhead(0, Uint8Array.from(data.slice(0, half)));
            ring.extend(fits);
            model.push(...data.slice(0, fits));
          }
          expect([ring.length, ring.free]).toEqual([model.length, capacity - model.length]);
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('assembler against a set of positions', () => {
  it('takes in what is contiguous, refuses a run too many', () => {
    const segment = fc.tuple(fc.nat({ max: 40 }), fc.integer({ min: 1, max: 10 }));
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
        const assembler = new Assembler();
        let have = new Set<number>();
        for (const [offset, length] of segments) {
          const added = new Set(have);
          for (let i = 0; i < length; i++) added.add(offset + i);
          const runs = [...added].filter((n) => !added.has(n - 1)).length;
          expect(assembler.add(offset, length)).toBe(runs <= ASSEMBLER_RUNS);
          if (runs <= ASSEMBLER_RUNS) have = added;
          let front = 0;
          while (have.has(front)) front += 1;
          expect(assembler.takeFront()).toBe(front);
          have = new Set([...have].filter((n) => n >= front).map((n) => n - front));
          expect(assembler.empty).toBe(have.size === 0);
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('neighbour cache', () => {
  const mac = (n: number): Mac => n as Mac;
  const ip = (n: number): Ipv4 => n as Ipv4;
  it('keeps four entries of a minute; the one that ends first makes room', () => {
    const cache = new NeighborCache();
    for (let i = 1; i <= NEIGHBOR_ENTRIES; i++) cache.fill(ip(i), mac(i), i);
    cache.fill(ip(1), mac(11), 10);
    cache.fill(ip(9), mac(9), 11);
    expect([1, 2, 3, 4, 9].map((n) => cache.lookup(ip(n), 12))).toEqual([11, 'unknown', 3, 4, 9]);
    expect(cache.has(ip(3), 3 + NEIGHBOR_LIFETIME_MS)).toBe(false);
    cache.flush();
    expect(cache.has(ip(9), 12)).toBe(false);
  });

  it('one request silences all for a second', () => {
    const cache = new NeighborCache();
    cache.startSilence(100);
    expect(cache.lookup(ip(5), 100 + ARP_SILENCE_MS - 1)).toBe('silent');
    expect(cache.lookup(ip(6), 100 + ARP_SILENCE_MS)).toBe('unknown');
  });
});

describe('UDP queues', () => {
  it('hold four datagrams and 2,048 bytes each way; the rest is refused or lost', () => {
    const own = ipv4(10, 0, 2, 15);
    const peer = { ip: ipv4(10, 0, 2, 2), port: 53 };
    const socket = new UdpSocket(own, 40_000);
    const send = (bytes: number): boolean => socket.send({ ...peer, payload: new Uint8Array(bytes) });
    expect(Array.from({ length: 5 }, () => send(27))).toEqual([true, true, true, true, false]);
    expect(UDP_QUEUE_PACKETS).toBe(4);
    for (let i = 0; i < 4; i++) socket.sent();
    expect([send(UDP_QUEUE_BYTES), send(1)]).toEqual([true, false]);
    const payload = Uint8Array.of(1);
    for (let i = 0; i < 6; i++) socket.process({ ...peer, payload });
    payload[0] = 2;
    for (let i = 0; i < 4; i++) expect(socket.recv()?.payload).toEqual(Uint8Array.of(1));
    expect(socket.recv()).toBeNull();
  });

  it('0.0.0.0 is no wildcard (Q9)', () => {
    const any = new UdpSocket(ipv4(0, 0, 0, 0), 9);
    const own = ipv4(10, 0, 2, 15);
    expect(any.accepts(own, 9, false)).toBe(false);
    expect(any.accepts(own, 9, true)).toBe(true);
    expect(any.accepts(ipv4(239, 42, 0, 1), 9, false)).toBe(true);
    expect(new UdpSocket(own, 9).accepts(own, 9, false)).toBe(true);
    expect(new UdpSocket(own, 9).accepts(own, 8, false)).toBe(false);
  });
});

describe('pseudo-random numbers', () => {
  it('the sequence of section 3', () => {
    const prng = new Prng();
    const drawn = Array.from({ length: 6 }, () => prng.next().toString(16));
    expect(drawn).toEqual(['9b17b9dd', '780a1fde', '2043e7ee', 'a1c55f90', 'bcd91fe', '48670b1e']);
  });

  it('skipping is drawing', () => {
    fc.assert(
      fc.property(fc.nat({ max: 300 }), (count) => {
        const [a, b] = [new Prng(), new Prng()];
        a.skip(count);
        for (let i = 0; i < count; i++) b.next();
        expect(a.next()).toBe(b.next());
      }),
      { seed: 20240, numRuns: 50 },
    );
  });
});
