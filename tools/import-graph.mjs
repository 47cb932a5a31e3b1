// Fails on circular imports: `node tools/import-graph.mjs [root]`. Part of `npm run lint`. `import type` does not count: it is gone at run time,
// and what a kernel calls must be able to name the type of the kernel that calls it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { CODE_FOLDERS } from './lint/layers.mjs';

/** Every TypeScript file below the code folders, as paths from the root with forward slashes, sorted. */
function sources(root) {
  const found = [];
  for (const folder of CODE_FOLDERS) {
    if (!existsSync(path.join(root, folder))) continue;
    for (const entry of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }))
      if (entry.endsWith('.ts')) found.push(path.posix.join(folder, entry.split(path.sep).join('/')));
  }
  return found.sort();
}

/** What a source loads at run time: imports and re-exports that are not of types alone. */
function importsOf(text) {
  const source = ts.createSourceFile('x.ts', text, ts.ScriptTarget.ES2022);
  return source.statements.flatMap((statement) => {
    if (ts.isImportDeclaration(statement) && !statement.importClause?.isTypeOnly) return statement.moduleSpecifier.text;
    if (ts.isExportDeclaration(statement) && !statement.isTypeOnly) return statement.moduleSpecifier?.text ?? [];
    return [];
  });
}

/** File -> the project files it imports. */
function graph(root) {
  const files = sources(root);
  const known = new Set(files);
  const edges = new Map();
  for (const file of files) {
    const targets = importsOf(readFileSync(path.join(root, file), 'utf8')).map((i) =>
      path.posix.join(path.posix.dirname(file), i),
    );
    edges.set(file, [...new Set(targets.filter((target) => known.has(target)))].sort());
  }
  return edges;
}

/** One cycle per back edge of a depth-first walk in sorted order; empty exactly when the graph has no cycle. */
function cycles(edges) {
  const found = [];
  const state = new Map();
  const stack = [];
  const visit = (file) => {
    state.set(file, 'open');
    stack.push(file);
    for (const target of edges.get(file)) {
      if (state.get(target) === 'open') found.push([...stack.slice(stack.indexOf(target)), target]);
      else if (!state.has(target)) visit(target);
    }
    stack.pop();
    state.set(file, 'done');
  };
  for (const file of edges.keys()) if (!state.has(file)) visit(file);
  return found;
}

const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '..'));
const edges = graph(root);
const found = cycles(edges);
for (const cycle of found) console.error(`circular import: ${cycle.join(' -> ')}`);
console.log(`import graph: ${edges.size} files, ${found.length} cycles`);
process.exitCode = found.length > 0 ? 1 : 0;
