/**
 * The image `default` with `--quirks reference` beside the log of the real image under QEMU: task by task, in global order, and
 * in time. Nothing is taken by shape here: addresses and sizes that depend on the build are the set of this log (sheet 10,
 * section 12). Nothing is listed as different, because nothing is: docs/reference.md.
 */
import { describe, expect, it } from 'vitest';

import { FIRMWARE, KERNEL, splitByTask } from '../../markers/tasks.ts';
import { linesOf, measure, reached, referenceRun, referenceText, taskMatches } from '../../tools/reference/measure.ts';
import { REFERENCE_SERVICES, byTask } from './compare.ts';

const TEXT = referenceText();
const REFERENCE = linesOf(TEXT);
/** The firmware's banner, lines 1 to 61. */
const BANNER_LINES = 61;
const TASKS = ['init', KERNEL, ...REFERENCE_SERVICES, 'payload hello', 'payload exit0', 'payload exit42'];

/**
 * How far a milestone may lie from the guest time of the real image, ms. Those times are a few milliseconds coarse, and what
 * services compute between two calls is mostly not charged: 0.3 % of the whole run.
 */
const TOLERANCE_MS = 13;

const RUN = referenceRun();
const LINES = linesOf(RUN.uart);
const here = byTask(LINES);
const reference = byTask(REFERENCE);

describe('the whole image prints what the real one prints', () => {
  it.each([...TASKS, FIRMWARE])('%s: the same lines in the same order', (task) => {
    expect(reference.get(task)!.length).toBeGreaterThan(0);
    expect(here.get(task)).toEqual(reference.get(task));
  });

  it('has no other task, no line without one, and as many entered programs', () => {
    expect([...reference.keys()].sort()).toEqual([...TASKS, FIRMWARE].sort());
    expect([...here.keys()].sort()).toEqual([...reference.keys()].sort());
    const ours = splitByTask(LINES);
    const theirs = splitByTask(REFERENCE);
    // Empty lines of the banner.
    expect(ours.unassigned).toEqual(theirs.unassigned);
    expect(ours.unassigned.every((line) => line.text === '' && line.line <= BANNER_LINES)).toBe(true);
    expect(ours.entryTokens).toBe(theirs.entryTokens);
  });

  it('prints the banner byte for byte, lines 1 to 61', () => {
    const kernel = TEXT.indexOf('[INFO boot] boot: ok');
    expect(linesOf(TEXT.slice(0, kernel))).toHaveLength(BANNER_LINES);
    expect(RUN.uart.slice(0, kernel)).toBe(TEXT.slice(0, kernel));
  });
});

describe('the interleaving of the tasks', () => {
  const measured = measure(RUN);

  it('every line and every pair of lines in the order of the reference: the same bytes', () => {
    expect(measured.order.moved).toEqual([]);
    expect(measured.order.extra).toEqual([]);
    expect(measured.order.inSequence).toEqual({ of: 1501, total: 1501 });
    expect(measured.order.pairs).toEqual({ of: 1_125_750, total: 1_125_750 });
    expect(RUN.uart).toBe(TEXT);
    expect(measured.bytesEqual).toBe(true);
  });

  it.each(measured.milestones)('line $line ($what) comes near $ms ms', ({ ms, here: reachedAt }) => {
    expect(reachedAt).not.toBeNull();
    expect(Math.abs(reachedAt! - ms)).toBeLessThanOrEqual(TOLERANCE_MS);
  });
});

describe('the measurement itself', () => {
  it('a moved line is seen in the order, a changed one in its task too', () => {
    const lines = [...LINES];
    const [facade] = lines.splice(lines.indexOf('netstackd: facade up'), 1);
    const moved = [...lines.slice(0, 1000), facade!, ...lines.slice(1000)];
    expect(measure({ uart: `${moved.join('\n')}\n`, lines: [] })).toMatchObject({
      bytesEqual: false,
      order: { inSequence: { of: 1500 }, moved: [{ line: 1141, lines: ['netstackd: facade up'], at: 1001 }] },
    });
    const changed = LINES.map((line) => (line === 'logd: append rx' ? 'logd: append' : line));
    expect(taskMatches(REFERENCE, changed).filter((task) => !task.same)).toEqual([
      { task: 'logd', lines: 11, same: false },
    ]);
  });

  it('takes the k-th of a text for the k-th, and says when a line never came', () => {
    const at = (lines: typeof RUN.lines, line: number): number | null =>
      reached(REFERENCE, lines).find((milestone) => milestone.line === line)!.here;
    // `logd: ready` is printed twice, in lines 1095 and 1096.
    const twice = [1, 2].map((ms) => ({ t: ms * 1_000_000, text: 'logd: ready' }));
    expect(at(twice, 1096)).toBe(2);
    expect(at(twice.slice(1), 1096)).toBeNull();
    expect(at([], 1501)).toBeNull();
  });
});
