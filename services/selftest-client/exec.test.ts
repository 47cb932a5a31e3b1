/** S35 to S39 against scripted peers: every line, and which answer makes it (sheet 80, section 6.13). */
import { describe, expect, it } from 'vitest';
import { waitReply, encodeReply, shortReply } from '../execd/wire.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { helloElf } from '../execd/payloads/payloads.ts';
import { crashReport, execDenied, execExit0, execHello, execMalformed } from './exec.ts';
import { SELFTEST_DEFAULTS } from './fixtures/options.ts';
import { SelftestState, Slot } from './state.ts';
import type { SelftestOptions, Step } from './state.ts';

const OPTIONS: SelftestOptions = { ...SELFTEST_DEFAULTS, helloElf: helloElf() };

interface Peers {
  /** Answers to requests of execd by op; null is silence. */
  readonly execd?: (op: number, frame: Uint8Array) => Uint8Array | null;
  /** Slots init names for execd. */
  readonly route?: readonly [number, number];
  /** Texts that logd holds. */
  readonly logged?: string;
  readonly refuse?: number;
}

/** Runs one step: its lines, its result, and the frames execd got. */
function run(step: Step, peers: Peers = {}, options: Partial<SelftestOptions> = {}): [string[], boolean, Uint8Array[]] {
  const driver = new Driver([1, 2, Slot.EXECD, Slot.EXECD_RECV, Slot.INBOX_RECV, Slot.INBOX_SEND, Slot.LOGD]);
  driver.onSend = ({ slot, frame, moved }) => {
    if (slot === 1) {
      const [send, recv] = peers.route ?? [Slot.EXECD, Slot.EXECD_RECV];
      const nonce = frame.subarray(frame.length - 4);
      driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, send, 0, 0, 0, recv, 0, 0, 0, ...nonce));
    }
    if (slot === Slot.EXECD) {
      const answer = peers.execd?.(frame[3]!, frame) ?? null;
      if (answer !== null) driver.push(Slot.EXECD_RECV, answer);
    }
    if (slot === Slot.LOGD && moved >= 0) driver.push(Slot.INBOX_RECV, page(frame, peers.logged ?? ''));
  };
  if (peers.refuse !== undefined) driver.refuse = (slot) => (slot === Slot.EXECD ? peers.refuse! : 0);
  let result = false;
  driver.run(function* (sys) {
    result = yield* step(new SelftestState(sys, { ...OPTIONS, ...options }));
    return 0;
  });
  return [driver.lines, result, driver.sent.filter((sent) => sent.slot === Slot.EXECD).map((sent) => sent.frame)];
}

/** A v2 QUERY answer with one record, the last one of the journal. */
function page(query: Uint8Array, text: string): Uint8Array {
  const answer = new Uint8Array(31 + 30 + text.length);
  const view = new DataView(answer.buffer);
  answer.set([0x4c, 0x4f, 2, 0x82, 0]);
  answer.set(query.subarray(4, 12), 5);
  view.setUint16(29, 1, true);
  view.setBigUint64(31, 1n, true);
  view.setUint16(31 + 26, text.length, true);
  answer.set(new TextEncoder().encode(text), 61);
  return answer;
}

const spawned = (pid: number): Uint8Array => encodeReply(shortReply(1, 0, pid));

describe('S35', () => {
  it('asks for the image, describes its header, and prints what it saw', () => {
    const [lines, result, sent] = run(execHello, { execd: () => spawned(34) });
    expect(lines).toEqual([
      'SELFTEST: ipc routing execd ok',
      'HELLOHDR',
      '^hello entry=0x0000000000010130 phoff=0x0000000000000040',
      '^hello p_offset=0x0000000000000130 p_vaddr=0x0000000000010130',
      'execd: elf load ok',
      'SELFTEST: e2e exec-elf ok',
    ]);
    expect(result).toBe(true);
    expect([...sent[0]!]).toEqual([0x45, 0x58, 1, 1, 1, 4, 15, ...Buffer.from('selftest-client')]);
  });

  it('quirk routing-unchecked, both: routing needs the slots that are used, or nothing', () => {
    const peers: Peers = { execd: () => spawned(34), route: [9, 9] };
    expect(run(execHello, peers)[0][0]).toBe('SELFTEST: ipc routing execd FAIL');
    expect(run(execHello, peers, { routingUnchecked: true })[0][0]).toBe('SELFTEST: ipc routing execd ok');
  });

  it('a payload shorter than a header is said to be', () => {
    const [lines] = run(execHello, { execd: () => spawned(34) }, { helloElf: new Uint8Array(63) });
    expect(lines.slice(1, 3)).toEqual(['HELLOHDR', '^hello elf too small']);
  });

  it.each([
    ['denied', shortReply(1, 4), 'SELFTEST: execd spawn denied'],
    ['failed', shortReply(1, 3), 'SELFTEST: execd spawn status 0x0000000000000003'],
    ['without a pid', shortReply(1, 0), 'SELFTEST: execd spawn status 0x0000000000000000'],
  ])('a spawn that is %s is fatal', (_what, reply, line) => {
    const [lines, result] = run(execHello, { execd: () => encodeReply(reply) });
    expect(lines.at(-1)).toBe(line);
    expect(result).toBe(false);
  });

  it('frames of other ops are skipped, silence times out, a full queue too, other errors fail', () => {
    const late = (): Uint8Array => encodeReply(waitReply(0, 3, 0));
    expect(run(execHello, { execd: late })[0].at(-1)).toBe('SELFTEST: execd spawn timeout');
    expect(run(execHello)[0].at(-1)).toBe('SELFTEST: execd spawn timeout');
    expect(run(execHello, { refuse: -11 })[0].at(-1)).toBe('SELFTEST: execd spawn send timeout');
    expect(run(execHello, { refuse: -1 })[0].at(-1)).toBe('SELFTEST: execd spawn send fail');
  });
});

