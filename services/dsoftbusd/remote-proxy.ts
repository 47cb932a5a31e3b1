/**
 * node-b after the handshake (sheet 70, section 12.7): takes its peer's records and asks samgrd and bundlemgrd for it. Only
 * these two; what the frames ask of them is theirs to judge.
 *
 * Contract: `remote proxy ok` says that the service answered this frame. Quirk proxy-unchecked: any message on the inbox
 * counts, and the line comes without one, too.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Wanted } from '../lib/inbox.ts';
import { CLIENT_RECV_MAX, send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { Link } from './cross-vm.ts';
import type { FacadeRpc } from './facade-rpc.ts';
import type { Facade } from './facade.ts';
import { Slot } from './options.ts';
import { routeUntilFound } from './process.ts';
import type { SoftbusProcess, Stop } from './process.ts';
import { bundlemgrdAnswers, isSamgrdFrame, samgrdAnswers } from './proxy-match.ts';
import { REQUEST_WIRE, RecordStatus, RemoteService, decodeRequestRecord, encodeResponseRecord } from './records.ts';
import type { RequestRecord, ResponseRecord } from './records.ts';
import { readExact, writeAll } from './streams.ts';

const SEND_NS = 300_000_000;
const ANSWER_TRIES = 30_000;
/** Messages that can wait in the inbox. */
const INBOX_DEPTH = 8;

/** A service that the peer may reach. */
interface Target {
  readonly name: 'samgrd' | 'bundlemgrd';
  readonly slot: number;
}

export class RemoteProxy {
  readonly #process: SoftbusProcess;
  readonly #net: Facade;
  readonly #rpc: FacadeRpc;
  readonly #link: Link;

  constructor(process: SoftbusProcess, net: Facade, rpc: FacadeRpc, link: Link) {
    this.#process = process;
    this.#net = net;
    this.#rpc = rpc;
    this.#link = link;
  }

  *serve(): Call<Stop> {
    const process = this.#process;
    const { stream, transport } = this.#link;
    const samgrd: Target = { name: 'samgrd', slot: (yield* routeUntilFound(process, 'samgrd')).send };
    const bundlemgrd: Target = { name: 'bundlemgrd', slot: (yield* routeUntilFound(process, 'bundlemgrd')).send };
    yield* process.say('remote proxy up');
    for (let heard = false, idle = false; ;) {
      const sealed = yield* readExact(process, this.#net, stream, REQUEST_WIRE);
      if (sealed === null) {
        if (!idle) yield* process.debug('proxy io retry');
        idle = true;
        yield process.sys.yieldCpu();
        continue;
      }
      if (!heard) yield* process.say('remote proxy rx');
      heard = true;
      const plain = transport.open(sealed);
      if (plain === null) continue;
      const request = decodeRequestRecord(plain);
      if (typeof request === 'string') {
        yield* process.say(`remote proxy denied (${request})`);
        continue;
      }
      const response = yield* this.#serveRecord(request, samgrd, bundlemgrd);
      if (response === 'exit') return 'exit';
      yield* writeAll(process, this.#net, stream, transport.seal(encodeResponseRecord(response)));
    }
  }

  *#serveRecord(request: RequestRecord, samgrd: Target, bundlemgrd: Target): Call<ResponseRecord | 'exit'> {
    const { payload } = request;
    switch (request.service) {
      case RemoteService.SAMGRD:
        if (!isSamgrdFrame(payload)) return failed();
        return yield* this.#forward(samgrd, payload, samgrdAnswers(payload));
      case RemoteService.BUNDLEMGRD:
        return yield* this.#forward(bundlemgrd, payload, bundlemgrdAnswers(payload));
      default:
        yield* this.#process.say('remote proxy denied (service=unknown)');
        return failed();
    }
  }

  *#forward(target: Target, payload: Uint8Array, answers: Wanted): Call<ResponseRecord | 'exit'> {
    const { sys, inbox, options } = this.#process;
    const checked = !options.proxyUnchecked;
    // What answers like this one before it was asked is late, and no answer.
    if (checked) yield* inbox.drain(sys, INBOX_DEPTH, CLIENT_RECV_MAX, answers);
    const clone = yield sys.capClone(Slot.INBOX_SEND);
    if (clone < 0) return 'exit';
    if ((yield* send(sys, target.slot, payload, SEND_NS, clone)) < 0) return 'exit';
    const answer = yield* this.#receive(checked ? answers : () => true);
    const verdict = checked && answer === null ? 'FAIL' : 'ok';
    yield* this.#process.say(`remote proxy ${verdict} (peer=node-a service=${target.name})`);
    return answer === null ? failed() : { status: RecordStatus.OK, payload: answer };
  }

  /** The first message that is wanted; the others are kept for whom they concern. */
  *#receive(wanted: Wanted): Call<Uint8Array | null> {
    const { sys, inbox } = this.#process;
    for (let tries = 0; tries < ANSWER_TRIES;) {
      const poll = sys.beginPoll();
      poll.slots = [inbox.slot];
      poll.maxRounds = ANSWER_TRIES;
      poll.round = tries;
      if ((yield sys.runPoll()) < 0) return null;
      tries = poll.round + 1;
      if ((yield sys.recv(inbox.slot, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE)) < 0) continue;
      const frame = sys.message.payload;
      if (wanted(frame)) return frame;
      this.#rpc.keep(frame);
    }
    return null;
  }
}

function failed(): ResponseRecord {
  return { status: RecordStatus.FAIL, payload: new Uint8Array(0) };
}
