/** A boot with `--quirks reference` beside the log of the real image under QEMU, task by task. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { FIRMWARE, KERNEL, splitByTask } from '../../markers/tasks.ts';
import { IMAGES } from '../../scenarios/images.ts';
import { boot, observability, withQuirks } from '../boot.ts';
import { CHANGES } from './changes.ts';
import { REFERENCE_SERVICES, byShape, byTask, expected, kernelLines, pidHere } from './compare.ts';

const REFERENCE = readFileSync(new URL('../../markers/fixtures/uart-default.log', import.meta.url), 'latin1').split(
  /\r?\n/,
);
const SERVICES = IMAGES.get('observability')!.services;
const HERE = boot(withQuirks(observability(), 'reference')).boots[0]!;
const reference = byTask(REFERENCE);
const here = byTask(HERE);

describe('each task prints the lines of the reference in its own order', () => {
  it.each(['init', ...SERVICES])('%s', (task) => {
    const wanted = expected(reference.get(task)!, CHANGES.get(task) ?? [], SERVICES);
    expect(wanted.length).toBeGreaterThan(0);
    expect(here.get(task)!.map(byShape)).toEqual(wanted);
  });

  it('knows the task of every line, and no task that is not in the image', () => {
    expect(splitByTask(HERE).unassigned).toEqual([]);
    expect([...here.keys()].sort()).toEqual(['init', KERNEL, ...SERVICES].sort());
    expect(splitByTask(HERE).entryTokens).toBe(SERVICES.length + 1);
  });

  it('lists changes only for tasks that are compared', () => {
    for (const task of CHANGES.keys()) expect(['init', ...SERVICES]).toContain(task);
  });
});

describe('the kernel', () => {
  const there = kernelLines(reference, REFERENCE_SERVICES.length);
  const ours = kernelLines(here, SERVICES.length);

  it('boots with the same lines up to the jump into init', () => {
    expect(ours.boot.length).toBeGreaterThan(200);
    expect(ours.boot.map(byShape)).toEqual(there.boot.map(byShape));
  });

  it.each(SERVICES)('spawns %s with the same lines', (service) => {
    const block = there.spawns[REFERENCE_SERVICES.indexOf(service)]!;
    const pid = (line: string): string =>
      line.replace(/enqueue: pid=(\d+)/, (_all, digits: string) => `enqueue: pid=${pidHere(Number(digits), SERVICES)}`);
    expect(ours.spawns[SERVICES.indexOf(service)]!.map(byShape)).toEqual(block.map(pid).map(byShape));
  });

  it('prints the same activations', () => {
    expect(ours.activations.map(byShape)).toEqual(there.activations.map(byShape));
  });

  it('spends its 32 enqueue lines on the same turns; the absent tasks leave theirs to later ones', () => {
    const mapped = there.enqueues.map((pid) => pidHere(pid, SERVICES)).filter((pid) => pid !== null);
    expect(ours.enqueues.slice(0, mapped.length)).toEqual(mapped);
    const all = (lines: readonly string[]): number => lines.filter((line) => line.includes('enqueue: pid=')).length;
    expect(all(here.get(KERNEL)!)).toBe(32);
    expect(all(reference.get(KERNEL)!)).toBe(32);
  });

  it('answers the same QoS calls; what follows in the reference is of the three payloads (S35 to S37)', () => {
    const payloads = there.rest.findIndex((line) => line.startsWith('[INFO exec] EXEC-ELF'));
    const wanted = there.rest.slice(0, payloads).filter((line) => line.includes('QOS-AUDIT'));
    expect(wanted).toHaveLength(2);
    expect(ours.rest).toEqual(wanted.map((line) => line.replaceAll(/_pid=33\b/g, `_pid=${pidHere(33, SERVICES)}`)));
  });
});

describe('the comparison itself', () => {
  it('masks page-table roots and physical addresses only', () => {
    expect(byShape('virtio-blk: q_pa=0x000000008185b000 pfn=0x0008185b')).toBe('virtio-blk: q_pa=# pfn=#');
    const untouched = '[INFO task] SPAWN-FRAME: sepc=0x14d92 sp(x2)=0x20008000 gp(x3)=0x278cc';
    expect(byShape(untouched)).toBe(untouched);
  });

  it('sees a missing, an added, a changed and a moved line', () => {
    const lines = ['logd: ready', 'logd: rx first', 'logd: append rx'];
    const wanted = expected(lines, [], SERVICES);
    expect(wanted).toEqual(lines);
    for (const other of [lines.slice(1), [...lines, 'logd: ready'], ['x', ...lines.slice(1)], [...lines].reverse()])
      expect(other).not.toEqual(wanted);
  });

  it('refuses a change that does not fit', () => {
    expect(() => expected(['a'], [{ lines: ['b'], reason: 'none' }], SERVICES)).toThrow('a change does not fit');
    // In order: the second lies before the first.
    const changes = [
      { lines: ['b'], reason: 'first' },
      { lines: ['a'], reason: 'second' },
    ];
    expect(() => expected(['a', 'b'], changes, SERVICES)).toThrow('second');
  });

  it('covers the firmware by its own test: this image prints none unless asked', () => {
    expect(here.has(FIRMWARE)).toBe(false);
    expect(reference.has(FIRMWARE)).toBe(true);
  });

  it('prints the banner byte for byte before the kernel with --firmware-banner', () => {
    const lines = boot({ ...withQuirks(observability(), 'reference'), firmwareBanner: true }).boots[0]!;
    const first = HERE[0]!;
    expect(lines.slice(0, lines.indexOf(first))).toEqual(REFERENCE.slice(0, REFERENCE.indexOf(first)));
  });
});
