/**
 * What `nexus-sim run --disk` leaves in its file. A killed host process loses at most what the guest had not flushed: the
 * file is the disk as one of the guest's flushes left it, none older than the last one before what the UART had printed.
 * A process that ends in good order loses nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DiskFile } from '../bin/disk-file.ts';
import { ladderFile } from '../markers/loader.ts';
import { ScenarioRun } from '../scenarios/run.ts';
import type { BlockImage } from '../sim/block-image.ts';
import { SECTOR_SIZE, SparseBlockImage } from '../sim/block-image.ts';
import { diskText, shipped } from './boot.ts';
import { nexusSim, startSim, temporaryFolder } from './cli.ts';

const SCENARIO = 'default';

/** The disk after one flush, and how many bytes the UART had printed before it. */
interface Flushed {
  readonly text: string;
  readonly printed: number;
}

/** Every state that the guest ever flushed, from the empty disk on, and the disk at the end. */
function history(): { readonly states: readonly Flushed[]; readonly end: string } {
  let printed = 0;
  const disk = new SparseBlockImage();
  const states: Flushed[] = [{ text: diskText(disk), printed: 0 }];
  const image: BlockImage = {
    sectors: disk.sectors,
    hostError: null,
    read: (sector, target) => disk.read(sector, target),
    write: (sector, source) => disk.write(sector, source),
    flush: () => {
      states.push({ text: diskText(disk), printed });
      return true;
    },
  };
  const prepared = ScenarioRun.prepare(shipped(SCENARIO), {
    ladders: (name) => readFileSync(new URL(`../markers/${ladderFile(name)}`, import.meta.url), 'utf8'),
    disk: image,
    uart: () => printed++,
    traceListeners: [],
    goal: 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  while (!prepared.value.slice(1_000_000));
  return { states, end: diskText(disk) };
}

/** Number of the last state that passes, -1 for none. */
function latest(states: readonly Flushed[], passes: (state: Flushed) => boolean): number {
  return states.reduce((found, state, number) => (passes(state) ? number : found), -1);
}

/** The content of an image file, as {@link diskText} has it. */
function fileText(path: string): string {
  const file = DiskFile.open(path);
  file.close();
  const bytes = readFileSync(path);
  const image = SparseBlockImage.fromBytes(bytes, bytes.length / SECTOR_SIZE);
  return diskText(image);
}

describe('the file behind --disk', () => {
  const folder = temporaryFolder();
  afterAll(() => {
    folder.remove();
  });
  const { states, end } = history();

  it(
    'a killed process: a flush of the guest, not before the last one that was heard of',
    { timeout: 300_000 },
    async () => {
      expect(states.length).toBeGreaterThan(6);
      const kept = new Set<number>();
      // Bytes of UART output to kill at: well before the first flush, then behind some of them.
      const places = [20_000, ...[1, 3, 5].map((number) => (states[number]?.printed ?? 0) + 1)];
      for (const [kill, bytes] of places.entries()) {
        const path = join(folder.path, `killed-${kill}.img`);
        // Without skipping the run takes small steps, so that the kill falls near where it was meant to.
        const running = startSim(['run', SCENARIO, '--no-poll-skipping', '--disk', path]);
        await running.bytes(bytes);
        running.child.kill('SIGKILL');
        const { stdout } = await running.ended;
        expect(existsSync(path)).toBe(true);
        const text = fileText(path);
        // The latest state with this content: a flush that changed nothing cannot be told from the one before.
        const found = latest(states, (state) => state.text === text);
        expect(found, `kill ${kill}: the disk is no flushed state`).toBeGreaterThanOrEqual(0);
        const heard = latest(states, (state) => state.printed < stdout.length);
        expect(found, `kill ${kill}: flush ${heard} is lost`).toBeGreaterThanOrEqual(heard);
        kept.add(found);
      }
      // The kills fell into different places of the run.
      expect(kept.size).toBeGreaterThan(1);
    },
  );

  it('a process that ended by itself: everything the guest wrote', () => {
    const path = join(folder.path, 'whole.img');
    expect(nexusSim(['run', SCENARIO, '--disk', path]).code).toBe(0);
    expect(end).not.toBe(states.at(-1)?.text);
    expect(fileText(path)).toBe(end);
    expect(existsSync(`${path}.redo`)).toBe(false);
  });
});
