/** Benchmarks of whole runs: process start to exit, peak memory, an idle virtual hour, seeds per hour. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import type { LadderSource } from '../markers/loader.ts';
import { ScenarioRun } from '../scenarios/run.ts';
import { parseScenario } from '../scenarios/scenario.ts';
import { SparseBlockImage } from '../sim/block-image.ts';

const ROOT = new URL('../', import.meta.url);

const ladders: LadderSource = (name) => {
  try {
    return readFileSync(new URL(`markers/ladder-${name}.toml`, ROOT), 'utf8');
  } catch {
    return undefined;
  }
};

const CLI = fileURLToPath(new URL('dist/nexus-sim.js', ROOT));
const SELF = fileURLToPath(new URL('dist/bench.mjs', ROOT));

/** Seconds of `runs` cold runs of the command, each a process of its own from start to exit, sorted. */
export function coldRuns(words: readonly string[], runs: number): readonly number[] {
  const seconds = Array.from({ length: runs }, () => {
    const start = process.hrtime.bigint();
    const child = spawnSync(process.execPath, [CLI, 'run', ...words], { stdio: 'ignore' });
    if (child.status !== 0) throw new Error(`run ${words.join(' ')} exited with ${child.status ?? 'a signal'}`);
    return Number(process.hrtime.bigint() - start) / 1e9;
  });
  return seconds.sort((x, y) => x - y);
}

/** Says at the end of a command how much memory it had at most, KiB. */
const TELL_MEMORY = `data:text/javascript,${encodeURIComponent(
  "process.on('exit', () => process.stderr.write('\\npeak ' + process.resourceUsage().maxRSS))",
)}`;

/** MiB of resident memory that a cold run of the command had at most. */
export function peakMemory(words: readonly string[]): number {
  const child = spawnSync(process.execPath, ['--import', TELL_MEMORY, CLI, 'run', ...words], { encoding: 'utf8' });
  return Number(/peak (\d+)$/.exec(child.stderr)?.[1]) / 1024;
}

/** Runs seeds `from`, `from` + 1, ... of a scenario in this process, one after the other; each must pass. */
export function runSeeds(scenario: string, from: number, count: number): void {
  for (let seed = from; seed < from + count; seed++) {
    const run = prepared(scenario, String(seed));
    while (!run.slice(1_000_000));
    if (!run.outcome().passed) throw new Error(`seed ${seed} of ${scenario} did not pass`);
  }
}

/** Seeds of a scenario that all cores run in an hour, from `each` seeds per core, process start and end included. */
export async function seedsPerHour(
  scenario: string,
  each: number,
): Promise<{ readonly rate: number; readonly cores: number }> {
  const cores = availableParallelism();
  const start = process.hrtime.bigint();
  await Promise.all(
    Array.from({ length: cores }, async (_, core) => {
      const words = [SELF, '--seeds', scenario, String(1 + core * each), String(each)];
      const code = await new Promise((ended) =>
        spawn(process.execPath, words, { stdio: 'inherit' }).on('close', ended),
      );
      if (code !== 0) throw new Error(`a run of seeds exited with ${String(code)}`);
    }),
  );
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return { rate: (cores * each * 3600) / seconds, cores };
}

function prepared(scenario: string, seed?: string): ScenarioRun {
  const text = readFileSync(new URL(`scenarios/${scenario}.toml`, ROOT), 'utf8');
  const parsed = parseScenario(text, `${scenario}.toml`, scenario);
  if (!parsed.ok) throw new Error(parsed.error);
  const run = ScenarioRun.prepare(seed === undefined ? parsed.value : { ...parsed.value, seed }, {
    ladders,
    disk: new SparseBlockImage(),
    uart: () => undefined,
    traceListeners: [],
    goal: 'ladder',
  });
  if (!run.ok) throw new Error(run.error);
  return run.value;
}

const HOUR_NS = 3_600_000_000_000;
/** By then every boot has ended, and everybody waits. */
const SETTLED_NS = 20_000_000_000;

/** Host milliseconds of a virtual hour in which the booted services wait for an event that comes at its end. */
export function idleHour(scenario: string): number {
  const run = prepared(scenario);
  run.slice(1);
  const { kernel } = run;
  if (kernel === null) throw new Error('the machine is not on');
  const waitUntil = (untilNs: number): void => {
    kernel.clock.schedule(untilNs, () => undefined);
    while (kernel.clock.now < untilNs) {
      if (kernel.run({ untilNs, maxSteps: 1_000_000 }) === 'dead') throw new Error('the machine does not wait');
    }
  };
  waitUntil(SETTLED_NS);
  const start = process.hrtime.bigint();
  waitUntil(kernel.clock.now + HOUR_NS);
  return Number(process.hrtime.bigint() - start) / 1e6;
}
