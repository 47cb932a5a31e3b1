import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, Rights } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Bare } from '../../kernel-model/testing.ts';
import { LOGD_CONTRACT, logdProgram } from '../logd/main.ts';
import type { LogdOptions } from '../logd/main.ts';
import { decodeQueryPageV1, encodeAppendV1, pageHeader, statsPrefix } from '../logd/wire.ts';
import { delivers, polled, script } from './fixtures/test-script.ts';
import type { Answer } from './fixtures/test-script.ts';
import { Inbox } from './inbox.ts';
import { WOULD_BLOCK, budgetOf, recvRequest, recvWithin, send, yields } from './ipc.ts';
import type { Call } from './ipc.ts';
import { NexusLog, messageOf } from './nexus-log.ts';
import type { NexusLogOptions } from './nexus-log.ts';
import { ascii, hex16 } from './text.ts';

const CONTRACT: NexusLogOptions = { service: 'svc', sink: true, silentSink: false, inboxDiscards: false };
const REFERENCE: NexusLogOptions = { ...CONTRACT, silentSink: true, inboxDiscards: true };
const UART_ONLY: NexusLogOptions = { ...CONTRACT, sink: false };
const ACK = Uint8Array.of(0x4c, 0x4f, 1, 0x81, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const LIMITED = ACK.map((byte, i) => (i === 4 ? 6 : byte));
const S = 1_000_000_000;

/** Runs `body` with a facade whose sink has slots 8, 6, 5. */
function configured(body: (log: NexusLog, sys: Sys) => Call<void>, answers: readonly Answer[], options = CONTRACT) {
  const run = script(
    function* (sys) {
      const log = new NexusLog(sys, options);
      yield* log.configure(8, 6, 5);
      yield* body(log, sys);
    },
    [20, 0, 20, 0, 20, 0, ...answers],
  );
  return { ...run, calls: run.calls.slice(6) };
}

/** Lines of a facade without sink. */
function printed(body: (log: NexusLog) => Call<void>, lines: number): string[] {
  const run = script((sys) => body(new NexusLog(sys, UART_ONLY)), Array<number>(lines).fill(0));
  return run.calls.map((call) => call.replace('print ', ''));
}

describe('UART line (sheet 40, sections 9.1 and 9.2)', () => {
  it('NLG-1: is `[LEVEL target] payload`', () => {
    const lines = printed(function* (log) {
      log.setMaxLevel('TRACE');
      yield* log.error('a', 'one');
      yield* log.warn('a', 'two');
      yield* log.info('a', 'three');
      yield* log.debug('a', 'four');
      yield* log.trace('a', 'five');
    }, 5);
    expect(lines).toEqual([
      '[ERROR a] one\n',
      '[WARN a] two\n',
      '[INFO a] three\n',
      '[DEBUG a] four\n',
      '[TRACE a] five\n',
    ]);
  });

  it('suppresses TRACE by default, and what is above the level set', () => {
    const lines = printed(function* (log) {
      yield* log.trace('a', 'never');
      yield* log.debug('a', 'one');
      log.setMaxLevel('WARN');
      yield* log.info('a', 'never');
      yield* log.warn('a', 'two');
    }, 2);
    expect(lines).toEqual(['[DEBUG a] one\n', '[WARN a] two\n']);
  });

  it('lets a line pass when the mask has all of its topics, bit 31 too', () => {
    const lines = printed(function* (log) {
      yield* log.line('INFO', 'a', 'all', 0xffff_ffff);
      yield* log.line('INFO', 'a', 'top', 0x8000_0000);
      log.setTopicMask(0x8000_0002);
      yield* log.line('INFO', 'a', 'top again', 0x8000_0000);
      yield* log.line('INFO', 'a', 'never', 3);
      yield* log.info('a', 'never: general');
      yield* log.line('INFO', 'a', 'no topic', 0);
    }, 4);
    expect(lines.map((line) => line.slice(9, -1))).toEqual(['all', 'top', 'top again', 'no topic']);
  });

  it('NLG-5: replaces a text over 16384 bytes and reads no pointer for it', () => {
    const lines = printed(function* (log) {
      yield* log.info('a', 'x'.repeat(16_384));
      yield* log.info('a', 'x'.repeat(16_385));
      yield* log.info('a', '\u20ac'.repeat(5462));
    }, 3);
    expect(lines[0]).toHaveLength(16_384 + 10);
    expect(lines[1]).toBe('[INFO a] <bad-str ptr=0x0000000000000000 len=16385>\n');
    expect(lines[2]).toBe('[INFO a] <bad-str ptr=0x0000000000000000 len=16386>\n');
  });

  it('NLG-2: the same call prints the same bytes with and without the sink', () => {
    const call = (log: NexusLog) => log.info('a', 'text');
    const withSink = configured(call, [0, 20, 30, WOULD_BLOCK, 0]);
    expect(withSink.calls[0]).toBe('print [INFO a] text\n');
    expect(printed(call, 1)).toEqual(['[INFO a] text\n']);
  });

  it('NLG-2, OBS-10: without the sink, configure says so', () => {
    expect(script((sys) => new NexusLog(sys, UART_ONLY).configure(8, 6, 5), []).result).toBe(false);
  });
});

describe('message of a sink frame (sheet 40, section 9.3, step 3)', () => {
  const of = (line: string) => new TextDecoder().decode(messageOf(ascii(line)));
  it.each([
    ['[INFO a] text\n', 'text'],
    ['[INFO a] text] more\n', 'text] more'],
    ['[INFO a]text\n', '[INFO a]text'],
    ['[INFO a] two\n\n', 'two\n'],
    ['', ''],
  ])('%j', (line, message) => {
    expect(of(line)).toBe(message);
  });

  it('looks at 320 bytes and keeps 256', () => {
    expect(of(`[INFO a] ${'x'.repeat(400)}\n`)).toBe('x'.repeat(256));
    expect(of(`[INFO ${'t'.repeat(310)}] ${'x'.repeat(9)}\n`)).toBe('xx');
    // No `] ` in what was captured: all of it is the message (section 24).
    expect(of(`[INFO ${'t'.repeat(400)}] x\n`)).toBe(`[INFO ${'t'.repeat(250)}`);
    expect(of(`[INFO a] ${'x'.repeat(100)}${'\n'.repeat(300)}`)).toHaveLength(256);
  });
});

describe('sink slots (sheet 40, sections 9.3 and 9.4)', () => {
  it('OBS-11: configured slots are used without a word to the route service', () => {
    const run = configured((log) => log.info('a', 'text'), [0, 20, 15, WOULD_BLOCK, 0]);
    expect(run.calls).toEqual([
      'print [INFO a] text\n',
      'clone 6',
      'send 8 now 15B move 20',
      'recv 5 now|cut 512B',
      'nsec',
    ]);
  });

  it('quirk silent-sink, reference: it reads no clock and no acks', () => {
    const run = configured((log) => log.info('a', 'text'), [0, 20, 15, delivers(LIMITED), WOULD_BLOCK], REFERENCE);
    expect(run.calls.slice(3)).toEqual(['recv 5 now|cut 64B', 'recv 5 now|cut 64B']);
    expect(run.notes).toEqual([]);
  });

  it('OBS-10: configure probes each slot by clone and close', () => {
    const good = script((sys) => new NexusLog(sys, CONTRACT).configure(8, 6, 5), [20, 0, 21, 0, 22, 0]);
    expect(good.result).toBe(true);
    expect(good.calls).toEqual(['clone 8', 'close 20', 'clone 6', 'close 21', 'clone 5', 'close 22']);
    const bad = script((sys) => new NexusLog(sys, CONTRACT).configure(8, 6, 5), [20, 0, -Errno.EPERM]);
    expect(bad).toMatchObject({ result: false, calls: ['clone 8', 'close 20', 'clone 6'] });
  });

  const routeAnswer = (send: number, recv: number) =>
    Uint8Array.of(0x52, 0x54, 1, 0x41, 0, send, 0, 0, 0, recv, 0, 0, 0);
  const routed = (send: number, recv: number): Answer[] => [
    WOULD_BLOCK,
    0,
    9,
    polled(0, 0),
    delivers(routeAnswer(send, recv)),
  ];
  const ROUTE_CALLS = ['recv 2 now|cut 32B', 'nsec', 'send 1 now', 'poll r2', 'recv 2 now|cut 32B'];
  const short = (calls: readonly string[]) => calls.map((call) => call.replace(/ \d+B$| until.*/, ''));

  it('OBS-12, OBS-13: unconfigured, finds logd and the own inbox by routing, once for all lines', () => {
    const run = script(
      function* (sys) {
        const log = new NexusLog(sys, CONTRACT);
        yield* log.info('a', 'one');
        yield* log.info('a', 'two');
      },
      [0, ...routed(30, 31), ...routed(32, 33), 20, 14, WOULD_BLOCK, 0, 0, 21, 14, WOULD_BLOCK, 0],
    );
    const routes = ROUTE_CALLS.map((call) => call.replace(/ \d+B$/, ''));
    expect(short(run.calls)).toEqual([
      'print [INFO a] one\n',
      ...routes,
      ...routes,
      'clone 32',
      'send 30 now 14B move 20',
      'recv 33 now|cut',
      'nsec',
      'print [INFO a] two\n',
      'clone 32',
      'send 30 now 14B move 21',
      'recv 33 now|cut',
      'nsec',
    ]);
  });

  it('OBS-12, OBS-14: invalid slots are not stored, slots configured before stay (section 24)', () => {
    const run = configured(
      function* (log) {
        expect(yield* log.configure(9, 9, 9)).toBe(false);
        yield* log.info('a', 'text');
      },
      [-Errno.EPERM, 0, 20, 15, WOULD_BLOCK, 0],
    );
    expect(run.calls.slice(1, 4)).toEqual(['print [INFO a] text\n', 'clone 6', 'send 8 now 15B move 20']);
  });

  it('OBS-12: a slot 0 that clones is accepted and never used: the sink routes (section 24)', () => {
    const run = configured(
      function* (log) {
        expect(yield* log.configure(8, 0, 5)).toBe(true);
        yield* log.info('a', 'text');
      },
      [20, 0, 20, 0, 20, 0, 0, ...routed(30, 31), ...routed(32, 33), 20, 15, WOULD_BLOCK, 0],
    );
    expect(run.calls).toContain('send 30 now 15B move 20');
  });

  it('OBS-15: a failed route is a counted loss, and the next line tries again', () => {
    const fail: Answer[] = [WOULD_BLOCK, 0, 9, polled(-Errno.ETIMEDOUT, 128)];
    const run = script(
      function* (sys) {
        const log = new NexusLog(sys, CONTRACT);
        yield* log.info('a', 'one');
        yield* log.info('a', 'two');
      },
      [0, ...fail, 0, 0, ...fail],
    );
    expect(run.notes).toEqual(['log-sink.route=1', 'log-sink.route=2']);
    expect(run.calls.filter((call) => call.startsWith('print'))).toEqual([
      'print [INFO a] one\n',
      'print svc: log sink degraded\n',
      'print [INFO a] two\n',
    ]);
  });
});

describe('losses (quirks.md, silent-sink)', () => {
  const line = (log: NexusLog) => log.info('a', 'text');
  const DEGRADED = 'print svc: log sink degraded\n';

  it('OBS-15: quirk silent-sink, contract: a clone, a full queue and a dead endpoint are counted by cause and said once', () => {
    const run = configured(
      function* (log) {
        for (let i = 0; i < 4; i++) yield* line(log);
      },
      [
        ...[0, -Errno.ENOSPC, 0],
        ...[0, 20, WOULD_BLOCK, WOULD_BLOCK, 0],
        ...[0, 20, WOULD_BLOCK, WOULD_BLOCK, 0],
        ...[0, 20, -Errno.ESRCH, WOULD_BLOCK, 0],
      ],
    );
    expect(run.notes).toEqual([
      'log-sink.clone=1',
      'log-sink.queue-full=1',
      'log-sink.queue-full=2',
      'log-sink.send=1',
    ]);
    expect(run.calls.filter((call) => call === DEGRADED)).toHaveLength(1);
    // Drain after the failed send (section 24), and no capability leaks.
    expect(run.calls.slice(3, 8)).toEqual([
      'print [INFO a] text\n',
      'clone 6',
      'send 8 now 15B move 20',
      'recv 5 now|cut 512B',
      'close 20',
    ]);
  });

  it('quirk silent-sink, reference: nothing is said or counted, and the clone of a failed send leaks (Q-8)', () => {
    const run = configured(line, [0, 20, WOULD_BLOCK, WOULD_BLOCK], REFERENCE);
    expect(run.calls).toEqual(['print [INFO a] text\n', 'clone 6', 'send 8 now 15B move 20', 'recv 5 now|cut 64B']);
    expect(run.notes).toEqual([]);
  });

  it('COR-7, OBS-15: acks are read; a refused record is a loss', () => {
    const accepted: number[] = [];
    const run = configured(
      function* (log) {
        yield* line(log);
        yield* line(log);
        accepted.push(log.accepted);
        yield* line(log);
        accepted.push(log.accepted);
      },
      [
        ...[0, 20, 15, WOULD_BLOCK, 0],
        ...[0, 20, 15, delivers(ACK), WOULD_BLOCK, 0],
        ...[0, 20, 15, delivers(LIMITED), WOULD_BLOCK, 0, 0],
      ],
    );
    expect(accepted).toEqual([1, 1]);
    expect(run.notes).toEqual(['log-sink.status=1']);
    expect(run.calls).toContain(DEGRADED);
  });

  it('OBS-15: an ack that has not come when its time is over is a loss; an early line is not', () => {
    const run = configured(
      function* (log) {
        for (let i = 0; i < 3; i++) yield* line(log);
      },
      [
        ...[0, 20, 15, WOULD_BLOCK, 1000],
        ...[0, 20, 15, WOULD_BLOCK, 1000 + 15 * S - 1],
        ...[0, 20, 15, WOULD_BLOCK, 1000 + 15 * S, 0],
      ],
    );
    expect(run.notes).toEqual(['log-sink.ack-not-seen=1']);
    expect(run.calls.at(-1)).toBe(DEGRADED);
  });

  it('OBS-15: as long as acks stand in the inbox none is given up', () => {
    const acks = Array.from({ length: 4 }, () => delivers(ACK));
    const run = configured(
      function* (log) {
        for (let i = 0; i < 7; i++) yield* line(log);
      },
      [...Array.from({ length: 6 }, () => [0, 20, 15, WOULD_BLOCK, 0]).flat(), ...[0, 20, 15, ...acks, 90 * S]],
    );
    expect(run.notes).toEqual([]);
  });

  it('COR-3: lets at most 72 acks be on their way', () => {
    const quiet = Array.from({ length: 72 }, () => [0, 20, 15, WOULD_BLOCK, 0]).flat();
    const run = configured(
      function* (log) {
        for (let i = 0; i < 73; i++) yield* line(log);
      },
      [...quiet, ...[0, 20, 15, WOULD_BLOCK, 0, 0]],
    );
    expect(run.notes).toEqual(['log-sink.ack-not-seen=1']);
  });

  it('COR-4: awaitAck is true with the next OK, false at its deadline, and counts a line once', () => {
    const results: boolean[] = [];
    const wait = function* (log: NexusLog): Call<void> {
      results.push(yield* log.awaitAck(10));
    };
    configured(wait, []);
    configured(
      function* (log) {
        yield* line(log);
        yield* wait(log);
      },
      [0, 20, 15, WOULD_BLOCK, 0, 100, polled(0, 0), delivers(ACK)],
    );
    const late = configured(
      function* (log) {
        yield* line(log);
        yield* wait(log);
        yield* line(log);
      },
      [0, 20, 15, WOULD_BLOCK, 0, 100, polled(-Errno.ETIMEDOUT, 0), 0, 0, 20, 15, WOULD_BLOCK, 90 * S],
    );
    expect(results).toEqual([false, true, false]);
    expect(late.notes).toEqual(['log-sink.ack-not-seen=1']);
  });
});

describe('accounting', () => {
  it('OBS-15, COR-7: every line is accepted, lost for a named cause, or still awaited', () => {
    const fate = fc.constantFrom('clone', 'full', 'dead', 'ok', 'limited', 'silent');
    fc.assert(
      fc.property(fc.array(fate, { maxLength: 30 }), (fates) => {
        const inboxAcks: Uint8Array[] = [];
        let degraded = false;
        const lose: () => Answer[] = () => (degraded ? [] : ((degraded = true), [0]));
        const answers: Answer[] = [];
        let silent = 0;
        for (const f of fates) {
          answers.push(0);
          if (f === 'clone') {
            answers.push(-Errno.ENOSPC, ...lose());
            continue;
          }
          const sent = f === 'full' ? WOULD_BLOCK : f === 'dead' ? -Errno.ESRCH : 15;
          const read = inboxAcks.splice(0, 4);
          answers.push(20, sent, ...read.map((ack) => delivers(ack)), ...(read.length < 4 ? [WOULD_BLOCK] : []));
          if (read.some((ack) => ack === LIMITED)) answers.push(...lose());
          if (sent < 0) answers.push(0, ...lose());
          else answers.push(0);
          if (f === 'ok') inboxAcks.push(ACK);
          if (f === 'limited') inboxAcks.push(LIMITED);
          if (f === 'silent') silent += 1;
        }
        let accepted = 0;
        const run = configured(function* (log) {
          for (let i = 0; i < fates.length; i++) yield* log.info('a', 'text');
          accepted = log.accepted;
        }, answers);
        const lost = run.notes.length;
        expect(accepted + lost + inboxAcks.length + silent).toBe(fates.length);
        expect(run.calls.filter((call) => call.endsWith('degraded\n'))).toHaveLength(lost > 0 ? 1 : 0);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

// -- over the kernel --------------------------------------------------------------------------------------------------

interface World {
  readonly bare: Bare;
  readonly notes: Map<string, number | string>;
  readonly logdQueue: number;
  readonly inbox: number;
  readonly control: { readonly requests: number; readonly answers: number };
}

/** UART text; DEBUG_PUTC puts a CR before each LF. */
function uart(w: World): string {
  return w.bare.uart().replaceAll('\r\n', '\n');
}

/** A kernel with endpoints for logd, one inbox and the control channel. */
function world(logdDepth = 64): World {
  const bare = bareKernel();
  const notes = new Map<string, number | string>();
  const trace = bare.kernel.trace;
  trace.listen((event) => {
    if (event.kind === 'note') notes.set(event.name, event.value);
  });
  const { kernel } = bare;
  return {
    bare,
    notes,
    logdQueue: newEndpoint(kernel, logdDepth),
    inbox: newEndpoint(kernel),
    control: { requests: newEndpoint(kernel), answers: newEndpoint(kernel) },
  };
}

function addLogd(w: World, options: Partial<LogdOptions> = {}): void {
  const { kernel } = w.bare;
  const task = addTask(kernel, logdProgram({ ...LOGD_CONTRACT, ...options }), { name: 'logd' });
  grant(task, 3, endpointCap(w.logdQueue, Rights.RECV));
}

/** A task with sink slots 8, 6, 5 and its control channel. */
function addService(w: World, body: (sys: Sys, log: NexusLog) => Call<void>, name = 'svc', options = CONTRACT): void {
  const { kernel } = w.bare;
  const task = addTask(
    kernel,
    function* (sys) {
      yield* body(sys, new NexusLog(sys, { ...options, service: name }));
      return 0;
    },
    { name },
  );
  grant(task, 8, endpointCap(w.logdQueue, Rights.SEND));
  grant(task, 6, endpointCap(w.inbox, Rights.SEND));
  grant(task, 5, endpointCap(w.inbox, Rights.RECV));
  grant(task, 1, endpointCap(w.control.requests, Rights.SEND));
  grant(task, 2, endpointCap(w.control.answers, Rights.RECV));
}

/** Asks logd over the service's own inbox whether it holds a text. */
function* isLogged(sys: Sys, text: string): Call<boolean> {
  const frame = Uint8Array.of(0x4c, 0x4f, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0);
  const clone = yield sys.capClone(6);
  yield sys.send(8, frame, 0, 0, clone);
  const budget = yield* budgetOf(sys, S);
  while ((yield* recvWithin(sys, 5, budget)) >= 0) {
    const scan = decodeQueryPageV1(sys.message.payload, ascii(text));
    if (typeof scan !== 'string') return scan.found;
  }
  return false;
}

describe('with logd under the kernel', () => {
  it('OBS-11, LOG-3: a line over configured slots arrives, and nobody hears of a route', () => {
    const w = world();
    let found = false;
    addLogd(w);
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      yield* log.info('svc', 'nexus-log sink-logd probe');
      yield* yields(sys, 64);
      found = yield* isLogged(sys, 'nexus-log sink-logd probe');
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(found).toBe(true);
    expect(uart(w)).toContain('[INFO svc] nexus-log sink-logd probe\n');
    expect(uart(w)).not.toContain('degraded');
    expect(w.bare.kernel.router.endpoints[w.control.requests]!.count).toBe(0);
  });

  it('OBS-12: without configured slots it arrives by routed discovery', () => {
    const w = world();
    let found = false;
    addLogd(w);
    const init = addTask(w.bare.kernel, function* (sys) {
      for (const [send8, recv8] of [
        [8, 5],
        [6, 5],
      ] as const) {
        yield* recvRequest(sys, 1, 'forever');
        yield* send(sys, 2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, send8, 0, 0, 0, recv8, 0, 0, 0), 'now');
      }
      return 0;
    });
    grant(init, 1, endpointCap(w.control.requests, Rights.RECV));
    grant(init, 2, endpointCap(w.control.answers, Rights.SEND));
    addService(w, function* (sys, log) {
      yield* log.info('svc', 'found by route');
      found = yield* isLogged(sys, 'found by route');
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(found).toBe(true);
  });

  it('OBS-17: while logd drops appends, the line is on the UART and can not be found', () => {
    const w = world();
    let found = true;
    addLogd(w, { dropAppends: true });
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      yield* log.info('svc', 'lost');
      found = yield* isLogged(sys, 'lost');
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(found).toBe(false);
    expect(uart(w)).toContain('[INFO svc] lost\n');
  });

  it('OBS-15: a full queue is counted, said once, and leaks no capability', () => {
    const w = world(2);
    let free = -1;
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      for (let i = 0; i < 200; i++) yield* log.info('svc', `line ${i}`);
      free = yield sys.capClone(6);
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(w.notes.get('log-sink.queue-full')).toBe(198);
    expect(uart(w).match(/svc: log sink degraded\n/g)).toHaveLength(1);
    expect(free).toBeGreaterThanOrEqual(0);
    expect(free).toBeLessThan(12);
  });

  it('OBS-15: the 25th line of a window is refused by logd, and the service says so', () => {
    const w = world();
    addLogd(w);
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      for (let i = 0; i < 30; i++) {
        yield* log.info('svc', `line ${i}`);
        yield* yields(sys, 8);
      }
      yield* log.info('svc', 'the end');
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(uart(w)).toContain('logd: reject rate_limited\n');
    expect(w.notes.get('log-sink.status')).toBe(6);
    expect(w.notes.get('reject.rate_limited')).toBe(7);
    expect(uart(w).match(/svc: log sink degraded\n/g)).toHaveLength(1);
  });

  it('OBS-15: an ack that never comes is found after 15 s', () => {
    const w = world();
    const deaf = addTask(w.bare.kernel, function* (sys) {
      for (;;) {
        yield* recvRequest(sys, 3, 'forever');
        yield sys.capClose(sys.message.src);
      }
    });
    grant(deaf, 3, endpointCap(w.logdQueue, Rights.RECV));
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      yield* log.info('svc', 'one');
      yield sys.recv(5, 8, 0, (yield sys.nsec()) + 16 * S);
      yield* log.info('svc', 'two');
    });
    runUntil(w.bare.kernel, 30 * S);
    expect(w.notes.get('log-sink.ack-not-seen')).toBe(1);
    expect(uart(w)).toContain('svc: log sink degraded\n');
  });

  it('COR-3: a foreign reply on the inbox survives the drain of a line', () => {
    for (const inboxDiscards of [false, true]) {
      const w = world();
      addLogd(w);
      const reply = Uint8Array.of(0x53, 0x46, 2, 0x81, ...new Uint8Array(200));
      const found: unknown[] = [];
      const peer = addTask(w.bare.kernel, function* (sys) {
        yield* send(sys, 6, reply, 'now');
        return 0;
      });
      grant(peer, 6, endpointCap(w.inbox, Rights.SEND));
      addService(
        w,
        function* (sys) {
          const inbox = new Inbox(5, inboxDiscards);
          const log = new NexusLog(sys, { ...CONTRACT, inboxDiscards }, inbox);
          yield* log.configure(8, 6, 5);
          yield* yields(sys, 8);
          yield* log.info('svc', 'in between');
          const budget = yield* budgetOf(sys, 1_000_000);
          found.push(yield* inbox.take(sys, (frame) => frame[0] === 0x53, budget, 512), inbox.drops);
        },
        'svc',
      );
      runUntil(w.bare.kernel, 2 * S);
      expect(found).toEqual(inboxDiscards ? [null, expect.any(Number)] : [reply, 0]);
    }
  });

  it('LOG-7, OBS-1: the records of two services carry their own kernel ids, whatever they write', () => {
    const w = world();
    addLogd(w);
    const ids: bigint[] = [];
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      yield* log.info('logd', 'service_id=1 sender_service_id=2');
      const clone = yield sys.capClone(6);
      yield sys.send(8, Uint8Array.of(0x4c, 0x4f, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0), 0, 0, clone);
      const budget = yield* budgetOf(sys, S);
      for (;;) {
        if ((yield* recvWithin(sys, 5, budget)) < 0) return;
        const { payload } = sys.message;
        if (typeof pageHeader(payload, 1) === 'string') continue;
        ids.push(new DataView(payload.buffer, payload.byteOffset).getBigUint64(23 + 17, true));
        return;
      }
    });
    runUntil(w.bare.kernel, 2 * S);
    expect(ids).toEqual([w.bare.kernel.tasks.find((task) => task.name === 'svc')!.serviceId]);
  });

  it('NLG-4, LOG-10: `logd: ready` comes after the route and before the first frame', () => {
    const w = world();
    addService(w, function* (sys) {
      yield* send(sys, 8, encodeAppendV1(2, ascii('s'), ascii('m')), 'now');
    });
    addLogd(w);
    runUntil(w.bare.kernel, S);
    const sid = hex16(w.bare.kernel.tasks[0]!.serviceId);
    expect(uart(w)).toBe(
      'UBlogd: route fallback\nlogd: ready\nlogd: ready\nlogd: rx first\nlogd: append rx\n' +
        `logd: append rsp status=0x00\nlogd: drop nonself sid=0x${sid} op=0x01\n`,
    );
  });

  it('LOG-2: STATS over a moved capability counts what was stored', () => {
    const w = world();
    addLogd(w);
    let total = -1n;
    addService(w, function* (sys, log) {
      yield* log.configure(8, 6, 5);
      for (let i = 0; i < 3; i++) yield* log.info('svc', `line ${i}`);
      yield sys.send(8, Uint8Array.of(0x4c, 0x4f, 1, 3), 0, 0, yield sys.capClone(6));
      const budget = yield* budgetOf(sys, S);
      while ((yield* recvWithin(sys, 5, budget)) >= 0) {
        const prefix = statsPrefix(sys.message.payload, 1);
        if (typeof prefix !== 'string') total = prefix.total;
      }
    });
    runUntil(w.bare.kernel, 3 * S);
    expect(total).toBe(3n);
  });
});
