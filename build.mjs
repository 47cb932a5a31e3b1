// Bundles what Node runs: the command line into one file, dist/nexus-sim.cjs, with a code cache and the launcher dist/nexus-sim.js that starts it
// from there; the benchmark and the tools that are written in TypeScript. Runs from `npm ci` and `npm pack` (prepare) and from `npm run build`.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

process.chdir(import.meta.dirname);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

/** CommonJS dependencies call `require` for modules of Node; an ES module has to make one. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);";

/**
 * The program and its launcher as CommonJS: the engine's code cache is to be had for scripts only, and Node starts them sooner.
 * So `.js` in dist/ means CommonJS, and what else is built there is `.mjs`. Their own addresses are those of their files.
 */
const PROGRAM = 'dist/nexus-sim.cjs';
const LAUNCHER = 'dist/nexus-sim.js';
const ADDRESS = "const __address = require('node:url').pathToFileURL(__filename).href;";
const SCRIPT_BANNERS = { [PROGRAM]: ADDRESS, [LAUNCHER]: `#!/usr/bin/env node\n${ADDRESS}` };
/** Makes the code cache; not shipped. */
const CACHE_MAKER = 'dist/make-code-cache.mjs';

/** Bundle -> entry. A missing entry is passed over. */
const ENTRIES = {
  [PROGRAM]: 'bin/nexus-sim.ts',
  [LAUNCHER]: 'bin/launcher.ts',
  [CACHE_MAKER]: 'bin/make-code-cache.ts',
  'dist/bench.mjs': 'bench/main.ts',
};
if (existsSync('tools'))
  for (const name of readdirSync('tools'))
    if (/^[^.]+\.ts$/.test(name)) ENTRIES[`dist/tools/${name.replace(/ts$/, 'mjs')}`] = `tools/${name}`;

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n');
for (const [outfile, entry] of Object.entries(ENTRIES)) {
  if (!existsSync(entry)) continue;
  const banner = SCRIPT_BANNERS[outfile];
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    // It starts a worker from a file of its own.
    external: ['tinypool'],
    format: banner === undefined ? 'esm' : 'cjs',
    target: 'node20',
    charset: 'ascii',
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: outfile === LAUNCHER || outfile === CACHE_MAKER ? false : 'linked',
    // The map names lines; with the sources in it, it would be three times the size of the program.
    sourcesContent: outfile !== PROGRAM,
    define: {
      NEXUS_SIM_VERSION: JSON.stringify(version),
      ...(banner === undefined ? {} : { 'import.meta.url': '__address' }),
    },
    banner: { js: banner ?? REQUIRE },
  });
}
chmodSync(LAUNCHER, 0o755);
execFileSync(process.execPath, [CACHE_MAKER, path.resolve(PROGRAM), 'run'], { stdio: 'inherit' });
rmSync(CACHE_MAKER);
