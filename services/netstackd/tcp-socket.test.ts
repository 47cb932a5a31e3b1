import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4 } from '../../sim/net/address.ts';
import { resetFor, segmentLength, segmentOf, seqAdd, wireOf } from './tcp-segment.ts';
import type { Segment, TcpPair } from './tcp-segment.ts';
import { TcpSocket } from './tcp-socket.ts';
import type { TcpState } from './tcp-socket.ts';
import { RTO_MAX_MS, RttEstimator } from './tcp-timers.ts';

const A = { ip: ipv4(10, 0, 0, 1), port: 40_000 };
const B = { ip: ipv4(10, 0, 0, 2), port: 80 };
const PAIR_A: TcpPair = { local: A, remote: B };
const PAIR_B: TcpPair = { local: B, remote: A };
const KEEP_ALIVE = 2000;
const NO_BYTES = new Uint8Array(0);

interface Flight {
  readonly at: number;
  readonly to: 'a' | 'b';
  readonly segment: Segment;
}

/** What the wire does with one segment: times after which copies arrive. */
type Fate = readonly number[];

/** A client and a listener on a wire that loses, repeats and reorders. */
class Pipe {
  readonly a = new TcpSocket(8192, 8192, null);
  readonly b = new TcpSocket(1024, 1024, KEEP_ALIVE);
  now = 0;
  segments = 0;
  readonly #flights: Flight[] = [];
  readonly #fates: () => Fate;

  constructor(fates: () => Fate) {
    this.#fates = fates;
    this.b.listen(B.port);
    this.a.connect(PAIR_A, 0xffff_fff0);
  }

  /** Everything due now, until nothing happens. */
  turn(): void {
    for (let worked = true; worked;) {
      worked = false;
      for (let i = this.#flights.findIndex((f) => f.at <= this.now); i >= 0;) {
        const [flight] = this.#flights.splice(i, 1);
        this.#arrive(flight!);
        worked = true;
        i = this.#flights.findIndex((f) => f.at <= this.now);
      }
      for (const side of ['a', 'b'] as const) {
        const socket = this[side];
        const segment = socket.next(this.now);
        if (segment === null) continue;
        this.#emit(side === 'a' ? 'b' : 'a', segment);
        socket.sent(this.now, segment);
        worked = true;
      }
      if (this.segments > 50_000) throw new Error('the connection does not come to rest');
    }
  }

  /** Goes to the next moment at which something happens, at most `most` ms on; false when there is none. */
  step(most = Infinity): boolean {
    const times = [this.a.pollAt, this.b.pollAt, ...this.#flights.map((f) => f.at)].filter((at) => at > this.now);
    const next = Math.min(this.now + most, ...times);
    if (next === Infinity) return false;
    this.now = next;
    this.turn();
    return true;
  }

  #emit(to: 'a' | 'b', segment: Segment): void {
    this.segments += 1;
    const copy = { ...segment, payload: segment.payload.slice() };
    for (const delay of this.#fates()) this.#flights.push({ at: this.now + delay, to, segment: copy });
  }

  #arrive({ to, segment }: Flight): void {
    const socket = this[to];
    const pair = to === 'a' ? PAIR_A : PAIR_B;
    const answer = socket.accepts(pair, segment)
      ? socket.process(this.now, pair, segment, () => 0x7fff_fff0)
      : resetFor(segment);
    if (answer !== null) this.#emit(to === 'a' ? 'b' : 'a', answer);
  }
}

/** One byte stream next to the socket: what was put in must come out, in order, once. */
class Stream {
  readonly input: number[] = [];
  readonly output: number[] = [];
  #next = 0;

