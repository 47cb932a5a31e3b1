/**
 * netstackd, the network service (sheet 70): brings the card up, gets an address, then serves the facade, one request per
 * turn of its loop. A turn polls the stack at real time and looks for a request.
 */
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { movedSlot, recv, replyAndClose, WOULD_BLOCK, yieldForever } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { Facade, NETSTACKD } from './facade.ts';
import { Heap } from './heap.ts';
import { MS } from './net.ts';
import type { Net } from './net.ts';
import { NETSTACKD_CONTRACT } from './options.ts';
import type { NetstackdOptions } from './options.ts';
import { startUp } from './start-up.ts';

/**
 * RECV slot of requests. Hard-coded: wiring puts it there because the driver's two VMOs are in slots 3 and 4 by then
 * (quirk Q17). Slot 6 is wired too and never used.
 */
export const REQUEST_SLOT = 5;
const REQUEST_SLOTS: readonly number[] = [REQUEST_SLOT];
/** A facade operation may poll the stack that far ahead of its time. */
const AHEAD_MS = 2;

/** The service as a task program. */
export function netstackdProgram(options: NetstackdOptions = NETSTACKD_CONTRACT): Program {
  return serviceProgram(NETSTACKD, function* run(sys: Sys): Call<ServiceEnd> {
    const heap = new Heap();
    const net = yield* startUp(sys, heap, options);
    if (net === null) return yield* yieldForever(sys);
    yield sys.println('netstackd: facade up');
    yield sys.println('netstackd: svc slots 5/6');
    return yield* serve(sys, net, new Facade(sys, net, heap, options), options);
  });
}

/** Section 6.6. An idle turn is one round of a kernel poll, so that idle turns can be skipped. */
function* serve(sys: Sys, net: Net, facade: Facade, options: NetstackdOptions): Call<never> {
  let saidFirst = false;
  // Clients ask whether something has come until it has: turns of a quiet stack that change nothing repeat each other.
  const lap = new Lap(Infinity, [net.stack.prng]);
  for (;;) {
    lap.state = facade.changes;
    lap.until = (net.stack.pollAt - AHEAD_MS) * MS;
    yield sys.lap(lap);
    const now = yield* net.ms();
    net.poll(now);
    yield* net.news();
    const got = yield* recv(sys, REQUEST_SLOT, 'now', options.receiveMax);
    if (got >= 0) {
      if (!saidFirst) yield sys.println('netstackd: first ipc recv');
      saidFirst = true;
      const reply = movedSlot(sys);
      const handled = yield* facade.handle(sys.message.payload, reply >= 0);
      if (reply >= 0) yield* replyAndClose(sys, reply, handled.reply, 'forever');
      if (handled.after !== null) yield sys.println(handled.after);
    }
    yield sys.yieldCpu();
    const untilMs = net.stack.pollAt;
    if (got === WOULD_BLOCK && untilMs > now) yield* net.idle({ slots: REQUEST_SLOTS, untilMs });
  }
}
