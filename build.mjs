// Bundles the command line into one quick-starting file, dist/nexus-sim.js. Runs from `npm ci` (prepare) and `npm run build`.
import { build } from 'esbuild';
import { existsSync } from 'node:fs';

if (existsSync('bin/nexus-sim.ts')) {
  await build({
    entryPoints: ['bin/nexus-sim.ts'],
    outfile: 'dist/nexus-sim.js',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    minifySyntax: true,
    sourcemap: 'linked',
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
    },
  });
}
