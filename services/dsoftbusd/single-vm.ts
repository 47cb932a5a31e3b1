/**
 * DSoftBus on one machine (sheet 70, section 8.2): both nodes live here and meet over netstackd's loopback. The node hears
 * its own announcement, opens a session with itself, is ready, and then serves one session of the selftest client.
 */
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { assert } from '../../sim/assert.ts';
import type { Lap } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { MESSAGE_1_BYTES, MESSAGE_2_BYTES, MESSAGE_3_BYTES, Initiator, Responder, publicKeyOf } from '../lib/noise.ts';
import type { PublicKey } from '../lib/noise.ts';
import { ascii, sameBytes } from '../lib/text.ts';
import { Status } from '../netstackd/wire.ts';
import type { Handle } from '../netstackd/wire.ts';
import { DATAGRAM_MAX, DISCOVERY_PORT, decodeAnnounce, encodeAnnounce } from './discovery.ts';
import type { Announce } from './discovery.ts';
import { Facade, wouldBlock } from './facade.ts';
import type { Datagram, Reply } from './facade.ts';
import type { FacadeRpc } from './facade-rpc.ts';
import { KeyTag, PORT_A, PORT_B, testSecret } from './keys.ts';
import { PeerAddresses, PeerTable } from './peers.ts';
import { NAME } from './process.ts';
import type { SoftbusProcess, Stop } from './process.ts';

/** The one address that netstackd loops back. */
export const LOOPBACK: Ipv4 = ipv4(10, 0, 2, 15);
const ANY: Ipv4 = ipv4(0, 0, 0, 0);
const NODE_B = 'node-b';

/** Bounds of the loops, in tries. */
const BIND_TRIES = 500;
const DISCOVERY_TRIES = 20_000;
const SOCKET_TRIES = 50_000;
const READ_TRIES = 100_000;

const PING = ascii('PING') as Readonly<Uint8Array>;
const PONG = ascii('PONG') as Readonly<Uint8Array>;

/** The two ends of the session that the machine has with itself. */
interface DualStreams {
  readonly a: Handle;
  readonly b: Handle;
}

export class SingleVm {
  readonly #process: SoftbusProcess;
  readonly #net: Facade;
  readonly #rpc: FacadeRpc;
  readonly #peers = new PeerTable();
  readonly #addresses = new PeerAddresses();

  constructor(process: SoftbusProcess, rpc: FacadeRpc) {
    this.#process = process;
    this.#net = new Facade(rpc);
    this.#rpc = rpc;
  }

  /** Runs to the end of what this mode does; then the service is idle or gone. */
  *run(): Call<Stop> {
    const { log } = this.#process;
    yield* this.#say('udp bind begin');
    const udp = yield* this.#bind();
    if (udp === null) return 'hang';
    yield* this.#say('udp bind ok');
    yield* this.#say('discovery up (udp loopback)');
    if (!(yield* this.#discover(udp))) return 'exit';
    const listenerA = yield* this.#listenA();
    if (typeof listenerA === 'string') return listenerA;
    yield* this.#say('os transport up (udp+tcp)');
    const listenerB = yield* this.#net.listen(null, PORT_B);
    if (listenerB === null) return 'exit';
    if (!listenerB.ok) return yield* this.#fail('listen port_b FAIL');
    const dual = yield* this.#dualSession(listenerB.value);
    if (dual !== null) return dual;
    yield* this.#say('ready');
    yield* this.#process.configureSink();
    yield* log.info(NAME, 'dsoftbusd: ready');
    const client = yield* this.#whileBlocked(SOCKET_TRIES, () => this.#net.accept(listenerA));
    if (client === null) return 'exit';
    if (!client.ok) return 'hang';
    return yield* this.#clientSession(client.value);
  }

  *#say(text: string): Call<void> {
    yield* this.#process.say(text);
  }

  *#fail(text: string): Call<'hang'> {
    yield* this.#process.say(text);
    return 'hang';
  }

