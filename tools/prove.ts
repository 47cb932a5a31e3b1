/** `npm run prove`: takes every marker's cause away and shows that the marker goes (docs/faults.md, docs/prove.md). */
import { availableParallelism } from 'node:os';
import { Command, CommanderError, Option } from 'commander';
import { Tinypool } from 'tinypool';

import { Progress } from '../bin/output.ts';
import { baseLines, causesOf, jobsOf, loadCauses, proofs, VARIANTS } from './prove/prove.ts';
import type { Done, JobResult, Variant } from './prove/prove.ts';
import { json, markdown, table } from './prove/report.ts';
import type { Section } from './prove/report.ts';

interface Options {
  readonly variant?: readonly Variant[];
  readonly quirks?: string;
  readonly only?: string;
  readonly whole?: boolean;
  readonly json?: boolean;
  readonly markdown?: boolean;
}

const QUIRKS = ['none', 'reference'];

const EXAMPLES = `
Exit code 1: a marker survived that should not have, or the other way round. Examples:
  npm run prove                                            all variants, both settings
  npm run prove -- --variant observability --quirks none   one variant, one setting
  npm run prove -- --variant os2vm                         two machines: each marker on its node
  npm run prove -- --variant smp --whole                   the default ladder's markers too, on two harts
  npm run prove -- --only metrics --json                   markers that contain a text, as JSON`;

async function main(): Promise<number> {
  const command = new Command('prove')
    .description("Takes every marker's cause away, boots, and shows that the marker goes.")
    .addOption(new Option('--variant <name...>', 'which (default: all)').choices(VARIANTS))
    .addOption(new Option('--quirks <setting>', 'one setting only').choices(QUIRKS))
    .option('--only <text>', 'only markers that contain this text')
    .option('--whole', 'for variants that add to the default ladder: all of their markers, not only what they add')
    .option('--json', 'results as JSON')
    .option('--markdown', 'results as the tables of docs/prove.md')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .parse();
  const options = command.opts<Options>();
  const pool = new Tinypool({
    filename: new URL('./prove-worker.mjs', import.meta.url).href,
    name: 'run',
    minThreads: 1,
    maxThreads: availableParallelism(),
    isolateWorkers: false,
  });
  try {
    return await proveAll(pool, options);
  } finally {
    await pool.destroy();
  }
}

async function proveAll(pool: Tinypool, options: Options): Promise<number> {
  const sections: Section[] = [];
  for (const variant of options.variant ?? VARIANTS) {
    for (const quirks of options.quirks === undefined ? QUIRKS : [options.quirks]) {
      const section = await prove(pool, variant, quirks, options);
      sections.push(section);
      if (options.json !== true && options.markdown !== true) process.stdout.write(`${table(section)}\n`);
    }
  }
  if (options.json === true) process.stdout.write(json(sections));
  if (options.markdown === true) process.stdout.write(`${markdown(sections)}\n`);
  return sections.every((section) => section.proofs.every((proof) => proof.expected)) ? 0 : 1;
}

async function prove(pool: Tinypool, variant: Variant, quirks: string, options: Options): Promise<Section> {
  const plan = { scenario: variant, quirks, words: [] };
  const table = loadCauses();
  const causes = causesOf(variant, table, options.whole).filter((cause) => cause.marker.includes(options.only ?? ''));
  const base = baseLines(plan, causesOf(variant, table, true));
  const printed = causes.filter((cause) => base.some((entry) => entry.marker === cause.marker && entry.line !== null));
  const jobs = jobsOf(plan, printed, base);
  const progress = new Progress(process.stderr);
  let finished = 0;
  const done = await Promise.all(
    jobs.map(async (job): Promise<Done> => {
      const result = (await pool.run(job)) as JobResult;
      finished += 1;
      progress.update(() => `${variant}, quirks ${quirks}: ${finished} of ${jobs.length} boots`);
      return { job, result };
    }),
  );
  progress.clear();
  return { variant, quirks, boots: jobs.length + 1, proofs: proofs(quirks, causes, base, done) };
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    process.stderr.write(`prove: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
