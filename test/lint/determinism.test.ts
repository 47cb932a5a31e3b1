import { describe, expect, it } from 'vitest';
import { rulesBroken } from './linter.ts';

const PURE = ['sim', 'kernel-model', 'services', 'markers', 'scenarios'];
const RULE = 'house/deterministic';

/** What a run must not ask, and a twin that may stand in its place. */
const CASES: readonly (readonly [name: string, violation: string, clean: string])[] = [
  ['Date.now', 'export const x = () => Date.now();', 'export const x = (clock: { now: number }) => clock.now;'],
  ['new Date', 'export const x = () => new Date();', 'export const x = (Date: new () => object) => new Date();'],
  ['Date in a type', 'export type X = Date | null;', 'export const x = (y: unknown) => y instanceof Date;'],
  ['performance', 'export const x = () => performance.now();', 'export const x = { performance: 1 } as const;'],
  ['Math.random', 'export const x = () => Math.random();', 'export const x = () => Math.floor(1.5);'],
  ['Math["random"]', "export const x = () => Math['random']();", "export const x = () => Math['floor'](1.5);"],
  [
    '{ random } = Math',
    'const { random } = Math;\nexport { random as x };',
    'const { floor } = Math;\nexport { floor as x };',
  ],
  ['Math as a value', 'const m = Math;\nexport const x = m.random;', 'export const x = Math.imul;'],
  ['inexact Math', 'export const x = (y: number) => Math.log2(y);', 'export const x = (y: number) => Math.clz32(y);'],
  [
    'crypto',
    'export const x = (y: Uint8Array) => crypto.getRandomValues(y);',
    'export const x = (y: Uint8Array) => y;',
  ],
  ['timers', 'export const x = (y: () => void) => setTimeout(y, 1);', 'export const x = (y: () => void) => y();'],
  ['intervals', 'export const x = (y: () => void) => setInterval(y, 1);', 'export const x = (y: () => void) => y();'],
  ['setImmediate', 'export const x = (y: () => void) => setImmediate(y);', 'export const x = (y: () => void) => y();'],
  [
    'queueMicrotask',
    'export const x = (y: () => void) => queueMicrotask(y);',
    'export const x = (y: () => void) => y();',
  ],
  ['Promise', 'export const x = () => Promise.resolve(1);', 'export const x = () => 1;'],
  ['Promise in a type', 'export type X = Promise<number>;', 'export type X = Generator<number>;'],
  ['async function', 'export async function x() { await y(); }\nfunction y() {}', 'export function* x() { yield 1; }'],
  ['async arrow', 'export const x = async () => { await 1; };', 'export const x = () => 1;'],
  ['async method', 'export class X { async y() { await 1; } }', 'export class X { y() { return 1; } }'],
  [
    'top-level await',
    'export const x = await y();\nfunction y() { return 1; }',
    'export const x = y();\nfunction y() { return 1; }',
  ],
  ['import()', "export const x = () => import('./y.ts');", "import { y } from './y.ts';\nexport const x: number = y;"],
  ['import.meta', 'export const x = import.meta.url;', 'export const x = { meta: 1 } as const;'],
  ['process', 'export const x = () => process.env;', 'export const x = (process: { env: number }) => process.env;'],
  ['globalThis', "export const x = () => globalThis['x' as never];", "export const x = 'globalThis';"],
  ['global', 'export const x = () => global;', 'export const x = { global: 1 } as const;'],
  [
    'console',
    'export const x = () => console.log(1);',
    'export const x = (console: { log: () => void }) => console.log();',
  ],
  ['fetch', "export const x = () => fetch('y');", 'export const x = (cpu: { fetch: () => number }) => cpu.fetch();'],
  ['Buffer', 'export const x = () => Buffer.alloc(1);', 'export const x = () => new Uint8Array(1);'],
  ['require', 'export const x: unknown = require;', 'export const x = { require: 1 } as const;'],
  ['eval', "export const x: unknown = eval('1');", 'export const x = 1;'],
  [
    'WeakRef',
    'export const x = (y: object) => new WeakRef(y);',
    'export const x = (y: object) => new WeakMap([[y, 1]]);',
  ],
  ['FinalizationRegistry', 'export const x = () => new FinalizationRegistry(() => 1);', 'export const x = 1;'],
  ['Intl', 'export const x = () => new Intl.Collator();', 'export const x = () => 1;'],
  [
    'localeCompare',
    'export const x = (a: string) => a.localeCompare(a);',
    'export const x = (a: string) => a < a + a;',
  ],
  [
    'toLocaleString',
    'export const x = (a: number) => a.toLocaleString();',
    'export const x = (a: number) => a.toString();',
  ],
  [
    'toLocaleUpperCase',
    'export const x = (a: string) => a.toLocaleUpperCase();',
    'export const x = (a: string) => a.toUpperCase();',
  ],
  [
    'for-in',
    'export function x(y: object) { for (const z in y) return z; return 0; }',
    'export function x(y: number[]) { for (const z of y) return z; return 0; }',
  ],
  [
    'for await',
    'export async function x(y: AsyncIterable<number>) { for await (const z of y) return z; return 0; }',
    'export function x(y: Iterable<number>) { for (const z of y) return z; return 0; }',
  ],
];

describe.each(PURE)('a run is a pure function: %s', (layer) => {
  it.each(CASES)('%s', async (_name, violation, clean) => {
    expect(await rulesBroken(`${layer}/planted.ts`, violation + '\n')).toContain(RULE);
    expect(await rulesBroken(`${layer}/room/planted.ts`, clean + '\n')).toEqual([]);
    expect(await rulesBroken(`bin/planted.ts`, violation + '\n')).not.toContain(RULE);
    expect(await rulesBroken(`${layer}/planted.test.ts`, violation + '\n')).not.toContain(RULE);
  });

  it('structuredClone and seeded generators are fine', async () => {
    expect(
      await rulesBroken(`${layer}/planted.ts`, 'export const x = (y: object): unknown => structuredClone(y);\n'),
    ).toEqual([]);
  });
});

describe('tests know virtual time only', () => {
  const CLOCKS = [
    'Date.now()',
    'new Date()',
    'performance.now()',
    'Math.random()',
    'setTimeout(() => 1, 1)',
    'process.hrtime()',
  ];
  it.each(CLOCKS)('%s', async (expression) => {
    for (const file of [...PURE.map((layer) => `${layer}/planted.test.ts`), 'bin/planted.test.ts', 'test/planted.ts'])
      expect(await rulesBroken(file, `export const x: unknown = ${expression};\n`), file).toContain(
        'house/no-wall-clock',
      );
    expect(await rulesBroken('bench/planted.ts', `export const x: unknown = ${expression};\n`)).toEqual([]);
    expect(await rulesBroken('bin/planted.ts', `export const x: unknown = ${expression};\n`)).toEqual([]);
  });

  it('a test may use promises', async () => {
    const text = 'export const x = async (y: Promise<number>): Promise<number> => (await y) + 1;\n';
    for (const layer of PURE) expect(await rulesBroken(`${layer}/planted.test.ts`, text)).toEqual([]);
  });
});
