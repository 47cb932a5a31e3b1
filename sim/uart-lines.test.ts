import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Trace } from './trace.ts';
import type { TraceEvent } from './trace.ts';
import { MAX_LINE_LENGTH, UartLines } from './uart-lines.ts';
import type { UartLine } from './uart-lines.ts';

function collect(bytes: Iterable<number>): { lines: UartLine[]; view: UartLines } {
  const view = new UartLines(new Trace({ now: 0 }));
  const lines: UartLine[] = [];
  view.listen((line) => lines.push(line));
  for (const byte of bytes) view.push(byte);
  return { lines, view };
}

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

describe('UartLines', () => {
  it('tells the endings of the writers apart (sheet 05, section 6.1)', () => {
    const { lines } = collect(ascii('[INFO boot] boot: ok\r\nW0: calling kmain\n\r\n\n'));
    expect(lines).toEqual([
      { text: '[INFO boot] boot: ok', ending: 'crlf', dropped: 0 },
      { text: 'W0: calling kmain', ending: 'lf', dropped: 0 },
      { text: '', ending: 'crlf', dropped: 0 },
      { text: '', ending: 'lf', dropped: 0 },
    ]);
  });

  it('keeps a CR inside a line and bytes that are not ASCII', () => {
    const { lines } = collect([0x61, 0x0d, 0x62, 0xe4, 0x00, 0x0d, 0x0d, 0x0a]);
    expect(lines).toEqual([{ text: 'a\rb\u00e4\0\r', ending: 'crlf', dropped: 0 }]);
  });

  it('shows the unfinished line', () => {
    const { lines, view } = collect(ascii('one\ntwo'));
    expect(lines).toHaveLength(1);
    expect(view.partial).toBe('two');
  });

  it('text and endings give the bytes back', () => {
    const byte = fc.oneof(fc.nat(255), fc.constantFrom(0x0a, 0x0d));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 80 }), (bytes) => {
        const { lines, view } = collect(bytes);
        const text = lines.map((line) => line.text + (line.ending === 'crlf' ? '\r\n' : '\n')).join('') + view.partial;
        expect(ascii(text)).toEqual(bytes);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it.each(['\n', '\r\n'])('cuts an overlong line at its limit and counts the rest, ending %j', (ending) => {
    for (const excess of [0, 1, 2, 100]) {
      const { lines } = collect(ascii('x'.repeat(MAX_LINE_LENGTH + excess) + ending + 'next\n'));
      expect(lines[0]!.text).toHaveLength(MAX_LINE_LENGTH);
      expect(lines[0]).toMatchObject({ ending: ending === '\n' ? 'lf' : 'crlf', dropped: excess });
      expect(lines[1]).toEqual({ text: 'next', ending: 'lf', dropped: 0 });
    }
  });

  it('puts lines into the trace, behind the listeners, while somebody listens', () => {
    const trace = new Trace({ now: 42 });
    const view = new UartLines(trace);
    const order: string[] = [];
    const events: TraceEvent[] = [];
    view.listen((line) => order.push(`listener ${line.text}`));
    for (const byte of ascii('early\n')) view.push(byte);
    trace.listen((event) => {
      order.push('trace');
      events.push(event);
    });
    for (const byte of ascii('late\r\n')) view.push(byte);
    expect(order).toEqual(['listener early', 'listener late', 'trace']);
    expect(events).toEqual([{ t: 42, pid: -1, kind: 'uart-line', text: 'late', ending: 'crlf' }]);
  });

  it('assembles lines without any listener and starts clean for the first one', () => {
    const view = new UartLines(new Trace({ now: 0 }));
    for (const byte of ascii('unheard\r\nhal')) view.push(byte);
    const lines: UartLine[] = [];
    view.listen((line) => lines.push(line));
    for (const byte of ascii('f\n')) view.push(byte);
    expect(lines).toEqual([{ text: 'half', ending: 'lf', dropped: 0 }]);
  });
});
