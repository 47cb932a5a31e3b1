// Rules about imports: direction between layers, npm packages per layer, host modules. They look at every way a module can be named:
// import, export ... from, import(), import('x').T in types, import x = require(), require().
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { isTestFile, LAYERS, PACKAGES, PURE_LAYERS } from './layers.mjs';

/** Calls `check(node, specifier)` for every module reference; `specifier` is null when it is not a literal. */
function onModuleReference(check) {
  const literal = (node) => {
    if (node?.type === 'Literal' && typeof node.value === 'string') return node.value;
    if (node?.type === 'TemplateLiteral' && node.expressions.length === 0) return node.quasis[0].value.cooked;
    return null;
  };
  const source = (node) => {
    if (node.source) check(node.source, literal(node.source));
  };
  return {
    ImportDeclaration: source,
    ExportNamedDeclaration: source,
    ExportAllDeclaration: source,
    ImportExpression: source,
    TSImportType(node) {
      const named = node.source ?? node.argument?.literal ?? node.argument;
      check(named, literal(named));
    },
    TSExternalModuleReference: (node) => check(node.expression, literal(node.expression)),
    CallExpression(node) {
      if (node.callee.type === 'Identifier' && node.callee.name === 'require' && node.arguments.length > 0)
        check(node.arguments[0], literal(node.arguments[0]));
    },
  };
}

/** Path from the repository's root with forward slashes. */
function relativePath(context, file) {
  return path.relative(context.cwd, file).split(path.sep).join('/');
}

/** The layer that a file lies in, or null outside the layers. */
function layerOf(relative) {
  const first = relative.split('/')[0];
  return Object.hasOwn(LAYERS, first) && relative.includes('/') ? first : null;
}

function packageName(specifier) {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

function allowsPackage(allowed, name) {
  return allowed === null || allowed.some((a) => a === name || (a.endsWith('/*') && name.startsWith(a.slice(0, -1))));
}

const isRelative = (specifier) => /^\.\.?(\/|$)/.test(specifier);

/** Layers import downwards only; markers stands alone; nobody imports a test or reaches for test/, bench/, tools/. */
export const layering = {
  meta: {
    type: 'problem',
    docs: { description: 'bin -> scenarios -> services -> kernel-model -> sim; markers stands alone' },
    schema: [],
    messages: {
      upwards: "{{from}}/ must not import '{{specifier}}': it may import from {{allowed}} only",
      test: "'{{specifier}}' belongs to tests; tests alone may import helpers (fixtures/, testing.ts, test-kit.ts), and nobody a test",
      dynamic: 'the module of an import() inside a layer must be a literal',
      absolute: "name files of the project by a relative path, not '{{specifier}}'",
    },
  },
  create(context) {
    const file = relativePath(context, context.filename);
    const from = layerOf(file);
    const forTests = from === null || isTestFile(file);
    return onModuleReference((node, specifier) => {
      if (specifier === null) {
        if (from !== null) context.report({ node, messageId: 'dynamic' });
        return;
      }
      if (/^(\/|[a-z]:[\\/]|file:|data:|#)/i.test(specifier) || packageName(specifier) === 'nexus-sim') {
        context.report({ node, messageId: 'absolute', data: { specifier } });
        return;
      }
      if (!isRelative(specifier)) return;
      if (/\.test\.ts$/.test(specifier) || (isTestFile(specifier) && !forTests))
        context.report({ node, messageId: 'test', data: { specifier } });
      if (from === null) return;
      const target = relativePath(context, path.resolve(path.dirname(context.filename), specifier));
      const allowed = LAYERS[from];
      if (!allowed.includes(layerOf(target) ?? ''))
        context.report({ node, messageId: 'upwards', data: { from, specifier, allowed: allowed.join('/, ') + '/' } });
    });
  },
};

/** Each layer has its own short list of npm packages, and the pure layers know no module of the host. Tests may use more. */
export const packages = {
  meta: {
    type: 'problem',
    docs: { description: 'npm packages per layer; no node: modules in pure layers' },
    schema: [],
    messages: {
      builtin: "{{from}}/ is deterministic and must not import '{{specifier}}'; the host is bin/'s business",
      package: "{{from}}/ must not import the package '{{specifier}}' (allowed: {{allowed}})",
    },
  },
  create(context) {
    const relative = relativePath(context, context.filename);
    const from = layerOf(relative);
    if (from === null || isTestFile(relative)) return {};
    return onModuleReference((node, specifier) => {
      if (specifier === null || isRelative(specifier)) return;
      if (isBuiltin(specifier) || specifier.startsWith('node:')) {
        if (PURE_LAYERS.includes(from)) context.report({ node, messageId: 'builtin', data: { from, specifier } });
        return;
      }
      const allowed = PACKAGES[from];
      if (!allowsPackage(allowed, packageName(specifier)))
        context.report({
          node,
          messageId: 'package',
          data: { from, specifier, allowed: allowed.join(', ') || 'none' },
        });
    });
  },
};

/** A module that only hands on what others export hides where things live. */
export const noBarrel = {
  meta: {
    type: 'suggestion',
    docs: { description: 'no barrel files' },
    schema: [],
    messages: {
      all: 'no `export *`: import from the file that defines the thing',
      barrel: 'this file only re-exports: import from the files that define the things',
    },
  },
  create(context) {
    return {
      ExportAllDeclaration: (node) => context.report({ node, messageId: 'all' }),
      Program(node) {
        const isReExport = (s) => s.type === 'ExportNamedDeclaration' && s.source;
        const rest = node.body.filter((s) => s.type !== 'ImportDeclaration' && s.type !== 'ExportAllDeclaration');
        const handsOn = (s) =>
          isReExport(s) || (s.type === 'ExportNamedDeclaration' && s.declaration === null && imported(s));
        const importedNames = new Set(
          node.body.filter((s) => s.type === 'ImportDeclaration').flatMap((s) => s.specifiers.map((x) => x.local.name)),
        );
        const imported = (s) => s.specifiers.length > 0 && s.specifiers.every((x) => importedNames.has(x.local.name));
        if (rest.length > 0 && rest.every(handsOn)) context.report({ node: rest[0], messageId: 'barrel' });
      },
    };
  },
};