  send(socket: TcpSocket, bytes: number): void {
    const data = Uint8Array.from({ length: bytes }, (_, i) => (this.#next + i) % 251);
    const taken = socket.send(data);
    this.#next += taken;
    this.input.push(...data.subarray(0, taken));
  }

  recv(socket: TcpSocket, max: number): void {
    this.output.push(...socket.recv(max));
  }
}

const perfect = (): Fate => [1];

describe('TCP against a reliable stream', () => {
  const fate = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 30 }).map((delay) => [delay]) },
    { weight: 2, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 900 })) },
  );
  const operation = fc.record({
    kind: fc.constantFrom('send-a', 'send-b', 'recv-a', 'recv-b', 'wait'),
    bytes: fc.integer({ min: 1, max: 3000 }),
  });

  it('bytes come out as they went in, whatever the wire does', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fate), fc.array(operation, { maxLength: 60 }), (fates, operations) => {
        let left = 400;
        // A wire that is bad for ever proves nothing about delivery: it gets well after some segments.
        const pipe = new Pipe(() => (left-- > 0 ? (fates.next().value as Fate) : [1]));
        const [up, down] = [new Stream(), new Stream()];
        pipe.turn();
        for (const { kind, bytes } of operations) {
          if (kind === 'send-a') up.send(pipe.a, bytes);
          else if (kind === 'send-b') down.send(pipe.b, bytes);
          else if (kind === 'recv-a') down.recv(pipe.a, bytes);
          else if (kind === 'recv-b') up.recv(pipe.b, bytes);
          pipe.turn();
          if (kind === 'wait') pipe.step(bytes);
          expect(up.output).toEqual(up.input.slice(0, up.output.length));
          expect(down.output).toEqual(down.input.slice(0, down.output.length));
        }
        for (let i = 0; i < 3000; i++) {
          up.recv(pipe.b, 4096);
          down.recv(pipe.a, 4096);
          pipe.turn();
          if (up.output.length === up.input.length && down.output.length === down.input.length) break;
          pipe.step();
        }
        expect(up.output).toEqual(up.input);
        expect(down.output).toEqual(down.input);
      }),
      { seed: 20240, numRuns: 150 },
    );
  });

  it('both sides close, data in flight arrives first', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fate), fc.boolean(), fc.integer({ min: 0, max: 900 }), (fates, first, bytes) => {
        let left = 60;
        const pipe = new Pipe(() => (left-- > 0 ? (fates.next().value as Fate) : [1]));
        for (let i = 0; i < 2000 && !(pipe.a.writable && pipe.b.writable); i++) {
          pipe.turn();
          pipe.step();
        }
        const up = new Stream();
        up.send(pipe.a, bytes);
        (first ? pipe.a : pipe.b).close();
        pipe.turn();
        for (let i = 0; i < 400; i++) {
          up.recv(pipe.b, 100);
          pipe.step(500);
          (first ? pipe.b : pipe.a).close();
          pipe.turn();
        }
        up.recv(pipe.b, 4096);
        expect(up.output).toEqual(up.input);
        expect([pipe.a.state, pipe.b.state]).toEqual(['closed', 'closed']);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});

describe('TCP, single steps', () => {
  const states = (pipe: Pipe): TcpState[] => [pipe.a.state, pipe.b.state];

  it('three segments make a connection; MSS 1446, scale 0, SACK permitted', () => {
    const pipe = new Pipe(perfect);
    const syn = pipe.a.next(0)!;
    expect(syn).toMatchObject({ control: 'syn', ack: null, mss: 1446, scale: 0, sackPermitted: true, window: 8192 });
    pipe.turn();
    expect(states(pipe)).toEqual(['syn-sent', 'listen']);
    pipe.step();
    pipe.step();
    expect(states(pipe)).toEqual(['established', 'syn-received']);
    pipe.step();
    expect(states(pipe)).toEqual(['established', 'established']);
    expect(pipe.segments).toBe(3);
  });

  it('an unanswered SYN comes again after 700 ms, then twice as late, at most 10 s', () => {
    const pipe = new Pipe(() => []);
    const times: number[] = [];
    pipe.turn();
    for (let i = 0; i < 8; i++) {
      const before = pipe.segments;
      pipe.step();
      if (pipe.segments > before) times.push(pipe.now);
    }
    expect(times).toEqual([700, 2100, 4900, 10_500, 20_500, 30_500, 40_500, 50_500]);
    expect(Math.max(...times.map((t, i) => t - (times[i - 1] ?? 0)))).toBe(RTO_MAX_MS);
  });

  it('an acknowledgement waits 10 ms, unless data goes back', () => {
    const pipe = connected();
    pipe.a.send(Uint8Array.of(1));
    pipe.turn();
    pipe.step();
    const before = pipe.segments;
    expect(pipe.b.pollAt).toBe(pipe.now + 10);
    pipe.b.send(Uint8Array.of(2));
    pipe.turn();
    expect(pipe.segments).toBe(before + 1);
    expect(pipe.b.pollAt).toBeGreaterThan(pipe.now + 10);
  });

  it('a listener probes an idle peer every 2 s and is answered', () => {
    const pipe = connected();
    const start = pipe.segments;
    while (pipe.now < 9000) pipe.step(100);
    // Four probes and their answers.
    expect(pipe.segments - start).toBe(8);
    expect(states(pipe)).toEqual(['established', 'established']);
  });

  it('an update of a closed window that got lost comes with the keep-alive', () => {
    let lose = false;
    const pipe = connected(() => (lose ? [] : [1]));
    pipe.a.send(new Uint8Array(3000));
    for (let i = 0; i < 10; i++) pipe.step();
    expect(pipe.b.readable).toBe(1024);
    lose = true;
    pipe.b.recv(1024);
    pipe.turn();
    lose = false;
    for (let i = 0; i < 10; i++) pipe.step();
    expect(pipe.b.readable).toBe(1024);
  });

  it('a reset ends a connection, and gives the listener back while it is set up', () => {
    const pipe = new Pipe(perfect);
    pipe.turn();
    pipe.step();
    expect(pipe.b.state).toBe('syn-received');
    const reset = { ...resetFor({ ...pipe.a.next(700)!, ack: null })!, seq: seqAdd(0xffff_fff0, 1), ack: 0x7fff_fff1 };
    expect(pipe.b.process(1, PAIR_B, reset, () => 0)).toBeNull();
    expect(pipe.b.state).toBe('listen');
    const up = connected();
    const seq = up.a.next(1e9) ?? up.b.next(1e9);
    expect(seq).not.toBeNull();
    const rst: Segment = { ...seq!, control: 'rst', payload: NO_BYTES, seq: 0x7fff_fff1 };
    expect(up.a.process(5, PAIR_A, rst, () => 0)).toBeNull();
    expect(up.a.state).toBe('closed');
    expect(up.a.pair).toBeNull();
  });

  it('segments for nobody are reset; resets are not', () => {
    const segment: Segment = {
      control: 'syn',
      seq: 7,
      ack: null,
      window: 1,
      scale: null,
      mss: null,
      sackPermitted: false,
      payload: Uint8Array.of(1, 2),
    };
    expect(resetFor(segment)).toMatchObject({ control: 'rst', seq: 0, ack: 10 });
    expect(resetFor({ ...segment, ack: 99 })).toMatchObject({ control: 'rst', seq: 99, ack: null });
    expect(resetFor({ ...segment, control: 'rst' })).toBeNull();
  });

  function connected(fates: () => Fate = perfect): Pipe {
    const pipe = new Pipe(fates);
    pipe.turn();
    while (pipe.b.state !== 'established') pipe.step();
    return pipe;
  }
});

