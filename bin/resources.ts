/** Data files of the package: scenarios and ladders, found beside the bundle, and scenario files named by path. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ladderFile } from '../markers/loader.ts';
import { parseNodesLadder } from '../markers/nodes.ts';
import type { NodesLadder } from '../markers/nodes.ts';
import { UsageError, reasonOf } from './errors.ts';

/** Scenario that `run` takes when none is named. */
export const DEFAULT_SCENARIO = 'default';
/** Largest scenario file read, bytes. */
const MAX_SCENARIO_BYTES = 1_048_576;

const SCENARIOS = new URL('../scenarios/', import.meta.url);
const MARKERS = new URL('../markers/', import.meta.url);

/** Text of a ladder file, undefined if there is none. */
export function ladderText(name: string): string | undefined {
  if (!/^[a-z0-9-]{1,64}$/.test(name)) return undefined;
  try {
    return readFileSync(new URL(ladderFile(name), MARKERS), 'utf8');
  } catch {
    return undefined;
  }
}

/** The two-VM ladder is a table of another kind, markers/nodes.ts. */
export const NODES_LADDER = 'os2vm';

/** The two-VM ladder. Throws a {@link UsageError} for a file that is none. */
export function nodesLadder(name: string): NodesLadder {
  const ladder = parseNodesLadder(ladderText(name) ?? '', ladderFile(name));
  if (!ladder.ok) throw new UsageError(ladder.error);
  return ladder.value;
}

/** Markers of a two-VM ladder. */
export function nodeMarkers(name: string): readonly string[] {
  return nodesLadder(name).steps.map((step) => step.marker);
}

/** Names of the ladders of one machine that ship with the package. */
export function ladderNames(): readonly string[] {
  return names(MARKERS, /^ladder-(.+)\.toml$/).filter((name) => name !== NODES_LADDER);
}

/** Names of the scenarios that ship with the package. */
export function scenarioNames(): readonly string[] {
  return names(SCENARIOS, /^(.+)\.toml$/);
}

function names(folder: URL, pattern: RegExp): readonly string[] {
  return readdirSync(folder)
    .flatMap((file) => pattern.exec(file)?.[1] ?? [])
    .sort();
}

/** A scenario's text, with the name and the file that errors call it. */
export interface ScenarioText {
  readonly name: string;
  readonly file: string;
  readonly text: string;
}

/** Reads a scenario by name, or by path if the word has a slash or ends in `.toml`. */
export function readScenarioText(word: string): ScenarioText {
  if (word.includes('/') || word.includes('\\') || word.endsWith('.toml')) return readPath(word);
  if (!/^[a-z0-9-]{1,64}$/.test(word) || !scenarioNames().includes(word)) {
    throw new UsageError(
      `scenario ${word}: expected one of ${scenarioNames().join(', ')}, or the path of a .toml file`,
    );
  }
  const url = new URL(`${word}.toml`, SCENARIOS);
  return {
    name: word,
    file: `scenarios/${word}.toml`,
    text: readFileSync(fileURLToPath(url), 'utf8'),
  };
}

function readPath(path: string): ScenarioText {
  try {
    const { size } = statSync(path);
    if (size > MAX_SCENARIO_BYTES) throw new UsageError(`${path}: expected a scenario file of at most 1 MiB`);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
    return { name: basename(path, '.toml'), file: path, text };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (error instanceof TypeError) throw new UsageError(`${path}: expected UTF-8 text`);
    throw new UsageError(`${path}: expected a readable scenario file (${reasonOf(error)})`);
  }
}
