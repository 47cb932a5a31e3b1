/**
 * What execd says about a child that ended badly (sheet 60, section 6.7; sheet 40, section 8.2; rule LOG-12): texts, the
 * record for logd, and the words for a failed send. Pure.
 */
import { Errno } from '../../kernel-model/abi.ts';
import { TIMEOUT } from '../lib/ipc.ts';
import type { Level } from '../lib/nexus-log.ts';
import { ascii } from '../lib/text.ts';
import { LogLevel, encodeAppendV1 } from '../logd/wire.ts';

export const CRASH_SCOPE = 'execd';
/** Bytes of a record's message. */
export const CRASH_MESSAGE_MAX = 256;
/** The crash that the selftest provokes: told as information. */
const EXPECTED = { name: 'demo.exit42', code: 42 } as const;
/** The facade renders this code wrongly (sheet 60, Q21). */
const MIN_CODE = -0x8000_0000;
const MIN_CODE_IN_LOG = '-18446744071562067968';

/** A child's end with a code other than 0. `code` is a signed 32-bit number. */
export interface Crash {
  readonly pid: number;
  readonly code: number;
  readonly name: string;
}

/** `crash pid=.. code=.. name=..`, as in the record and, behind `execd: crash report`, on the UART. */
export function crashText({ pid, code, name }: Crash): string {
  return `crash pid=${pid} code=${code} name=${name}`;
}

/** Execd's own line. */
export function crashReportLine({ pid, code, name }: Crash): string {
  return `execd: crash report pid=${pid} code=${code} name=${name}`;
}

/** The facade's line: its level and text. */
export function crashLogLine(crash: Crash): { readonly level: Level; readonly text: string } {
  const { pid, code, name } = crash;
  const shown = code === MIN_CODE ? MIN_CODE_IN_LOG : code;
  const expected = name === EXPECTED.name && code === EXPECTED.code;
  return { level: expected ? 'INFO' : 'WARN', text: `crash pid=${pid} code=${shown} name=${name}` };
}

/** The fields of the record, by name (quirks.md, crash-fields). */
export function crashFields({ pid, code, name }: Crash): string {
  return `code=${code}\nevent=crash.v1\nname=${name}\npid=${pid}\n`;
}

/** The record's frame. `fields`: the contract's; the reference sends none. */
export function crashAppend(crash: Crash, fields: boolean): Uint8Array {
  const message = ascii(crashText(crash)).subarray(0, CRASH_MESSAGE_MAX);
  return encodeAppendV1(LogLevel.WARN, ascii(CRASH_SCOPE), message, ascii(fields ? crashFields(crash) : ''));
}

/** What a failed send prints behind `execd: crash logd send `. */
export function sendFailure(result: number): string {
  switch (result) {
    case TIMEOUT:
      return 'timeout';
    case -Errno.EPERM:
      return 'kernel=PermissionDenied';
    case -Errno.ESRCH:
      return 'kernel=NoSuchEndpoint';
    case -Errno.EAGAIN:
      return 'kernel=QueueFull';
    case -Errno.ENOSPC:
      return 'kernel=NoSpace';
    default:
      return 'kernel=Unsupported';
  }
}
