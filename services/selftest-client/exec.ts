/** Steps on execd: S35 to S39 (sheet 80, section 6.13). Children are real processes; their own lines come from them. */
import { TIMEOUT, budgetOf, sendWithin, recvWithin, yields } from '../lib/ipc.ts';
import type { Budget, Call } from '../lib/ipc.ts';
import { ascii, hex16 } from '../lib/text.ts';
import { MS, concat, exchangeBg, exchangeKc, le, startsWith } from './io.ts';
import { queryLog } from './logd.ts';
import { routesTo } from './policy.ts';
import { NAME, Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const PAIR = { send: Slot.EXECD, recv: Slot.EXECD_RECV } as const;
const HEAD: readonly number[] = [0x45, 0x58, 1];
const OP = { EXEC: 1, WAIT: 3 } as const;
const STATUS = { OK: 0, DENIED: 4 } as const;
const IMAGE = { HELLO: 1, EXIT0: 2, EXIT42: 3 } as const;
const STACK_PAGES = 4;
const SPAWN_NS = 2_000 * MS;
const SPAWN_BUFFER = 16;
const WAIT_TRIES = 128;
const WAIT_SEND_NS = 200 * MS;
const WAIT_RECV_NS = 500 * MS;
const SETTLE_YIELDS = 256;
const EXIT42 = 42;

/** S35: a real ELF is loaded and runs. False: fatal. */
export function* execHello(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc routing execd', yield* routesTo(state, 'execd', PAIR));
  yield* state.say('HELLOHDR');
  yield* describe(state, state.options.helloElf);
  const pid = yield* spawn(state, IMAGE.HELLO);
  if (pid === null) return false;
  yield* yields(state.sys, SETTLE_YIELDS);
  yield* state.say('execd: elf load ok');
  yield* state.say('SELFTEST: e2e exec-elf ok');
  return true;
}

/** The `^hello` lines: header fields of the payload that execd holds too. */
function* describe(state: SelftestState, elf: Uint8Array): Call<void> {
  if (elf.length < 64) {
    yield* state.say('^hello elf too small');
    return;
  }
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const phoff = Number(view.getBigUint64(32, true));
  yield* state.say(`^hello entry=0x${hex16(view.getBigUint64(24, true))} phoff=0x${hex16(phoff)}`);
  if (phoff + 24 > elf.length) return;
  const offset = view.getBigUint64(phoff + 8, true);
  yield* state.say(`^hello p_offset=0x${hex16(offset)} p_vaddr=0x${hex16(view.getBigUint64(phoff + 16, true))}`);
}

/** S36: a child's exit is seen. Contract: with the code that was asked for (quirks.md, child-exit-unchecked). */
export function* execExit0(state: SelftestState): Call<boolean> {
  const pid = yield* spawn(state, IMAGE.EXIT0);
  if (pid === null) return false;
  const code = yield* waitFor(state, pid);
  yield* state.say(`execd: child exited pid=${pid} code=${code ?? -1}`);
  yield* state.verdict('child exit', state.options.childExitUnchecked || code === 0);
  return true;
}

/** S37: a crash is reported by execd and recorded by logd. */
export function* crashReport(state: SelftestState): Call<boolean> {
  const pid = yield* spawn(state, IMAGE.EXIT42);
  if (pid === null) return false;
  const code = yield* waitFor(state, pid);
  yield* state.say(`execd: child exited pid=${pid} code=${code ?? -1}`);
  yield* yields(state.sys, SETTLE_YIELDS);
  const crash = yield* queryLog(state, 0n, 'crash');
  if (!crash) yield* state.say("SELFTEST: crash report missing 'crash'");
  const named = yield* queryLog(state, 0n, 'demo.exit42');
  if (!named) yield* state.say("SELFTEST: crash report missing 'demo.exit42'");
  yield* state.verdict('crash report', code === EXIT42 && crash && named);
  return true;
}

/** S38: nobody runs an image in somebody else's name. */
export function* execDenied(state: SelftestState): Call<boolean> {
  const name = ascii('demo.testsvc');
  const frame = concat(HEAD, [OP.EXEC, IMAGE.HELLO, STACK_PAGES, name.length], name);
  const got = yield* exchangeKc(state, PAIR, frame, 100 * MS, 100 * MS);
  if ('failed' in got) return false;
  const denied = got.frame.length === 9 && startsWith(got.frame, [...HEAD, 0x81, STATUS.DENIED]);
  yield* state.verdict('exec denied', denied);
  return true;
}

/** S39. */
export function* execMalformed(state: SelftestState): Call<boolean> {
  const answer = yield* exchangeBg(state, PAIR, ascii('bad'), 200 * MS, 200 * MS);
  if (answer === null) return false;
  yield* state.verdict('execd malformed', answer.length === 9 && startsWith(answer, HEAD) && answer[4] !== STATUS.OK);
  return true;
}

/** EXEC: the child's pid, or null after the failure's line. */
function* spawn(state: SelftestState, image: number): Call<number | null> {
  const { sys } = state;
  const name = ascii(NAME);
  const frame = concat(HEAD, [OP.EXEC, image, STACK_PAGES, name.length], name);
  const sending = yield* budgetOf(sys, SPAWN_NS);
  const sent = yield* sendWithin(sys, PAIR.send, frame, sending);
  if (sent < 0) {
    yield* state.say(`SELFTEST: execd spawn send ${sent === TIMEOUT ? 'timeout' : 'fail'}`);
    return null;
  }
  yield sys.yieldCpu();
  const budget: Budget = { deadline: sending.deadline, round: 0 };
  for (;;) {
    if ((yield* recvWithin(sys, PAIR.recv, budget, SPAWN_BUFFER)) < 0) {
      yield* state.say('SELFTEST: execd spawn timeout');
      return null;
    }
    const answer = sys.message.payload;
    if (answer.length !== 9 || !startsWith(answer, [...HEAD, 0x81])) continue;
    const pid = new DataView(answer.buffer, answer.byteOffset).getUint32(5, true);
    if (answer[4] === STATUS.OK && pid !== 0) return pid;
    const denied = answer[4] === STATUS.DENIED;
    yield* state.say(`SELFTEST: execd spawn ${denied ? 'denied' : `status 0x${hex16(answer[4] ?? 0)}`}`);
    return null;
  }
}

/** WAIT: the exit code, or null. Timeouts ask again. */
function* waitFor(state: SelftestState, pid: number): Call<number | null> {
  const frame = concat(HEAD, [OP.WAIT], le(pid, 4));
  for (let i = 0; i < WAIT_TRIES; i++) {
    const answer = yield* exchangeBg(state, PAIR, frame, WAIT_SEND_NS, WAIT_RECV_NS);
    if (answer === null) {
      yield state.sys.yieldCpu();
      continue;
    }
    if (answer.length !== 13 || !startsWith(answer, [...HEAD, 0x83, STATUS.OK])) return null;
    const view = new DataView(answer.buffer, answer.byteOffset);
    return view.getUint32(5, true) === pid ? view.getInt32(9, true) : null;
  }
  return null;
}
