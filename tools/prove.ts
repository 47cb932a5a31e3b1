/**
 * `npm run prove`: takes every marker's cause away and shows that the marker goes. Options: `--image default|observability|os2vm`,
 * `--quirks none|reference` (both without), `--only TEXT` (markers that contain it), `--without SERVICE` (from every boot),
 * `--smp N` (with the markers of more harts), `--json`. Exit code 1 when a marker survives that should not, or the other way round.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import type { BootPlan } from './prove/boot.ts';
import { baseLines, causesOf, jobsOf, loadCauses, proofs, survivorsOf } from './prove/prove.ts';
import type { BaseLine, Job, Proof } from './prove/prove.ts';

/** Worker processes at work at a time. */
const WORKERS = 2;

interface Options {
  readonly image: string;
  readonly quirks: readonly string[];
  readonly only: string;
  readonly words: readonly string[];
  readonly json: boolean;
}

interface Answer {
  readonly survivors: readonly string[];
}

async function main(args: readonly string[]): Promise<number> {
  const options = read(args);
  const results: Record<string, readonly Proof[]> = {};
  let good = true;
  for (const quirks of options.quirks) {
    const plan = { image: options.image, quirks, words: options.words };
    const proved = await prove(plan, options.only);
    results[quirks] = proved;
    good = proved.every((proof) => proof.expected) && good;
    if (!options.json) process.stdout.write(table(plan, proved));
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ image: options.image, results }, null, 2)}\n`);
  return good ? 0 : 1;
}

function read(args: readonly string[]): Options {
  const words: string[] = [];
  const values = new Map<string, string>();
  for (let i = 0; i < args.length; i++) {
    const flag = args[i] ?? '';
    if (flag === '--json') continue;
    const value = args[i + 1];
    i += 1;
    if (value === undefined) throw new Error(`${flag}: expected a value`);
    if (flag === '--without' || flag === '--smp') words.push(flag, value);
    else if (['--image', '--quirks', '--only'].includes(flag)) values.set(flag, value);
    else throw new Error(`${flag}: expected --image, --quirks, --only, --without, --smp or --json`);
  }
  const quirks = values.get('--quirks');
  return {
    image: values.get('--image') ?? 'default',
    quirks: quirks === undefined ? ['none', 'reference'] : [quirks],
    only: values.get('--only') ?? '',
    words,
    json: args.includes('--json'),
  };
}

async function prove(plan: BootPlan, only: string): Promise<readonly Proof[]> {
  const causes = causesOf(plan.image, loadCauses(), plan.words.includes('--smp')).filter((cause) =>
    cause.marker.includes(only),
  );
  const base = baseLines(plan, causes);
  const printed = new Set(base.filter((entry) => entry.line !== null).map((entry) => entry.marker));
  const jobs = [
    ...jobsOf(
      plan,
      causes.filter((cause) => printed.has(cause.marker)),
    ),
  ];
  const survivors = new Set<string>();
  if (process.stderr.isTTY) process.stderr.write(`${plan.image}, quirks ${plan.quirks}: ${jobs.length} boots\n`);
  await Promise.all(Array.from({ length: WORKERS }, () => work(jobs, base, survivors)));
  return proofs(plan, causes, base, survivors);
}

/** One worker: takes jobs until there are none. */
function work(jobs: Job[], base: readonly BaseLine[], survivors: Set<string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { base } });
    const next = (): void => {
      const job = jobs.shift();
      if (job === undefined) {
        void worker.terminate();
        resolve();
      } else {
        worker.postMessage(job);
      }
    };
    worker.on('message', (answer: Answer) => {
      for (const marker of answer.survivors) survivors.add(marker);
      next();
    });
    worker.on('error', reject);
    next();
  });
}

function table(plan: BootPlan, proved: readonly Proof[]): string {
  const lines = proved.map((proof) => {
    const mark = proof.expected ? ' ' : '!';
    const head = `${mark} ${proof.status.padEnd(8)} ${proof.marker.padEnd(50)} ${proof.take.join(' ')}`;
    return [head.trimEnd(), ...proof.problems.map((problem) => `             ${problem}`)].join('\n');
  });
  const count = (status: string): number => proved.filter((proof) => proof.status === status).length;
  const unexpected = proved.filter((proof) => !proof.expected).length;
  const sum = `${count('killed')} killed, ${count('survived')} survived, ${count('absent')} absent, ${unexpected} unexpected`;
  return `${plan.image}, quirks ${plan.quirks}: ${sum}\n${lines.join('\n')}\n`;
}

if (isMainThread) {
  main(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code;
    },
    (error: unknown) => {
      process.stderr.write(`prove: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 2;
    },
  );
} else {
  const { base } = workerData as { readonly base: readonly BaseLine[] };
  parentPort?.on('message', (job: Job) => {
    parentPort?.postMessage({ survivors: survivorsOf(job, base) });
  });
}
