/** What Node starts as `nexus-sim`: the program beside it (nexus-sim.ts, bundled), from its code cache where that fits. */
import { readFileSync } from 'node:fs';
import * as module from 'node:module';
import { fileURLToPath } from 'node:url';

import { compile, start, tuneEngine, unseal } from './code-cache.ts';

const path = fileURLToPath(new URL('nexus-sim.cjs', import.meta.url));

function run(): void {
  tuneEngine();
  const program = readFileSync(path);
  const cachedData = cacheOf(program);
  if (cachedData !== undefined) {
    const script = compile(program, path, cachedData);
    if (script.cachedDataRejected !== true) {
      start(script, path);
      return;
    }
  }
  // Another Node than the one that built this. From 22.1 on Node keeps a cache of its own, where it may write one.
  (module as { enableCompileCache?: () => void }).enableCompileCache?.();
  module.createRequire(path)(path);
}

function cacheOf(program: Buffer): Buffer | undefined {
  try {
    return unseal(program, readFileSync(`${path}.cache`));
  } catch {
    return undefined;
  }
}

run();
