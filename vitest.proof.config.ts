import { defineConfig } from 'vitest/config';

/** `npm run proof`: what takes minutes. Everything else runs with `npm test`. */
export default defineConfig({
  test: { include: ['test/proof/**/*.proof.ts'], testTimeout: 300_000 },
});
