import { describe, expect, it } from 'vitest';
import { typedRulesBroken } from './linter.ts';

const RULE = 'house/no-module-state';
const STATELESS = ['sim', 'kernel-model', 'services'];

const VIOLATIONS: Readonly<Record<string, string>> = {
  let: 'let x = 0;\nexport const y = () => x++;',
  'exported let': 'export let x = 0;\nexport const y = () => x++;',
  var: 'var x = 0;\nexport const y = () => x++;',
  'const Map': 'export const x = new Map<string, number>();',
  'const Set': 'export const x = new Set([1]);',
  'const WeakMap': 'export const x = new WeakMap<object, number>();',
  'array literal': 'export const x = [1, 2];',
  'typed as mutable array': 'export const x: number[] = [];',
  'new Array': 'export const x = new Array<number>(3);',
  'typed array': 'export const x = new Uint8Array(4);',
  'typed array without a known length': 'export const x = new Uint8Array(Number(1));',
  'typed array from a call': 'export const x = f();\nfunction f(): Uint8Array { return new Uint8Array(1); }',
  'object literal': 'export const x = { y: 1 };',
  'mutable inside readonly': 'export const x: { readonly y: number[] } = { y: [] };',
  'mutable record': 'export const x: Record<string, number> = {};',
  'array from a call': "export const x = 'a b'.split(' ');",
  'mutable values in ReadonlyMap': 'export const x: ReadonlyMap<string, number[]> = new Map();',
  'global RegExp': 'export const x = /a/g;',
  'sticky RegExp': 'export const x = /a/y;',
  'object of a class':
    'class C { readonly #n: number[] = []; add(): void { this.#n.push(1); } }\nexport const x = new C();',
  'closure called in place': 'export const x = (() => { let n = 0; return () => n++; })();',
  'static field': 'export class X { static y = 0; }',
  'static private field': 'export class X { static #y = 0; z(): number { return X.#y++; } }',
  'static readonly Map': 'export class X { static readonly y = new Map<string, number>(); }',
  'field of a function': 'export function x(): void {}\nx.count = 0;',
};

const CLEAN = `
import type { Y } from './y.ts';
export const aNumber = 1;
export const aBigint = 1n << 4n;
export const aString = \`\${String(aNumber)}\`;
export type Id = number & { readonly __brand: 'Id' };
export const branded = 7 as Id;
export const map: ReadonlyMap<string, number> = new Map([['a', 1]]);
export const set: ReadonlySet<number> = new Set([1]);
export const array: readonly number[] = [1];
export const tuple: readonly [number, string] = [1, 'a'];
export const constant = [1, { a: [2] }] as const;
export const satisfied = { a: 1 } as const satisfies Record<string, number>;
export const frozen = Object.freeze({ a: 1 });
export const frozenArray = Object.freeze([1]);
export const bytes: Readonly<Uint8Array> = new Uint8Array(4);
export const noBytes = new Uint8Array(0);
export const record: Readonly<Record<string, number>> = { a: 1 };
interface Row { readonly a: number; readonly b: readonly string[]; f(): void; readonly g: () => number[] }
export const rows: readonly Row[] = [{ a: 1, b: [], f: () => undefined, g: () => [] }];
export const row: Row = { a: 1, b: [], f: () => undefined, g: () => [] };
export const regexp = /a/i;
export const encoder = new TextEncoder();
export const f = () => [1];
export const g = function (): number[] { return [1]; };
export class C { static readonly SIZE = 4; n = 0; static make(): C { return new C(); } }
export const symbol = Symbol('a');
export const Alias = C;
export function local(): number { let x = 0; const m = new Map<string, number>(); x += m.size; return x; }
export type Other = Y;
`;

describe.each(STATELESS)('two machines share nothing: %s', (layer) => {
  it.each(Object.entries(VIOLATIONS))('%s', async (_name, text) => {
    expect(await typedRulesBroken(`${layer}/planted.ts`, text + '\n')).toContain(RULE);
  });

  it('constants are fine', async () => {
    expect(await typedRulesBroken(`${layer}/planted.ts`, CLEAN)).not.toContain(RULE);
  });
});

describe('rules that need types', () => {
  it('bin floats no promise', async () => {
    const broken = (text: string) => typedRulesBroken('bin/planted.ts', text);
    const rule = '@typescript-eslint/no-floating-promises';
    const f = 'async function f(): Promise<number> { return await Promise.resolve(1); }\n';
    expect(await broken(f + 'export function g(): void { f(); }\n')).toContain(rule);
    expect(await broken(f + 'export async function g(): Promise<void> { await f(); }\n')).toEqual([]);
  });

  it.each(['bin', 'scenarios', 'markers', ...STATELESS])('%s switches over every member', async (layer) => {
    const rule = '@typescript-eslint/switch-exhaustiveness-check';
    const type = "export function x(y: 'a' | 'b'): number { switch (y) { case 'a': return 1; ";
    const broken = (rest: string) => typedRulesBroken(`${layer}/planted.ts`, `${type}${rest}\n`);
    expect(await broken('} return 0; }')).toContain(rule);
    expect(await broken("case 'b': return 2; } }")).toEqual([]);
    expect(await broken('default: return 2; } }')).toEqual([]);
  });

  it('any is not smuggled in', async () => {
    const text = 'export const x = (y: string): number => JSON.parse(y).z;\n';
    expect(await typedRulesBroken('sim/planted.ts', text)).toContain('@typescript-eslint/no-unsafe-return');
  });
});
