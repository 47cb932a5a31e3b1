/**
 * DSoftBus between two machines (sheet 70, section 12): finds the other node, opens one authenticated session with it, then
 * serves: node-a its own tasks, node-b its peer.
 */
import { assert } from '../../sim/assert.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import type { Call } from '../lib/ipc.ts';
import { MESSAGE_1_BYTES, MESSAGE_2_BYTES, MESSAGE_3_BYTES, Initiator, Responder, publicKeyOf } from '../lib/noise.ts';
import type { HandshakeKeys, PublicKey, Transport } from '../lib/noise.ts';
import { sameBytes } from '../lib/text.ts';
import { Status } from '../netstackd/wire.ts';
import type { Handle } from '../netstackd/wire.ts';
import { DATAGRAM_MAX, DISCOVERY_PORT, decodeAnnounce, encodeAnnounce } from './discovery.ts';
import { FacadeRpc } from './facade-rpc.ts';
import { Facade, wouldBlock } from './facade.ts';
import type { Reply } from './facade.ts';
import { KeyTag, testSecret } from './keys.ts';
import { SessionMetrics } from './metrics.ts';
import { DISCOVERY_GROUP, SERVICES, pairOf } from './nodes.ts';
import type { NodePair } from './nodes.ts';
import { PeerAddresses, PeerTable } from './peers.ts';
import type { SoftbusProcess, Stop } from './process.ts';
import { RemoteClient } from './remote-client.ts';
import { RemoteProxy } from './remote-proxy.ts';
import { Session } from './session.ts';
import { readExact, writeAll } from './streams.ts';

const BIND_TRIES = 50_000;
const MS = 1_000_000;
/** Announcements go out, and known peers are listened to, in milliseconds that are multiples of these. */
const ANNOUNCE_EVERY_MS = 64;
const LISTEN_EVERY_MS = 32;

/** Lines of the set-up that are printed once. */
type Once = 'announce' | 'no-discovery' | 'seek' | 'recv-fail';

/** An authenticated session. */
export interface Link {
  readonly stream: Handle;
  readonly transport: Transport;
}

export class CrossVm {
  readonly #process: SoftbusProcess;
  readonly #rpc: FacadeRpc;
  readonly #net: Facade;
  readonly #pair: NodePair;
  readonly #peers = new PeerTable();
  readonly #addresses = new PeerAddresses();
  readonly #session: Session;
  readonly #metrics: SessionMetrics;
  readonly #said = new Set<Once>();
  readonly #announcement: Uint8Array;
  readonly #peerKey: PublicKey;

  constructor(process: SoftbusProcess, ip: Ipv4) {
    this.#process = process;
    // Nonces and kept answers start afresh in this mode.
    this.#rpc = new FacadeRpc(process.sys, process.inbox, 'cross-vm');
    this.#net = new Facade(this.#rpc);
    this.#pair = pairOf(ip);
    this.#session = new Session(this.#pair.role);
    this.#metrics = new SessionMetrics(process);
    const { own, peer } = this.#pair;
    const announcement = encodeAnnounce({
      deviceId: own.deviceId,
      port: own.port,
      staticKey: publicKeyOf(testSecret(own.staticTag, own.port), process.meter),
      services: SERVICES,
    });
    assert(announcement instanceof Uint8Array, 'the own announcement is valid');
    this.#announcement = announcement;
    this.#peerKey = publicKeyOf(testSecret(peer.staticTag, peer.port), process.meter);
  }

  /** Runs until it cannot go on; a standing session is served for ever. */
  *run(): Call<Stop> {
    const { own, peer, role } = this.#pair;
    const udp = yield* this.#bind();
    if (udp === null) return 'exit';
    yield* this.#process.say('discovery cross-vm up');
    const listener = yield* this.#net.listen(own.ip, own.port);
    if (listener?.ok !== true) return 'exit';
    this.#session.listen();
    const started = yield this.#process.sys.nsec();
    const link = yield* this.#establish(udp, listener.value);
    const now = yield this.#process.sys.nsec();
    yield* this.#metrics.established(Math.max(0, now - started));
    yield* this.#process.debug('hs transport ready');
    yield* this.#process.say(`cross-vm session ok ${peer.deviceId}`);
    if (role === 'initiator') return yield* new RemoteClient(this.#process, this.#net, link).serve();
    return yield* new RemoteProxy(this.#process, this.#net, this.#rpc, link).serve();
  }

  *#bind(): Call<Handle | null> {
    for (let i = 0; i < BIND_TRIES; i++) {
      const bound = yield* this.#net.udpBind(this.#pair.own.ip, DISCOVERY_PORT);
      if (bound?.ok === true) return bound.value;
      yield this.#process.sys.yieldCpu();
    }
    return null;
  }

  /** Connects and authenticates, again and again until it succeeds. */
  *#establish(udp: Handle, listener: Handle): Call<Link> {
    const { sys } = this.#process;
    const session = this.#session;
    for (;;) {
      const stream = yield* this.#meet(udp, listener);
      session.connect(stream);
      session.handshake();
      const transport = yield* this.#authenticate(stream);
      if (transport !== null) {
        session.authenticated();
        return { stream, transport };
      }
      yield* this.#metrics.failed();
      yield* this.#net.close(session.reconnect());
      yield* this.#process.debug('hs sid close');
      yield* this.#process.debug('hs retry');
      yield sys.yieldCpu();
    }
  }

