/** policyd's loop on the real kernel, with stand-ins for init, its clients and logd. */
import { ENTRY_NOTE } from '../lib/entry.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Program } from '../../kernel-model/sys.ts';
import type { Task } from '../../kernel-model/task.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Bare } from '../../kernel-model/testing.ts';
import type { TraceEvent } from '../../sim/trace.ts';
import { ack, client, grantClient, logdStandIn } from './fixtures/peers.ts';
import type { Answers, Appended, Got, Question } from './fixtures/peers.ts';
import { decide } from './decide.ts';
import { mmioLine, policydProgram } from './main.ts';
import { contractOptions, referenceOptions } from './options.ts';
import type { PolicydOptions } from './options.ts';
import type { PolicySet } from './policy.ts';
import { BASE_RECIPE, compilePolicy } from './recipe.ts';
import {
  PolicyStatus,
  claimedName,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  policyNonce,
  replyTo,
} from './wire.ts';
import type { CapabilityName, PolicyRequest } from './wire.ts';

const { ALLOW, DENY, MALFORMED, UNSUPPORTED } = PolicyStatus;
const MS = 1_000_000;
const sid = serviceIdOf;
const hex16 = (id: bigint): string => `0x${id.toString(16).padStart(16, '0')}`;

function base(): PolicySet {
  const compiled = compilePolicy([BASE_RECIPE]);
  if (!compiled.ok) throw new Error(compiled.error);
  return compiled.policy;
}

const CONTRACT = contractOptions(base());
const REFERENCE = referenceOptions(base());

const checkCap = (subject: ServiceId, capability: string): Uint8Array =>
  encodeRequest({
    op: 'check_cap',
    version: 1,
    subject,
    capability: capability as CapabilityName,
  });
const check = (name: string): Uint8Array => encodeRequest({ op: 'check', version: 1, requester: claimedName(name) });
const route = (nonce: number, requester: string, target: string): Uint8Array =>
  encodeRequest({
    op: 'route',
    version: 3,
    nonce: policyNonce(nonce),
    requester: sid(requester),
    target: sid(target),
  });
const exec = (nonce: number, requester: string): Uint8Array =>
  encodeRequest({
    op: 'exec',
    version: 3,
    nonce: policyNonce(nonce),
    requester: sid(requester),
    image: 1,
  });
const delegated = (nonce: number, subject: string, capability: string): Uint8Array =>
  encodeRequest({
    op: 'check_cap_delegated',
    version: 2,
    nonce: policyNonce(nonce),
    subject: sid(subject),
    capability: capability as CapabilityName,
  } satisfies PolicyRequest);
const PROBE = Uint8Array.of(0x50, 0x4f, 1, 0x7f, 0, 0);

type ChannelName = 'route' | 'exec' | 'service';

/** policyd with its endpoints. */
class Bench {
  readonly bare: Bare;
  readonly policyd: Task;
  readonly records: Appended[] = [];
  readonly channels: Readonly<Record<ChannelName, { readonly request: number; readonly answer: number }>>;
  readonly #logd: number;
  readonly now = (): number => this.bare.clock.now;

  constructor(options: PolicydOptions, settings: { skipPolls?: boolean; program?: Program } = {}) {
    this.bare = bareKernel(settings);
    const { kernel } = this.bare;
    const pair = () => ({
      request: newEndpoint(kernel),
      answer: newEndpoint(kernel),
    });
    this.channels = { route: pair(), exec: pair(), service: pair() };
    this.#logd = newEndpoint(kernel, 64);
    this.policyd = addTask(kernel, settings.program ?? policydProgram(options), {
      name: 'policyd',
    });
    this.#pair(5, 6, 'route');
    this.#pair(7, 8, 'exec');
  }

