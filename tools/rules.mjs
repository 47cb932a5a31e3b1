// Which test proves which contract rule: `npm run rules`. The rules stand in rules.toml; a test proves a rule when its title, or that of
// a describe() around it, names the rule's id. Fails on a title with an unknown id, and on a gap when rules.toml says `enforce = true`.
// The same for the quirks: a test shows one setting when its title holds `quirk NAME, contract` or `quirk NAME, reference`, both when it
// holds `quirk NAME, both`; each quirk needs both settings shown.
// Arguments, all for tests of this tool: the rules file, the root of the tree to scan, the file with the table of quirks.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'smol-toml';
import ts from 'typescript';

const ID = /\b(?:OBS|LOG|COR|NLG)-\d+\b/g;
const QUIRK = /\bquirk ([a-z][a-z-]*), (contract|reference|both)\b/g;
const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'coverage', '.git']);

function* testFiles(folder) {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED_FOLDERS.has(entry.name)) yield* testFiles(full);
    } else if (entry.name.endsWith('.test.ts')) yield full;
  }
}

/** `it`, `it.each(...)`, `describe.skip` ... : the base name and the modifiers of a call, or null for other calls. */
function callee(expression) {
  const modifiers = [];
  for (;;) {
    if (ts.isIdentifier(expression)) {
      const name = expression.text === 'test' ? 'it' : expression.text;
      return name === 'it' || name === 'describe' ? { name, modifiers } : null;
    }
    if (ts.isPropertyAccessExpression(expression)) modifiers.push(expression.name.text);
    if (ts.isTaggedTemplateExpression(expression)) expression = expression.tag;
    else if (ts.isPropertyAccessExpression(expression) || ts.isCallExpression(expression))
      expression = expression.expression;
    else return null;
  }
}

function idsIn(title) {
  if (title === undefined) return [];
  const text = ts.isStringLiteralLike(title) ? title.text : ts.isTemplateExpression(title) ? title.getText() : '';
  const quirks = [...text.matchAll(QUIRK)].flatMap(([, name, setting]) =>
    (setting === 'both' ? ['contract', 'reference'] : [setting]).map((one) => `${name} ${one}`),
  );
  return [...(text.match(ID) ?? []), ...quirks];
}

/** Calls `found(id, runs)` for each id that a test in this file carries, `runs` false for skipped and todo tests. */
function scan(file, found) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const visit = (node, inherited, runs) => {
    const call = ts.isCallExpression(node) ? callee(node.expression) : null;
    if (call !== null && node.arguments.length >= 2) {
      const ids = [...inherited, ...idsIn(node.arguments[0])];
      const live = runs && !call.modifiers.includes('skip') && !call.modifiers.includes('todo');
      if (call.name === 'it') for (const id of new Set(ids)) found(id, live);
      else
        for (const argument of node.arguments.slice(1)) ts.forEachChild(argument, (child) => visit(child, ids, live));
      return;
    }
    ts.forEachChild(node, (child) => visit(child, inherited, runs));
  };
  visit(source, [], true);
}

const here = import.meta.dirname;
const { enforce, rule: rules } = parse(readFileSync(process.argv[2] ?? path.join(here, 'rules.toml'), 'utf8'));
const root = path.resolve(process.argv[3] ?? path.join(here, '..'));

const quirksFile = process.argv[4] ?? path.join(here, '../scenarios/quirks.ts');
const quirks = [...readFileSync(quirksFile, 'utf8').matchAll(/^ {4}name: '([a-z-]+)',$/gm)].map(([, name]) => name);

const proofs = new Map(rules.map((rule) => [rule.id, new Map()]));
for (const name of quirks) for (const setting of ['contract', 'reference']) proofs.set(`${name} ${setting}`, new Map());
const unknown = [];
for (const file of testFiles(root)) {
  const name = path.relative(root, file).split(path.sep).join('/');
  scan(file, (id, runs) => {
    const files = proofs.get(id);
    if (files === undefined) unknown.push(`${name}: ${id} is neither a rule of rules.toml nor a quirk`);
    else if (runs) files.set(name, (files.get(name) ?? 0) + 1);
  });
}

let gaps = 0;
for (const { id, text, waits } of rules) {
  const files = [...proofs.get(id)];
  const tests = files.reduce((sum, [, count]) => sum + count, 0);
  let state = String(tests);
  if (tests === 0) state = waits === undefined ? 'GAP' : 'waits';
  if (state === 'GAP') gaps += 1;
  const where = files.map(([file]) => file).join(', ') || (waits === undefined ? '' : `(${waits})`);
  console.log(`${id.padEnd(7)} ${state.padStart(5)}  ${text}${where && `\n               ${where}`}`);
}
let halves = 0;
for (const name of quirks) {
  const count = (setting) => [...proofs.get(`${name} ${setting}`).values()].reduce((sum, one) => sum + one, 0);
  const [contract, reference] = [count('contract'), count('reference')];
  if (contract === 0 || reference === 0) halves += 1;
  const shown = `contract ${contract || 'GAP'}, reference ${reference || 'GAP'}`;
  const files = new Set(['contract', 'reference'].flatMap((setting) => [...proofs.get(`${name} ${setting}`).keys()]));
  console.log(`quirk ${name.padEnd(21)} ${shown}\n               ${[...files].join(', ')}`);
}
for (const line of unknown) console.log(line);
console.log(
  `rules: ${rules.length}, without a test: ${gaps}, quirks: ${quirks.length}, without a test of both settings: ${halves}, ` +
    `unknown ids: ${unknown.length}, enforce: ${enforce === true}`,
);
gaps += halves;
if (unknown.length > 0 || (gaps > 0 && enforce === true)) process.exitCode = 1;
