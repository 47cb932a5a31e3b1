/** The event trace as JSON lines (docs/trace.md): one event a line, keys in a fixed order, integers beyond 2^53 as hex. */
import type { TraceEvent } from '../sim/trace.ts';

/** One line without its newline. */
export function traceLine(event: TraceEvent): string {
  return jsonLine(event);
}

/** The same of one of several machines: its name follows the kind, and `t` is the time that they share. */
export function nodeTraceLine(event: TraceEvent, node: string): string {
  const { t, pid, kind, ...rest } = event;
  return jsonLine({ t, pid, kind, node, ...rest });
}

function jsonLine(event: object): string {
  return JSON.stringify(event, (_key, value: unknown) => {
    if (typeof value === 'bigint') return `0x${value.toString(16).padStart(16, '0')}`;
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex');
    if (value === Infinity) return null;
    return value;
  });
}
