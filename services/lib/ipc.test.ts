import { describe, expect, it } from 'vitest';
import { Errno, Rights } from '../../kernel-model/abi.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import {
  TIMEOUT,
  WOULD_BLOCK,
  budgetOf,
  decodeRouteResponse,
  encodeRouteGet,
  movedSlot,
  recv,
  recvRequest,
  recvWithin,
  replyAndClose,
  routeQuery,
  send,
  sendWithin,
  yields,
} from './ipc.ts';
import { delivers, polled, script } from './fixtures/test-script.ts';
import { ascii } from './text.ts';

const FRAME = Uint8Array.of(1, 2, 3);
const ROUTE_OK = Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 8, 0, 0, 0, 9, 0, 0, 0);

describe('waits (sheet 10, section 9.1)', () => {
  it('COR-4: maps now, forever and a timeout to flags and deadline', () => {
    expect(script((sys) => send(sys, 4, FRAME, 'now'), [3]).calls).toEqual(['send 4 now 3B']);
    expect(script((sys) => send(sys, 4, FRAME, 'forever', 9), [3]).calls).toEqual(['send 4 forever 3B move 9']);
    expect(script((sys) => send(sys, 4, FRAME, 50), [100, 3]).calls).toEqual(['nsec', 'send 4 until 150 3B']);
    expect(script((sys) => recv(sys, 4, 'now'), [3]).calls).toEqual(['recv 4 now|cut 512B']);
    expect(script((sys) => recv(sys, 4, 'forever', 64), [3]).calls).toEqual(['recv 4 forever|cut 64B']);
    expect(script((sys) => recv(sys, 4, 50), [100, 3]).calls).toEqual(['nsec', 'recv 4 until 150|cut 512B']);
    expect(script((sys) => recvRequest(sys, 4, 'forever', 8192), [3]).calls).toEqual(['recv2 4 forever|cut 8192B']);
    expect(script((sys) => recvRequest(sys, 4, 5), [1, 3]).calls).toEqual(['nsec', 'recv2 4 until 6|cut 512B']);
  });

  it('tells the moved capability by its flag alone', () => {
    const slot = (flags: number) =>
      script(
        function* (sys) {
          yield sys.recv(1, 1);
          return movedSlot(sys);
        },
        [
          (sys) => {
            sys.message.flags = flags;
            sys.message.src = 0;
            return 0;
          },
        ],
      ).result;
    expect([slot(0), slot(1), slot(2)]).toEqual([-1, 0, -1]);
  });

  it('closes the reply capability after a send that went out, and leaks it after one that did not (Q18)', () => {
    expect(script((sys) => replyAndClose(sys, 20, FRAME), [3, 0]).calls).toEqual(['send 20 now 3B', 'close 20']);
    const failed = script((sys) => replyAndClose(sys, 20, FRAME), [WOULD_BLOCK]);
    expect(failed).toMatchObject({ result: WOULD_BLOCK, calls: ['send 20 now 3B'] });
  });
});

describe('budget loops (sheet 10, section 9.4)', () => {
  it('tries a send once before it reads a clock', () => {
    const run = script((sys) => sendWithin(sys, 4, FRAME, { deadline: 0, round: 0 }), [3]);
    expect(run).toMatchObject({ result: 3, calls: ['send 4 now 3B'] });
  });

  it('COR-4: an expired deadline fails after the first attempt', () => {
    const run = script((sys) => sendWithin(sys, 4, FRAME, { deadline: 10, round: 0 }), [WOULD_BLOCK, 10]);
    expect(run).toMatchObject({ result: TIMEOUT, calls: ['send 4 now 3B', 'nsec'] });
  });

  it('retries a full queue with one yield per attempt and goes on in round 1', () => {
    const run = script(
      (sys) => sendWithin(sys, 4, FRAME, { deadline: 10, round: 0 }, 9),
      [WOULD_BLOCK, 1, 0, polled(0, 5), 3],
    );
    expect(run.result).toBe(3);
    expect(run.calls).toEqual([
      'send 4 now 3B move 9',
      'nsec',
      'yield',
      'poll s4 until 10 every 128 from 1',
      'send 4 now 3B move 9',
    ]);
  });

  it('keeps the rounds of a budget over a receive that goes on', () => {
    const budget = { deadline: 99, round: 7 };
    const run = script((sys) => recvWithin(sys, 4, budget, 64), [polled(0, 12), delivers(FRAME)]);
    expect(run.calls).toEqual(['poll r4 until 99 every 128 from 7', 'recv 4 now|cut 64B']);
    expect(budget.round).toBe(12);
  });

  it('COR-4: a receive that never comes is a timeout, and another error ends it', () => {
    expect(script((sys) => recvWithin(sys, 4, { deadline: 9, round: 0 }), [polled(TIMEOUT, 128)]).result).toBe(TIMEOUT);
    const broken = script((sys) => recvWithin(sys, 4, { deadline: 9, round: 0 }), [polled(0, 0), -Errno.EPERM]);
    expect(broken.result).toBe(-Errno.EPERM);
  });

  it('COR-4: under the kernel, a permanent would-block ends within 128 rounds after its deadline', () => {
    const { kernel, clock } = bareKernel();
    const results: number[] = [];
    const task = addTask(kernel, function* (sys) {
      const budget = yield* budgetOf(sys, 3_000_000);
      results.push(yield* recvWithin(sys, 3, budget), budget.deadline, yield sys.nsec(), budget.round);
      return 0;
    });
    grant(task, 3, endpointCap(newEndpoint(kernel)));
    runUntil(kernel);
    const [result, deadline, now, rounds] = results;
    expect(result).toBe(TIMEOUT);
    expect(now).toBeGreaterThanOrEqual(deadline!);
    const perRound = (clock.now - deadline!) / 128;
    expect(perRound).toBeLessThan(10_000);
    expect(rounds! % 128).toBe(0);
  });

  it('yields exactly so often', () => {
    const { kernel, clock } = bareKernel();
    const spent: number[] = [];
    addTask(kernel, function* (sys) {
      for (const n of [0, 1, 64]) {
        const before = clock.now;
        yield* yields(sys, n);
        spent.push((clock.now - before) / kernel.costs.yield);
      }
      return 0;
    });
    runUntil(kernel);
    expect(spent).toEqual([0, 1, 64]);
  });
});

