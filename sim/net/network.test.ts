import { describe, expect, it } from 'vitest';
import { Clock } from '../clock.ts';
import { Streams } from '../streams.ts';
import { Trace } from '../trace.ts';
import { VirtioNet } from '../virtio/net.ts';
import { DATA, TestRig, WRITE } from '../virtio/test-rig.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { USER_NETWORK_VECTORS } from './fixtures/user-network-answers.ts';
import { EthernetLink } from './link.ts';
import type { NetworkKind, NetworkOptions } from './network.ts';
import { connectToLink, createNetwork } from './network.ts';

const RX = 0;
const TX = 1;
const MAC_MRG_RXBUF = (1 << 5) | (1 << 15);
const HEADER = 12;
const DHCP = USER_NETWORK_VECTORS[0]!.steps;
const DISCOVER = unhex(DHCP[0]!.frame);
const REQUEST = unhex(DHCP[1]!.frame);
const PING = unhex(DHCP[2]!.frame);

/** A card with a driver's hand on it: each of its buffers is used once. */
function driver() {
  const card = new VirtioNet();
  const rig = new TestRig(card);
  rig.negotiate(MAC_MRG_RXBUF, 1);
  const rx = rig.setUp(RX, 32);
  const tx = rig.setUp(TX, 32);
  rig.driverOk();
  for (let i = 0; i < 24; i += 1) {
    rig.chain(rx.desc, i, [[DATA + 0x400 * i, 0x400, WRITE]]);
    rig.offer(rx, i);
  }
  rig.notify(rx);
  let sent = 0;
  const send = (frame: Uint8Array) => {
    const at = DATA + 0x6000 + 0x400 * (sent % 8);
    rig.memory.slice(at + HEADER, frame.length).set(frame);
    rig.chain(tx.desc, sent, [[at, HEADER + frame.length, 0]]);
    rig.offer(tx, sent);
    sent += 1;
    rig.notify(tx);
  };
  let read = 0;
  /** Frames that came since the last call. */
  const received = () => {
    const frames: Uint8Array[] = [];
    for (; read !== rig.usedIdx(rx); read += 1) {
      const [id, length] = rig.used(rx, read);
      frames.push(rig.memory.slice(DATA + 0x400 * id, length).slice(HEADER));
    }
    return frames;
  };
  return { card, rig, send, received };
}

function onNetwork(kind: NetworkKind, options: Partial<NetworkOptions> = {}, seed = 1) {
  const hand = driver();
  const { clock, trace } = hand.rig;
  createNetwork(kind, options, { clock, trace, streams: new Streams(seed, 0), card: hand.card });
  const run = (ns: number) => {
    clock.advance(ns);
    clock.runDue();
  };
  return { ...hand, clock, run };
}

describe('user', () => {
  it('DISCOVER, OFFER, REQUEST, ACK without time passing', () => {
    const { send, received } = onNetwork('user');
    send(DISCOVER);
    expect(received().map(hex)).toEqual([hex(unhex(DHCP[0]!.answers[0]!))]);
    send(REQUEST);
    expect(received().map(hex)).toEqual([hex(unhex(DHCP[1]!.answers[0]!))]);
    send(PING);
    expect(received().map(hex)).toEqual([hex(unhex(DHCP[2]!.answers[0]!))]);
  });

  it('answers after its latency, in order', () => {
    const { send, received, run } = onNetwork('user', { latency: { minNs: 1000, maxNs: 1000 } });
    send(DISCOVER);
    send(PING);
    run(999);
    expect(received()).toHaveLength(0);
    run(1);
    expect(received().map((frame) => frame.length)).toEqual([590, 58]);
  });

  it('the same seed gives the same trace, another seed other times', () => {
    const trace = (seed: number) => {
      const { send, run, rig } = onNetwork('user', { latency: { minNs: 0, maxNs: 50_000 } }, seed);
      for (const frame of [DISCOVER, REQUEST, PING]) {
        send(frame);
        run(7000);
      }
      for (let i = 0; i < 100; i += 1) run(1000);
      return rig.events.filter(({ kind }) => kind === 'packet');
    };
    expect(trace(1)).toHaveLength(6);
    expect(trace(1)).toEqual(trace(1));
    expect(trace(1)).not.toEqual(trace(2));
  });

  it('faults hit both directions', () => {
    const { send, received, rig } = onNetwork('user', {
      faults: [
        { direction: 'tx', packet: 1, action: 'drop' },
        { direction: 'rx', packet: 1, action: 'corrupt', offset: 0, mask: 0xff },
      ],
    });
    send(DISCOVER);
    expect(received()).toHaveLength(0);
    send(DISCOVER);
    expect(received().map((frame) => frame[0])).toEqual([0x00]);
    const names = rig.events.flatMap((event) => (event.kind === 'fault' ? [event.name] : []));
    expect(names).toEqual(['packet-drop', 'packet-corrupt']);
  });

  it('options that are not given are the defaults', () => {
    const { send, received } = onNetwork('user', { dns: 'foreign-late' });
    send(DISCOVER);
    expect(received()).toHaveLength(1);
  });
});

