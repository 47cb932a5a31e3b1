import { describe, expect, it } from 'vitest';
import { rulesBroken } from './linter.ts';

/** Bottom first: each may import those before it. markers stands aside. */
const STACK = ['sim', 'kernel-model', 'services', 'scenarios', 'bin'];
const LAYERS = [...STACK, 'markers'];

function mayImport(from: string, target: string): boolean {
  if (from === target) return true;
  if (target === 'markers') return from === 'scenarios' || from === 'bin';
  return from !== 'markers' && LAYERS.includes(target) && STACK.indexOf(target) < STACK.indexOf(from);
}

/** Every way to name a module. import() is a promise, so pure layers may not use it at all (determinism.test.ts). */
const FORMS: Readonly<Record<string, (specifier: string) => string>> = {
  import: (s) => `import { x } from '${s}';\nexport const y: number = x;\n`,
  'side effect': (s) => `import '${s}';\n`,
  'type import': (s) => `import type { X } from '${s}';\nexport type Y = X | null;\n`,
  'type in place': (s) => `export type Y = import('${s}').X;\n`,
  're-export': (s) => `export { x } from '${s}';\nexport const y = 1;\n`,
  'type re-export': (s) => `export type { X } from '${s}';\nexport const y = 1;\n`,
  'export all': (s) => `export * from '${s}';\n`,
  'dynamic import': (s) => `export const load = () => import('${s}');\n`,
  'template import': (s) => `export const load = () => import(\`${s}\`);\n`,
  require: (s) => `export const x: unknown = require('${s}');\n`,
};

/** Every form for one name, the plain import for its like. */
const formsFor = (every: boolean) => Object.entries(FORMS).filter(([form]) => every || form === 'import');

describe('imports between layers', () => {
  for (const from of LAYERS) {
    for (const target of [...LAYERS, 'test', 'bench', 'tools']) {
      const allowed = mayImport(from, target);
      it(`${from} ${allowed ? 'may' : 'must not'} import ${target}, in every form`, async () => {
        const check = async (file: string, up: string, form: string, write: (specifier: string) => string) => {
          const broken = await rulesBroken(file, write(`${up}${target}/other.ts`));
          expect(broken.includes('house/layering'), `${file}: ${form} of ${target}`).toBe(!allowed);
        };
        for (const [form, write] of Object.entries(FORMS)) await check(`${from}/planted.ts`, '../', form, write);
        await check(`${from}/room/planted.ts`, '../../', 'import', FORMS['import']!);
        await check(`${from}/planted.test.ts`, '../', 'import', FORMS['import']!);
      });
    }
  }

  it.each(['test', 'bench', 'tools'])('%s may import every layer', async (from) => {
    for (const target of LAYERS)
      for (const write of Object.values(FORMS))
        expect(await rulesBroken(`${from}/planted.ts`, write(`../${target}/other.ts`))).not.toContain('house/layering');
  });

  it('a layer may not reach a file at the root, a test, or itself by absolute path', async () => {
    const imports = (s: string) =>
      rulesBroken('sim/planted.ts', `import { x } from '${s}';\nexport const y: number = x;\n`);
    expect(await imports('../package.json')).toContain('house/layering');
    expect(await imports('./clock.test.ts')).toContain('house/layering');
    expect(await imports('./testing.ts')).toContain('house/layering');
    expect(await imports('./room/test-kit.ts')).toContain('house/layering');
    expect(await imports('./room/own-testing.ts')).toEqual([]);
    expect(await imports('./fixtures/log.ts')).toContain('house/layering');
    expect(await imports('/sim/clock.ts')).toContain('house/layering');
    expect(await imports('file:///sim/clock.ts')).toContain('house/layering');
    expect(await imports('nexus-sim/sim/clock.ts')).toContain('house/layering');
    expect(await imports('./../sim/clock.ts')).toEqual([]);
    expect(await imports('../sim/../services/logd/wire.ts')).toContain('house/layering');
  });

  it('a test may import fixtures, which may read files', async () => {
    const text = "import { x } from './fixtures/log.ts';\nexport const y: number = x;\n";
    expect(await rulesBroken('sim/planted.test.ts', text)).toEqual([]);
    const fixture = "import { readFileSync } from 'node:fs';\nexport const url = readFileSync(import.meta.dirname);\n";
    expect(await rulesBroken('sim/fixtures/log.ts', fixture)).toEqual([]);
    const upwards = "import { x } from '../../services/x.ts';\nexport const y: number = x;\n";
    expect(await rulesBroken('sim/fixtures/log.ts', upwards)).toContain('house/layering');
  });

  it('a computed import() hides its target', async () => {
    const load = (layer: string) =>
      rulesBroken(`${layer}/planted.ts`, 'export const load = (x: string) => import(x);\n');
    for (const layer of LAYERS) expect(await load(layer)).toContain('house/layering');
    expect(await load('test')).toEqual([]);
  });
});

