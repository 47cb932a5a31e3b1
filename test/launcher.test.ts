/** The launcher and its code cache: with it, without it, with a wrong one, the command is the same. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { unseal } from '../bin/code-cache.ts';
import { BUNDLE, nexusSim, temporaryFolder } from './cli.ts';

const folder = temporaryFolder();
const dist = join(folder.path, 'dist');
const cache = join(dist, 'nexus-sim.cjs.cache');
const whole = readFileSync(join(dirname(BUNDLE), 'nexus-sim.cjs.cache'));
const words = ['run', 'observability', '--until-marker', 'logd: ready'];
const expected = nexusSim(words);

function launch(flags: readonly string[] = []): unknown {
  const ran = spawnSync(process.execPath, [...flags, join(dist, 'nexus-sim.js'), ...words], { encoding: 'latin1' });
  return { code: ran.status, signal: ran.signal, stdout: ran.stdout, stderr: ran.stderr };
}

function turnOver(bytes: Buffer, at: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
}

beforeAll(() => {
  mkdirSync(dist);
  for (const name of ['nexus-sim.js', 'nexus-sim.cjs', 'package.json'])
    cpSync(join(dirname(BUNDLE), name), join(dist, name));
  const root = join(dirname(BUNDLE), '..');
  for (const name of ['scenarios', 'markers', 'package.json'])
    cpSync(join(root, name), join(folder.path, name), { recursive: true });
});
afterAll(() => {
  chmodSync(dist, 0o755);
  folder.remove();
});

describe('the launcher', () => {
  it('is what the build makes a cache for: this Node takes it', () => {
    const path = join(dirname(BUNDLE), 'nexus-sim.cjs');
    const program = readFileSync(path);
    const kept = unseal(program, whole);
    expect(kept?.length).toBeGreaterThan(100_000);
    // In a process of its own, as flags of the engine are for all of it.
    const bundle = join(folder.path, 'code-cache.cjs');
    const entry = join(dirname(BUNDLE), '../bin/code-cache.ts');
    buildSync({ entryPoints: [entry], outfile: bundle, bundle: true, platform: 'node', format: 'cjs' });
    writeFileSync(join(folder.path, 'kept'), kept ?? Buffer.alloc(0));
    const probe = `const { compile, tuneEngine } = require(${JSON.stringify(bundle)});
      const [program, kept] = [${JSON.stringify(path)}, ${JSON.stringify(join(folder.path, 'kept'))}].map((name) => require('node:fs').readFileSync(name));
      tuneEngine();
      console.log(compile(program, ${JSON.stringify(path)}, kept).cachedDataRejected);`;
    const probed = spawnSync(process.execPath, ['-e', probe], { encoding: 'utf8' });
    expect(probed.stdout + probed.stderr).toBe('false\n');
    writeFileSync(cache, whole);
    expect(expected.code).toBe(0);
    expect(launch()).toEqual(expected);
  });

  it('starts the program without a cache, from a folder that nobody may write', () => {
    rmSync(cache, { force: true });
    chmodSync(dist, 0o555);
    expect(launch()).toEqual(expected);
    chmodSync(dist, 0o755);
  });

  it.each([
    ['a byte turned over', (bytes: Buffer) => turnOver(bytes, 100_000)],
    ['a head turned over', (bytes: Buffer) => turnOver(bytes, 3)],
  ])('does not believe a damaged cache: %s', (_name, damage) => {
    const bytes = Buffer.from(whole);
    damage(bytes);
    writeFileSync(cache, bytes);
    expect(launch()).toEqual(expected);
  });

  it.each([0, 10, 24, 1000])('does not believe a cache of %d bytes', (length) => {
    writeFileSync(cache, whole.subarray(0, length));
    expect(launch()).toEqual(expected);
  });

  it('does not believe the cache of another program of the same length', () => {
    writeFileSync(cache, whole);
    const program = join(dist, 'nexus-sim.cjs');
    const text = readFileSync(program, 'latin1');
    writeFileSync(program, text.replaceAll('of virtual time', 'of virtual TIME'), 'latin1');
    const ran = launch() as { readonly stderr: string };
    writeFileSync(program, text, 'latin1');
    expect(ran.stderr).toContain('of virtual TIME');
  });

  it('leaves a cache of other engine flags to the engine, which refuses it', () => {
    writeFileSync(cache, whole);
    expect(launch(['--stack-size=900'])).toEqual(expected);
  });
});
