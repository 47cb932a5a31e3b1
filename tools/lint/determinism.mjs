// Rules that keep a run a pure function of image, scenario and seed.

/** Host objects that a pure layer must not name, as values or in types. */
const HOST = new Map([
  ...['Date', 'performance', 'Temporal'].map((name) => [
    name,
    'time is virtual: take it from the clock that is handed in',
  ]),
  ...['crypto', 'Crypto'].map((name) => [name, 'chance comes from a named seeded stream']),
  ...[
    ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
    ...['queueMicrotask', 'Promise', 'AbortSignal', 'AbortController', 'Atomics', 'SharedArrayBuffer'],
    ...['EventTarget', 'MessageChannel', 'BroadcastChannel'],
  ].map((name) => [name, 'tasks are synchronous generators; nothing waits on the host']),
  ...[
    ...[
      'process',
      'globalThis',
      'global',
      'window',
      'self',
      'navigator',
      'console',
      'fetch',
      'Buffer',
      'require',
      'module',
    ],
    ...['__dirname', '__filename', 'localStorage', 'sessionStorage', 'WebSocket', 'eval', 'Worker'],
  ].map((name) => [name, "the host is bin/'s business"]),
  ...['WeakRef', 'FinalizationRegistry'].map((name) => [name, 'garbage collection is not deterministic']),
  ['Intl', 'its answers depend on the locale'],
]);

/** Host clocks and host chance; forbidden in tests as well. */
const WALL_CLOCK = new Set(['Date', 'performance', 'Temporal', 'setTimeout', 'setInterval', 'setImmediate']);

/** Methods whose answer depends on the host's locale. */
const LOCALE = new Set([
  ...['localeCompare', 'toLocaleString', 'toLocaleDateString', 'toLocaleTimeString'],
  ...['toLocaleLowerCase', 'toLocaleUpperCase'],
]);

/** Functions of Math that ECMAScript leaves to the implementation: their last bits differ between engines. */
const INEXACT_MATH = new Set([
  ...['acos', 'acosh', 'asin', 'asinh', 'atan', 'atanh', 'atan2', 'cbrt', 'cos', 'cosh', 'exp', 'expm1', 'hypot'],
  ...['log', 'log1p', 'log2', 'log10', 'sin', 'sinh', 'tan', 'tanh'],
]);

/** `x instanceof Date` asks no clock: it only tells what a TOML library handed over. */
const isInstanceTest = ({ parent }) => parent?.type === 'BinaryExpression' && parent.operator === 'instanceof';

/** Reports every reference to a global of the host for which `reason` has an answer. */
function checkGlobals(context, reason) {
  const scopes = context.sourceCode.scopeManager;
  const report = (identifier) => {
    const why = reason(identifier.name);
    if (why !== undefined && !isInstanceTest(identifier))
      context.report({ node: identifier, messageId: 'host', data: { name: identifier.name, why } });
  };
  const global = scopes.globalScope;
  for (const reference of global.through) report(reference.identifier);
  for (const variable of global.variables)
    if (variable.defs.length === 0) for (const reference of variable.references) report(reference.identifier);
}

/** The property name of a member access or of a destructuring key, when it can be known. */
function keyName(key, computed) {
  if (key.type === 'Identifier' && !computed) return key.name;
  if (key.type === 'Literal') return String(key.value);
  if (key.type === 'TemplateLiteral' && key.expressions.length === 0) return key.quasis[0].value.cooked;
  return null;
}

/** Calls `check(node, object, name)` for `object.name`, `object['name']` and `const { name } = object`. */
function onMember(check) {
  const pattern = (node, object) => {
    if (node.type !== 'ObjectPattern') return;
    for (const property of node.properties)
      if (property.type === 'Property') check(property, object, keyName(property.key, property.computed));
  };
  return {
    MemberExpression: (node) => check(node, node.object, keyName(node.property, node.computed)),
    VariableDeclarator: (node) => node.init && pattern(node.id, node.init),
    AssignmentExpression: (node) => pattern(node.left, node.right),
  };
}

const isMath = (node) => node.type === 'Identifier' && node.name === 'Math';

/** No host, no clock, no chance, no promises, no order that the engine chooses. */
export const deterministic = {
  meta: {
    type: 'problem',
    docs: { description: 'pure layers touch neither the host nor anything whose answer may differ between two runs' },
    schema: [],
    messages: {
      host: "'{{name}}' is forbidden here: {{why}}",
      random: 'Math.random is forbidden here: chance comes from a named seeded stream',
      math: 'Math.{{name}} differs between engines in its last bits; use integers',
      mathObject: 'use Math only as Math.name',
      locale: "'{{name}}' depends on the host's locale",
      async: 'no async functions: tasks are synchronous generators',
      await: 'no await: nothing waits on the host',
      forIn: 'no for-in: iterate over an array, a Map or Object.keys of your own literal',
      importMeta: "import.meta tells of the host; that is bin/'s business",
      importCall: 'no import(): it is a promise; import statically',
    },
  },
  create(context) {
    const asyncFunction = (node) => node.async && context.report({ node, messageId: 'async' });
    return {
      ...onMember((node, object, name) => {
        if (name !== null && LOCALE.has(name)) context.report({ node, messageId: 'locale', data: { name } });
        if (!isMath(object)) return;
        if (name === null) context.report({ node, messageId: 'mathObject' });
        else if (name === 'random') context.report({ node, messageId: 'random' });
        else if (INEXACT_MATH.has(name)) context.report({ node, messageId: 'math', data: { name } });
      }),
      Program: () => checkGlobals(context, (name) => HOST.get(name)),
      Identifier(node) {
        const parent = node.parent;
        if (node.name !== 'Math') return;
        const aliased =
          (parent.type === 'VariableDeclarator' && parent.init === node && parent.id.type === 'Identifier') ||
          (parent.type === 'CallExpression' && parent.arguments.includes(node)) ||
          (parent.type === 'Property' && parent.value === node) ||
          parent.type === 'SpreadElement';
        if (aliased) context.report({ node, messageId: 'mathObject' });
      },
      FunctionDeclaration: asyncFunction,
      FunctionExpression: asyncFunction,
      ArrowFunctionExpression: asyncFunction,
      AwaitExpression: (node) => context.report({ node, messageId: 'await' }),
      ForOfStatement: (node) => node.await && context.report({ node, messageId: 'await' }),
      ForInStatement: (node) => context.report({ node, messageId: 'forIn' }),
      MetaProperty: (node) => node.meta.name === 'import' && context.report({ node, messageId: 'importMeta' }),
      ImportExpression: (node) => context.report({ node, messageId: 'importCall' }),
    };
  },
};

/** A test that asks the host for time or chance fails on somebody else's machine. */
export const noWallClock = {
  meta: {
    type: 'problem',
    docs: { description: 'tests know virtual time and seeded chance only' },
    schema: [],
    messages: {
      host: "'{{name}}' in a test: {{why}}",
      random: 'Math.random in a test: use fast-check with a fixed seed',
    },
  },
  create(context) {
    return {
      ...onMember((node, object, name) => {
        if (isMath(object) && name === 'random') context.report({ node, messageId: 'random' });
        if (object.type === 'Identifier' && object.name === 'process' && (name === 'hrtime' || name === 'uptime'))
          context.report({ node, messageId: 'host', data: { name: `process.${name}`, why: 'tests use virtual time' } });
      }),
      Program: () => checkGlobals(context, (name) => (WALL_CLOCK.has(name) ? 'tests use virtual time' : undefined)),
    };
  },
};
