/** The part of JSON Schema 2020-12 that scenario.schema.json uses; any other keyword is an error, so none is passed over. */

type Schema = Readonly<Record<string, unknown>>;

const ANNOTATIONS = new Set(['$schema', '$id', '$defs', 'title', 'description', 'default', 'examples']);

/** Why `value` does not fit, one line each; empty when it does. */
export function violations(root: Schema, value: unknown, schema: Schema = root, path = '$'): readonly string[] {
  const out: string[] = [];
  const fail = (what: string): void => void out.push(`${path}: ${what}`);
  for (const [keyword, rule] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue;
    switch (keyword) {
      case '$ref':
        out.push(...violations(root, value, resolve(root, rule as string), path));
        break;
      case 'type':
        if (!hasType(value, rule as string)) fail(`expected ${rule as string}`);
        break;
      case 'enum':
        if (!(rule as readonly unknown[]).includes(value)) fail('expected one of the enumerated values');
        break;
      case 'pattern':
        if (typeof value === 'string' && !new RegExp(rule as string, 'u').test(value)) fail('expected the pattern');
        break;
      case 'minLength':
        if (typeof value === 'string' && [...value].length < (rule as number)) fail('too short');
        break;
      case 'maxLength':
        if (typeof value === 'string' && [...value].length > (rule as number)) fail('too long');
        break;
      case 'minimum':
        if (typeof value === 'number' && value < (rule as number)) fail('too small');
        break;
      case 'maximum':
        if (typeof value === 'number' && value > (rule as number)) fail('too large');
        break;
      case 'maxItems':
        if (Array.isArray(value) && value.length > (rule as number)) fail('too many');
        break;
      case 'items':
        if (Array.isArray(value)) {
          value.forEach((one, i) => out.push(...violations(root, one, rule as Schema, `${path}[${i}]`)));
        }
        break;
      case 'required':
        for (const key of rule as readonly string[])
          if (isTable(value) && !Object.hasOwn(value, key)) fail(`${key} is missing`);
        break;
      case 'properties':
        if (!isTable(value)) break;
        for (const [key, inner] of Object.entries(rule as Readonly<Record<string, Schema>>)) {
          if (Object.hasOwn(value, key)) out.push(...violations(root, value[key], inner, `${path}.${key}`));
        }
        break;
      case 'additionalProperties':
        if (rule !== false) throw new Error('additionalProperties: only false is supported');
        for (const key of isTable(value) ? Object.keys(value) : []) {
          if (!Object.hasOwn(schema['properties'] as object, key)) fail(`unknown key ${key}`);
        }
        break;
      default:
        throw new Error(`unsupported keyword ${keyword}`);
    }
  }
  return out;
}

function resolve(root: Schema, ref: string): Schema {
  const found = ref
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((at, key) => (at as Schema | undefined)?.[key], root);
  if (found === undefined) throw new Error(`unresolved ${ref}`);
  return found as Schema;
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return Object.prototype.toString.call(value) === '[object Object]';
}

function hasType(value: unknown, type: string): boolean {
  switch (type) {
    case 'object':
      return isTable(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'string':
    case 'boolean':
      return typeof value === type;
    default:
      throw new Error(`unsupported type ${type}`);
  }
}
