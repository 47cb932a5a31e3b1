/**
 * The network as the facade and the start-up use it (sheet 70, section 3, "stack wrappers", and section 4): the stack on
 * its driver, polls that cost time, and waits that can be skipped. Nothing here ever closes or removes a TCP socket.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import type { Call } from '../lib/ipc.ts';
import type { VirtioNetDriver } from '../lib/virtio-net-driver.ts';
import { PingSocket } from './datagram-sockets.ts';
import { DhcpClient } from './dhcp-client.ts';
import { CONNECT_BUFFER, LISTEN_BUFFER } from './heap.ts';
import { IpStack } from './ip-stack.ts';
import { TcpSocket } from './tcp-socket.ts';
import { LOOP_IP } from './tables.ts';

export const MS = 1_000_000;
/** Instructions of one poll that finds nothing to do; an estimate. */
export const POLL_INSTRUCTIONS = 400;
/** Longest WRITE that the stack takes. */
export const TCP_WRITE_MAX = 16_384;
/** Longest datagram that the stack takes. */
export const UDP_SEND_MAX = 1500;
/** Keep-alive of listening sockets, ms. */
export const LISTEN_KEEP_ALIVE_MS = 2000;
/** First local port of outgoing connections, before the last byte of the MAC address is added. */
export const CONNECT_PORT_BASE = 40_000;
/** Local ports used in turn by the contract. */
export const CONNECT_PORTS = 16_384;
/** Extra polls of WAIT_WRITABLE and of CONNECT. */
export const WRITABLE_POLLS = 16;
const PING_BYTES = 16;

/** Why a call gave nothing. */
export type NetError = 'would-block' | 'io';

/** How a wait for frames or timers is bounded. */
export interface IdleBounds {
  /** Slots whose messages end it. */
  readonly slots?: readonly number[];
  /** Rounds at most. */
  readonly rounds?: number;
  /** Polls that one round stands for. */
  readonly pollsPerRound?: number;
  /** Instructions of a round beside its polls. */
  readonly extraInstructions?: number;
  /** Absolute ms after which it ends; reads the clock each round. */
  readonly untilMs?: number;
  /** True: no yields. */
  readonly spin?: boolean;
}

export class Net {
  readonly stack: IpStack;
  readonly dhcp: DhcpClient;
  readonly #sys: Sys;
  readonly #driver: VirtioNetDriver;
  readonly #reusePort: boolean;
  #connections = 0;

  /** `driver` is started. The DHCP client is the first socket. */
  constructor(sys: Sys, driver: VirtioNetDriver, reusePort: boolean) {
    this.#sys = sys;
    this.#driver = driver;
    this.#reusePort = reusePort;
    this.stack = new IpStack(driver, driver.mac);
    this.dhcp = new DhcpClient(driver.mac);
    this.stack.add(this.dhcp);
  }

  /** The configured address, or the one that stands for it. */
  get ownIp(): Ipv4 {
    return this.stack.config?.ip ?? LOOP_IP;
  }

  /** The last byte of the MAC address. */
  get host(): number {
    return this.#driver.mac % 256;
  }

  poll(now: number): void {
    this.#sys.compute('instructions', POLL_INSTRUCTIONS);
    this.stack.poll(now);
  }

