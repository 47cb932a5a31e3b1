/**
 * Faults as a small language (docs/faults.md): `KIND[:key=value,...]` on the command line, `[[fault]]` tables with the same
 * keys in a scenario. Any text gives a checked fault or one line that says what was expected; nothing throws.
 */
import type { Result } from '../markers/ladder.ts';
import { MAX_FRAME, SYSCALL_COUNT } from '../kernel-model/abi.ts';
import { SYSCALL_NAMES } from '../kernel-model/syscalls/table.ts';
import { DURATION_EXPECTED, parseDuration } from './duration.ts';
import { isEndpointName } from './endpoint-names.ts';
import { SLOT_ORDER } from './images.ts';
import { MAX_CPUS as MAX_HARTS } from '../kernel-model/smp.ts';

/** Which of the things that a fault fits are hit, in the order in which they come; the first is 1. */
export interface Window {
  readonly from: number;
  /** Infinity: all that follow. */
  readonly count: number;
}

/** What happens to a block request. */
export type BlkDo =
  | { readonly do: 'status'; readonly status: number }
  | { readonly do: 'delay'; readonly ns: number }
  | { readonly do: 'drop' }
  /** Only this many sectors are moved, then IOERR. */
  | { readonly do: 'short'; readonly sectors: number }
  /** Completed with nothing done and no status byte written. */
  | { readonly do: 'no-status' }
  /** The data byte at `offset` is inverted on its way from the disk (reads). */
  | { readonly do: 'corrupt'; readonly offset: number };

/** What happens to a message. */
export type FrameDo =
  | { readonly do: 'drop' | 'dup' | 'no-wake' }
  | { readonly do: 'delay'; readonly ns: number }
  /** Bytes written over the message at `offset`; what would lie beyond its end is left out. */
  | { readonly do: 'alter'; readonly offset: number; readonly bytes: string }
  | { readonly do: 'cut'; readonly len: number };

/** What happens to a packet between card and wire. */
export type PacketDo =
  | { readonly do: 'drop' | 'dup' }
  | { readonly do: 'delay'; readonly ns: number }
  | { readonly do: 'reorder'; readonly behind: number }
  | { readonly do: 'corrupt'; readonly offset: number; readonly mask: number }
  /** Bytes written over the packet at `offset`; what would lie beyond its end is left out. */
  | { readonly do: 'alter'; readonly offset: number; readonly bytes: string }
  | { readonly do: 'cut'; readonly len: number };

export const BLK_OPS = ['read', 'write', 'flush', 'get-id', 'other'] as const;
/** Parts of the kernel's self-tests that can be broken; those from `online-mask` on belong to a second hart. */
export const SELFTEST_PARTS = [
  'router',
  'cap-table',
  'spawn-reason',
  'online-mask',
  'ipi-target',
  'ipi-offline',
  'steal',
  'steal-bound',
  'steal-class',
] as const;
export type SelftestPart = (typeof SELFTEST_PARTS)[number];
export const ERRNOS = {
  EPERM: 1,
  ESRCH: 3,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  ENOSYS: 38,
  ETIMEDOUT: 110,
} as const;

/** One fault. Bytes are hex text, so that a scenario stays plain data. */
export type Fault =
  | { readonly kind: 'blk'; readonly op: (typeof BLK_OPS)[number]; readonly window: Window; readonly act: BlkDo }
  /** The entropy device gives only `bytes` bytes to a request. */
  | { readonly kind: 'rng'; readonly bytes: number; readonly window: Window }
  | {
      readonly kind: 'frame';
      /** Endpoint's name (endpoint-names.ts). */
      readonly to: string;
      /** Sending service; any if null. */
      readonly by: string | null;
      /** Hex of the message's first bytes. */
      readonly prefix: string;
      /** ASCII text somewhere in the message; empty: any. */
      readonly text: string;
      readonly window: Window;
      readonly act: FrameDo;
    }
  | {
      readonly kind: 'syscall';
      readonly service: string;
      readonly nr: number;
      readonly window: Window;
      readonly errno: number;
    }
  /** The service ends, or does nothing any more, when it has received its n-th message; 0: before it does anything. */
  | { readonly kind: 'die' | 'stall'; readonly service: string; readonly at: number }
  /** The service's ELF file is damaged. */
  | { readonly kind: 'exec'; readonly service: string }
  | { readonly kind: 'selftest'; readonly part: SelftestPart }
  /**
   * The power goes at the n-th block write (before it), or at a time. What was not flushed is lost: all of it, none, or
   * some, which the run's seed picks, as a disk may write in any order.
   */
  | { readonly kind: 'power'; readonly write: number | null; readonly ns: number | null; readonly lose: PowerLoss }
  /** An inter-processor interrupt is lost on the way to its hart, or comes although nobody sent it. */
  | { readonly kind: 'ipi'; readonly window: Window; readonly act: 'drop' | 'spurious' }
  /** A secondary hart does not start. */
  | { readonly kind: 'hart'; readonly cpu: number }
  | {
      readonly kind: 'packet';
      readonly dir: 'tx' | 'rx';
      /** Hex of bytes somewhere in the packet; empty: any. */
      readonly has: string;
      readonly window: Window;
      readonly act: PacketDo;
    };

