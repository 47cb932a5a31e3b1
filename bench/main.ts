/** `npm run bench`: every benchmark as a table, then as JSON. `--smoke` runs each briefly; `--json` prints JSON alone. */
import { decodeRate } from './decode.ts';
import { benchmarkHart } from './hart.ts';
import { measureRoundTrips } from './ipc.ts';
import { coldRuns, idleHour, peakMemory, runSeeds, seedsPerHour } from './run.ts';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the project aims at, with its direction. */
  readonly aim: string;
}

/** Cold runs that are measured: label, words of the command, aims in seconds and MiB. */
const COLD = [
  { label: 'observability', words: ['observability'], seconds: 0.3, mebibytes: 150 },
  { label: 'whole ladder', words: [], seconds: 0.4, mebibytes: 200 },
  { label: 'two harts', words: ['--smp', '2', '--variant', 'smp'], seconds: 0.4, mebibytes: 200 },
  { label: 'two machines', words: ['os2vm'], seconds: null, mebibytes: null },
] as const;
const SEEDED = 'default';
const HART_AIM = 50;

function* coldFigures(smoke: boolean): Generator<Figure> {
  for (const { label, words, seconds, mebibytes } of COLD) {
    const cold = coldRuns(words, smoke ? 1 : 11);
    yield {
      name: `cold run, ${label}, median`,
      value: cold[Math.floor(cold.length / 2)] ?? 0,
      unit: 's',
      aim: seconds === null ? '' : `< ${seconds}`,
    };
    yield { name: `cold run, ${label}, fastest`, value: cold[0] ?? 0, unit: 's', aim: '' };
    yield {
      name: `peak memory, ${label}`,
      value: peakMemory(words),
      unit: 'MiB',
      aim: mebibytes === null ? '' : `< ${mebibytes}`,
    };
  }
}

async function* measure(smoke: boolean): AsyncGenerator<Figure> {
  yield* coldFigures(smoke);
  const ipc = measureRoundTrips(smoke ? 50_000 : 1_000_000);
  yield { name: 'IPC round trips', value: ipc.perSecond, unit: '1/s', aim: '>= 500000' };
  yield { name: 'frames decoded', value: decodeRate(smoke ? 200_000 : 5_000_000), unit: '1/s', aim: '' };
  yield { name: 'idle virtual hour', value: idleHour(SEEDED), unit: 'ms', aim: '< 10' };
  const seconds = (): number => Number(process.hrtime.bigint()) / 1e9;
  for (const { program, mips } of benchmarkHart(seconds, smoke ? ['sort'] : undefined)) {
    yield { name: `hart, ${program}`, value: mips, unit: 'MIPS', aim: `>= ${HART_AIM}` };
  }
  const { rate, cores } = await seedsPerHour(SEEDED, smoke ? 1 : 25);
  yield { name: `seeds, ${cores} cores`, value: rate, unit: '1/h', aim: '' };
}

function row({ name, value, unit, aim }: Figure): string {
  const number = value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
  return `${name.padEnd(34)} ${number.padStart(12)} ${unit.padEnd(4)} ${aim === '' ? '' : `aim ${aim}`}`.trimEnd();
}

async function main(args: readonly string[]): Promise<void> {
  if (args[0] === '--seeds') {
    runSeeds(args[1] ?? SEEDED, Number(args[2] ?? 1), Number(args[3] ?? 1));
    return;
  }
  const figures: Figure[] = [];
  for await (const figure of measure(args.includes('--smoke'))) {
    figures.push(figure);
    if (!args.includes('--json')) process.stdout.write(`${row(figure)}\n`);
  }
  const machine = { node: process.version, platform: `${process.platform} ${process.arch}` };
  process.stdout.write(`${JSON.stringify({ ...machine, figures })}\n`);
}

await main(process.argv.slice(2));
