/** samgrd's loop on the real kernel, with stand-ins for init, its clients and logd. */
import { ENTRY_NOTE } from '../lib/entry.ts';
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Task } from '../../kernel-model/task.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import { encodeRouteResponse } from '../init/wire.ts';
import { ack, client, grantClient, logdStandIn } from '../policyd/fixtures/peers.ts';
import type { Answers, Appended, Got, Question } from '../policyd/fixtures/peers.ts';
import { SAMGRD_CONTRACT, SAMGRD_REFERENCE, samgrdProgram } from './main.ts';
import type { SamgrdOptions } from './main.ts';

const MS = 1_000_000;
const SLOTS: Readonly<Record<string, readonly [number, number]>> = { samgrd: [4, 3], logd: [7, 5], '@reply': [6, 5] };

const acknowledge: Answers = ({ nonce }) => [ack(nonce)];

/** What init answers to a route query; null: nothing. */
type Router = (name: string) => Uint8Array | null;

const initAnswers: Router = (name) => {
  const pair = SLOTS[name];
  return pair === undefined ? encodeRouteResponse(1, 0, 0, null) : encodeRouteResponse(0, pair[0], pair[1], null);
};

function bytes(...parts: readonly (number | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

const le = (value: number, length: number): number[] =>
  Array.from({ length }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));

const sm = (op: number, ...rest: readonly (number | readonly number[])[]): Uint8Array =>
  bytes(0x53, 0x4d, 1, op, ...rest);
const REGISTER = sm(1, 4, le(3, 4), le(4, 4), [0x76, 0x66, 0x73, 0x64]);
const LOOKUP = sm(2, 4, [0x76, 0x66, 0x73, 0x64]);
const PROBE = sm(0x7f);

interface Settings {
  readonly options?: SamgrdOptions;
  readonly route?: Router | null;
  readonly logd?: Answers | null;
  /** Rights of the capability in logd's slot. */
  readonly logdRights?: number;
  /** Slots that are left empty. */
  readonly without?: readonly number[];
  /** Receive and send slots of its own. */
  readonly own?: readonly [number, number];
}

class Bench {
  readonly bare = bareKernel();
  readonly samgrd: Task;
  readonly records: Appended[] = [];
  readonly request: number;
  readonly answer: number;
  readonly bootstrap: number;
  readonly now = (): number => this.bare.clock.now;

  constructor(settings: Settings = {}) {
    const { route = initAnswers, logd = acknowledge, without = [], own = [3, 4] } = settings;
    const { kernel } = this.bare;
    const [request, answer, inbox, logRequest, ctrlRequest, ctrlAnswer, bootstrap] = [8, 8, 8, 64, 8, 64, 8].map(
      (depth) => newEndpoint(kernel, depth),
    ) as [number, number, number, number, number, number, number];
    [this.request, this.answer, this.bootstrap] = [request, answer, bootstrap];
    this.samgrd = addTask(kernel, samgrdProgram(settings.options ?? SAMGRD_CONTRACT), { name: 'samgrd' });
    const table: readonly (readonly [number, number, number])[] = [
      [0, bootstrap, Rights.SEND],
      [1, ctrlRequest, Rights.SEND],
      [2, ctrlAnswer, Rights.RECV],
      [own[0], request, Rights.RECV],
      [own[1], answer, Rights.SEND],
      [5, inbox, Rights.RECV],
      [6, inbox, Rights.SEND],
      [7, logRequest, settings.logdRights ?? Rights.SEND],
    ];
    for (const [slot, endpoint, rights] of table)
      if (!without.includes(slot)) grant(this.samgrd, slot, endpointCap(endpoint, rights));
    if (route !== null) {
      const init = addTask(kernel, responder(route), { name: 'init-lite' });
      grant(init, 0, endpointCap(ctrlRequest, Rights.RECV));
      grant(init, 1, endpointCap(ctrlAnswer, Rights.SEND));
    }
    if (logd !== null) {
      const task = addTask(kernel, logdStandIn(this.records, this.now, logd), { name: 'logd' });
      grant(task, 0, endpointCap(logRequest, Rights.RECV));
    }
  }

  ask(name: string, ...questions: readonly (Question | Uint8Array)[]): Got[] {
    const got: Got[] = [];
    const list = questions.map((question) => (question instanceof Uint8Array ? { frame: question } : question));
    const task = addTask(this.bare.kernel, client(list, got, this.now), { name });
    grantClient(this.bare, task, this.request, this.answer);
    return got;
  }

  run(untilNs = 20_000 * MS): this {
    runUntil(this.bare.kernel, untilNs, 2_000_000);
    return this;
  }

  get lines(): string[] {
    return this.bare.uart().split('\r\n').slice(0, -1);
  }

  get held(): number[] {
    return Array.from({ length: 96 }, (_, slot) => slot).filter((slot) => this.samgrd.caps.get(slot) !== null);
  }
}

function responder(route: Router) {
  return function* (sys: Parameters<ReturnType<typeof samgrdProgram>>[0]) {
    for (;;) {
      yield sys.recv(0, 64, TRUNCATE);
      const answer = route(new TextDecoder().decode(sys.message.payload.subarray(5)));
      if (answer !== null) yield sys.send(1, answer, NONBLOCK);
    }
  };
}

const frames = (got: readonly Got[]): (Uint8Array | null)[] => got.map(({ frame }) => frame);
const START = ['UBsamgrd: ready', 'samgrd: mode os-lite'];
const FALLBACK = ['samgrd: route fallback', 'samgrd: slots logging', 'samgrd: slots 00000003 00000004'];

describe('start (sheet 60, section 7.1)', () => {
  it('takes the routed slots when init answers in time', () => {
    const bench = new Bench().run(50 * MS);
    expect(bench.lines).toEqual([...START, 'samgrd: slots logging', 'samgrd: slots 00000003 00000004']);
    const other = new Bench({ own: [0x13, 0x14], route: () => encodeRouteResponse(0, 0x14, 0x13, null) });
    const got = other.ask('selftest-client', REGISTER);
    other.run(200 * MS);
    expect(other.lines.slice(2, 4)).toEqual(['samgrd: slots logging', 'samgrd: slots 00000013 00000014']);
    expect(got).toHaveLength(1);
  });

  it('COR-4: falls back after 100 ms without an answer', () => {
    const bench = new Bench({ route: () => null }).run(99 * MS);
    expect(bench.lines).toEqual(START);
    bench.run(110 * MS);
    expect(bench.lines).toEqual([...START, 'samgrd: route err timeout', ...FALLBACK]);
    const late = new Bench({ route: () => null });
    const got = late.ask('selftest-client', REGISTER);
    late.run();
    expect(frames(got)).toEqual([sm(0x81, new Array<number>(9).fill(0))]);
  });

  it.each([
    ['denied', encodeRouteResponse(3, 0, 0, null)],
    ['unknown', encodeRouteResponse(1, 4, 3, null)],
    ['with a nonce nobody sent', encodeRouteResponse(0, 4, 3, 7)],
    ['of another protocol', bytes(0x50, 0x4f, 1, 0x81, 0, 0)],
  ])('falls back on an answer that is %s', (_, answer) => {
    const bench = new Bench({ route: () => answer }).run(50 * MS);
    expect(bench.lines).toEqual([...START, 'samgrd: route err unsupported', ...FALLBACK]);
  });

  it('falls back at once without control slots', () => {
    for (const slot of [1, 2]) {
      const bench = new Bench({ without: [slot] }).run(50 * MS);
      expect(bench.lines).toEqual([...START, 'samgrd: route err kernel', ...FALLBACK]);
    }
  });

  it('ends when its receive slot is empty (Q10)', () => {
    const bench = new Bench({ without: [3] }).run(50 * MS);
    expect(bench.lines.slice(-2)).toEqual([
      'samgrd: recv err',
      'service error svc=samgrd type=samgrd::os_lite::ServerError',
    ]);
  });
});

describe('requests (sheet 60, section 9, rows 20 to 31)', () => {
  it.each([
    ['contract', SAMGRD_CONTRACT],
    ['reference', SAMGRD_REFERENCE],
  ])('serves the smoke run (%s)', (_, options) => {
    const bench = new Bench({ options });
    const got = bench.ask(
      'selftest-client',
      REGISTER,
      LOOKUP,
      sm(2, 3, [0x61, 0x62, 0x63]),
      new TextEncoder().encode('bad'),
      { frame: sm(5), moved: true },
      PROBE,
      { frame: sm(3, le(0x1000, 8)), moved: true },
      { frame: sm(4, le(99, 4), le(7, 8)), moved: true },
      { frame: sm(5, le(8, 8)), moved: true },
      { frame: sm(6, 4, [0x76, 0x66, 0x73, 0x64]), moved: true },
    );
    bench.run();
    const pid = bench.bare.kernel.tasks.findIndex((task) => task.name === 'selftest-client');
    const none = new Array<number>(8).fill(0);
    const id = [0x69, 0x3f, 0xfb, 0x4f, 0xa3, 0xc4, 0xc6, 0x52];
    expect(frames(got)).toEqual([
      sm(0x81, 0, none),
      sm(0x82, 0, le(3, 4), le(4, 4)),
      sm(0x82, 1, none),
      sm(0x82, 2, none),
      sm(0x85, 0, id),
      sm(0xff, 0),
      bytes([0x50, 0x4f, 0x4e, 0x47], le(0x1000, 8)),
      sm(0x84, 0, le(pid, 4), le(7, 8)),
      sm(0x85, 0, id, le(8, 8)),
      sm(0x86, 0, none),
    ]);
    expect(bench.lines.slice(4)).toEqual(['samgrd: rx', 'samgrd: register seen', 'samgrd: capmove seen']);
    expect(bench.records).toMatchObject([
      {
        nonce: 1n,
        level: 2,
        scope: 'samgrd',
        message: 'core service log probe: samgrd',
        sender: serviceIdOf('samgrd'),
      },
    ]);
    expect(bench.held).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('says its three lines within the first message, once', () => {
    const bench = new Bench();
    bench.ask('selftest-client', { frame: REGISTER, moved: true }, { frame: REGISTER, moved: true });
    bench.run();
    expect(bench.lines.slice(4)).toEqual(['samgrd: rx', 'samgrd: capmove seen', 'samgrd: register seen']);
  });

  it("OBS-1: pid and service id are the kernel's; entries belong to the attested sender", () => {
    const bench = new Bench();
    bench.ask('vfsd', REGISTER);
    const got = bench.ask('packagefsd', { frame: LOOKUP, moved: true, after: 500 * MS });
    const own = bench.ask('vfsd', { frame: LOOKUP, moved: true, after: 500 * MS });
    bench.run();
    expect(got[0]?.frame?.[4]).toBe(1);
    expect(own[0]?.frame?.[4]).toBe(0);
  });

  it('COR-1: a nonce comes back where the frame had one', () => {
    const bench = new Bench();
    const nonces = [0, 1, 0xffff_ffff, 2 ** 52];
    const got = bench.ask('selftest-client', ...nonces.map((nonce) => ({ frame: sm(3, le(nonce, 8)), moved: true })), {
      frame: sm(3),
      moved: true,
    });
    bench.run();
    expect(frames(got)).toEqual([
      ...nonces.map((nonce) => bytes([0x50, 0x4f, 0x4e, 0x47], le(nonce, 8))),
      bytes([0x50, 0x4f, 0x4e, 0x47]),
    ]);
  });

  it('answers a PING without capability on slot 0 and closes that slot (Q8)', () => {
    const bench = new Bench();
    bench.ask('selftest-client', sm(3));
    bench.run();
    expect(bench.bare.kernel.router.endpoints[bench.bootstrap]?.count).toBe(1);
    expect(bench.held).not.toContain(0);
  });

  it('closes a moved capability that cannot be answered on', () => {
    const bench = new Bench();
    const { kernel } = bench.bare;
    const dead = newEndpoint(kernel);
    const task = addTask(kernel, function* (sys) {
      for (let i = 0; i < 100; i++) {
        const clone = yield sys.capClone(1);
        yield sys.send(0, REGISTER, 0, 0, clone);
      }
      return 0;
    });
    grant(task, 0, endpointCap(bench.request, Rights.SEND));
    grant(task, 1, endpointCap(dead, Rights.RECV));
    bench.run();
    expect(bench.held).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(bench.lines).not.toContain('samgrd: send fail');
  });

  it('says when its fixed slot refuses an answer', () => {
    const bench = new Bench({ without: [4] });
    bench.ask('selftest-client', REGISTER, LOOKUP);
    bench.run();
    expect(bench.lines.filter((line) => line === 'samgrd: send fail')).toHaveLength(2);
  });
});

describe('log probe (sheet 60, section 7.4)', () => {
  const ok = sm(0xff, 0);
  const failed = sm(0xff, 3);

  function probe(settings: Settings, count = 1): { readonly got: Got[]; readonly bench: Bench } {
    const bench = new Bench(settings);
    const got = bench.ask('selftest-client', ...new Array<Uint8Array>(count).fill(PROBE));
    return { got, bench: bench.run() };
  }

  it('counts its nonces from 1', () => {
    const { got, bench } = probe({}, 3);
    expect(frames(got)).toEqual([ok, ok, ok]);
    expect(bench.records.map(({ nonce }) => nonce)).toEqual([1n, 2n, 3n]);
  });

  it('COR-4: fails after 250 ms without an answer of logd', () => {
    const { got, bench } = probe({ logd: () => [] });
    expect(frames(got)).toEqual([failed]);
    const waited = (got[0]?.at ?? Infinity) - (bench.records[0]?.at ?? 0);
    expect(waited).toBeGreaterThan(240 * MS);
    expect(waited).toBeLessThan(270 * MS);
  });

  it('takes the answer with its nonce alone, and that answer at its word', () => {
    expect(frames(probe({ logd: ({ nonce }) => [ack(nonce + 1n), bytes(1), ack(nonce)] }).got)).toEqual([ok]);
    expect(frames(probe({ logd: ({ nonce }) => [ack(nonce, 6)] }).got)).toEqual([failed]);
    expect(frames(probe({ logd: ({ nonce }) => [ack(nonce - 1n)] }).got)).toEqual([failed]);
  });

  it('COR-3: what no probe wants is counted as dropped', () => {
    const bench = new Bench({ logd: ({ nonce }) => [ack(nonce + 9n), bytes(1), ack(nonce)] });
    const events = bench.bare.record();
    bench.ask('selftest-client', PROBE, PROBE);
    bench.run();
    const notes = events.flatMap((event) =>
      event.kind === 'note' && event.name !== ENTRY_NOTE ? [[event.name, event.value]] : [],
    );
    expect(notes).toEqual([
      ['inbox.dropped', 2],
      ['inbox.dropped', 4],
    ]);
  });

  it('fails at once without a route or a capability, and leaks nothing', () => {
    const denied: Router = (name) => (name === 'logd' ? encodeRouteResponse(3, 0, 0, null) : initAnswers(name));
    const noReply: Router = (name) => (name === '@reply' ? encodeRouteResponse(1, 0, 0, null) : initAnswers(name));
    const all: readonly Settings[] = [
      { route: denied },
      { route: noReply },
      { without: [6] },
      { logdRights: Rights.RECV },
    ];
    for (const settings of all) {
      const { got, bench } = probe(settings);
      expect(frames(got)).toEqual([failed]);
      expect(bench.records).toEqual([]);
      expect(bench.held).toEqual([0, 1, 2, 3, 4, 5, 6, 7].filter((slot) => !(settings.without ?? []).includes(slot)));
    }
  });
});