/** What of the unflushed writes a power cut takes. */
export const POWER_LOSSES = ['all', 'some', 'none'] as const;
export type PowerLoss = (typeof POWER_LOSSES)[number];

/** Kinds, as the error lines list them. */
export const FAULT_KINDS = [
  'blk',
  'rng',
  'frame',
  'syscall',
  'die',
  'stall',
  'exec',
  'selftest',
  'power',
  'ipi',
  'hart',
  'packet',
] as const;
/** Longest word on the command line; faults of one boot. */
export const MAX_FAULT_TEXT = 512;
export const MAX_FAULTS = 64;
const MAX_COUNT = 2 ** 31 - 1;
/** Name under which the first task is meant. */
export const INIT_NAME = 'init';

/** Reads `KIND[:key=value,...]`. Error: one line, without the name of the flag. */
export function parseFault(text: string): Result<Fault> {
  if (text.length > MAX_FAULT_TEXT) return failed(`expected at most ${MAX_FAULT_TEXT} characters`);
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const values = new Map<string, string>();
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  for (const part of rest === '' ? [] : rest.split(',')) {
    const at = part.indexOf('=');
    if (at < 1) return failed(`${part === '' ? 'empty field' : part}: expected key=value`);
    const key = part.slice(0, at).trim();
    if (values.has(key)) return failed(`${key}: given twice`);
    values.set(key, part.slice(at + 1).trim());
  }
  return faultOf(kind.trim(), values);
}

/** Checks the fields of one fault; the same for both ways of writing it. */
export function faultOf(kind: string, values: ReadonlyMap<string, string>): Result<Fault> {
  const words = new Words(values);
  try {
    const fault = read(kind, words);
    words.done();
    return { ok: true, value: fault };
  } catch (problem) {
    if (problem instanceof FaultProblem) return failed(problem.message);
    throw problem;
  }
}

function failed(error: string): Result<Fault> {
  return { ok: false, error };
}

function read(kind: string, words: Words): Fault {
  switch (kind) {
    case 'blk':
      return { kind, op: words.oneOf('op', BLK_OPS), window: words.window(), act: readBlk(words) };
    case 'rng':
      return { kind, bytes: words.whole('bytes', 0, MAX_COUNT), window: words.window() };
    case 'frame':
      return {
        kind,
        to: words.check(
          'to',
          isEndpointName,
          'an endpoint such as log_req, selftest_reply, ctl-req.logd or inbox.metricsd',
        ),
        by: words.has('by') ? words.service('by') : null,
        prefix: words.has('prefix') ? words.hex('prefix') : '',
        text: words.has('text') ? words.check('text', (text) => /^[ -~]+$/.test(text), 'printable ASCII') : '',
        window: words.window(),
        act: readFrame(words),
      };
    case 'syscall':
      return {
        kind,
        service: words.service('service'),
        nr: SYSCALL_NAMES.indexOf(words.oneOf('call', SYSCALL_NAMES.slice(0, SYSCALL_COUNT))),
        window: words.window(),
        errno: ERRNOS[words.oneOf('errno', Object.keys(ERRNOS) as (keyof typeof ERRNOS)[])],
      };
    case 'die':
    case 'stall':
      return { kind, service: words.service('service'), at: words.whole('at', 0, MAX_COUNT) };
    case 'exec':
      return { kind, service: words.service('service') };
    case 'selftest':
      return { kind, part: words.oneOf('part', SELFTEST_PARTS) };
    case 'power': {
      const write = words.has('write') ? words.whole('write', 1, MAX_COUNT) : null;
      const ns = words.has('time') ? words.duration('time') : null;
      if ((write === null) === (ns === null)) throw new FaultProblem('power: expected write=N or time=DURATION');
      return { kind, write, ns, lose: words.has('lose') ? words.oneOf('lose', POWER_LOSSES) : 'all' };
    }
    case 'ipi': {
      const act = words.has('do') ? words.oneOf('do', ['drop', 'spurious'] as const) : 'drop';
      return { kind, window: words.window(), act };
    }
    case 'hart':
      return { kind, cpu: words.whole('cpu', 1, MAX_HARTS - 1) };
    case 'packet':
      return {
        kind,
        dir: words.oneOf('dir', ['tx', 'rx'] as const),
        has: words.has('has') ? words.hex('has') : '',
        window: words.window(),
        act: readPacket(words),
      };
    default:
      throw new FaultProblem(`${JSON.stringify(kind)}: expected one of ${FAULT_KINDS.join(', ')}`);
  }
}

