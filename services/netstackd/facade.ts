/**
 * What netstackd does for a request (sheet 70, section 6): the operations on loopback and on real sockets, their lines,
 * and the one reply. Nobody is identified: any client may use any handle (quirk Q23).
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import type { Call } from '../lib/ipc.ts';
import { UdpSocket } from './datagram-sockets.ts';
import { CONNECT_BUFFER, exhausted, LISTEN_BUFFER, LOOP_BUFFER, TCP_SOCKET_BYTES, UDP_BUFFER } from './heap.ts';
import type { HeapFault, Heap } from './heap.ts';
import { UDP_SEND_MAX } from './net.ts';
import type { NetError, Net } from './net.ts';
import type { NetstackdOptions } from './options.ts';
import { isLoopTcp, isLoopUdp, LOOP_IP, SocketTables } from './tables.ts';
import {
  answer,
  countAnswer,
  datagramAnswer,
  decodeRequest,
  encodeReject,
  encodeResponse,
  handleAnswer,
  localAddressAnswer,
  Op,
  port,
  READ_MAX,
  readAnswer,
  Status,
  UDP_RECV_MAX,
} from './wire.ts';
import type { Answer, FacadeRequest } from './wire.ts';

export const NETSTACKD = 'netstackd';
/** Further attempts of ACCEPT, READ and WRITE on real sockets, each after a poll and a yield. */
export const SPIN_TRIES = 16;
const PING_IDENT = 0x4e58;

type RequestOf<O extends Op> = Extract<FacadeRequest, { readonly op: O }>;

/** What became of a frame: the reply, and the line that follows it. */
export interface Handled {
  readonly reply: Uint8Array;
  readonly after: string | null;
}

/** Lines that appear once. */
type OnceLine =
  | 'dbg:netstackd: listen mode loopback'
  | 'dbg:netstackd: listen mode tcp'
  | 'netstackd: rpc connect loopback ok'
  | 'dbg:netstackd: connect kick ok'
  | 'dbg:netstackd: connect kick would-block'
  | 'netstackd: rpc udp bind'
  | 'netstackd: rpc local_addr';

export class Facade {
  readonly #sys: Sys;
  readonly #net: Net;
  readonly #heap: Heap;
  readonly #tables = new SocketTables();
  readonly #errorDropsNonce: boolean;
  readonly #said = new Set<OnceLine>();
  #changes = 0;
  /** WRITE on a loopback stream whose other end is closed. */
  readonly #peerClosed = answer(Status.IO);

  constructor(sys: Sys, net: Net, heap: Heap, options: Pick<NetstackdOptions, 'errorDropsNonce'>) {
    this.#sys = sys;
    this.#net = net;
    this.#heap = heap;
    this.#errorDropsNonce = options.errorDropsNonce;
  }

  /** Requests so far that may have changed something here or in the stack, except for its pseudo-random numbers. */
  get changes(): number {
    return this.#changes;
  }

