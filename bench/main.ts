/** `npm run bench`: every benchmark as a table, then as JSON. `--smoke` runs each briefly; `--json` prints JSON alone. */
import { decodeRate } from './decode.ts';
import { benchmarkHart } from './hart.ts';
import { measureRoundTrips } from './ipc.ts';
import { coldRuns, idleHour, peakMemory, peakMemoryOf } from './run.ts';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the project aims at, with its direction. */
  readonly aim: string;
}

const SCENARIO = 'observability';

function measure(smoke: boolean): readonly Figure[] {
  const cold = coldRuns(SCENARIO, smoke ? 2 : 11);
  const ipc = measureRoundTrips(smoke ? 50_000 : 1_000_000);
  const hour = idleHour(SCENARIO);
  const hart = benchmarkHart(() => performance.now() / 1000, smoke ? 1 : Infinity);
  return [
    { name: 'cold run, median', value: cold[Math.floor(cold.length / 2)] ?? 0, unit: 's', aim: '< 0.3' },
    { name: 'cold run, fastest', value: cold[0] ?? 0, unit: 's', aim: '' },
    { name: 'IPC round trips', value: ipc.perSecond, unit: '1/s', aim: '>= 500000' },
    { name: 'frames decoded', value: decodeRate(smoke ? 200_000 : 5_000_000), unit: '1/s', aim: '' },
    ...hart.map(({ program, mips }) => ({ name: `hart, ${program}`, value: mips, unit: 'MIPS', aim: '>= 50' })),
    { name: 'idle virtual hour', value: hour.milliseconds, unit: 'ms', aim: '< 10' },
    { name: 'peak memory', value: peakMemoryOf(SCENARIO), unit: 'MiB', aim: '< 150' },
  ];
}

function main(args: readonly string[]): void {
  if (args[0] === '--peak-memory') {
    process.stdout.write(String(peakMemory(args[1] ?? SCENARIO)));
    return;
  }
  const figures = measure(args.includes('--smoke'));
  if (!args.includes('--json')) {
    for (const { name, value, unit, aim } of figures) {
      const number = value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
      process.stdout.write(
        `${name.padEnd(20)} ${number.padStart(14)} ${unit.padEnd(4)} ${aim === '' ? '' : `aim ${aim}`}\n`,
      );
    }
  }
  const machine = { node: process.version, platform: `${process.platform} ${process.arch}` };
  process.stdout.write(`${JSON.stringify({ ...machine, figures })}\n`);
}

main(process.argv.slice(2));