describe('route queries (sheet 10, section 9.3)', () => {
  it('encodes a query with and without nonce (sheet 20, section 7.1)', () => {
    expect(encodeRouteGet('logd')).toEqual(Uint8Array.of(0x52, 0x54, 1, 0x40, 4, ...ascii('logd')));
    expect(encodeRouteGet('logd', 1)).toEqual(Uint8Array.of(0x52, 0x54, 1, 0x40, 4, ...ascii('logd'), 1, 0, 0, 0));
  });

  it('decodes only 13 bytes of the right head', () => {
    expect(decodeRouteResponse(ROUTE_OK)).toEqual({ status: 0, send: 8, recv: 9 });
    const broken = [0, 1, 2, 3].map((at) => ROUTE_OK.map((byte, i) => (i === at ? byte ^ 0x80 : byte)));
    for (const frame of [...broken, ROUTE_OK.subarray(0, 12), Uint8Array.of(...ROUTE_OK, 1, 0, 0, 0)]) {
      expect(decodeRouteResponse(frame)).toBeNull();
    }
  });

  it('COR-4: drains, then asks once, both halves within one budget', () => {
    const run = script(
      (sys) => routeQuery(sys, 'logd'),
      [delivers(FRAME), WOULD_BLOCK, 1000, 9, polled(0, 0), delivers(ROUTE_OK)],
    );
    expect(run.result).toEqual({ send: 8, recv: 9 });
    expect(run.calls).toEqual([
      'recv 2 now|cut 32B',
      'recv 2 now|cut 32B',
      'nsec',
      'send 1 now 9B',
      'poll r2 until 100001000 every 128 from 0',
      'recv 2 now|cut 32B',
    ]);
  });

  it('after 32 stale frames takes the 33rd as the answer; a nonce answer is undecodable (section 24)', () => {
    const stale = Array.from({ length: 32 }, () => delivers(FRAME));
    expect(script((sys) => routeQuery(sys, 'x'), [...stale, 0, 6, polled(0, 0), delivers(ROUTE_OK)]).result).toEqual({
      send: 8,
      recv: 9,
    });
    const nonced = Uint8Array.of(...ROUTE_OK, 1, 0, 0, 0);
    const run = script((sys) => routeQuery(sys, 'x'), [WOULD_BLOCK, 0, 6, polled(0, 0), delivers(nonced)]);
    expect(run.result).toBeNull();
  });

  it('is null for a bad name, a refusal, a late answer and a full control queue', () => {
    expect(script((sys) => routeQuery(sys, ''), []).result).toBeNull();
    expect(script((sys) => routeQuery(sys, 'n'.repeat(49)), []).result).toBeNull();
    const denied = ROUTE_OK.slice();
    denied[4] = 3;
    expect(
      script((sys) => routeQuery(sys, 'x'), [WOULD_BLOCK, 0, 6, polled(0, 0), delivers(denied)]).result,
    ).toBeNull();
    expect(script((sys) => routeQuery(sys, 'x'), [WOULD_BLOCK, 0, 6, polled(TIMEOUT, 128)]).result).toBeNull();
    const full = [WOULD_BLOCK, 0, WOULD_BLOCK, 0, 0, polled(TIMEOUT, 128)];
    expect(script((sys) => routeQuery(sys, 'x'), full).result).toBeNull();
  });

  it('under the kernel, two tasks: an answer given in time arrives', () => {
    const { kernel } = bareKernel();
    const requests = newEndpoint(kernel);
    const answers = newEndpoint(kernel);
    let route: unknown = null;
    const client = addTask(kernel, function* (sys) {
      route = yield* routeQuery(sys, 'logd');
      return 0;
    });
    const init = addTask(kernel, function* (sys) {
      yield* yields(sys, 20);
      yield* recvRequest(sys, 1, 'forever');
      expect(sys.message.payload).toEqual(encodeRouteGet('logd'));
      yield* send(sys, 2, ROUTE_OK, 'now');
      return 0;
    });
    grant(client, 1, endpointCap(requests, Rights.SEND));
    grant(client, 2, endpointCap(answers, Rights.RECV));
    grant(init, 1, endpointCap(requests, Rights.RECV));
    grant(init, 2, endpointCap(answers, Rights.SEND));
    runUntil(kernel);
    expect(route).toEqual({ send: 8, recv: 9 });
  });
});
