/** Scenes for the tests of quirks: a boot under faults, in one setting, and what can be read off it. */
import { diskKeys, diskValue } from '../../scenarios/disk.ts';
import { parseFault } from '../../scenarios/faults.ts';
import type { Faults, Grant, Scenario } from '../../scenarios/scenario.ts';
import { decodeRequest as decodeLog } from '../../services/logd/wire.ts';
import { LogOp } from '../../services/logd/wire.ts';
import type { TraceEvent } from '../../sim/trace.ts';
import { boot, shipped, withFaults, withQuirks } from '../boot.ts';
import type { Booted, BootOptions } from '../boot.ts';
import type { QuirkName } from '../../scenarios/quirks.ts';

/** Faults by their words on the command line. */
export interface Faulty {
  readonly inject?: readonly string[];
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly without?: readonly string[];
}

/** A setting: no quirk, all of them, or these. */
export type Setting = 'none' | 'reference' | readonly QuirkName[];

function grant(word: string): Grant {
  const [subject = '', capability = ''] = word.split(':');
  return { subject, capability };
}

function faults(faulty: Faulty): Partial<Faults> {
  return {
    inject: (faulty.inject ?? []).map((word) => {
      const parsed = parseFault(word);
      if (!parsed.ok) throw new Error(parsed.error);
      return parsed.value;
    }),
    allow: (faulty.allow ?? []).map(grant),
    deny: (faulty.deny ?? []).map(grant),
    without: faulty.without ?? [],
  };
}

/** A shipped scenario in a setting, under faults; `seconds` bounds its virtual time. */
export function scene(name: string, setting: Setting, faulty: Faulty = {}, seconds?: number): Scenario {
  const scenario = withFaults(withQuirks(shipped(name), setting), faults(faulty));
  if (seconds === undefined) return scenario;
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, maxVirtualNs: seconds * 1_000_000_000 })) };
}

/** The same scene stopped at a marker. */
export function until(scenario: Scenario, marker: string): Scenario {
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, until: marker })) };
}

/** What a boot showed. */
export interface Seen {
  readonly lines: readonly string[];
  readonly booted: Booted;
  /** Lines that hold a text. */
  readonly with: (text: string) => readonly string[];
  /** Keys on the disk. */
  readonly keys: readonly string[] | null;
  /** A value on the disk as text, null when it is not there. */
  readonly value: (key: string) => string | null;
  /** The last value of each note, by `service.name`. */
  readonly notes: ReadonlyMap<string, number | string>;
  /** APPENDs that were sent to logd, in order. */
  readonly appends: readonly Append[];
  /** Other messages that were collected. */
  readonly messages: readonly Extract<TraceEvent, { kind: 'ipc-send' }>[];
}

/** One APPEND as it was sent. */
export interface Append {
  readonly sender: bigint;
  readonly scope: string;
  readonly message: string;
  readonly fields: string;
}

const TEXT = new TextDecoder('latin1');

/** Boots; notes and messages with one of these heads (two characters) are collected. */
export function look(scenario: Scenario, heads: readonly string[] = [], options: BootOptions = {}): Seen {
  const wanted = (frame: Uint8Array): boolean => heads.includes(TEXT.decode(frame.subarray(0, 2)));
  const booted = boot(scenario, {
    ...options,
    collect: (event) => event.kind === 'note' || (event.kind === 'ipc-send' && wanted(event.frame)),
  });
  const lines = booted.boots[0] ?? [];
  const messages = booted.events.flatMap((event) => (event.kind === 'ipc-send' ? [event] : []));
  return {
    lines,
    booted,
    with: (text) => lines.filter((line) => line.includes(text)),
    keys: diskKeys(booted.disk),
    value: (key) => {
      const value = diskValue(booted.disk, key);
      return value === null ? null : TEXT.decode(value);
    },
    notes: new Map(
      booted.events.flatMap((event) =>
        event.kind === 'note' ? [[`${event.service}.${event.name}`, event.value] as const] : [],
      ),
    ),
    appends: messages.flatMap(({ frame, serviceId }) => {
      const decoded = decodeLog(frame);
      if (!decoded.ok || decoded.request.op !== LogOp.APPEND) return [];
      const { scope, message, fields } = decoded.request;
      return [
        { sender: serviceId, scope: TEXT.decode(scope), message: TEXT.decode(message), fields: TEXT.decode(fields) },
      ];
    }),
    messages,
  };
}
