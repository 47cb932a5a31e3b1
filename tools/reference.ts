/**
 * `npm run reference`: how close a boot of the default image with `--quirks reference` comes to the real image under QEMU: each
 * task's lines, the order of all lines, and the guest time of the milestones (docs/reference.md). `--json` for machines. Exit
 * code 1 when a task's lines differ.
 */
import { measure, referenceRun } from './reference/measure.ts';
import type { Measurement, Reached } from './reference/measure.ts';
import type { Share } from '../markers/interleaving.ts';

/** Lines of a moved block that are shown. */
const SHOWN = 3;

function main(args: readonly string[]): number {
  const unknown = args.find((arg) => arg !== '--json');
  if (unknown !== undefined) {
    process.stderr.write(`${unknown}: expected --json or nothing\n`);
    return 2;
  }
  const measured = measure(referenceRun());
  process.stdout.write(args.includes('--json') ? `${JSON.stringify(measured, null, 2)}\n` : readable(measured));
  return measured.tasks.every((task) => task.same) ? 0 : 1;
}

function readable({ bytesEqual, lines, tasks, order, milestones }: Measurement): string {
  const different = tasks.filter((task) => !task.same).map((task) => task.task);
  return [
    'default image, --quirks reference --firmware-banner, beside the log of the real image (QEMU, icount 1)',
    '',
    `whole log       ${bytesEqual ? 'the same bytes' : 'other bytes'}, ${lines} lines`,
    `task by task    ${tasks.length - different.length} of ${tasks.length} tasks print the same lines${
      different.length === 0 ? '' : `; not: ${different.join(', ')}`
    }`,
    `in sequence     ${share(order.inSequence)} lines are in the same global order (longest common subsequence)`,
    `pairs           ${share(order.pairs)} pairs of lines stand in the same order`,
    ...order.moved.flatMap(({ line, lines: block, at }) => [
      `moved           line ${line}, ${block.length} lines, here ${at === null ? 'missing' : `from line ${at}`}:`,
      ...block.slice(0, SHOWN).map((text) => `                  ${text}`),
    ]),
    ...order.extra.map((text) => `only here       ${text}`),
    '',
    'guest time, ms   real     here    diff  line',
    ...milestones.map(milestone),
    '',
  ].join('\n');
}

function share({ of, total }: Share): string {
  return `${of} of ${total}${total === 0 ? '' : ` (${((100 * of) / total).toFixed(2)} %)`}`;
}

function milestone({ ms, here, line, what }: Reached): string {
  const column = (value: number): string => value.toFixed(1).padStart(8);
  const own = here === null ? ['    none', '        '] : [column(here), column(here - ms)];
  return `             ${column(ms)} ${own.join('')}  ${String(line).padStart(4)}  ${what}`;
}

process.exitCode = main(process.argv.slice(2));
