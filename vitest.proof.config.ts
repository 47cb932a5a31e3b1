import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A sweep is cut into as many parts as there are cores, at least two; each part is a worker of its own. */
const PARTS = Math.max(2, availableParallelism());

/**
 * `npm run proof`: what takes minutes. Everything else runs with `npm test`. A `*.sweep.ts` runs once per part, on its
 * share of the cases (test/proof/share.ts); a `*.proof.ts` runs once. The comparison of the hart with QEMU takes more programs.
 */
export default defineConfig({
  test: {
    testTimeout: 3_600_000,
    hookTimeout: 600_000,
    maxWorkers: PARTS,
    projects: [
      { extends: true, test: { name: 'once', include: ['test/proof/**/*.proof.ts'], provide: { part: 0, parts: 1 } } },
      {
        extends: true,
        test: { name: 'hart', include: ['test/hart-qemu.test.ts'], env: { HART_QEMU_PROGRAMS: '1000' } },
      },
      ...Array.from({ length: PARTS }, (_, part) => ({
        extends: true as const,
        test: {
          name: `part ${part + 1} of ${PARTS}`,
          include: ['test/proof/**/*.sweep.ts'],
          provide: { part, parts: PARTS },
        },
      })),
    ],
  },
});
