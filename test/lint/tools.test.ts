import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const tools = path.resolve(import.meta.dirname, '../../tools');
let root = '';

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'nexus-sim-tools-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function plant(file: string, text: string): string {
  const full = path.join(root, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

function run(tool: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(tools, tool), ...args], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

describe('import graph', () => {
  it.each([
    ['import', "import { b } from './b.ts';\nexport const a = b;\n"],
    ['re-export', "export { b } from './b.ts';\n"],
  ])('finds a cycle closed by %s', (_name, text) => {
    plant('sim/a.ts', text);
    plant('sim/b.ts', "import { c } from './room/c.ts';\nexport const b = c;\n");
    plant('sim/room/c.ts', 'export const c = 1;\n');
    expect(run('import-graph.mjs', root)).toEqual({ status: 0, output: 'import graph: 3 files, 0 cycles\n' });
    plant('sim/room/c.ts', "import type { A } from '../a.ts';\nexport const c = 1;\n");
    expect(run('import-graph.mjs', root).status).toBe(0);
    plant('sim/room/c.ts', "import * as a from '../a.ts';\nexport const c = a;\n");
    const { status, output } = run('import-graph.mjs', root);
    expect(status).toBe(1);
    expect(output).toContain('circular import: sim/a.ts -> sim/b.ts -> sim/room/c.ts -> sim/a.ts');
  });
});

describe('rules', () => {
  const RULES = '[[rule]]\nid = "OBS-1"\ntext = "one"\n[[rule]]\nid = "LOG-2"\ntext = "two"\n';
  const rules = (head: string, test: string) => {
    plant('sim/x.test.ts', test);
    return run('rules.mjs', plant('rules.toml', head + RULES), root, plant('quirks.ts', ''));
  };
  const BOTH = "describe('OBS-1', () => { it.each([1])('LOG-2: %s', () => {}); });\n";
  // Titles are put together here so that the scan of this very file does not take them for proofs.
  const title = (ids: string) => `it('${ids}: holds', () => {});\n`;

  it('passes when every rule has a test', () => {
    expect(rules('enforce = true\n', BOTH).status).toBe(0);
    expect(rules('enforce = true\n', title('OBS-1, LOG-2')).status).toBe(0);
  });

  it('names a gap, and fails on it when enforced', () => {
    expect(rules('enforce = false\n', title('OBS-1'))).toMatchObject({
      status: 0,
      output: expect.stringMatching(/LOG-2 +GAP/) as string,
    });
    expect(rules('enforce = true\n', title('OBS-1')).status).toBe(1);
  });

  it('takes no skipped test and no empty describe for a proof', () => {
    expect(rules('enforce = true\n', BOTH.replace('it.each', 'it.skip.each')).status).toBe(1);
    expect(rules('enforce = true\n', "describe('OBS-1, LOG-2', () => {});\n").status).toBe(1);
    expect(rules('enforce = true\n', `// ${title('OBS-1, LOG-2')}`).status).toBe(1);
  });

  it('fails on an unknown id, enforced or not', () => {
    const { status, output } = rules('enforce = false\n', title('OBS-99'));
    expect(status).toBe(1);
    expect(output).toContain('sim/x.test.ts: OBS-99 is neither a rule');
  });

  it('asks for both settings of each quirk', () => {
    const table = plant('quirks.ts', "  {\n    name: 'one-quirk',\n  },\n");
    const quirks = (...titles: string[]) => {
      plant('sim/x.test.ts', title('OBS-1, LOG-2') + titles.map((one) => `it('${one}', () => {});\n`).join(''));
      return run('rules.mjs', plant('rules.toml', `enforce = true\n${RULES}`), root, table);
    };
    // The words are put together here for the same reason as the titles above.
    const of = (name: string, setting: string) => `quirk ${name}, ${setting}: holds`;
    expect(quirks(of('one-quirk', 'both')).status).toBe(0);
    expect(quirks(of('one-quirk', 'contract'), of('one-quirk', 'reference')).status).toBe(0);
    for (const setting of ['contract', 'reference']) {
      const { status, output } = quirks(of('one-quirk', setting));
      expect(status).toBe(1);
      expect(output).toContain('without a test of both settings: 1');
    }
    expect(quirks(of('one-quirk', 'both'), of('other-quirk', 'both')).status).toBe(1);
  });

  it('lets a rule wait for a reason', () => {
    const waiting = RULES.replace('text = "two"', 'text = "two"\nwaits = "for execd"');
    plant('sim/x.test.ts', title('OBS-1'));
    const { status, output } = run(
      'rules.mjs',
      plant('rules.toml', `enforce = true\n${waiting}`),
      root,
      plant('quirks.ts', ''),
    );
    expect(status).toBe(0);
    expect(output).toContain('(for execd)');
  });
});
