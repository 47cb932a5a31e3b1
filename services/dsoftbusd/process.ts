/** What both modes of dsoftbusd share: the task, its options, its reply inbox, its log, its own address. */
import type { Sys } from '../../kernel-model/sys.ts';
import { Inbox } from '../lib/inbox.ts';
import { routeQuery } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import { CryptoMeter } from '../lib/noise.ts';
import type { DsoftbusdOptions } from './options.ts';
import { Slot } from './options.ts';

export const NAME = 'dsoftbusd';

/** One process. */
export class SoftbusProcess {
  readonly sys: Sys;
  readonly options: DsoftbusdOptions;
  readonly inbox: Inbox;
  readonly log: NexusLog;
  /** Charges cryptography to this task. */
  readonly meter: CryptoMeter;
  #sinkConfigured: boolean;

  constructor(sys: Sys, options: DsoftbusdOptions) {
    const { inboxDiscards, silentSink } = options;
    this.sys = sys;
    this.options = options;
    this.inbox = new Inbox(Slot.INBOX_RECV, inboxDiscards);
    this.log = new NexusLog(sys, { service: NAME, sink: true, silentSink, inboxDiscards }, this.inbox);
    this.meter = new CryptoMeter((label, units) => {
      sys.compute(label, units);
    }, options.x25519);
    this.#sinkConfigured = options.sinkSlotsUnused;
  }

  /** Prints `dsoftbusd: ` and the text. */
  *say(text: string): Call<void> {
    yield this.sys.println(`${NAME}: ${text}`);
  }

  /** Prints `dbg:dsoftbusd: ` and the text. */
  *debug(text: string): Call<void> {
    yield this.sys.println(`dbg:${NAME}: ${text}`);
  }

  /** Hands the log its slots, once they are there: init may still be wiring. */
  *configureSink(): Call<void> {
    if (this.#sinkConfigured) return;
    this.#sinkConfigured = yield* this.log.configure(Slot.LOGD, Slot.INBOX_SEND, Slot.INBOX_RECV);
  }
}

/** How a mode ends: for ever idle, or with the error that the entry prints. */
export type Stop = 'hang' | 'exit';

/** The only error type that dsoftbusd's entry knows. */
export const ERROR_TYPE = '()';

/** Asks init for `name` until it says where. */
export function* routeUntilFound({ sys }: SoftbusProcess, name: string): Call<Route> {
  for (;;) {
    const route = yield* routeQuery(sys, name);
    if (route !== null) return route;
    yield sys.yieldCpu();
  }
}
