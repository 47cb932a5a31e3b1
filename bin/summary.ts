/** `--summary`: what a run did, as a table for people and as part of the JSON report. A view of the event trace. */
import type { ChalkInstance } from 'chalk';

import type { TraceEvent } from '../sim/trace.ts';

/** Counters of one run, from its trace. */
export class Summary {
  readonly #kinds = new Map<string, number>();
  readonly #notes = new Map<string, string | number>();
  #ipcBytes = 0;

  /** Takes the next event; fits as a trace listener. Notes of several machines are told apart by `node`. */
  readonly take = (event: TraceEvent, node?: string): void => {
    this.#kinds.set(event.kind, (this.#kinds.get(event.kind) ?? 0) + 1);
    if (event.kind === 'note') {
      const where = node === undefined ? '' : `${node}/`;
      this.#notes.set(`${where}${event.service}: ${event.name}`, event.value);
    }
    if (event.kind === 'ipc-send') this.#ipcBytes += event.frame.length;
  };

  /** Stable, machine-readable form: sorted keys. */
  json(): object {
    return {
      events: Object.fromEntries(sorted(this.#kinds)),
      ipcBytes: this.#ipcBytes,
      notes: Object.fromEntries(sorted(this.#notes)),
    };
  }

  /** Lines for people: `rows` say how it went, the counters follow. */
  lines(rows: readonly string[], color: ChalkInstance): readonly string[] {
    const lines = [...rows];
    lines.push('', color.bold('events'));
    for (const [kind, count] of sorted(this.#kinds)) lines.push(`  ${kind.padEnd(18)} ${String(count).padStart(9)}`);
    if (this.#notes.size > 0) lines.push('', color.bold('notes'));
    for (const [name, value] of sorted(this.#notes)) lines.push(`  ${name.padEnd(40)} ${String(value).padStart(9)}`);
    return lines;
  }
}

function sorted<V>(map: ReadonlyMap<string, V>): readonly (readonly [string, V])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