const ends = (pid: number, code: number) => (op: number) =>
  op === 1 ? spawned(pid) : encodeReply(waitReply(0, pid, code));

describe('S36', () => {
  it('prints the code; child exit ok needs code 0 ; quirk child-exit-unchecked, both: or nothing', () => {
    const [lines, , sent] = run(execExit0, { execd: ends(35, 0) });
    expect(lines).toEqual(['execd: child exited pid=35 code=0', 'SELFTEST: child exit ok']);
    expect([...sent[1]!]).toEqual([0x45, 0x58, 1, 3, 35, 0, 0, 0]);
    expect(run(execExit0, { execd: ends(35, -22) })[0]).toEqual([
      'execd: child exited pid=35 code=-22',
      'SELFTEST: child exit FAIL',
    ]);
    expect(run(execExit0, { execd: ends(35, 7) }, { childExitUnchecked: true })[0]).toEqual([
      'execd: child exited pid=35 code=7',
      'SELFTEST: child exit ok',
    ]);
  });

  it.each([
    ['a failure', encodeReply(waitReply(3, 35, -1))],
    ['another pid', encodeReply(waitReply(0, 36, 0))],
    ['the short form', encodeReply(shortReply(3, 1))],
  ])('%s as answer is code -1', (_what, answer) => {
    const [lines] = run(execExit0, { execd: (op) => (op === 1 ? spawned(35) : answer) });
    expect(lines).toEqual(['execd: child exited pid=35 code=-1', 'SELFTEST: child exit FAIL']);
  });

  it('silence is asked again, 128 times', () => {
    const [lines, , sent] = run(execExit0, { execd: (op) => (op === 1 ? spawned(35) : null) });
    expect(sent.length).toBe(129);
    expect(lines).toEqual(['execd: child exited pid=35 code=-1', 'SELFTEST: child exit FAIL']);
  });
});

describe('S37', () => {
  it('LOG-12: needs code 42 and the record in logd', () => {
    const logged = 'crash pid=36 code=42 name=demo.exit42';
    expect(run(crashReport, { execd: ends(36, 42), logged })[0]).toEqual([
      'execd: child exited pid=36 code=42',
      'SELFTEST: crash report ok',
    ]);
    expect(run(crashReport, { execd: ends(36, 41), logged })[0].at(-1)).toBe('SELFTEST: crash report FAIL');
    expect(run(crashReport, { execd: ends(36, 42), logged: 'nothing' })[0].slice(-3)).toEqual([
      "SELFTEST: crash report missing 'crash'",
      "SELFTEST: crash report missing 'demo.exit42'",
      'SELFTEST: crash report FAIL',
    ]);
  });
});

describe('S38 and S39', () => {
  it('need a denial, and any status but OK', () => {
    const answering = (step: Step, answer: Uint8Array): string | undefined =>
      run(step, { execd: () => answer })[0].at(-1);
    for (const status of [0, 1, 2, 3, 4] as const) {
      const answer = encodeReply(shortReply(1, status));
      expect(answering(execDenied, answer)).toBe(`SELFTEST: exec denied ${status === 4 ? 'ok' : 'FAIL'}`);
      expect(answering(execMalformed, answer)).toBe(`SELFTEST: execd malformed ${status === 0 ? 'FAIL' : 'ok'}`);
    }
    const long = encodeReply(waitReply(4, 0, 0));
    expect(answering(execDenied, long)).toBe('SELFTEST: exec denied FAIL');
    expect(answering(execMalformed, long)).toBe('SELFTEST: execd malformed FAIL');
  });

  it('silence is fatal, without a line', () => {
    expect(run(execDenied).slice(0, 2)).toEqual([[], false]);
    expect(run(execMalformed).slice(0, 2)).toEqual([[], false]);
  });

  it('claim another’s name, and send nonsense', () => {
    const [, , [denied]] = run(execDenied, { execd: () => encodeReply(shortReply(1, 4)) });
    expect([...denied!]).toEqual([0x45, 0x58, 1, 1, 1, 4, 12, ...Buffer.from('demo.testsvc')]);
    const [, , [malformed]] = run(execMalformed, { execd: () => encodeReply(shortReply(1, 1)) });
    expect([...malformed!]).toEqual([0x62, 0x61, 0x64]);
  });
});
