// The layers of the house as data: who may import whom, and which npm packages. Read by the lint rules and by the import graph.

/**
 * Layer -> project folders it may import from (itself included). Folders that are not named here (test, bench, tools) may import anything.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const LAYERS = {
  bin: ['bin', 'scenarios', 'markers', 'services', 'kernel-model', 'sim'],
  scenarios: ['scenarios', 'markers', 'services', 'kernel-model', 'sim'],
  services: ['services', 'kernel-model', 'sim'],
  'kernel-model': ['kernel-model', 'sim'],
  sim: ['sim'],
  markers: ['markers'],
};

/**
 * Layer -> npm packages it may import at run time; a trailing slash and star covers a scope. `null`: any package.
 * @type {Readonly<Record<string, readonly string[] | null>>}
 */
export const PACKAGES = {
  bin: null,
  scenarios: ['smol-toml'],
  services: ['smol-toml', '@noble/*', 'capnp-es'],
  'kernel-model': [],
  sim: ['seedrandom'],
  markers: ['smol-toml'],
};

/** Layers whose code must be a pure function of image, scenario and seed: no host, no clock, no promises. */
export const PURE_LAYERS = ['sim', 'kernel-model', 'services', 'markers', 'scenarios'];

/** Layers in which two machines in one process must know nothing of each other: no module-level mutable state. */
export const STATELESS_LAYERS = ['sim', 'kernel-model', 'services'];

/** Folders with code of the project. */
export const CODE_FOLDERS = [...Object.keys(LAYERS), 'test', 'bench', 'tools'];

/** Files that only tests may use: the tests themselves, and their helpers: a fixtures/ folder, testing.ts or test-kit.ts beside them. */
export const TEST_FILES = ['**/*.test.ts', '**/fixtures/**/*.ts', '**/testing.ts', '**/test-kit.ts'];

/** @param {string} path relative to the root, or as an import names it */
export function isTestFile(path) {
  return /\.test\.[cm]?[jt]s$/.test(path) || /(^|\/)(fixtures\/|(testing|test-kit)\.ts$)/.test(path);
}