  /** Steps 9 and 10. Null: every try failed. */
  *#bind(): Call<Handle | null> {
    let told = false;
    for (let i = 0; i < BIND_TRIES; i++) {
      const bound = yield* this.#net.udpBind(ANY, DISCOVERY_PORT);
      if (bound?.ok === true) return bound.value;
      if (!told) yield* this.#say(bound === null ? 'udp bind rpc err' : 'udp bind FAIL');
      told = true;
      yield this.#process.sys.yieldCpu();
    }
    yield* this.#say('udp bind rpc timeout');
    return null;
  }

  /** Steps 12 and 13: announces node-b once and listens until it is heard. False: a receive got no answer. */
  *#discover(udp: Handle): Call<boolean> {
    const announcement = encodeAnnounce(this.#nodeB());
    assert(announcement instanceof Uint8Array, 'the own announcement is valid');
    for (let i = 0; i < DISCOVERY_TRIES; i++) {
      if (i === 0) {
        yield* this.#net.udpSendTo(udp, LOOPBACK, DISCOVERY_PORT, announcement);
        yield* this.#say('discovery announce sent');
      }
      const got = yield* this.#net.udpReceiveFrom(udp, DATAGRAM_MAX);
      if (got === null) return false;
      if (got.ok) this.#hear(got.value);
      else if (got.status === Status.MALFORMED) yield* this.#say('udp recv MALFORMED');
      else if (got.status !== Status.WOULD_BLOCK) yield* this.#say('udp recv FAIL');
      if (this.#peers.peek(NODE_B) !== null) {
        yield* this.#say('discovery peer found device=local');
        return true;
      }
      yield this.#process.sys.yieldCpu();
    }
    return true;
  }

  #hear({ data, source }: Datagram): void {
    const announce = decodeAnnounce(data);
    if ('fault' in announce) return;
    this.#peers.insert(announce);
    this.#addresses.set(announce.deviceId, source);
    this.#addresses.prune(this.#peers.ids);
  }

  #nodeB(): Announce {
    const staticKey = publicKeyOf(testSecret(KeyTag.NODE_B_STATIC, PORT_B), this.#process.meter);
    return { deviceId: NODE_B, port: PORT_B, staticKey, services: [NAME] };
  }

  /** Step 14. */
  *#listenA(): Call<Handle | Stop> {
    for (let i = 0; i < SOCKET_TRIES; i++) {
      const listening = yield* this.#net.listen(null, PORT_A);
      if (listening === null) return 'exit';
      if (listening.ok) return listening.value;
      yield this.#process.sys.yieldCpu();
    }
    return yield* this.#fail('listen FAIL');
  }

  /** Steps 17 to 23: the session with itself. Null: it stands. */
  *#dualSession(listenerB: Handle): Call<Stop | null> {
    const peer = this.#peers.get(NODE_B);
    if (peer === null) return yield* this.#fail('discovery missing peer=node-b');
    const heardFrom = this.#addresses.get(NODE_B);
    if (heardFrom === null) return yield* this.#fail('discovery peer ip missing');
    const ip = peer.port === PORT_A || peer.port === PORT_B ? LOOPBACK : heardFrom;
    yield* this.#say('session connect peer=node-b');
    yield* this.#say(`connect portB ${peer.port === PORT_B ? 'ok' : 'BAD'}`);
    yield* this.#say(`connect ip loopback ${ip === LOOPBACK ? 'ok' : 'BAD'}`);
    const a = yield* this.#whileBlocked(SOCKET_TRIES, () => this.#net.connect(ip, peer.port));
    if (a?.ok !== true) return yield* this.#fail('dual-node connect FAIL');
    const b = yield* this.#whileBlocked(SOCKET_TRIES, () => this.#net.accept(listenerB));
    if (b?.ok !== true) return yield* this.#fail('dual-node connect FAIL');
    const expected = publicKeyOf(testSecret(KeyTag.NODE_B_STATIC, PORT_B), this.#process.meter);
    if (!sameBytes(peer.staticKey, expected)) return yield* this.#fail('identity mismatch peer=node-b');
    const failure = yield* this.#dualHandshake({ a: a.value, b: b.value }, peer.staticKey);
    if (failure !== null) return yield* this.#fail(failure);
    yield* this.#say('identity bound peer=node-b');
    yield* this.#say('dual-node session ok');
    return null;
  }

  /** Step 21: both sides in turn. The text of the failure, or null. The transport keys are not used. */
  *#dualHandshake({ a, b }: DualStreams, pinned: PublicKey): Call<string | null> {
    const { meter } = this.#process;
    const secretA = testSecret(KeyTag.NODE_A_STATIC, PORT_B);
    const initiator = new Initiator(
      {
        staticSecret: secretA,
        ephemeralSecret: testSecret(KeyTag.NODE_A_EPHEMERAL, PORT_B),
        peerStatic: pinned,
      },
      meter,
    );
    const responder = new Responder(
      {
        staticSecret: testSecret(KeyTag.NODE_B_STATIC, PORT_B),
        ephemeralSecret: testSecret(KeyTag.NODE_B_EPHEMERAL, PORT_B),
        peerStatic: publicKeyOf(secretA, meter),
      },
      meter,
    );
    if (!(yield* this.#write(a, initiator.message1()))) return 'dual-node msg1 write FAIL';
    const m1 = yield* this.#read(b, MESSAGE_1_BYTES);
    if (m1 === null) return 'dual-node msg1 read FAIL';
    const m2 = responder.message2(m1);
    if (typeof m2 === 'string') return 'dual-node msg2 gen FAIL';
    if (!(yield* this.#write(b, m2))) return 'dual-node msg2 write FAIL';
    const m2Read = yield* this.#read(a, MESSAGE_2_BYTES);
    if (m2Read === null) return 'dual-node msg2 read FAIL';
    const third = initiator.message3(m2Read);
    if (typeof third === 'string') return 'dual-node msg3 gen FAIL';
    if (!(yield* this.#write(a, third.message))) return 'dual-node msg3 write FAIL';
    const m3 = yield* this.#read(b, MESSAGE_3_BYTES);
    if (m3 === null) return 'dual-node msg3 read FAIL';
    const transport = responder.finish(m3);
    if (transport === 'static-key-mismatch') return 'identity mismatch peer=nodeA';
    return typeof transport === 'string' ? 'dual-node handshake FAIL' : null;
  }

  /** Steps 27 to 29: the selftest client proves who it is, then says PING in the clear. */
  *#clientSession(stream: Handle): Call<Stop> {
    const failure = yield* this.#clientHandshake(stream);
    if (failure !== null) return yield* this.#fail(failure);
    yield* this.#say('auth ok');
    const lap = this.#rpc.loop(SOCKET_TRIES);
    for (;;) {
      if (lap.count >= SOCKET_TRIES) return 'hang';
      yield* this.#pass(lap);
      const got = yield* this.#net.read(stream, PING.length);
      if (got === null) return 'exit';
      if (got.ok && sameBytes(got.value, PING)) break;
      yield this.#process.sys.yieldCpu();
    }
    yield* this.#net.write(stream, PONG);
    yield* this.#say('os session ok');
    return 'hang';
  }

  *#clientHandshake(stream: Handle): Call<string | null> {
    const { meter } = this.#process;
    const responder = new Responder(
      {
        staticSecret: testSecret(KeyTag.SERVER_STATIC, PORT_A),
        ephemeralSecret: testSecret(KeyTag.SERVER_EPHEMERAL, PORT_A),
        peerStatic: publicKeyOf(testSecret(KeyTag.CLIENT_STATIC, PORT_A), meter),
      },
      meter,
    );
    const m1 = yield* this.#read(stream, MESSAGE_1_BYTES);
    if (m1 === null) return 'noise msg1 read FAIL';
    const m2 = responder.message2(m1);
    if (typeof m2 === 'string') return 'noise msg2 gen FAIL';
    if (!(yield* this.#write(stream, m2))) return 'noise msg2 write FAIL';
    const m3 = yield* this.#read(stream, MESSAGE_3_BYTES);
    if (m3 === null) return 'noise msg3 read FAIL';
    const transport = responder.finish(m3);
    if (transport === 'static-key-mismatch') return 'noise static key mismatch';
    return typeof transport === 'string' ? 'noise msg3 FAIL' : null;
  }

  /** Exactly `n` bytes in one READ, or null. */
  *#read(stream: Handle, n: number): Call<Uint8Array | null> {
    const got = yield* this.#whileBlocked(READ_TRIES, () => this.#net.read(stream, n));
    return got?.ok === true && got.value.length === n ? got.value : null;
  }

  /** One WRITE; how much of it was taken is not asked. */
  *#write(stream: Handle, data: Uint8Array): Call<boolean> {
    return (yield* this.#net.write(stream, data))?.ok === true;
  }

  /** Tries again, with a yield, while the answer is "would block". */
  *#whileBlocked<T>(tries: number, attempt: () => Call<Reply<T>>): Call<Reply<T>> {
    let reply: Reply<T> = { ok: false, status: Status.WOULD_BLOCK };
    const lap = this.#rpc.loop(tries);
    while (lap.count < tries && wouldBlock(reply)) {
      if (lap.count > 0) yield this.#process.sys.yieldCpu();
      yield* this.#pass(lap);
      reply = yield* attempt();
    }
    return reply;
  }

  /** Marks a pass of a loop of fruitless calls, so that passes which repeat each other can be skipped. */
  *#pass(lap: Lap): Call<void> {
    lap.state = this.#rpc.strays;
    yield this.#process.sys.lap(lap);
  }
}
