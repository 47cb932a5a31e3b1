/** node-a after the handshake (sheet 70, section 12.9): answers its own tasks by asking the other node. */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import { NonceGen } from '../lib/correlation.ts';
import { budgetOf, recvRequest, routeQuery, send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';
import { AppendStatus, LogLevel, appendPrefixV2, encodeAppendV2 } from '../logd/wire.ts';
import type { Link } from './cross-vm.ts';
import type { Facade } from './facade.ts';
import { Slot } from './options.ts';
import { NAME, routeUntilFound } from './process.ts';
import type { SoftbusProcess } from './process.ts';
import {
  REQUEST_AREA,
  RESPONSE_WIRE,
  RemoteService,
  bundleCount,
  decodeResponseRecord,
  encodeRequestRecord,
  resolved,
} from './records.ts';
import type { ResponseRecord } from './records.ts';
import { readExact, writeAll } from './streams.ts';
import { decodeRequest, encodeReject, encodeReply } from './wire.ts';
import type { RemoteName, SoftbusReply, SoftbusRequest } from './wire.ts';

const PROBE_TEXT = 'core service log probe: dsoftbusd';
const PROBE_NS = 250_000_000;
const ACK_BUFFER = 64;
const RESOLVE_HEAD: readonly number[] = [0x53, 0x4d, 1, 6];
const LIST_FRAME: readonly number[] = [0x42, 0x4e, 1, 1];

export class RemoteClient {
  readonly #process: SoftbusProcess;
  readonly #net: Facade;
  readonly #link: Link;
  readonly #probeNonces = new NonceGen(1n);
  #failed = false;

  constructor(process: SoftbusProcess, net: Facade, link: Link) {
    this.#process = process;
    this.#net = net;
    this.#link = link;
  }

  *serve(): Call<never> {
    const { sys, options } = this.#process;
    const own = yield* routeUntilFound(this.#process, NAME);
    for (;;) {
      if ((yield* recvRequest(sys, own.recv, 'forever', options.receiveMax)) < 0) {
        yield sys.yieldCpu();
        continue;
      }
      const request = decodeRequest(sys.message.payload);
      const reply = request.op === 'reject' ? encodeReject(request) : encodeReply(yield* this.#answer(request));
      yield* send(sys, own.send, reply, 'forever');
    }
  }

  *#answer(request: SoftbusRequest): Call<SoftbusReply> {
    switch (request.op) {
      case 'remote_resolve': {
        const record = yield* this.#ask(RemoteService.SAMGRD, resolveFrame(request.name));
        return { op: request.op, ok: yield* this.#told(record !== null && resolved(record)) };
      }
      case 'remote_bundle_list': {
        const record = yield* this.#ask(RemoteService.BUNDLEMGRD, Uint8Array.from(LIST_FRAME));
        const count = record === null ? null : bundleCount(record);
        yield* this.#told(count !== null);
        return { op: request.op, count };
      }
      case 'log_probe':
        return { op: request.op, ok: yield* this.#probe() };
      default:
        return unreachable(request);
    }
  }

  /** Says once that a call to the other node failed. */
  *#told(ok: boolean): Call<boolean> {
    if (!ok && !this.#failed) {
      this.#failed = true;
      yield* this.#process.debug('remote rpc fail');
    }
    return ok;
  }

  /** One record there, one back. */
  *#ask(service: number, payload: Uint8Array): Call<ResponseRecord | null> {
    const { stream, transport } = this.#link;
    const sealed = transport.seal(encodeRequestRecord({ service, payload }));
    if (!(yield* writeAll(this.#process, this.#net, stream, sealed))) return null;
    const answer = yield* readExact(this.#process, this.#net, stream, RESPONSE_WIRE);
    const plain = answer === null ? null : transport.open(answer);
    const record = plain === null ? null : decodeResponseRecord(plain);
    return typeof record === 'string' ? null : record;
  }

  /** LOG_PROBE: one record through the routed logd, its acknowledgement awaited. */
  *#probe(): Call<boolean> {
    const { sys, inbox } = this.#process;
    const logd = yield* routeQuery(sys, 'logd');
    if (logd === null) return false;
    const nonce = this.#probeNonces.next();
    const clone = yield sys.capClone(Slot.INBOX_SEND);
    if (clone < 0) return false;
    const frame = encodeAppendV2(nonce, LogLevel.INFO, ascii(NAME), ascii(PROBE_TEXT));
    if ((yield sys.send(logd.send, frame, NONBLOCK, 0, clone)) < 0) {
      yield sys.capClose(clone);
      return false;
    }
    const isAck = (reply: Uint8Array): boolean => ackStatus(reply, nonce) !== null;
    const ack = yield* inbox.take(sys, isAck, yield* budgetOf(sys, PROBE_NS), ACK_BUFFER);
    return ack !== null && ackStatus(ack, nonce) === AppendStatus.OK;
  }
}

/** samgrd's RESOLVE_STATUS, cut to what a record holds. */
function resolveFrame(name: RemoteName): Uint8Array {
  return Uint8Array.from([...RESOLVE_HEAD, name.length, ...name]).subarray(0, REQUEST_AREA);
}

/** Status of logd's answer to `nonce`; null: some other frame. */
function ackStatus(reply: Uint8Array, nonce: bigint): number | null {
  const prefix = appendPrefixV2(reply);
  return typeof prefix === 'string' || prefix.nonce !== nonce ? null : prefix.status;
}