  /** Announces, listens, dials or accepts, until there is a stream (section 12.3, step 3). */
  *#meet(udp: Handle, listener: Handle): Call<Handle> {
    const { sys } = this.#process;
    for (;;) {
      const ms = Math.floor((yield sys.nsec()) / MS);
      if (!this.#said.has('announce') || ms % ANNOUNCE_EVERY_MS === 0) yield* this.#announce(udp);
      if (!this.#peerKnown() || ms % LISTEN_EVERY_MS === 0) yield* this.#hear(udp);
      this.#session.seek();
      const stream = this.#pair.role === 'initiator' ? yield* this.#dial() : yield* this.#accept(listener);
      if (stream?.ok === true) return stream.value;
      yield sys.yieldCpu();
    }
  }

  *#announce(udp: Handle): Call<void> {
    let sent = false;
    for (const ip of [DISCOVERY_GROUP, this.#pair.peer.ip]) {
      const reply = yield* this.#net.udpSendTo(udp, ip, DISCOVERY_PORT, this.#announcement);
      if (reply?.ok === true || wouldBlock(reply)) sent = true;
    }
    if (sent && this.#first('announce')) yield* this.#process.say('discovery announce sent');
  }

  *#hear(udp: Handle): Call<void> {
    const got = yield* this.#net.udpReceiveFrom(udp, DATAGRAM_MAX);
    if (got === null) return;
    if (!got.ok) {
      if (got.status === Status.IO && this.#first('recv-fail')) yield* this.#process.say('discovery recv FAIL');
      return;
    }
    const announce = decodeAnnounce(got.value.data);
    if ('fault' in announce) {
      yield* this.#process.say('announce ignored (malformed)');
      return;
    }
    this.#peers.insert(announce);
    this.#addresses.set(announce.deviceId, got.value.source);
    if (this.#peerKnown()) yield* this.#process.say('discovery peer learned');
  }

  #peerKnown(): boolean {
    const { deviceId } = this.#pair.peer;
    return this.#peers.peek(deviceId) !== null && this.#addresses.get(deviceId) !== null;
  }

  *#dial(): Call<Reply<Handle>> {
    const { peer } = this.#pair;
    const known = this.#peers.get(peer.deviceId);
    const heardFrom = this.#addresses.get(peer.deviceId);
    if (heardFrom === null && this.#first('no-discovery')) yield* this.#process.debug('dial fallback no-discovery');
    if (this.#first('seek')) yield* this.#process.say('cross-vm dial start');
    return yield* this.#net.connect(heardFrom ?? peer.ip, known?.port ?? peer.port);
  }

  *#accept(listener: Handle): Call<Reply<Handle>> {
    if (this.#first('seek')) yield* this.#process.say('cross-vm accept wait');
    return yield* this.#net.accept(listener);
  }

  #first(line: Once): boolean {
    if (this.#said.has(line)) return false;
    this.#said.add(line);
    return true;
  }

  /** The handshake in the own role; null: the stream or the peer is not what it must be. */
  *#authenticate(stream: Handle): Call<Transport | null> {
    const { own, peer, role } = this.#pair;
    const known = this.#peers.peek(peer.deviceId);
    if (known !== null && !sameBytes(known.staticKey, this.#peerKey)) {
      yield* this.#process.say('identity mismatch peer=crossvm');
      return null;
    }
    const keys: HandshakeKeys = {
      staticSecret: testSecret(own.staticTag, own.port),
      ephemeralSecret: testSecret(KeyTag.CROSS_VM_EPHEMERAL, own.port),
      peerStatic: this.#peerKey,
    };
    return role === 'initiator' ? yield* this.#initiate(stream, keys) : yield* this.#respond(stream, keys);
  }

  *#initiate(stream: Handle, keys: HandshakeKeys): Call<Transport | null> {
    const initiator = new Initiator(keys, this.#process.meter);
    if (!(yield* this.#write(stream, initiator.message1()))) return null;
    const m2 = yield* this.#read(stream, MESSAGE_2_BYTES);
    const third = m2 === null ? null : initiator.message3(m2);
    if (third === null || typeof third === 'string') return null;
    return (yield* this.#write(stream, third.message)) ? third.transport : null;
  }

  *#respond(stream: Handle, keys: HandshakeKeys): Call<Transport | null> {
    const responder = new Responder(keys, this.#process.meter);
    const m1 = yield* this.#read(stream, MESSAGE_1_BYTES);
    const m2 = m1 === null ? null : responder.message2(m1);
    if (m2 === null || typeof m2 === 'string' || !(yield* this.#write(stream, m2))) return null;
    const m3 = yield* this.#read(stream, MESSAGE_3_BYTES);
    const transport = m3 === null ? null : responder.finish(m3);
    return typeof transport === 'string' ? null : transport;
  }

  *#write(stream: Handle, data: Uint8Array): Call<boolean> {
    return yield* writeAll(this.#process, this.#net, stream, data);
  }

  *#read(stream: Handle, n: number): Call<Uint8Array | null> {
    return yield* readExact(this.#process, this.#net, stream, n);
  }
}
