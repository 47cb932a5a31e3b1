/** timed under the model kernel: the selftest's step S04 against it, and what a sleep does to others. */
import { describe, expect, it } from 'vitest';
import { TRUNCATE } from '../../kernel-model/abi.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Call } from '../lib/ipc.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { METRICSD_CONTRACT, metricsdProgram } from '../metricsd/main.ts';
import { timedCoalesce } from '../selftest-client/timed.ts';
import { SELFTEST_DEFAULTS } from '../selftest-client/fixtures/options.ts';
import { SelftestState } from '../selftest-client/state.ts';
import { TIMED_CONTRACT, TIMED_REFERENCE, timedProgram } from './main.ts';
import type { TimedOptions } from './main.ts';
import { deadlineNs, decodeReply, encodeRequest, timedNonce } from './wire.ts';

const S = 1_000_000_000;
type Cap = ReturnType<typeof endpointCap>;

/** Slots by requester and name, as init pins them; others are unknown. */
const ROUTES: Readonly<Record<string, readonly [number, number]>> = {
  'timed timed': [4, 3],
  'timed metricsd': [7, 5],
  'selftest-client timed': [0x1f, 0x20],
  'metricsd metricsd': [4, 3],
};

interface World {
  readonly lines: readonly string[];
  readonly now: number;
}

function boot(
  clients: readonly ((sys: Sys) => Call<void>)[],
  options: TimedOptions = TIMED_CONTRACT,
  skipPolls = true,
): World {
  const bare = bareKernel({ skipPolls });
  const { kernel } = bare;
  const cap = (depth = 8): Cap => endpointCap(newEndpoint(kernel, depth));
  const names = ['timed', 'metricsd', 'selftest-client'];
  const controls = names.map(() => [cap(), cap()] as const);
  const init: Program = function* (sys) {
    for (;;) {
      for (const [i, name] of names.entries()) {
        if ((yield sys.recv(2 * i, 64, TRUNCATE | 1)) < 0) continue;
        const query = sys.message.payload;
        const target = String.fromCharCode(...query.subarray(5, 5 + query[4]!));
        const slots = ROUTES[`${name} ${target}`];
        const known = slots !== undefined && !(name === 'timed' && target === 'metricsd' && options.metricsUnrouted);
        const [send, recv] = known ? slots : [0, 0];
        const nonce = query.subarray(5 + query[4]!);
        yield sys.send(
          2 * i + 1,
          Uint8Array.of(0x52, 0x54, 1, 0x41, known ? 0 : 3, send, 0, 0, 0, recv, 0, 0, 0, ...nonce),
        );
      }
      const poll = sys.beginPoll();
      poll.slots = names.map((_, i) => 2 * i);
      yield sys.runPoll();
    }
  };
  const wire = (name: string, program: Program, slots: readonly (readonly [number, Cap])[]): void => {
    const task = addTask(kernel, program, { name });
    for (const [slot, one] of slots) grant(task, slot, one);
  };
  const control = (name: string): readonly (readonly [number, Cap])[] => {
    const pair = controls[names.indexOf(name)]!;
    return [
      [1, pair[0]],
      [2, pair[1]],
    ];
  };
  const [request, reply, inbox, metrics, metricsReply, metricsInbox, store, log, idle] = [
    cap(),
    cap(),
    cap(),
    cap(),
    cap(),
    cap(),
    cap(),
    cap(64),
    cap(),
  ];
  wire(
    'init',
    init,
    controls.flatMap(([ask, answer], i) => [[2 * i, ask] as const, [2 * i + 1, answer] as const]),
  );
  wire('metricsd', metricsdProgram({ ...METRICSD_CONTRACT, readyBeforeProof: true }), [
    ...control('metricsd'),
    [3, metrics],
    [4, metricsReply],
    [5, metricsInbox],
    [6, metricsInbox],
    [7, store],
    [8, log],
  ]);
  wire('timed', timedProgram(options), [
    ...control('timed'),
    [3, request],
    [4, reply],
    [5, inbox],
    [6, inbox],
    [7, metrics],
  ]);
  for (const client of clients) {
    const program: Program = function* (sys) {
      yield* client(sys);
      for (;;) yield sys.recv(0x40, 8);
    };
    wire('selftest-client', program, [...control('selftest-client'), [0x1f, request], [0x20, reply], [0x40, idle]]);
  }
  runUntil(kernel, 20 * S);
  return { lines: bare.uart().split(/\r?\n/), now: bare.clock.now };
}

function* s04(sys: Sys): Call<void> {
  yield* timedCoalesce(new SelftestState(sys, SELFTEST_DEFAULTS));
}

describe('timed under the kernel', () => {
  it.each([
    ['the contract', TIMED_CONTRACT],
    ['the reference', TIMED_REFERENCE],
  ])('step S04 passes: %s', (_what, options) => {
    const { lines } = boot([s04], options);
    const shown = lines.filter((line) => /timed/.test(line) && !line.startsWith('[INFO'));
    expect(shown).toEqual([
      expect.stringMatching(/timed: ready$/),
      'timed: audit register decision=allow reason=applied',
      'timed: audit register decision=deny reason=over_limit',
      'timed: audit register decision=deny reason=invalid_args',
      'SELFTEST: timed coalesce ok',
    ]);
    const observed = lines.filter((line) => line.includes('name=timed.coalesce.delta_ns'));
    // Without a store behind it metricsd is slow, so that timed gives up what comes after five unanswered observations.
    expect(observed.length).toBe(options.metricsUnrouted ? 0 : 5);
  });

  it('adds up its waits: skipping changes nothing', () => {
    expect(boot([s04], TIMED_CONTRACT, false).lines).toEqual(boot([s04]).lines);
  });

  it('a sleep keeps the next client waiting', () => {
    const times: number[] = [];
    const sleeper = function* (sys: Sys): Call<void> {
      const deadline = deadlineNs(BigInt((yield sys.nsec()) + S));
      yield sys.send(0x1f, encodeRequest({ op: 'sleep_until', nonce: timedNonce(1), qos: 3, deadline }));
      yield sys.send(0x1f, encodeRequest({ op: 'register', nonce: timedNonce(2), qos: 0, deadline }));
      for (let i = 0; i < 2; i++) {
        yield sys.recv(0x20, 64, TRUNCATE);
        times.push(yield sys.nsec(), decodeReply(sys.message.payload)?.nonce ?? -1);
      }
    };
    boot([sleeper]);
    expect([times[1], times[3]]).toEqual([1, 2]);
    expect(times[0]! >= S && times[2]! >= times[0]!).toBe(true);
  });
});
