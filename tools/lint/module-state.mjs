// Two machines in one process know nothing of each other: what lives at the top level of a module, or on a class, must be constant.
import ts from 'typescript';

/** Classes without a readonly form whose objects hold state. */
const MUTABLE = new Set([
  ...[
    'Array',
    'Map',
    'Set',
    'WeakMap',
    'WeakSet',
    'ArrayBuffer',
    'DataView',
    'Uint8Array',
    'Int8Array',
    'Uint8ClampedArray',
  ],
  ...['Uint16Array', 'Int16Array', 'Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array', 'BigInt64Array'],
  ...['BigUint64Array', 'Generator', 'Iterator', 'IterableIterator', 'ArrayIterator', 'MapIterator', 'SetIterator'],
]);

/** Classes whose objects may live at the top level: a codec without memory between calls, and the readonly forms. */
const CONSTANT = new Set([
  'TextEncoder',
  'TextDecoder',
  'ReadonlyMap',
  'ReadonlySet',
  'ReadonlyArray',
  'Error',
  'RegExp',
  'Readonly',
]);

/** How deep a table may nest before the rule trusts it. */
const MAX_DEPTH = 6;

/** Says why a value of this type is mutable, or null when it is constant. Functions and primitives are constant. */
function whyMutable(checker, type, depth = 0, seen = new Set()) {
  if (depth > MAX_DEPTH || seen.has(type)) return null;
  seen.add(type);
  const within = (inner) => whyMutable(checker, inner, depth + 1, seen);
  const first = (types) => types.reduce((found, inner) => found ?? within(inner), null);
  if (type.aliasSymbol?.name === 'Readonly') return null;
  if (type.isUnion()) return first(type.types);
  // A branded primitive (`number & { brand }`) is a primitive.
  const primitive = ts.TypeFlags.Primitive | ts.TypeFlags.Never | ts.TypeFlags.Void;
  if (type.isIntersection()) return type.types.some((t) => t.flags & primitive) ? null : first(type.types);
  if (!(type.flags & ts.TypeFlags.Object)) return null;
  const name = type.symbol?.name ?? '';
  if (checker.isTupleType(type))
    return type.target.readonly ? first(checker.getTypeArguments(type)) : 'a tuple that is not readonly';
  if (CONSTANT.has(name)) return name.startsWith('Readonly') ? first(checker.getTypeArguments(type)) : null;
  if (MUTABLE.has(name)) return `a mutable ${name}`;
  if (type.getCallSignatures().length > 0 || type.getConstructSignatures().length > 0) return null;
  for (const info of checker.getIndexInfosOfType(type)) {
    if (!info.isReadonly) return 'an object whose index signature is not readonly';
    const inner = within(info.type);
    if (inner !== null) return inner;
  }
  for (const property of checker.getPropertiesOfType(type)) {
    if (property.flags & ts.SymbolFlags.Method) continue;
    if (!isReadonlyProperty(property)) return `an object whose '${property.name}' is not readonly`;
    const inner = within(checker.getTypeOfSymbol(property));
    if (inner !== null) return `${inner} (in '${property.name}')`;
  }
  return null;
}

function isReadonlyProperty(property) {
  // CheckFlags.Readonly of mapped and `as const` properties is kept on the transient symbol's links, not in its declarations.
  const READONLY = 8;
  const checkFlags = property.links?.checkFlags ?? 0;
  if (checkFlags & READONLY) return true;
  const getterOnly = property.flags & ts.SymbolFlags.Accessor && !(property.flags & ts.SymbolFlags.SetAccessor);
  if (getterOnly) return true;
  if (property.links !== undefined && property.links.checkFlags !== undefined && property.links.syntheticOrigin)
    return false;
  const declaration = property.valueDeclaration;
  return declaration !== undefined && (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Readonly) !== 0;
}

