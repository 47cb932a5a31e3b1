/** docs/trace.md against the event types and against real traces. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { boot, observability, shipped, withFaults } from './boot.ts';

const DOC = readFileSync(new URL('../docs/trace.md', import.meta.url), 'utf8');
const SOURCE = readFileSync(new URL('../sim/trace.ts', import.meta.url), 'utf8');

/** Kind -> its keys, in order. */
function documented(): ReadonlyMap<string, readonly string[]> {
  const rows = [...DOC.matchAll(/^\| `([a-z-]+)` +\| ((?:`[A-Za-z]+`(?:, )?)+) +\|/gm)];
  return new Map(rows.map(([, kind, keys]) => [kind!, [...keys!.matchAll(/`([A-Za-z]+)`/g)].map(([, key]) => key!)]));
}

/** The same from the type. */
function declared(): ReadonlyMap<string, readonly string[]> {
  const body = /export type TraceBody =([\s\S]*?);\n\n/.exec(SOURCE)?.[1] ?? '';
  const members = body.split(/\n {2}\| \{/).slice(1);
  return new Map(
    members.map((member) => {
      const keys = [...member.matchAll(/readonly ([A-Za-z]+)\??:/g)].map(([, key]) => key!);
      return [/kind: '([a-z-]+)'/.exec(member)![1]!, keys.slice(1)];
    }),
  );
}

describe('docs/trace.md', () => {
  it('lists every kind of event with its keys, in their order', () => {
    expect(declared().size).toBe(22);
    expect(new Map([...documented()].sort())).toEqual(new Map([...declared()].sort()));
  });

  it('describes what is written: order of keys, number formats, no key more', () => {
    const traces = [
      boot(observability(), { trace: true }),
      boot(shipped('disk-fails-late'), { trace: true }),
      boot(withFaults(observability(), { dead: ['metricsd'] }), { trace: true }),
    ];
    const table = documented();
    const seen = new Set<string>();
    const wrong: string[] = [];
    for (const { trace } of traces) {
      let last = 0;
      for (const line of trace) {
        const event = JSON.parse(line) as Record<string, unknown>;
        const kind = event['kind'] as string;
        seen.add(kind);
        const keys = ['t', 'pid', 'kind', ...table.get(kind)!];
        const id = event['serviceId'];
        const frame = event['frame'];
        const fits =
          Object.keys(event).join() === keys.join() &&
          (event['t'] as number) >= last &&
          (id === undefined || (typeof id === 'string' && /^0x[0-9a-f]{16}$/.test(id))) &&
          (frame === undefined || (typeof frame === 'string' && /^(?:[0-9a-f]{2})*$/.test(frame)));
        if (!fits) wrong.push(line);
        last = event['t'] as number;
      }
    }
    expect(wrong).toEqual([]);
    for (const kind of ['uart-line', 'marker', 'note', 'fault', 'task-exit', 'ipc-send', 'disk', 'virtio-request'])
      expect(seen).toContain(kind);
  });

  it('shows a marker right before its line, at the same time', () => {
    const { trace } = boot(observability(), { trace: true });
    const events = trace.map((line) => JSON.parse(line) as { kind: string; text: string; t: number });
    const markers = events.flatMap((event, i) => (event.kind === 'marker' ? [i] : []));
    expect(markers).toHaveLength(85);
    for (const i of markers) {
      const line = events.slice(i).find((event) => event.kind === 'uart-line')!;
      expect(line.text).toContain(events[i]!.text);
      expect(line.t).toBe(events[i]!.t);
    }
  });
});
