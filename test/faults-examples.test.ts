/** The examples of docs/faults.md, as they stand there: each can be run, has its fault in the trace, and can be written as a scenario. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { scenarioOf } from '../bin/run-command.ts';
import type { RunOptions } from '../bin/run-command.ts';
import { FAULT_KINDS } from '../scenarios/faults.ts';
import { parseScenario } from '../scenarios/scenario.ts';
import type { TraceEvent } from '../sim/trace.ts';
import { boot } from './boot.ts';

/** One example: the words after `nexus-sim run`. */
type Example = readonly string[];

const DOCS = readFileSync(new URL('../docs/faults.md', import.meta.url), 'utf8');
const EXAMPLES = [...DOCS.matchAll(/^nexus-sim run (.*)$/gm)].map((match) => wordsOf(match[1] ?? ''));
/** Virtual time of a run without its end, ns: no example's fault hits later. */
const BOUND = '6s';

/** A line's words: the scenario and its flags with their values; what follows is the description. */
function wordsOf(line: string): Example {
  const parts = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
  const words = [parts[0] ?? ''];
  for (let i = 1; parts[i]?.startsWith('--') === true; i += 2) words.push(parts[i] ?? '', parts[i + 1] ?? '');
  return words;
}

function valuesOf(example: Example, flag: string): readonly string[] {
  return example.filter((_, index) => example[index - 1] === flag);
}

function optionsOf(example: Example): RunOptions {
  const [smp] = valuesOf(example, '--smp');
  return {
    without: valuesOf(example, '--without'),
    deny: valuesOf(example, '--deny'),
    allow: valuesOf(example, '--allow'),
    fault: valuesOf(example, '--fault'),
    maxVirtualTime: BOUND,
    color: 'never',
    ...(smp !== undefined && { smp }),
  };
}

/** The same as a scenario file. */
function tomlOf(example: Example): string {
  const list = (flag: string): string => JSON.stringify(valuesOf(example, flag));
  const faults = valuesOf(example, '--fault').map((word) => {
    const [kind, ...rest] = word.split(':');
    const fields = rest
      .join(':')
      .split(',')
      .filter((field) => field !== '');
    const keys = fields.map((field) => {
      const [key = '', value = ''] = field.split(/=(.*)/s);
      return `${key} = ${/^\d{1,9}$/.test(value) && key !== 'bytes' && key !== 'prefix' && key !== 'has' ? Number(value) : JSON.stringify(value)}`;
    });
    return ['[[fault]]', `kind = ${JSON.stringify(kind)}`, ...keys].join('\n');
  });
  return [
    `image = ${JSON.stringify(example[0])}`,
    '[faults]',
    `without = ${list('--without')}`,
    `deny = ${list('--deny')}`,
    `allow = ${list('--allow')}`,
    ...faults,
  ].join('\n');
}

describe('docs/faults.md', () => {
  it('has an example of every kind, and of every flag', () => {
    const shown = EXAMPLES.flat().map((word) => word.split(':')[0]);
    for (const word of [...FAULT_KINDS, '--without', '--deny', '--allow']) expect(shown).toContain(word);
  });

  it.each(['blk', 'frame', 'packet'])('has an example of everything that %s can do', (kind) => {
    const line = new RegExp(`^- \`${kind}\`: ((?:.|\n  )*)$`, 'm').exec(DOCS)?.[1] ?? '';
    const named = [...line.replace(/\([^)]*\)/g, '').matchAll(/`([a-z-]+)`/g)].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(5);
    const shown = EXAMPLES.flat().filter((word) => word.startsWith(`${kind}:`));
    expect(named.filter((name) => !shown.some((word) => word.includes(`do=${name}`)))).toEqual([]);
  });

  it.each(EXAMPLES.map((example) => [example.join(' '), example] as const))('%s', (_, example) => {
    const scenario = scenarioOf(example[0] ?? '', optionsOf(example));
    const faults = scenario.boots[0]!.faults;
    const written = parseScenario(tomlOf(example), 'x.toml', 'x');
    expect(written.ok ? written.value.boots[0]!.faults : written.error).toEqual(faults);
    const wanted = example.flatMap((word, index) => {
      const flag = example[index - 1] ?? '';
      if (flag === '--fault') return [word.split(':')[0] ?? ''];
      return ['--without', '--deny', '--allow'].includes(flag) ? [flag.slice(2)] : [];
    });
    expect(wanted).toHaveLength(1);
    const isWanted = (event: TraceEvent): boolean => event.kind === 'fault' && event.name.split('-')[0] === wanted[0];
    // The rest of the boot shows no more.
    const booted = boot(scenario, { trace: true, slice: 20_000, stopWhen: (events) => events.some(isWanted) });
    expect(booted.events.some(isWanted)).toBe(true);
  });
});
