/** `nexus-sim ladder` and `nexus-sim quirks`: the project's tables, for people and as JSON. */
import { failedPhase, isOrdered } from '../markers/ladder.ts';
import { loadLadder } from '../markers/loader.ts';
import { QUIRKS } from '../scenarios/quirks.ts';
import { ExitCode, UsageError } from './errors.ts';
import { colorsFor } from './output.ts';
import type { ColorMode } from './output.ts';
import { NODES_LADDER, ladderNames, ladderText, nodesLadder } from './resources.ts';

export interface InfoOptions {
  readonly json?: boolean;
  readonly color: ColorMode;
}

/** Prints a ladder: number, order rule, phase and text of each marker. */
export function ladderCommand(variant: string, options: InfoOptions): number {
  if (variant === NODES_LADDER) return nodesLadderCommand(options);
  if (!ladderNames().includes(variant)) {
    const names = [...ladderNames(), NODES_LADDER].sort();
    throw new UsageError(`--variant ${variant}: expected one of ${names.join(', ')}`);
  }
  const loaded = loadLadder(variant, ladderText);
  if (!loaded.ok) throw new UsageError(loaded.error);
  const ladder = loaded.value;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(ladder, null, 2)}\n`);
    return ExitCode.PASSED;
  }
  const color = colorsFor(process.stdout, options.color);
  process.stdout.write(color.bold(`ladder ${variant}: ${ladder.markers.length} markers (o = order-enforced)\n`));
  ladder.markers.forEach((marker, index) => {
    const order = isOrdered(ladder, marker) ? 'o' : ' ';
    process.stdout.write(
      `${String(index).padStart(4)} ${order} ${color.dim(failedPhase(ladder, index).padEnd(9))} ${marker}\n`,
    );
  });
  for (const requirement of ladder.requirements) {
    process.stdout.write(color.bold(`${requirement.flag}:\n`));
    for (const marker of requirement.markers) process.stdout.write(`     ${marker}\n`);
  }
  return ExitCode.PASSED;
}

/** Prints the ladder of two machines: step, nodes, marker. */
function nodesLadderCommand(options: InfoOptions): number {
  const ladder = nodesLadder(NODES_LADDER);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(ladder, null, 2)}\n`);
    return ExitCode.PASSED;
  }
  const color = colorsFor(process.stdout, options.color);
  process.stdout.write(color.bold(`ladder ${ladder.name}: ${ladder.steps.length} steps, in order\n`));
  ladder.steps.forEach((step, index) => {
    const nodes = step.on.join(' and ').padEnd(9);
    process.stdout.write(`${String(index + 1).padStart(4)}   ${color.dim(nodes)} ${step.marker}\n`);
  });
  return ExitCode.PASSED;
}

/** Prints the table of quirks. */
export function quirksCommand(options: InfoOptions): number {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(QUIRKS, null, 2)}\n`);
    return ExitCode.PASSED;
  }
  const color = colorsFor(process.stdout, options.color);
  for (const quirk of QUIRKS) {
    process.stdout.write(`${color.bold(quirk.name)}  ${color.dim(`(${quirk.rule}; ${quirk.shows})`)}\n`);
    process.stdout.write(`  reference: ${quirk.reference}\n  contract:  ${quirk.contract}\n`);
  }
  return ExitCode.PASSED;
}
