import { describe, expect, it } from 'vitest';
import { Errno, Rights, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { script } from '../lib/fixtures/test-script.ts';
import type { Answer } from '../lib/fixtures/test-script.ts';
import { WOULD_BLOCK, budgetOf, encodeRouteGet, recvWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { FALLBACK_ROUTE, LOGD_CONTRACT, ROUTE_ROUNDS, logdProgram } from './main.ts';
import type { LogdOptions } from './main.ts';
import { append, hex, query, stats, u16, u64 } from './test-kit.ts';
import { AppendStatus, decodeQueryPageV2, nextSince } from './wire.ts';

const SELFTEST = serviceIdOf('selftest-client');
const POLICYD = serviceIdOf('policyd');
const REFERENCE: LogdOptions = {
  ...LOGD_CONTRACT,
  receiveMax: 512,
  lifetimeBudget: true,
  querySkips: true,
  countRejects: false,
};
const START = ['UBlogd: route fallback', 'logd: ready', 'logd: ready'];
const S = 1_000_000_000;

/** logd driven by hand: frames go in, then it runs until it waits for more. */
function drive(prepare: (driver: Driver) => void, options: Partial<LogdOptions> = {}): Driver {
  const driver = new Driver([1, 2, 3, 4]);
  prepare(driver);
  return driver.run(logdProgram({ ...LOGD_CONTRACT, ...options }));
}

const fromSelftest = { sender: SELFTEST };
const moved = (sender: bigint, cap = 20) => ({ sender, cap });

describe('start-up (sheet 40, section 6.1)', () => {
  const request = encodeRouteGet('logd', 1);

  it('LOG-10, NLG-4: asks 64 times, falls back, and says ready twice', () => {
    const driver = drive(() => undefined);
    expect(driver.lines).toEqual(START);
    expect(driver.sent.map(({ slot, frame }) => [slot, frame])).toEqual(Array(ROUTE_ROUNDS).fill([1, request]));
    expect(request).toEqual(hex('52 54 01 40 04 6c 6f 67 64 01 00 00 00'));
    // One yield per empty round, and the one between the two lines.
    expect(driver.yields).toBe(ROUTE_ROUNDS + 1);
  });

  it('COR-6: takes the slots of the answer that carries its nonce, and skips what is not one', () => {
    const driver = drive((d) => {
      d.push(2, hex('52 54 01 41 00 00*4 00*4'));
      d.push(2, hex('52 54 01 41 00 0a 00*3 09 00*3 02 00*3'));
      d.push(2, hex('52 54 01 41 01 0a 00*3 09 00*3 01 00*3'));
      d.push(2, hex('52 54 01 41 00 0a 00*3 09 00*3 01 00*3'));
      d.push(9, stats(), fromSelftest);
    });
    expect(driver.lines.slice(0, 2)).toEqual(['UBlogd: ready', 'logd: ready']);
    expect(driver.sent.filter(({ slot }) => slot === 1)).toHaveLength(4);
    expect(driver.sent.at(-1)).toMatchObject({ slot: 10 });
  });

  it('gives up at an answer that does not decode', () => {
    const driver = drive((d) => {
      d.push(2, hex('52 54 01 00 00 0a 00*3 09 00*3 01 00*3'));
    });
    expect(driver.lines).toEqual(START);
    expect(driver.sent).toHaveLength(1);
  });

  it('yields after a send that failed and an empty inbox, not after another receive error', () => {
    const rest: Answer[] = Array.from({ length: 62 }, (): Answer[] => [13, WOULD_BLOCK, 0]).flat();
    const run = script(
      (sys) => logdProgram()(sys) as Call<number>,
      [0, WOULD_BLOCK, 0, 13, -Errno.ESRCH, ...rest, 0, 0, 0, 0, -Errno.ESRCH, 0],
    );
    expect(run.calls.slice(0, 7)).toEqual([
      'print UB',
      'send 1 now 13B',
      'yield',
      'send 1 now 13B',
      'recv 2 now|cut 32B',
      'send 1 now 13B',
      'recv 2 now|cut 32B',
    ]);
    expect(run.result).toBe(-1);
  });
});

describe('loop (sheet 40, section 6.2)', () => {
  it('receives with RECV_V2, cut to 8192 bytes, or 512 with quirk receive-cut', () => {
    const start: Answer[] = Array.from({ length: 64 }, (): Answer[] => [WOULD_BLOCK, 0]).flat();
    const first = (options: LogdOptions) =>
      script((sys) => logdProgram(options)(sys) as Call<number>, [0, ...start, 0, 0, 0, 0, -Errno.ESRCH, 0]).calls.at(
        -2,
      );
    expect(first(LOGD_CONTRACT)).toBe('recv2 3 forever|cut 8192B');
    expect(first(REFERENCE)).toBe('recv2 3 forever|cut 512B');
  });

  it('yields over a would-block or timeout, and ends with any other error', () => {
    const driver = drive((d) => {
      d.receiveErrors.set(3, [-Errno.EAGAIN, -Errno.ETIMEDOUT, -Errno.ENOSPC]);
    });
    expect(driver.lines.at(-1)).toBe('service error svc=logd type=logd::os_lite::ServerError');
    expect(driver.yields).toBe(ROUTE_ROUNDS + 3);
    expect(driver.exit).toBe(-1);
  });

  it('OBS-3: says each line of an APPEND once, whoever sends', () => {
    const driver = drive((d) => {
      d.push(3, append({ message: 'one' }), moved(POLICYD));
      d.push(3, append({ fields: 'service=x' }), moved(POLICYD));
      d.push(3, append({ fields: 'service=x' }), moved(SELFTEST));
      for (let i = 0; i < 30; i++) d.push(3, append({ message: 'burst' }), moved(POLICYD));
      const over = append({});
      over[5] = 65;
      d.push(3, over, moved(SELFTEST));
    });
    expect(driver.lines.slice(3)).toEqual([
      'logd: rx first',
      'logd: append rx',
      'logd: append rsp status=0x00',
      'logd: reject invalid_args',
      'logd: reject rate_limited',
      'logd: reject over_limit',
    ]);
    expect(driver.notes.get('reject.invalid_args')).toBe(2);
    expect(driver.notes.get('reject.rate_limited')).toBe(7);
    expect(driver.notes.get('reject.over_limit')).toBe(1);
    expect(driver.notes.get('journal.total')).toBe(24);
    expect(driver.notes.get('journal.used_records')).toBe(24);
  });

  it('OBS-3: counts malformed and unsupported frames without a line; quirk no-reject-counters: nothing', () => {
    for (const countRejects of [true, false]) {
      const driver = drive(
        (d) => {
          d.push(3, hex('00'), moved(POLICYD));
          d.push(3, hex('4c 4f 09 01'), moved(POLICYD));
          d.push(3, hex('4c 4f 01 09'), moved(POLICYD));
          d.push(3, hex('4c 4f 01 02'), moved(POLICYD));
        },
        { countRejects },
      );
      expect([driver.notes.get('reject.malformed'), driver.notes.get('reject.unsupported')]).toEqual(
        countRejects ? [2, 2] : [undefined, undefined],
      );
      expect(driver.lines.slice(3).filter((line) => line.includes('reject'))).toEqual([]);
    }
  });

  it('the op byte alone makes the append lines, the answer makes the reject line', () => {
    const driver = drive((d) => {
      d.push(3, hex('58 58 01 01'), moved(POLICYD));
      d.push(3, hex('4c 4f 02 01 00*5'), moved(POLICYD));
    });
    expect(driver.lines.slice(3)).toEqual(['logd: rx first', 'logd: append rx', 'logd: append rsp status=0x01']);
  });

  it('OBS-2: answers a legal frame of more than 512 bytes; quirk receive-cut refuses it', () => {
    const status = (receiveMax: number) =>
      drive(
        (d) => {
          d.push(3, append({ fields: new Uint8Array(512) }), moved(POLICYD));
        },
        { receiveMax },
      ).sent.at(-1)!.frame[4];
    expect(status(8192)).toBe(AppendStatus.OK);
    expect(status(512)).toBe(AppendStatus.INVALID_ARGS);
  });
});

describe("the selftest client's plain frames (steps 6 and 7)", () => {
  it('prints the query lines once, with v1 offsets for every version (Q-6)', () => {
    const driver = drive((d) => {
      d.push(3, append({ message: 'one' }), fromSelftest);
      d.push(3, query(0n, 8, 2, 1n), fromSelftest);
      d.push(3, query(0n, 8), fromSelftest);
    });
    expect(driver.lines.slice(3)).toEqual([
      'logd: rx first',
      'logd: append rx',
      'logd: append rsp status=0x00',
      'logd: selftest append rx',
      'logd: allow selftest replies',
      'logd: selftest query rx',
      'logd: used_records=0x0000000000000001',
      'logd: query rsp count=0x0000',
    ]);
    expect(driver.sent.slice(ROUTE_ROUNDS).map(({ slot }) => slot)).toEqual(Array(3).fill(FALLBACK_ROUTE.send));
  });

  it('reads a count from a STATS answer when only the op byte says QUERY (section 24)', () => {
    const driver = drive((d) => {
      d.push(3, hex('58 58 01 02'), fromSelftest);
    });
    expect(driver.lines.at(-2)).toBe('logd: query rsp count=0x0080');
  });

  it('a v1 page shows its count', () => {
    const driver = drive((d) => {
      d.push(3, append({ message: 'one' }), moved(POLICYD));
      d.push(3, query(0n, 8), fromSelftest);
    });
    expect(driver.lines).toContain('logd: query rsp count=0x0001');
  });

  it('says nothing of it for frames that bring a capability', () => {
    const driver = drive((d) => {
      d.push(3, query(0n, 8), moved(SELFTEST));
    });
    expect(driver.lines.slice(3)).toEqual(['logd: rx first']);
  });

  it('OBS-1: another plain sender is not answered, but its request is executed', () => {
    const driver = drive((d) => {
      d.push(3, append({ message: 'one' }), { sender: serviceIdOf('execd') });
      d.push(3, append({ message: 'two' }), { sender: POLICYD });
      // The alias of the selftest client counts for nothing here.
      d.push(3, stats(), { sender: 0x68c1_66c3_7bcd_7154n });
      d.push(3, stats(), moved(POLICYD));
    });
    expect(driver.lines.filter((line) => line.startsWith('logd: drop'))).toEqual([
      'logd: drop nonself sid=0x7b6096126000c028 op=0x01',
    ]);
    const answers = driver.sent.slice(ROUTE_ROUNDS);
    expect(answers).toHaveLength(1);
    expect(u64(answers[0]!.frame, 5)).toBe(2n);
  });
});

describe('replies (step 7)', () => {
  it('COR-1: go over the moved capability, which is closed then', () => {
    const driver = drive((d) => {
      d.push(3, append({ version: 2, nonce: 77n, message: 'one' }), moved(POLICYD, 20));
    });
    expect(driver.sent.at(-1)).toMatchObject({ slot: 20, moved: -1 });
    expect(u64(driver.sent.at(-1)!.frame, 5)).toBe(77n);
    expect(driver.caps.has(20)).toBe(false);
  });

  it('COR-4: a full reply queue is given up after 15 s, with a line each time and the capability closed', () => {
    const driver = drive((d) => {
      d.refuse = (slot) => (slot === 20 ? -Errno.EAGAIN : 0);
      d.push(3, stats(), moved(POLICYD));
      d.push(3, stats(), moved(POLICYD));
    });
    expect(driver.lines.slice(4)).toEqual(Array(2).fill('logd: capmove reply send fail'));
    expect(driver.caps.has(20)).toBe(false);
    expect(driver.now).toBeGreaterThanOrEqual(30 * S);
    expect(driver.now).toBeLessThan(30 * S + 10_000_000);
  });

  it('COR-4: the selftest client is given up after 2 s', () => {
    const driver = drive((d) => {
      d.refuse = (slot) => (slot === 4 ? -Errno.EAGAIN : 0);
      d.push(3, stats(), fromSelftest);
      d.push(3, stats(), fromSelftest);
    });
    expect(driver.lines.slice(4)).toEqual([
      'logd: allow selftest replies',
      'logd: selftest reply send fail',
      'logd: selftest reply send fail',
    ]);
    expect(driver.now).toBeGreaterThanOrEqual(4 * S);
    expect(driver.now).toBeLessThan(5 * S);
  });

  it('another error aborts at once', () => {
    const driver = drive((d) => {
      d.refuse = (slot) => (slot === 20 ? -Errno.ESRCH : 0);
      d.push(3, stats(), moved(POLICYD));
    });
    expect(driver.lines.at(-1)).toBe('logd: capmove reply send fail');
    expect(driver.now).toBeLessThan(S);
  });

  it('without a clock a full queue fails at once, and times count by themselves (section 24)', () => {
    const driver = drive((d) => {
      d.clockFails = true;
      d.refuse = (slot) => (slot === 20 ? -Errno.EAGAIN : 0);
      d.push(3, append({ message: 'one' }), moved(POLICYD));
      d.push(3, query(2n, 8), fromSelftest);
      d.push(3, query(1n, 8), fromSelftest);
    });
    expect(driver.lines).toContain('logd: capmove reply send fail');
    expect(driver.now).toBeLessThan(S);
    expect(driver.sent.slice(-2).map(({ frame }) => u16(frame, 21))).toEqual([0, 1]);
  });
});

// -- over the kernel --------------------------------------------------------------------------------------------------

/** logd and one selftest client with a reply inbox, under the kernel. */
function withSelftest(body: (sys: Sys) => Call<void>, options: Partial<LogdOptions> = {}): string[] {
  const bare = bareKernel();
  const { kernel } = bare;
  const [requests, answers, inbox] = [newEndpoint(kernel, 64), newEndpoint(kernel), newEndpoint(kernel)];
  const logd = addTask(kernel, logdProgram({ ...LOGD_CONTRACT, ...options }), { name: 'logd' });
  grant(logd, 3, endpointCap(requests, Rights.RECV));
  grant(logd, 4, endpointCap(answers, Rights.SEND));
  const client = addTask(
    kernel,
    function* (sys) {
      yield* body(sys);
      return 0;
    },
    { name: 'selftest-client' },
  );
  grant(client, 0x15, endpointCap(requests, Rights.SEND));
  grant(client, 0x16, endpointCap(answers, Rights.RECV));
  grant(client, 0x17, endpointCap(inbox, Rights.RECV));
  grant(client, 0x18, endpointCap(inbox, Rights.SEND));
  runUntil(kernel, 60 * S);
  return bare.uart().replaceAll('\r\n', '\n').trimEnd().split('\n');
}

/** One request with a moved capability and its answer. */
function* ask(sys: Sys, frame: Uint8Array): Call<Uint8Array | null> {
  const clone = yield sys.capClone(0x18);
  if ((yield sys.send(0x15, frame, 0, 0, clone)) < 0) return null;
  const got = yield* recvWithin(sys, 0x17, yield* budgetOf(sys, S));
  return got < 0 ? null : sys.message.payload;
}

describe('under the kernel', () => {
  it('OBS-27, OBS-3: the hardening probe of phase 0a finds one reject of each class', () => {
    const statuses: (number | undefined)[] = [];
    const lines = withSelftest(function* (sys) {
      const spoof = { version: 2, scope: 'selftest', message: 'logd spoof attempt' } as const;
      const over = new Uint8Array(562).fill(0x78);
      over.set(append({ version: 2, nonce: 2n, scope: 'selftest', message: 'logd over-limit attempt' }));
      new DataView(over.buffer).setUint16(16, 513, true);
      const nonced = append({ ...spoof, nonce: 1n, fields: 'sender_service_id=9999\nk=v\n' });
      statuses.push((yield* ask(sys, nonced))?.[4], (yield* ask(sys, over))?.[4]);
      for (let i = 0; i < 48 && statuses.at(-1) !== AppendStatus.RATE_LIMITED; i++) {
        const burst = append({ version: 2, nonce: BigInt(3 + i), scope: 'selftest', message: 'logd rate burst' });
        statuses.push((yield* ask(sys, burst))?.[4]);
      }
    });
    expect(statuses).toEqual([4, 5, ...Array<number>(24).fill(0), 6]);
    const rejects = lines.filter((line) => line.startsWith('logd: reject'));
    expect(rejects).toEqual(['logd: reject invalid_args', 'logd: reject over_limit', 'logd: reject rate_limited']);
  });

  it('COR-1, LOG-8: pages with nonces find a record behind many others', () => {
    let pages = 0;
    let found = false;
    withSelftest(function* (sys) {
      for (let i = 0; i < 20; i++) yield* ask(sys, append({ scope: 's', message: `filler ${i}`, fields: 'k=v\n' }));
      yield* ask(sys, append({ scope: 's', message: 'the needle' }));
      for (let since: bigint | null = 0n; since !== null && !found; pages++) {
        const nonce = 10_000n + BigInt(pages);
        const page = yield* ask(sys, query(since, 8, 2, nonce));
        const scan = decodeQueryPageV2(page!, nonce, new TextEncoder().encode('needle'));
        if (typeof scan === 'string') throw new Error(scan);
        found = scan.found;
        since = nextSince(since, scan.maxTimestamp);
      }
    });
    expect(found).toBe(true);
    expect(pages).toBe(3);
  });

  it('OBS-17: with the fault, an APPEND is acknowledged and never found', () => {
    let id: bigint | null = null;
    let count = -1;
    withSelftest(
      function* (sys) {
        id = u64((yield* ask(sys, append({ message: 'x' })))!, 5);
        count = u16((yield* ask(sys, query(0n, 8)))!, 21);
      },
      { dropAppends: true },
    );
    expect([id, count]).toEqual([1n, 0]);
  });

  it('a client that does not read stalls logd 15 s per reply, and then the next client is served', () => {
    let served = 0;
    const lines = withSelftest(function* (sys) {
      // The inbox holds 8; the 9th answer finds it full.
      for (let i = 0; i < 9; i++) yield sys.send(0x15, stats(), 0, 0, yield sys.capClone(0x18));
      yield sys.send(0x15, stats());
      yield sys.recv(0x16, 512, 2);
      served = yield sys.nsec();
    });
    expect(lines.filter((line) => line === 'logd: capmove reply send fail')).toHaveLength(1);
    expect(served).toBeGreaterThanOrEqual(15 * S);
    expect(served).toBeLessThan(15.1 * S);
  });
});