  /** Executes a request. `canReply`: a reply capability came with it. */
  *handle(frame: Uint8Array, canReply: boolean): Call<Handled> {
    const request = decodeRequest(frame);
    // These two speak before the length is looked at.
    if (request.op === Op.UDP_BIND && (yield* this.#once('netstackd: rpc udp bind')) && !canReply) {
      yield this.#sys.println('netstackd: udp bind missing reply cap');
    }
    if (request.op === Op.LOCAL_ADDR) yield* this.#once('netstackd: rpc local_addr');
    if ('reject' in request) {
      this.#sys.note('facade-reject', request.reject);
      return { reply: encodeReject(request), after: null };
    }
    const result = yield* this.#execute(request);
    if (!leavesAll(request.op, result)) this.#changes += 1;
    yield* this.#net.news();
    const dropped = this.#errorDropsNonce && result === this.#peerClosed;
    const reply = encodeResponse(request.op, result, dropped ? null : request.nonce);
    return { reply, after: this.#lineAfter(request, result) };
  }

  *#execute(request: FacadeRequest): Call<Answer> {
    switch (request.op) {
      case Op.LISTEN:
        return yield* this.#listen(request);
      case Op.ACCEPT:
        return yield* this.#accept(request);
      case Op.CONNECT:
        return yield* this.#connect(request);
      case Op.READ:
        return yield* this.#read(request);
      case Op.WRITE:
        return yield* this.#write(request);
      case Op.UDP_BIND:
        return yield* this.#udpBind(request);
      case Op.UDP_SEND_TO:
        return this.#udpSend(request);
      case Op.UDP_RECV_FROM:
        return this.#udpReceive(request);
      case Op.ICMP_PING: {
        const start = yield* this.#net.ms();
        const rtt = yield* this.#net.ping(PING_IDENT, request.ip, start, request.timeoutMs);
        return rtt === null ? answer(Status.TIMED_OUT) : countAnswer(rtt);
      }
      case Op.LOCAL_ADDR: {
        const { config } = this.#net.stack;
        return config === null ? answer(Status.IO) : localAddressAnswer(config.ip, config.prefix);
      }
      case Op.CLOSE:
        return answer(this.#tables.close(request.stream) ? Status.OK : Status.NOT_FOUND);
      case Op.WAIT_WRITABLE: {
        const stream = this.#tables.stream(request.stream);
        if (stream === null) return answer(Status.NOT_FOUND);
        const ready = stream.kind === 'loop' || (yield* this.#net.waitWritable(stream.socket));
        return answer(ready ? Status.OK : Status.WOULD_BLOCK);
      }
      default:
        return unreachable(request);
    }
  }

  *#listen(request: RequestOf<typeof Op.LISTEN>): Call<Answer> {
    yield this.#sys.println('netstackd: rpc listen');
    if (isLoopTcp(request.ip ?? this.#net.ownIp, request.port)) {
      yield* this.#once('dbg:netstackd: listen mode loopback');
      return handleAnswer(this.#tables.addLoopListener(request.port));
    }
    yield* this.#once('dbg:netstackd: listen mode tcp');
    if (request.port === 0) return answer(Status.IO);
    yield* this.#afford(this.#heap.socket(LISTEN_BUFFER, TCP_SOCKET_BYTES));
    const socket = this.#net.listen(request.port);
    return socket === null ? answer(Status.IO) : handleAnswer(this.#tables.addListener(socket));
  }

  *#accept(request: RequestOf<typeof Op.ACCEPT>): Call<Answer> {
    const listener = this.#tables.listener(request.listener);
    if (listener === null) return answer(Status.NOT_FOUND);
    if (listener.kind === 'loop') {
      const pending = this.#tables.acceptLoop(listener);
      return pending === null ? answer(Status.WOULD_BLOCK) : handleAnswer(pending);
    }
    const { socket } = listener;
    const accepted = yield* this.#spin(() => this.#net.accept(socket));
    return accepted === 'accepted' ? handleAnswer(this.#tables.addStream(socket)) : errorAnswer(accepted);
  }

  *#connect(request: RequestOf<typeof Op.CONNECT>): Call<Answer> {
    if (isLoopTcp(request.ip, request.port)) {
      yield* this.#afford(this.#heap.ring(LOOP_BUFFER) ?? this.#heap.ring(LOOP_BUFFER));
      return handleAnswer(this.#tables.connectLoop(request.port));
    }
    if (request.ip === 0 || request.port === 0) return answer(Status.IO);
    yield* this.#afford(this.#heap.socket(CONNECT_BUFFER, TCP_SOCKET_BYTES));
    const socket = this.#net.connect(request.ip, request.port);
    if (socket === null) return answer(Status.IO);
    const ready = yield* this.#net.waitWritable(socket);
    yield* this.#net.news();
    yield* this.#once(ready ? 'dbg:netstackd: connect kick ok' : 'dbg:netstackd: connect kick would-block');
    return handleAnswer(this.#tables.addStream(socket));
  }

  *#read(request: RequestOf<typeof Op.READ>): Call<Answer> {
    const stream = this.#tables.stream(request.stream);
    if (stream === null) return answer(Status.NOT_FOUND);
    const max = Math.min(request.max, READ_MAX);
    if (stream.kind === 'loop') {
      const data = stream.rx.pop(max);
      return data.length === 0 ? answer(Status.WOULD_BLOCK) : readAnswer(data);
    }
    const { socket } = stream;
    const data = yield* this.#spin(() => this.#net.read(socket, max));
    return typeof data === 'string' ? errorAnswer(data) : readAnswer(data);
  }

  *#write(request: RequestOf<typeof Op.WRITE>): Call<Answer> {
    const stream = this.#tables.stream(request.stream);
    if (stream === null) return answer(Status.NOT_FOUND);
    if (stream.kind === 'loop') {
      const taken = this.#tables.writeLoop(stream, request.data);
      if (taken === null) return this.#peerClosed;
      return taken === 0 ? answer(Status.WOULD_BLOCK) : countAnswer(taken);
    }
    const { socket } = stream;
    const taken = yield* this.#spin(() => this.#net.write(socket, request.data));
    return typeof taken === 'string' ? errorAnswer(taken) : countAnswer(taken);
  }

  *#udpBind(request: RequestOf<typeof Op.UDP_BIND>): Call<Answer> {
    const ip = request.ip ?? this.#net.ownIp;
    if (isLoopUdp(ip, request.port)) {
      yield* this.#afford(this.#heap.ring(LOOP_BUFFER));
      return handleAnswer(this.#tables.addLoopUdp(request.port));
    }
    if (request.port === 0) return answer(Status.IO);
    yield* this.#afford(this.#heap.socket(UDP_BUFFER));
    const socket = new UdpSocket(ip, request.port);
    this.#net.stack.add(socket);
    return handleAnswer(this.#tables.addUdp(socket));
  }

  #udpSend(request: RequestOf<typeof Op.UDP_SEND_TO>): Answer {
    const udp = this.#tables.udp(request.udp);
    if (udp === null) return answer(Status.NOT_FOUND);
    const { ip, data } = request;
    if (udp.kind === 'loop') {
      if (ip !== LOOP_IP || request.port !== udp.port) return answer(Status.IO);
      const taken = udp.ring.push(data);
      return taken === 0 ? answer(Status.WOULD_BLOCK) : countAnswer(taken);
    }
    if (data.length > UDP_SEND_MAX || ip === 0 || request.port === 0) return answer(Status.IO);
    const queued = udp.socket.send({ ip, port: request.port, payload: data });
    return queued ? countAnswer(data.length) : answer(Status.WOULD_BLOCK);
  }

  #udpReceive(request: RequestOf<typeof Op.UDP_RECV_FROM>): Answer {
    const udp = this.#tables.udp(request.udp);
    if (udp === null) return answer(Status.NOT_FOUND);
    const max = Math.min(request.max, UDP_RECV_MAX);
    if (udp.kind === 'loop') {
      const data = udp.ring.pop(max);
      return data.length === 0 ? answer(Status.WOULD_BLOCK) : datagramAnswer(data, LOOP_IP, port(udp.port));
    }
    const datagram = udp.socket.recv();
    if (datagram === null) return answer(Status.WOULD_BLOCK);
    return datagramAnswer(datagram.payload.subarray(0, max), datagram.ip, port(datagram.port));
  }

  /** One attempt, then while it would block further ones, each after a poll at real time and a yield (section 6.4). */
  *#spin<T>(attempt: () => T | NetError): Call<T | NetError> {
    let result = attempt();
    for (let i = 0; i < SPIN_TRIES && result === 'would-block'; i++) {
      this.#net.poll(yield* this.#net.ms());
      yield this.#sys.yieldCpu();
      result = attempt();
    }
    return result;
  }

  #lineAfter(request: FacadeRequest, { status }: Answer): string | null {
    if (request.op === Op.LISTEN) return `netstackd: rpc listen ${status === Status.OK ? 'ok' : 'FAIL'}`;
    if (request.op !== Op.CONNECT || status !== Status.OK) return null;
    if (!isLoopTcp(request.ip, request.port)) return 'netstackd: rpc connect ok';
    const line = 'netstackd: rpc connect loopback ok';
    if (this.#said.has(line)) return null;
    this.#said.add(line);
    return line;
  }

  /** Prints a line the first time; true when it did. */
  *#once(line: OnceLine): Call<boolean> {
    if (this.#said.has(line)) return false;
    this.#said.add(line);
    yield this.#sys.println(line);
    return true;
  }

  /** Ends the task when an allocation failed. */
  *#afford(fault: HeapFault | null): Call<void> {
    if (fault !== null) yield* exhausted(this.#sys, NETSTACKD, this.#heap, fault);
  }
}

/** Nothing had come: the question leaves everything as it was. */
function leavesAll(op: Op, { status }: Answer): boolean {
  return status === Status.WOULD_BLOCK && (op === Op.ACCEPT || op === Op.READ || op === Op.UDP_RECV_FROM);
}

function errorAnswer(error: NetError): Answer {
  return answer(error === 'would-block' ? Status.WOULD_BLOCK : Status.IO);
}