describe('packages and host modules', () => {
  const packages = [
    'seedrandom',
    'smol-toml',
    '@noble/hashes/blake2s',
    '@noble/curves',
    'capnp-es',
    'commander',
    'chalk',
  ];
  const allowed: Readonly<Record<string, readonly string[]>> = {
    sim: ['seedrandom'],
    'kernel-model': [],
    services: ['smol-toml', '@noble/hashes/blake2s', '@noble/curves', 'capnp-es'],
    markers: ['smol-toml'],
    scenarios: ['smol-toml'],
    bin: packages,
  };

  it.each(LAYERS)('%s imports its own packages only', async (layer) => {
    for (const name of [...packages, '@noblesse/x', 'vitest'])
      for (const [form, write] of formsFor(name === 'vitest')) {
        const broken = await rulesBroken(`${layer}/planted.ts`, write(name));
        const expected = layer !== 'bin' && !allowed[layer]!.includes(name);
        expect(broken.includes('house/packages'), `${layer}: ${form} of ${name}`).toBe(expected);
        expect(broken).not.toContain('house/layering');
      }
  });

  it.each(LAYERS)('%s and the modules of the host', async (layer) => {
    for (const name of ['node:fs', 'fs', 'fs/promises', 'node:test', 'crypto', 'node:crypto', 'worker_threads'])
      for (const [form, write] of formsFor(name === 'node:fs')) {
        const broken = await rulesBroken(`${layer}/planted.ts`, write(name));
        expect(broken.includes('house/packages'), `${layer}: ${form} of ${name}`).toBe(layer !== 'bin');
      }
  });

  it.each(LAYERS)('a test in %s may read fixtures and use fast-check', async (layer) => {
    const text =
      "import fc from 'fast-check';\nimport { readFileSync } from 'node:fs';\nexport const x = [fc, readFileSync];\n";
    expect(await rulesBroken(`${layer}/planted.test.ts`, text)).toEqual([]);
    expect(await rulesBroken('test/planted.ts', text)).toEqual([]);
  });
});

describe('shape of modules', () => {
  it.each([...LAYERS, 'test', 'bench', 'tools'])('%s has no default exports and no barrels', async (layer) => {
    const broken = (text: string) => rulesBroken(`${layer}/planted.ts`, text);
    expect(await broken('export default 1;\n')).toContain('no-restricted-syntax');
    expect(await broken('const x = 1;\nexport { x as default };\n')).toContain('no-restricted-syntax');
    expect(await broken("export * from './other.ts';\n")).toContain('house/no-barrel');
    expect(await broken("export * as other from './other.ts';\n")).toContain('house/no-barrel');
    expect(await broken("export { x } from './other.ts';\n")).toContain('house/no-barrel');
    expect(await broken("import { x } from './other.ts';\nexport { x };\n")).toContain('house/no-barrel');
    expect(await broken('export const x = 1;\n')).toEqual([]);
    expect(await broken("export { x } from './other.ts';\nexport const y = 1;\n")).toEqual([]);
  });

  it.each(LAYERS)('%s keeps types honest', async (layer) => {
    const broken = (text: string) => rulesBroken(`${layer}/planted.ts`, text);
    expect(await broken('export const x = (y: any): unknown => y;\n')).toContain('@typescript-eslint/no-explicit-any');
    expect(await broken('export const x = (y: unknown): unknown => y;\n')).toEqual([]);
    expect(await broken('export const x = (y: { z?: number }): number => y.z!;\n')).toContain(
      '@typescript-eslint/no-non-null-assertion',
    );
    expect(await broken('export const x = (y: { z?: number }): number => y.z ?? 0;\n')).toEqual([]);
    expect(await broken("import { X } from './other.ts';\nexport const x = (y: X): X => y;\n")).toContain(
      '@typescript-eslint/consistent-type-imports',
    );
    expect(await broken("import type { X } from './other.ts';\nexport const x = (y: X): X => y;\n")).toEqual([]);
    expect(await rulesBroken(`${layer}/planted.test.ts`, 'export const x = (y: { z?: number }) => y.z!;\n')).toEqual(
      [],
    );
  });
});