describe('silent and unplugged', () => {
  it.each(['silent', 'unplugged'] as const)('%s: nobody answers, frames are sent all the same', (kind) => {
    const { send, received, run, rig } = onNetwork(kind);
    for (const { frame } of DHCP.slice(0, 20)) send(unhex(frame));
    run(1_000_000_000);
    expect(received()).toHaveLength(0);
    expect(rig.events.filter((event) => event.kind === 'packet' && event.dir === 'tx')).toHaveLength(20);
  });

  it('unplugging takes the wire away', () => {
    const { send, received, card, clock, rig } = onNetwork('user');
    send(DISCOVER);
    expect(received()).toHaveLength(1);
    createNetwork('unplugged', {}, { clock, trace: rig.trace, streams: new Streams(1, 0), card });
    send(DISCOVER);
    expect(received()).toHaveLength(0);
  });
});

describe('link', () => {
  /** Two cards on one clock; the rigs' own clocks stand still. */
  function linked(faults: NetworkOptions['faults'] = []) {
    const clock = new Clock();
    const places = { a: { clock, powerOnNs: 0 }, b: { clock, powerOnNs: 0 } };
    const link = new EthernetLink(places, new Streams(1, 0), { minNs: 100, maxNs: 100 });
    const a = driver();
    const b = driver();
    const context = { clock, trace: new Trace(clock) };
    const plug = (end: 'a' | 'b', hand: typeof a) => connectToLink(link, end, faults, { ...context, card: hand.card });
    const run = (ns: number) => {
      clock.advance(ns);
      clock.runDue();
    };
    return { link, a, b, plug, run };
  }

  it('what one sends the other gets, later, and nobody else', () => {
    const { a, b, plug, run, link } = linked();
    plug('a', a);
    plug('b', b);
    a.send(DISCOVER);
    b.send(PING);
    run(99);
    expect([...a.received(), ...b.received()]).toEqual([]);
    run(1);
    expect(b.received()).toEqual([DISCOVER]);
    expect(a.received()).toEqual([PING]);
    expect(link.lost).toBe(0);
  });

  it('frames to a board that is off are lost, also when it comes up before they arrive', () => {
    const { a, b, plug, run, link } = linked();
    plug('a', a);
    a.send(DISCOVER);
    plug('b', b);
    run(100);
    expect(b.received()).toEqual([]);
    expect(link.lost).toBe(1);
  });

  it('frames under way to a board that goes off, or is built again, are lost', () => {
    const { a, b, plug, run, link } = linked();
    plug('a', a);
    plug('b', b);
    a.send(DISCOVER);
    run(50);
    link.disconnect('b');
    const again = driver();
    plug('b', again);
    run(50);
    expect([...b.received(), ...again.received()]).toEqual([]);
    expect(link.lost).toBe(1);
    b.send(PING);
    a.send(PING);
    run(100);
    expect(a.received()).toEqual([]);
    expect(again.received()).toEqual([PING]);
  });

  it('adds up the power-on times of two clocks; what is sent before the other is on is lost, and the sender notes it', () => {
    const far = new Clock();
    const near = new Clock();
    const trace = new Trace(near);
    const notes: string[] = [];
    trace.listen((event) => {
      if (event.kind === 'note') notes.push(`${event.service} ${event.name}: ${event.value}`);
    });
    const places = { a: { clock: near, powerOnNs: 0 }, b: { clock: far, powerOnNs: 1000 } };
    let sent = 0;
    const link = new EthernetLink(places, new Streams(1, 0), { minNs: 100, maxNs: 100 }, () => (sent += 1));
    const a = driver();
    const b = driver();
    connectToLink(link, 'a', [], { clock: near, trace, card: a.card });
    connectToLink(link, 'b', [], { clock: far, trace: new Trace(far), card: b.card });
    near.advance(999);
    a.send(DISCOVER);
    expect([link.lost, sent]).toEqual([1, 0]);
    expect(notes).toEqual(['network frame-lost: the other board is off']);
    near.advance(1);
    a.send(PING);
    expect([link.lost, sent]).toEqual([1, 1]);
    expect(far.next).toBe(100);
    far.advance(100);
    far.runDue();
    expect(b.received()).toEqual([PING]);
    b.send(DISCOVER);
    expect(near.next).toBe(1200);
  });

  it('has faults of its own at each end', () => {
    const { a, b, plug, run } = linked([{ direction: 'rx', packet: 2, action: 'drop' }]);
    plug('a', a);
    plug('b', b);
    a.send(DISCOVER);
    a.send(REQUEST);
    a.send(PING);
    run(100);
    expect(b.received()).toEqual([DISCOVER, PING]);
  });
});