/** Takes `as`, `satisfies` and parentheses off an expression. */
function bare(node) {
  while (['TSAsExpression', 'TSSatisfiesExpression', 'TSNonNullExpression', 'TSTypeAssertion'].includes(node.type))
    node = node.expression;
  return node;
}

const isFunction = (node) => node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression';

/** `new Uint8Array(0)`: a typed array without elements has no state. */
function isEmptyTypedArray(init) {
  const node = init && bare(init);
  if (node?.type !== 'NewExpression' || node.callee.type !== 'Identifier') return false;
  const [length, ...more] = node.arguments;
  return /Array$/.test(node.callee.name) && node.callee.name !== 'Array' && more.length === 0 && length?.value === 0;
}

/** What an initializer gives away by its form alone, whatever its type says. */
function whyMutableForm(init, annotated) {
  const node = bare(init);
  if (node.type === 'Literal' && node.regex && /[gy]/.test(node.regex.flags))
    return 'a RegExp with flag g or y (it remembers lastIndex)';
  if (node.type === 'NewExpression' && !annotated) {
    const name = node.callee.type === 'Identifier' ? node.callee.name : '';
    if (name === 'RegExp') return /[gy]/.test(node.arguments[1]?.value ?? '') ? 'a RegExp with flag g or y' : null;
    if (!CONSTANT.has(name) && !MUTABLE.has(name)) return `an object of class ${name || '?'} without a readonly type`;
  }
  if (node.type === 'CallExpression' && isFunction(bare(node.callee)) && !annotated)
    return 'the result of a function called in place (its closure can hold state)';
  return null;
}

export const noModuleState = {
  meta: {
    type: 'problem',
    docs: { description: 'no module-level mutable state and no static mutable fields' },
    schema: [],
    messages: {
      variable: "top-level '{{kind}}' is module state: make it const, or a field of the object that owns it",
      mutable:
        "'{{name}}' is {{why}}: say `as const`, `readonly T[]`, `Readonly<...>`, `ReadonlyMap<...>`, `ReadonlySet<...>` or Object.freeze",
      field: "static '{{name}}' is state shared by all machines: make it a readonly constant or an instance field",
      expando: "assigning to '{{name}}' at the top level is module state",
    },
  },
  create(context) {
    const services = context.sourceCode.parserServices;
    const checker = services.program.getTypeChecker();
    const why = (nameNode, init, annotated) =>
      isEmptyTypedArray(init)
        ? null
        : ((init && whyMutableForm(init, annotated)) ?? whyMutable(checker, services.getTypeAtLocation(nameNode)));
    const top = (node) => node.parent.type === 'Program' || node.parent.type === 'ExportNamedDeclaration';
    return {
      VariableDeclaration(node) {
        if (!top(node) || node.declare) return;
        if (node.kind !== 'const') {
          context.report({ node, messageId: 'variable', data: { kind: node.kind } });
          return;
        }
        for (const declarator of node.declarations) {
          if (declarator.id.type !== 'Identifier') continue;
          const reason = why(declarator.id, declarator.init, declarator.id.typeAnnotation !== undefined);
          if (reason !== null)
            context.report({
              node: declarator.id,
              messageId: 'mutable',
              data: { name: declarator.id.name, why: reason },
            });
        }
      },
      'PropertyDefinition[static=true], AccessorProperty[static=true]'(node) {
        const name = context.sourceCode.getText(node.key);
        if (!node.readonly || node.type === 'AccessorProperty') {
          context.report({ node, messageId: 'field', data: { name } });
          return;
        }
        const reason = why(node.key, node.value, node.typeAnnotation !== undefined);
        if (reason !== null) context.report({ node, messageId: 'mutable', data: { name, why: reason } });
      },
      'Program > ExpressionStatement > AssignmentExpression[left.type="MemberExpression"]'(node) {
        context.report({ node, messageId: 'expando', data: { name: context.sourceCode.getText(node.left) } });
      },
    };
  },
};
