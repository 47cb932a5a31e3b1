/**
 * The image `default` with `--quirks reference` beside the log of the real image under QEMU, task by task. Nothing is taken
 * by shape here: addresses and sizes that depend on the build are the set of this log (sheet 10, section 12).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { FIRMWARE, KERNEL, splitByTask } from '../../markers/tasks.ts';
import { boot, shipped, withQuirks } from '../boot.ts';
import { REFERENCE_SERVICES, byTask } from './compare.ts';

const TEXT = readFileSync(new URL('../../markers/fixtures/uart-default.log', import.meta.url), 'latin1');
const REFERENCE = TEXT.split(/\r?\n/).slice(0, -1);
/** The firmware's banner, lines 1 to 61. */
const FIRMWARE_LINES = 61;
const TASKS = ['init', KERNEL, ...REFERENCE_SERVICES, 'payload hello', 'payload exit0', 'payload exit42'];

const run = boot({ ...withQuirks(shipped('default'), 'reference'), firmwareBanner: true });
const here = byTask(run.boots[0]!);
const reference = byTask(REFERENCE);

describe('the whole image prints what the real one prints', () => {
  it.each([...TASKS, FIRMWARE])('%s: the same lines in the same order', (task) => {
    expect(reference.get(task)!.length).toBeGreaterThan(0);
    expect(here.get(task)).toEqual(reference.get(task));
  });

  it('has no other task, no line without one, and as many entered programs', () => {
    expect([...reference.keys()].sort()).toEqual([...TASKS, FIRMWARE].sort());
    expect([...here.keys()].sort()).toEqual([...reference.keys()].sort());
    const ours = splitByTask(run.boots[0]!);
    const theirs = splitByTask(REFERENCE);
    // Empty lines of the banner.
    expect(ours.unassigned).toEqual(theirs.unassigned);
    expect(ours.unassigned.every((line) => line.text === '' && line.line <= FIRMWARE_LINES)).toBe(true);
    expect(ours.entryTokens).toBe(theirs.entryTokens);
  });

  it('prints as many lines, and the same bytes through the firmware and the kernel up to init', () => {
    expect(run.boots[0]).toHaveLength(REFERENCE.length);
    const init = TEXT.indexOf('UB!init-lite entry');
    expect(init).toBeGreaterThan(0);
    expect(run.uart.slice(0, init)).toBe(TEXT.slice(0, init));
  });
});