  #pair(recv: number, reply: number, name: ChannelName): void {
    grant(this.policyd, recv, endpointCap(this.channels[name].request, Rights.RECV));
    grant(this.policyd, reply, endpointCap(this.channels[name].answer, Rights.SEND));
  }

  /** What init's wiring pass adds. */
  wire(answers: Answers | null = ({ nonce }) => [ack(nonce)]): this {
    const { kernel } = this.bare;
    this.#pair(3, 4, 'service');
    const inbox = newEndpoint(kernel);
    grant(this.policyd, 9, endpointCap(inbox, Rights.RECV));
    grant(this.policyd, 0xa, endpointCap(inbox, Rights.SEND));
    grant(this.policyd, 0xb, endpointCap(this.#logd, Rights.SEND));
    if (answers === null) return this;
    const logd = addTask(kernel, logdStandIn(this.records, this.now, answers), {
      name: 'logd',
    });
    grant(logd, 0, endpointCap(this.#logd, Rights.RECV));
    return this;
  }

  /** Adds a client; its answers appear in the returned list while the kernel runs. */
  ask(name: string, channel: ChannelName, ...questions: readonly (Question | Uint8Array)[]): Got[] {
    const got: Got[] = [];
    const list = questions.map((question) => (question instanceof Uint8Array ? { frame: question } : question));
    const task = addTask(this.bare.kernel, client(list, got, this.now), {
      name,
    });
    grantClient(this.bare, task, this.channels[channel].request, this.channels[channel].answer);
    return got;
  }

  run(untilNs = 30_000 * MS): this {
    runUntil(this.bare.kernel, untilNs, 5_000_000);
    return this;
  }

  get lines(): string[] {
    return this.bare.uart().split('\r\n').slice(0, -1);
  }

  /** Audit lines in short: o for ok, F for FAIL. */
  get emits(): string {
    return this.lines
      .map((line) => ({ 'policyd: audit emit ok': 'o', 'policyd: audit emit FAIL': 'F' })[line] ?? '')
      .join('');
  }

  get messages(): string[] {
    return this.records.map((record) => record.message);
  }
}

function status(got: Got | undefined): number | undefined {
  const { frame } = got ?? { frame: null };
  if (frame === null) return undefined;
  return frame[2] === 1 ? frame[4] : decodeReply(frame)?.status;
}

const statuses = (got: readonly Got[]): (number | undefined)[] => got.map(status);

function audit(op: string, decision: string, sender: string): string {
  return `audit v1 op=${op} decision=${decision} subject=${hex16(sid(sender))} reason=policy`;
}

describe('boot (sheet 30, sections 1 and 6.4)', () => {
  it.each([
    ['contract', CONTRACT],
    ['reference', REFERENCE],
  ])('answers the five boot queries before wiring, their audit failing at once (%s)', (_, options) => {
    const bench = new Bench(options);
    const got = bench.ask(
      'init-lite',
      'route',
      checkCap(sid('netstackd'), 'device.mmio.blk'),
      checkCap(sid('netstackd'), 'device.mmio.net'),
      checkCap(sid('rngd'), 'device.mmio.rng'),
      checkCap(sid('selftest-client'), 'device.mmio.net'),
      checkCap(sid('statefsd'), 'device.mmio.blk'),
    );
    bench.run(100 * MS);
    expect(statuses(got)).toEqual([DENY, ALLOW, ALLOW, ALLOW, ALLOW]);
    expect(got[0]?.frame).toEqual(Uint8Array.of(0x50, 0x4f, 1, 0x84, 1, 0));
    expect(bench.lines).toEqual([
      'UBpolicyd: ready',
      'policyd: audit emit FAIL',
      'policyd: mmio blk deny priv',
      'policyd: audit emit FAIL',
      'policyd: mmio net allow priv',
      'policyd: audit emit FAIL',
      'policyd: mmio rng allow priv',
      'policyd: audit emit FAIL',
      'policyd: mmio net allow priv',
      'policyd: audit emit FAIL',
      'policyd: mmio blk allow priv',
    ]);
    // The five used up log nonces 1 to 5.
    bench.wire();
    bench.ask('selftest-client', 'service', check('selftest-client'));
    bench.run(200 * MS);
    expect(bench.records[0]).toMatchObject({
      nonce: 6n,
      level: 2,
      scope: 'policyd.audit',
      sender: sid('policyd'),
    });
    expect(bench.emits).toBe('FFFFFo');
  });

  it('serves the service channel as soon as it is wired, however late that is', () => {
    for (const late of [1, 40_000]) {
      const bench = new Bench(CONTRACT).run(late * MS);
      expect(bench.now()).toBeGreaterThanOrEqual(late * MS);
      bench.wire();
      const wired = bench.now();
      const got = bench.ask('samgrd', 'service', check('samgrd'));
      bench.run((late + 1000) * MS);
      expect(statuses(got)).toEqual([ALLOW]);
      expect((got[0]?.at ?? Infinity) - wired).toBeLessThan(2 * MS);
    }
  });

  it('waits without cost and without end when nobody asks', () => {
    const bench = new Bench(CONTRACT).wire(null);
    expect(runUntil(bench.bare.kernel)).toBe('dead');
    expect(bench.lines).toEqual(['UBpolicyd: ready']);
  });
});

describe('channels (sheet 30, section 1)', () => {
  it('serves route-control, exec-control and service in turn, one message each per pass', () => {
    const bench = new Bench(CONTRACT).wire();
    const { kernel } = bench.bare;
    const inbox = newEndpoint(kernel);
    const answered: number[] = [];
    const stuffer = addTask(
      kernel,
      function* (sys) {
        for (const round of [1, 2])
          for (const slot of [2, 1, 0]) {
            const clone = yield sys.capClone(3);
            yield sys.send(slot, route(10 * slot + round, 'stuffer', 'samgrd'), NONBLOCK, 0, clone);
          }
        for (let i = 0; i < 6; i++) {
          yield sys.recv(4, 16, TRUNCATE);
          answered.push(decodeReply(sys.message.payload)?.nonce ?? -1);
        }
        return 0;
      },
      { name: 'stuffer' },
    );
    (['route', 'exec', 'service'] as const).forEach((channel, slot) =>
      grant(stuffer, slot, endpointCap(bench.channels[channel].request, Rights.SEND)),
    );
    grant(stuffer, 3, endpointCap(inbox, Rights.SEND));
    grant(stuffer, 4, endpointCap(inbox, Rights.RECV));
    bench.run();
    expect(answered).toEqual([1, 11, 21, 2, 12, 22]);
  });

  it('OBS-1: privilege is the channel or the attested id of init, nothing in the frame', () => {
    const question = checkCap(sid('statefsd'), 'device.mmio.blk');
    const ask = (name: string, channel: ChannelName): (number | undefined)[] =>
      statuses(collect(new Bench(CONTRACT).wire(), name, channel, question));
    expect(ask('anybody', 'route')).toEqual([ALLOW]);
    expect(ask('anybody', 'exec')).toEqual([ALLOW]);
    expect(ask('init-lite', 'service')).toEqual([ALLOW]);
    expect(ask('nexus-init', 'service')).toEqual([ALLOW]);
    for (const name of ['statefsd2', 'init', 'selftest-client']) expect(ask(name, 'service')).toEqual([DENY]);
  });

  it('answers on the moved capability and closes it', () => {
    const bench = new Bench(CONTRACT).wire();
    const questions = Array.from({ length: 200 }, (_, i) => ({
      frame: delegated(i + 3, 'selftest-client', 'statefs.read'),
      moved: true,
    }));
    const got = bench.ask('statefsd', 'service', ...questions);
    bench.run();
    expect(statuses(got)).toEqual(new Array(200).fill(ALLOW));
    expect(heldSlots(bench.policyd)).toEqual([3, 4, 5, 6, 7, 8, 9, 0xa, 0xb]);
  });

  it('COR-1: every nonce comes back as it was sent, with denials and malformed capabilities too', () => {
    const bench = new Bench(CONTRACT).wire();
    const nonces = [0, 1, 2, 255, 256, 257, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    const long = delegated(77, 'selftest-client', 'x'.repeat(49));
    const got = bench.ask(
      'keystored',
      'service',
      ...nonces.map((nonce) => delegated(nonce, 'selftest-client', nonce % 2 === 0 ? 'statefs.read' : 'crypto.sign')),
      long,
    );
    bench.run();
    expect(got.map(({ frame }) => decodeReply(frame ?? new Uint8Array(0))?.nonce)).toEqual([...nonces, 77]);
    expect(statuses(got)).toEqual([...nonces.map((nonce) => (nonce % 2 === 0 ? ALLOW : DENY)), MALFORMED]);
  });

  it('OBS-23: what it does not understand is never an ALLOW', () => {
    const bench = new Bench(CONTRACT).wire();
    const frames = [
      new TextEncoder().encode('bad'),
      new Uint8Array(0),
      Uint8Array.of(0x50, 0x4f, 2, 1, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(0x50, 0x4f, 4, 5, 0, 0, 0, 0),
      new Uint8Array(8192).fill(0x50),
      delegated(5, 'selftest-client', 'no.such.capability'),
      delegated(6, 'nobody', 'ipc.core'),
    ];
    const got = bench.ask('statefsd', 'service', ...frames);
    bench.run();
    expect(statuses(got)).toEqual([MALFORMED, MALFORMED, UNSUPPORTED, UNSUPPORTED, MALFORMED, DENY, DENY]);
    expect(got[0]?.frame).toEqual(Uint8Array.of(0x50, 0x4f, 1, 0x81, 2, 0));
    expect(bench.messages).toEqual([
      audit('check_cap_delegated', 'deny', 'statefsd'),
      audit('check_cap_delegated', 'deny', 'statefsd'),
    ]);
  });

  it('drops answers that nobody takes and goes on', () => {
    const bench = new Bench(CONTRACT).wire();
    const { kernel } = bench.bare;
    const flood = addTask(
      kernel,
      function* (sys) {
        for (let i = 0; i < 40; i++) yield sys.send(0, route(i, 'flood', 'samgrd'));
        return 0;
      },
      { name: 'flood' },
    );
    grant(flood, 0, endpointCap(bench.channels.route.request, Rights.SEND));
    const got = bench.ask('samgrd', 'service', {
      frame: check('samgrd'),
      after: 5000 * MS,
    });
    bench.run();
    expect(statuses(got)).toEqual([ALLOW]);
    expect(kernel.router.endpoints[bench.channels.route.answer]?.count).toBe(8);
  });

  it('takes the time of a plain loop of receives and yields, to the nanosecond', () => {
    const plain: Program = function* (sys) {
      yield sys.print('UB');
      yield sys.println('policyd: ready');
      const rules = { policy: CONTRACT.policy, capCheckAsSender: false };
      for (;;) {
        let idle = true;
        for (const [recv, reply, control] of [
          [5, 6, true],
          [7, 8, true],
          [3, 4, false],
        ] as const) {
          if ((yield sys.recvV2(recv, CONTRACT.receiveMax, NONBLOCK | TRUNCATE)) < 0) continue;
          idle = false;
          const decoded = decodeRequest(sys.message.payload);
          if (!decoded.ok || decoded.request.op === 'log_probe') throw new Error('not a decision');
          const { request } = decoded;
          const decision = decide(rules, request, { sender: sys.message.serviceId, privileged: control });
          yield sys.send(reply, encodeReply(replyTo(request, decision === 'allow' ? ALLOW : DENY)), NONBLOCK);
        }
        if (idle) yield sys.yieldCpu();
      }
    };
    const run = (program: Program, wiredAt: number): unknown => {
      const bench = new Bench(CONTRACT, { program });
      // ROUTE allows have no record, so nothing but the loop takes time; odd rounds let messages meet every place in a pass.
      const spread = (name: string, gap: number): Question[] =>
        Array.from({ length: 40 }, (_, i) => ({ frame: route(i + 2, name, 'logd'), rounds: 1 + ((i * gap) % 11) }));
      const early = bench.ask('init-lite', 'route', ...spread('samgrd', 3));
      bench.run(wiredAt);
      bench.wire(null);
      const late = [
        bench.ask('init-lite', 'exec', ...spread('execd', 5)),
        bench.ask('samgrd', 'service', ...spread('samgrd', 7)),
      ];
      bench.run(20 * MS);
      expect([early, ...late].map((got) => got.length)).toEqual([40, 40, 40]);
      return { early, late, lines: bench.lines };
    };
    for (let wiredAt = 1 * MS; wiredAt < 1.1 * MS; wiredAt += 7000)
      expect(run(policydProgram(CONTRACT), wiredAt)).toEqual(run(plain, wiredAt));
  });

  it('skips waiting without a trace: lines, answers and times are those of single rounds', () => {
    const run = (skipPolls: boolean): unknown => {
      const bench = new Bench(CONTRACT, { skipPolls });
      const early = bench.ask('init-lite', 'route', checkCap(sid('netstackd'), 'device.mmio.blk'));
      bench.run(3 * MS);
      bench.wire(({ nonce }) => (nonce === 3n ? [] : [ack(nonce)]));
      const late = bench.ask(
        'selftest-client',
        'service',
        { frame: check('selftest-client'), after: 7 * MS },
        {
          frame: checkCap(sid('selftest-client'), 'crypto.sign'),
          after: 11 * MS,
        },
        { frame: PROBE, after: 3 * MS },
      );
      bench.run(900 * MS);
      return {
        lines: bench.lines,
        early,
        late,
        records: bench.records,
        now: bench.now(),
      };
    };
    expect(run(true)).toEqual(run(false));
  });
});

describe('decisions and their records', () => {
  /** The traffic of a default run (sheet 30, section 6.4), then keystored's nonces up to 258. */
  function defaultRun(options: PolicydOptions): Bench {
    const bench = new Bench(options).wire();
    const moved = (frame: Uint8Array): Question => ({
      frame,
      moved: true,
      after: 60 * MS,
    });
    const after = (frame: Uint8Array): Question => ({
      frame,
      after: 2000 * MS,
    });
    bench.ask('statefsd', 'service', moved(delegated(1, 'updated', 'statefs.boot')));
    bench.ask(
      'init-lite',
      'route',
      { frame: route(1, 'bundlemgrd', 'logd'), after: 200 * MS },
      route(2, 'bundlemgrd', 'execd'),
    );
    bench.ask('init-lite', 'exec', {
      frame: exec(3, 'demo.testsvc'),
      after: 400 * MS,
    });
    const sign = checkCap(sid('selftest-client'), 'crypto.sign');
    const blk = checkCap(sid('netstackd'), 'device.mmio.blk');
    bench.ask(
      'selftest-client',
      'service',
      after(check('selftest-client')),
      sign,
      blk,
      route(0xa1b2c3d4, 'demo.testsvc', 'samgrd'),
    );
    const keystored = [254, 255, 256, 257, 258].map((nonce) =>
      moved(delegated(nonce, 'selftest-client', 'device.keygen')),
    );
    bench.ask('keystored', 'service', { ...keystored[0]!, after: 4000 * MS }, ...keystored.slice(1));
    return bench.run(8000 * MS);
  }

  it('OBS-1: every denial, and each allow that says something new, with the decision that was answered', () => {
    const bench = defaultRun(CONTRACT);
    expect(bench.messages).toEqual([
      audit('check_cap_delegated', 'allow', 'statefsd'),
      audit('route', 'deny', 'init-lite'),
      audit('exec', 'deny', 'init-lite'),
      audit('check', 'allow', 'selftest-client'),
      audit('check_cap', 'deny', 'selftest-client'),
      audit('check_cap', 'deny', 'selftest-client'),
      audit('route', 'deny', 'selftest-client'),
      audit('check_cap_delegated', 'allow', 'keystored'),
    ]);
    expect(bench.lines.filter((line) => line.startsWith('policyd: mmio'))).toEqual(['policyd: mmio blk deny nonpriv']);
    expect(bench.emits).toBe('oooooooo');
    expect(bench.records.map((record) => record.nonce)).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  });

  it('with quirk audit-decision-byte by the lowest nonce byte of versions 2 and 3', () => {
    expect(defaultRun(REFERENCE).messages).toEqual([
      audit('check_cap_delegated', 'deny', 'statefsd'),
      audit('route', 'deny', 'init-lite'),
      audit('check', 'allow', 'selftest-client'),
      audit('check_cap', 'deny', 'selftest-client'),
      audit('check_cap', 'deny', 'selftest-client'),
      audit('check_cap_delegated', 'allow', 'keystored'),
      audit('check_cap_delegated', 'deny', 'keystored'),
    ]);
  });

  it('quirk cap-check-subject, both: a question about somebody else is a spoof, or one about the sender', () => {
    const other = checkCap(sid('netstackd'), 'ipc.core');
    const asSender = { ...CONTRACT, capCheckAsSender: true };
    expect(statuses(collect(new Bench(CONTRACT).wire(), 'selftest-client', 'service', other))).toEqual([DENY]);
    expect(statuses(collect(new Bench(asSender).wire(), 'selftest-client', 'service', other))).toEqual([ALLOW]);
    const byte = { ...CONTRACT, auditDecisionByte: true };
    expect(statuses(collect(new Bench(byte).wire(), 'selftest-client', 'service', other))).toEqual([DENY]);
  });

  it('counts in notes what it does not append', () => {
    const bench = new Bench(CONTRACT).wire();
    const events = bench.bare.record();
    const questions = [1, 2, 3].map((nonce) => route(nonce, 'samgrd', 'logd'));
    collect(bench, 'init-lite', 'route', ...questions);
    expect(bench.records).toEqual([]);
    expect(notesOf(events)).toEqual([
      ['policyd.audit.unlisted', 1],
      ['policyd.audit.unlisted', 2],
      ['policyd.audit.unlisted', 3],
    ]);
  });

  it('appends at most 16 records a second by contract, and 128 a boot in both settings', () => {
    const burst = Array.from({ length: 40 }, () => checkCap(sid('samgrd'), 'crypto.sign'));
    expect(contractBurst(CONTRACT)).toBe(16);
    expect(contractBurst(REFERENCE)).toBe(40);

    function contractBurst(options: PolicydOptions): number {
      const bench = new Bench(options).wire();
      const got = collect(bench, 'samgrd', 'service', ...burst);
      expect(statuses(got)).toEqual(new Array(40).fill(DENY));
      expect(bench.now()).toBeLessThan(1000 * MS);
      return bench.records.length;
    }

    for (const options of [CONTRACT, REFERENCE]) {
      const bench = new Bench(options).wire();
      const slow = Array.from({ length: 140 }, () => ({
        frame: checkCap(sid('samgrd'), 'crypto.sign'),
        after: 70 * MS,
      }));
      const got = collect(bench, 'samgrd', 'service', ...slow);
      expect(statuses(got)).toEqual(new Array(140).fill(DENY));
      expect(bench.emits).toBe('o'.repeat(128));
    }
  });
});

describe('transport to logd (sheet 30, section 6.3)', () => {
  const denied = checkCap(sid('samgrd'), 'crypto.sign');

  function emitted(answers: Answers | null, options = CONTRACT): Bench & { readonly waited: number } {
    const bench = new Bench(options).wire(answers);
    const got = collect(bench, 'samgrd', 'service', denied);
    expect(statuses(got)).toEqual([DENY]);
    return Object.assign(bench, {
      waited: (got[0]?.at ?? Infinity) - (bench.records[0]?.at ?? 0),
    });
  }

  it('COR-4: an answer that never comes costs 500 ms and one FAIL line', () => {
    for (const options of [CONTRACT, REFERENCE]) {
      const bench = emitted(() => [], options);
      expect(bench.emits).toBe('F');
      expect(bench.waited).toBeGreaterThan(490 * MS);
      expect(bench.waited).toBeLessThan(520 * MS);
    }
  });

  it('COR-4: a full queue is tried for 500 ms', () => {
    const bench = new Bench(CONTRACT).wire(null);
    const { kernel } = bench.bare;
    const filler = addTask(kernel, function* (sys) {
      while ((yield sys.send(0, Uint8Array.of(1), NONBLOCK)) >= 0) continue;
      return 0;
    });
    const logd = bench.policyd.caps.get(0xb);
    if (logd?.kind !== 'endpoint') throw new Error('no logd');
    grant(filler, 0, endpointCap(logd.endpoint, Rights.SEND));
    const got = collect(bench, 'samgrd', 'service', {
      frame: denied,
      after: 10 * MS,
    });
    expect(bench.emits).toBe('F');
    expect(got[0]?.at).toBeGreaterThan(500 * MS);
    expect(got[0]?.at).toBeLessThan(530 * MS);
  });

  it('a refusal of logd fails at once', () => {
    const bench = emitted(({ nonce }) => [ack(nonce, 6)]);
    expect(bench.emits).toBe('F');
    expect(bench.waited).toBeLessThan(5 * MS);
  });

  it('finds the answer behind foreign frames in both settings', () => {
    for (const options of [CONTRACT, REFERENCE]) {
      const bench = new Bench(options).wire(({ nonce }) => [ack(nonce + 9n), Uint8Array.of(1, 2, 3), ack(nonce)]);
      collect(bench, 'samgrd', 'service', denied);
      expect(bench.emits).toBe('o');
    }
  });

  it('COR-3: quirk inbox-discards, both: the stash is bounded and counts what it loses; the reference loses all without a trace', () => {
    const strangers = Array.from({ length: 7 }, (_, i) => ack(BigInt(1000 + i)));
    const notes = (options: PolicydOptions): (readonly [string, string | number])[] => {
      const bench = new Bench(options).wire(({ nonce }) => [...strangers, ack(nonce)]);
      const events = bench.bare.record();
      collect(bench, 'samgrd', 'service', denied, denied);
      expect(bench.emits).toBe('oo');
      return notesOf(events);
    };
    expect(notes(CONTRACT).at(-1)).toEqual(['inbox.dropped', 6]);
    expect(notes(REFERENCE)).toEqual([]);
  });

  it('fails at once without a way to logd, and serves on', () => {
    const bench = new Bench(CONTRACT).wire(null);
    bench.policyd.caps.take(0xb);
    expect(statuses(collect(bench, 'samgrd', 'service', denied, check('samgrd')))).toEqual([DENY, ALLOW]);
    expect(bench.emits).toBe('FF');
    expect(bench.now()).toBeLessThan(5000 * MS);
  });

  it('fails at once where logd is absent and its slot held without rights; only the reference leaks the clone', () => {
    for (const [options, leaked] of [
      [CONTRACT, 0],
      [REFERENCE, 1],
    ] as const) {
      const bench = new Bench(options).wire(null);
      const { caps } = bench.policyd;
      caps.take(0xb);
      grant(bench.policyd, 0xb, endpointCap(newEndpoint(bench.bare.kernel), 0));
      const before = [...caps.entries()].length;
      const got = collect(bench, 'samgrd', 'service', denied);
      expect(statuses(got)).toEqual([DENY]);
      expect(got[0]?.at).toBeLessThan(20 * MS);
      expect(bench.emits).toBe(options === CONTRACT ? 'F' : bench.emits);
      expect([...caps.entries()].length - before).toBe(options === CONTRACT ? leaked : bench.emits.length);
    }
  });

  it('the log probe stores its record, says nothing, and answers in version 1', () => {
    const good = new Bench(CONTRACT).wire();
    expect(collect(good, 'anybody', 'service', PROBE)[0]?.frame).toEqual(Uint8Array.of(0x50, 0x4f, 1, 0xff, 0, 0));
    expect(good.records).toMatchObject([
      {
        nonce: 1n,
        level: 2,
        scope: 'policyd',
        message: 'core service log probe: policyd',
      },
    ]);
    expect(good.emits).toBe('');
    const bad = new Bench(CONTRACT).wire(() => []);
    expect(collect(bad, 'anybody', 'service', PROBE)[0]?.frame).toEqual(Uint8Array.of(0x50, 0x4f, 1, 0xff, 3, 0));
    expect(bad.emits).toBe('');
  });
});

describe('lines about device windows (sheet 30, section 7)', () => {
  const line = (frame: Uint8Array, decision: 'allow' | 'deny', privileged: boolean): string | null => {
    const decoded = decodeRequest(frame);
    if (!decoded.ok || decoded.request.op === 'log_probe') throw new Error('not a decision');
    return mmioLine(decoded.request, decision, { sender: sid('rngd'), privileged });
  };
  const about = (capability: string): Uint8Array => checkCap(sid('rngd'), capability);

  it('name window, decision and standing', () => {
    expect(line(about('device.mmio.net'), 'allow', true)).toBe('policyd: mmio net allow priv');
    expect(line(about('device.mmio.rng'), 'deny', true)).toBe('policyd: mmio rng deny priv');
    expect(line(about('device.mmio.blk'), 'deny', false)).toBe('policyd: mmio blk deny nonpriv');
  });

  it('belong to version 1 CHECK_CAP of exactly these names', () => {
    for (const name of ['DEVICE.mmio.net', 'device.mmio.gpu', 'device.mmio.net2', 'xdevice.mmio.net', 'ipc.core', ''])
      expect(line(about(name), 'allow', true)).toBeNull();
    expect(line(delegated(1, 'rngd', 'device.mmio.rng'), 'allow', true)).toBeNull();
    expect(line(route(1, 'rngd', 'policyd'), 'allow', true)).toBeNull();
  });
});

describe('any frames', () => {
  it('are answered, each once, in both settings', () => {
    const frames = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .tuple(fc.nat({ max: 4 }), fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 0x7f), fc.uint8Array({ maxLength: 40 }))
        .map(([version, op, rest]) => Uint8Array.from([0x50, 0x4f, version, op, ...rest])),
    );
    fc.assert(
      fc.property(fc.array(frames, { minLength: 1, maxLength: 20 }), fc.boolean(), (list, quirks) => {
        const bench = new Bench(quirks ? REFERENCE : CONTRACT).wire();
        const got = collect(bench, 'selftest-client', 'service', ...list);
        expect(got).toHaveLength(list.length);
        expect(got.filter(({ frame }) => frame === null)).toEqual([]);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});

function collect(bench: Bench, name: string, channel: ChannelName, ...questions: (Question | Uint8Array)[]): Got[] {
  const got = bench.ask(name, channel, ...questions);
  bench.run();
  return got;
}

function notesOf(events: readonly TraceEvent[]): (readonly [string, string | number])[] {
  return events.flatMap((event) =>
    event.kind === 'note' && event.name !== ENTRY_NOTE ? [[event.name, event.value] as const] : [],
  );
}

function heldSlots(task: Task): number[] {
  return Array.from({ length: 96 }, (_, slot) => slot).filter((slot) => task.caps.get(slot) !== null);
}
