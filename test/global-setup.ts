/** Before all tests: the bundle that the command-line tests start must be that of the sources. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = ['bin', 'scenarios', 'markers', 'services', 'kernel-model', 'sim', 'build.mjs', 'package.json'];

/** Builds where dist/ is missing or older than a source. */
export function setup(): void {
  const bundle = `${ROOT}dist/nexus-sim.js`;
  if (existsSync(bundle) && SOURCES.every((source) => newest(`${ROOT}${source}`) <= statSync(bundle).mtimeMs)) return;
  execFileSync(process.execPath, [`${ROOT}build.mjs`], { cwd: ROOT, stdio: 'inherit' });
}

function newest(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path)
    .filter((name) => !name.endsWith('.test.ts'))
    .reduce((latest, name) => Math.max(latest, newest(`${path}/${name}`)), 0);
}