  /** Prints what the driver has to say. */
  *news(): Call<void> {
    for (const word of this.#driver.takeNews()) yield this.#sys.println(`net: virtio tx ${word}`);
  }

  /** Real time, ms. */
  *ms(): Call<number> {
    return Math.floor((yield this.#sys.nsec()) / MS);
  }

  /**
   * Rounds of polls in which nothing happens: ends when a frame or message waits or a bound is reached. Gives the number
   * of rounds. The stack must have nothing to do until then.
   */
  *idle(bounds: IdleBounds): Call<number> {
    const { slots, rounds = Infinity, pollsPerRound = 1, extraInstructions = 0 } = bounds;
    const { untilMs = Infinity, spin = false } = bounds;
    const poll = this.#sys.beginPoll();
    if (slots !== undefined) poll.slots = slots;
    poll.ready = this.#driver.frameWaits;
    poll.maxRounds = rounds;
    poll.roundCost = POLL_INSTRUCTIONS * pollsPerRound + extraInstructions;
    poll.spin = spin;
    if (untilMs !== Infinity) {
      poll.deadline = untilMs * MS;
      poll.clockEvery = 1;
    }
    yield this.#sys.runPoll();
    this.stack.skipPolls(poll.round * pollsPerRound);
    return poll.round;
  }

  /** An echo request: `polls` polls at `start`, `start` + 1, ... without a yield. Round trip in poll time, or null. */
  *ping(ident: number, target: Ipv4, start: number, polls: number): Call<number | null> {
    const socket = new PingSocket(ident, 1, new Uint8Array(PING_BYTES));
    this.stack.add(socket);
    let rtt: number | null = null;
    for (let i = 0; i < polls && rtt === null;) {
      const now = start + i;
      this.poll(now);
      if (i === 0) socket.send(target);
      else if (socket.answered) rtt = i;
      i += 1;
      const rest = Math.min(polls - i, this.stack.pollAt - start - i);
      if (rtt === null && rest > 0) i += yield* this.idle({ rounds: rest, spin: true });
    }
    this.stack.remove(socket);
    yield* this.news();
    return rtt;
  }

  /** A listener on `port` of any address; null for port 0. */
  listen(port: number): TcpSocket | null {
    if (port === 0) return null;
    const socket = new TcpSocket(LISTEN_BUFFER, LISTEN_BUFFER, LISTEN_KEEP_ALIVE_MS);
    socket.listen(port);
    this.stack.add(socket);
    return socket;
  }

  /** True once the listener's socket has a connection, which every further ACCEPT shares (quirk Q10). */
  accept(socket: TcpSocket): 'accepted' | NetError {
    if (idleState(socket)) this.poll(this.stack.now + 1);
    return idleState(socket) ? 'would-block' : 'accepted';
  }

  /** Starts a connection; null for address or port 0. */
  connect(ip: Ipv4, port: number): TcpSocket | null {
    if (ip === 0 || port === 0) return null;
    const socket = new TcpSocket(CONNECT_BUFFER, CONNECT_BUFFER, null);
    const local = { ip: this.ownIp, port: this.#localPort() };
    socket.connect({ local, remote: { ip, port } }, this.stack.prng.next());
    this.stack.add(socket);
    this.poll(this.stack.now);
    return socket;
  }

  #localPort(): number {
    const turn = this.#reusePort ? 0 : this.#connections % CONNECT_PORTS;
    this.#connections += 1;
    return CONNECT_PORT_BASE + this.host + turn;
  }

  read(socket: TcpSocket, max: number): Uint8Array | NetError {
    if (idleState(socket)) return 'io';
    if (socket.readable === 0) this.poll(this.stack.now + 1);
    return socket.readable > 0 ? socket.recv(max) : 'would-block';
  }

  /** Bytes taken; 0 when the buffer is full. */
  write(socket: TcpSocket, data: Uint8Array): number | NetError {
    if (data.length > TCP_WRITE_MAX || idleState(socket)) return 'io';
    if (!socket.writable) this.poll(this.stack.now + 1);
    return socket.writable ? socket.send(data) : 'would-block';
  }

  /** Polls without a yield until data can be sent; false when that takes too long, or will not happen. */
  *waitWritable(socket: TcpSocket): Call<boolean> {
    for (let i = 0; ; i++) {
      if (socket.writable) return true;
      if (idleState(socket) || i === WRITABLE_POLLS) return false;
      this.poll(this.stack.now + 1);
      yield* this.#letWireWork();
    }
  }

  /** Frames may arrive while a task computes: gives them the chance, without giving up the CPU or any time. */
  *#letWireWork(): Call<void> {
    const poll = this.#sys.beginPoll();
    poll.ready = this.#driver.frameWaits;
    poll.spin = true;
    poll.maxRounds = 1;
    yield this.#sys.runPoll();
  }
}

function idleState(socket: TcpSocket): boolean {
  return socket.state === 'listen' || socket.state === 'closed';
}
