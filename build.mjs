// Bundles what Node runs: the command line into one quick-starting file, dist/nexus-sim.js, and beside it the benchmark and the tools that are
// written in TypeScript. Runs from `npm ci` and `npm pack` (prepare) and from `npm run build`.
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

process.chdir(import.meta.dirname);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

/** CommonJS dependencies call `require` for modules of Node; an ES module has to make one. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);";

/** Bundle -> entry. A missing entry is passed over. */
const ENTRIES = { 'dist/nexus-sim.js': 'bin/nexus-sim.ts', 'dist/bench.js': 'bench/main.ts' };
if (existsSync('tools'))
  for (const name of readdirSync('tools'))
    if (/^[^.]+\.ts$/.test(name)) ENTRIES[`dist/tools/${name.replace(/ts$/, 'js')}`] = `tools/${name}`;

rmSync('dist', { recursive: true, force: true });
for (const [outfile, entry] of Object.entries(ENTRIES)) {
  if (!existsSync(entry)) continue;
  const command = outfile === 'dist/nexus-sim.js';
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    // It starts a worker from a file of its own.
    external: ['tinypool'],
    format: 'esm',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'linked',
    // The map names lines; with the sources in it, it would be three times the size of the program.
    sourcesContent: !command,
    define: { NEXUS_SIM_VERSION: JSON.stringify(version) },
    banner: { js: command ? `#!/usr/bin/env node\n${REQUIRE}` : REQUIRE },
  });
  if (command) chmodSync(outfile, 0o755);
}
