/** Benchmarks of whole runs: process start to exit, peak memory, an idle virtual hour. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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

/** Seconds of `runs` cold runs of a scenario, each a process of its own, sorted. */
export function coldRuns(scenario: string, runs: number): readonly number[] {
  const cli = fileURLToPath(new URL('dist/nexus-sim.js', ROOT));
  const seconds = Array.from({ length: runs }, () => {
    const start = process.hrtime.bigint();
    const child = spawnSync(process.execPath, [cli, 'run', scenario], { stdio: 'ignore' });
    if (child.status !== 0) throw new Error(`run ${scenario} exited with ${child.status ?? 'a signal'}`);
    return Number(process.hrtime.bigint() - start) / 1e9;
  });
  return seconds.sort((a, b) => a - b);
}

function prepared(scenario: string): ScenarioRun {
  const text = readFileSync(new URL(`scenarios/${scenario}.toml`, ROOT), 'utf8');
  const parsed = parseScenario(text, `${scenario}.toml`, scenario);
  if (!parsed.ok) throw new Error(parsed.error);
  const run = ScenarioRun.prepare(parsed.value, {
    ladders,
    disk: new SparseBlockImage(),
    uart: () => undefined,
    traceListeners: [],
    goal: 'ladder',
  });
  if (!run.ok) throw new Error(run.error);
  return run.value;
}

/** MiB of peak resident memory of this process after one run; meaningful in a fresh process. */
export function peakMemory(scenario: string): number {
  const run = prepared(scenario);
  while (!run.slice(1_000_000));
  return process.resourceUsage().maxRSS / 1024;
}

/** {@link peakMemory} in a process of its own. */
export function peakMemoryOf(scenario: string): number {
  const self = fileURLToPath(new URL('dist/bench.js', ROOT));
  const child = spawnSync(process.execPath, [self, '--peak-memory', scenario], { encoding: 'utf8' });
  return Number(child.stdout);
}

const HOUR_NS = 3_600_000_000_000;
/** Turns that bring the machine past its last marker but one. */
const BOOT_TURNS = 150_000;

/** Host milliseconds of a virtual hour in which the booted services wait for an event that comes at its end. */
export function idleHour(scenario: string): { readonly milliseconds: number; readonly turns: number } {
  const run = prepared(scenario);
  run.slice(1);
  const kernel = run.kernel;
  if (kernel === null) throw new Error('the machine is not on');
  let turns = 0;
  while (kernel.clock.now < 500_000_000 && turns < BOOT_TURNS) {
    turns += 1000;
    if (kernel.run({ untilNs: 500_000_000, maxSteps: 1000 }) !== 'steps') break;
  }
  // Let the program under test end first, then measure waiting alone.
  kernel.run({ untilNs: 20_000_000_000, maxSteps: 10_000_000 });
  const until = kernel.clock.now + HOUR_NS;
  kernel.clock.schedule(until, () => undefined);
  const start = process.hrtime.bigint();
  let slices = 0;
  while (kernel.run({ untilNs: until, maxSteps: 1000 }) === 'steps') slices += 1;
  return { milliseconds: Number(process.hrtime.bigint() - start) / 1e6, turns: slices * 1000 };
}