function readBlk(words: Words): BlkDo {
  const act = words.oneOf('do', [
    'ioerr',
    'unsupp',
    'status',
    'delay',
    'drop',
    'short',
    'no-status',
    'corrupt',
  ] as const);
  switch (act) {
    case 'ioerr':
      return { do: 'status', status: 1 };
    case 'unsupp':
      return { do: 'status', status: 2 };
    case 'status':
      return { do: 'status', status: words.whole('status', 1, 255) };
    case 'delay':
      return { do: act, ns: words.duration('delay') };
    case 'short':
      return { do: act, sectors: words.whole('sectors', 0, MAX_COUNT) };
    case 'corrupt':
      return { do: act, offset: words.has('offset') ? words.whole('offset', 0, MAX_COUNT) : 0 };
    case 'drop':
    case 'no-status':
      return { do: act };
  }
}

function readFrame(words: Words): FrameDo {
  const act = words.oneOf('do', ['drop', 'delay', 'dup', 'alter', 'cut', 'no-wake'] as const);
  switch (act) {
    case 'delay':
      return { do: act, ns: words.duration('delay') };
    case 'alter':
      return { do: act, offset: words.whole('offset', 0, MAX_FRAME - 1), bytes: words.hex('bytes') };
    case 'cut':
      return { do: act, len: words.whole('len', 0, MAX_FRAME) };
    case 'drop':
    case 'dup':
    case 'no-wake':
      return { do: act };
  }
}

function readPacket(words: Words): PacketDo {
  const act = words.oneOf('do', ['drop', 'delay', 'dup', 'reorder', 'corrupt', 'alter', 'cut'] as const);
  switch (act) {
    case 'delay':
      return { do: act, ns: words.duration('delay') };
    case 'reorder':
      return { do: act, behind: words.has('behind') ? words.whole('behind', 1, 64) : 1 };
    case 'corrupt': {
      const offset = words.whole('offset', 0, MAX_COUNT);
      return { do: act, offset, mask: words.has('mask') ? words.whole('mask', 1, 255) : 255 };
    }
    case 'alter':
      return { do: act, offset: words.whole('offset', 0, MAX_COUNT), bytes: words.hex('bytes') };
    case 'cut':
      return { do: act, len: words.whole('len', 1, MAX_COUNT) };
    case 'drop':
    case 'dup':
      return { do: act };
  }
}

/** Raised inside this file only. */
class FaultProblem extends Error {
  override readonly name = 'FaultProblem';
}

/** The fields of one fault; each is asked for once, and what nobody asked for is an error. */
class Words {
  readonly #values: ReadonlyMap<string, string>;
  readonly #known = new Set<string>();

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  has(key: string): boolean {
    this.#known.add(key);
    return this.#values.has(key);
  }

  oneOf<T extends string>(key: string, choices: readonly T[]): T {
    const value = this.#value(key, `one of ${choices.join(', ')}`);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new FaultProblem(`${key}=${value}: expected one of ${choices.join(', ')}`);
    return found;
  }

  whole(key: string, min: number, max: number): number {
    const expected = `a whole number from ${min} to ${max}`;
    const text = this.#value(key, expected);
    const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) throw new FaultProblem(`${key}=${text}: expected ${expected}`);
    return value;
  }

  duration(key: string): number {
    const text = this.#value(key, DURATION_EXPECTED);
    const value = parseDuration(text);
    if (value === null) throw new FaultProblem(`${key}=${text}: expected ${DURATION_EXPECTED}`);
    return value;
  }

  hex(key: string): string {
    return this.check(key, (text) => /^(?:[0-9a-f]{2})+$/.test(text), 'bytes in lower-case hex such as 4c4f0201');
  }

  service(key: string): string {
    const names = [INIT_NAME, ...SLOT_ORDER];
    return this.check(key, (text) => names.includes(text), `one of ${names.join(', ')}`);
  }

  check(key: string, test: (text: string) => boolean, expected: string): string {
    const text = this.#value(key, expected);
    if (!test(text)) throw new FaultProblem(`${key}=${text}: expected ${expected}`);
    return text;
  }

  /** `at=N` the n-th, `from=N` it and all that follow, `count=M` so many; without any, all. */
  window(): Window {
    const at = this.has('at');
    const from = this.has('from');
    if (at && from) throw new FaultProblem('at and from: expected one of the two');
    const first = at || from ? this.whole(at ? 'at' : 'from', 1, MAX_COUNT) : 1;
    const count = this.has('count') ? this.whole('count', 1, MAX_COUNT) : at ? 1 : Infinity;
    return { from: first, count };
  }

  /** Fails on a field that means nothing for this kind. */
  done(): void {
    for (const key of this.#values.keys()) {
      if (!this.#known.has(key)) {
        throw new FaultProblem(`${key}: unknown field; expected ${[...this.#known].join(', ')}`);
      }
    }
  }

  #value(key: string, expected: string): string {
    this.#known.add(key);
    const value = this.#values.get(key);
    if (value === undefined) throw new FaultProblem(`${key}: missing; expected ${expected}`);
    return value;
  }
}

/** True when the `number`-th (1-based) is hit. */
export function hits(window: Window, number: number): boolean {
  return number >= window.from && number - window.from < window.count;
}