const anySegment: fc.Arbitrary<Segment> = fc.record({
  control: fc.constantFrom('none', 'psh', 'syn', 'fin', 'rst'),
  seq: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.nat({ max: 0xffff_ffff })).map((n) => seqAdd(n, 0xffff_fff8)),
  ack: fc.option(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.nat({ max: 0xffff_ffff }))),
  window: fc.nat({ max: 0xffff }),
  scale: fc.option(fc.nat({ max: 14 })),
  mss: fc.option(fc.nat({ max: 0xffff })),
  sackPermitted: fc.boolean(),
  payload: fc.uint8Array({ maxLength: 64 }),
});

describe('TCP under any segments', () => {
  it('never throws, keeps its buffers in bounds, comes to rest', () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant('segment' as const), segment: anySegment }),
      fc.record({ kind: fc.constant('time' as const), ms: fc.nat({ max: 20_000 }) }),
      fc.record({ kind: fc.constant('send' as const), bytes: fc.nat({ max: 200 }) }),
      fc.record({ kind: fc.constant('recv' as const), bytes: fc.nat({ max: 200 }) }),
      fc.record({ kind: fc.constant('close' as const) }),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(command, { maxLength: 60 }), (listens, commands) => {
        const socket = new TcpSocket(64, 64, listens ? KEEP_ALIVE : null);
        if (listens) socket.listen(B.port);
        else socket.connect(PAIR_B, 5);
        let now = 0;
        for (const c of commands) {
          if (c.kind === 'segment' && socket.accepts(PAIR_B, c.segment)) {
            socket.process(now, PAIR_B, c.segment, () => 5);
          } else if (c.kind === 'time') now += c.ms;
          else if (c.kind === 'send') expect(socket.send(new Uint8Array(c.bytes))).toBeLessThanOrEqual(64);
          else if (c.kind === 'recv') socket.recv(c.bytes);
          else if (c.kind === 'close') socket.close();
          expect(socket.readable).toBeLessThanOrEqual(64);
          let rounds = 0;
          for (let out = socket.next(now); out !== null; out = socket.next(now)) {
            expect(out.payload.length).toBeLessThanOrEqual(64);
            socket.sent(now, out);
            expect((rounds += 1)).toBeLessThan(200);
          }
          expect(socket.pollAt > now || socket.pair === null).toBe(true);
        }
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('a segment survives its wire form', () => {
    fc.assert(
      fc.property(anySegment, (segment) => {
        expect(segmentOf(wireOf(segment, 1, 2))).toEqual(segment);
        expect(segmentLength(segment)).toBeGreaterThanOrEqual(segment.payload.length);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it.each([0x03, 0x06, 0x05, 0x07])('flags %i contradict each other', (flags) => {
    const segment = { ...wireOf({ ...resetFor({ ...SYN })! }, 1, 2), flags };
    expect(segmentOf(segment)).toBeNull();
  });
});

const SYN: Segment = {
  control: 'syn',
  seq: 1,
  ack: null,
  window: 0,
  scale: null,
  mss: null,
  sackPermitted: false,
  payload: NO_BYTES,
};

describe('retransmission time', () => {
  it('starts at 700 ms, follows the measured round trips, stays within 10 ms and 10 s', () => {
    const rtt = new RttEstimator();
    expect(rtt.timeoutMs).toBe(700);
    for (let i = 0; i < 100; i++) {
      rtt.onSend(i * 10, i + 1);
      rtt.onAck(i * 10 + 1, i + 1);
    }
    expect(rtt.timeoutMs).toBeLessThan(100);
    expect(rtt.timeoutMs).toBeGreaterThanOrEqual(10);
    for (let i = 0; i < 100; i++) rtt.onRetransmit();
    expect(rtt.timeoutMs).toBe(RTO_MAX_MS);
  });
});
