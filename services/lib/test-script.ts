/**
 * For exact tests of library calls: runs a generator by hand with scripted answers and tells each syscall as a line of
 * text, so that a test states order and arguments. {@link Driver} is the loose form, with queues and time.
 */
import { NONBLOCK, Nr } from '../../kernel-model/abi.ts';
import { Macro, Sys } from '../../kernel-model/sys.ts';
import type { Syscall } from '../../kernel-model/sys.ts';
import type { Call } from './ipc.ts';

/** a0 of one syscall, or what computes it and fills in the results beside it. */
export type Answer = number | ((sys: Sys) => number);

/** What a scripted run left behind. */
export interface Scripted<T> {
  readonly result: T;
  readonly calls: readonly string[];
  readonly notes: readonly string[];
}

/** Runs `body` to its end; `answers` must be exactly as many as it asks for. */
export function script<T>(body: (sys: Sys) => Call<T>, answers: readonly Answer[]): Scripted<T> {
  const calls: string[] = [];
  const notes: string[] = [];
  const unused = (): never => {
    throw new Error('a library call touched memory');
  };
  const note = (name: string, value: string | number): void => void notes.push(`${name}=${value}`);
  const sys = new Sys(7, { load32: unused, store32: unused, bytes: unused, compute: () => undefined, note });
  const generator = body(sys);
  let step = generator.next();
  for (const answer of answers) {
    if (step.done === true) throw new Error(`ended after ${calls.join(' | ')}`);
    calls.push(tell(sys, step.value));
    step = generator.next(typeof answer === 'number' ? answer : answer(sys));
  }
  if (step.done !== true) throw new Error(`no answer left for ${tell(sys, step.value)} after ${calls.join(' | ')}`);
  return { result: step.value, calls, notes };
}

/** The answer of a receive that delivers `frame`. */
export function delivers(frame: Uint8Array, len = frame.length): Answer {
  return (sys) => {
    sys.message.payload = frame;
    sys.message.len = len;
    sys.message.flags = 0;
    return frame.length;
  };
}

/** The answer of a poll that ends with `result` in round `round`. */
export function polled(result: number, round: number): Answer {
  return (sys) => {
    sys.poll.round = round;
    return result;
  };
}

function tell(sys: Sys, call: Syscall): string {
  switch (call.nr) {
    case Nr.YIELD:
      return 'yield';
    case Nr.NSEC:
      return 'nsec';
    case Nr.CAP_CLONE:
      return `clone ${call.a0}`;
    case Nr.CAP_CLOSE:
      return `close ${call.a0}`;
    case Nr.IPC_SEND_V1: {
      const move = (call.headerFlags & 1) !== 0 ? ` move ${call.moveSlot}` : '';
      return `send ${call.a0} ${waits(call)} ${call.bytes.length}B${move}`;
    }
    case Nr.IPC_RECV_V1:
      return `recv ${call.a0} ${waits(call)} ${call.a3}B`;
    case Nr.IPC_RECV_V2:
      return `recv2 ${call.a0} ${waits(call)} ${call.a3}B`;
    case Macro.PRINT:
      return `print ${new TextDecoder().decode(call.bytes)}`;
    case Macro.POLL: {
      const { slots, sendSlots, deadline, clockEvery, maxRounds, round } = sys.poll;
      const until = deadline === Infinity ? '' : ` until ${deadline} every ${clockEvery}`;
      const most = maxRounds === Infinity ? '' : ` most ${maxRounds}`;
      return `poll ${[...slots.map((s) => `r${s}`), ...sendSlots.map((s) => `s${s}`)].join(',')}${until}${most} from ${round}`;
    }
    default:
      return `syscall ${call.nr}`;
  }
}

function waits(call: Syscall): string {
  const truncates = (call.a4 & 2) !== 0 ? '|cut' : '';
  if ((call.a4 & NONBLOCK) !== 0) return `now${truncates}`;
  return (call.a5 === 0 ? 'forever' : `until ${call.a5}`) + truncates;
}
