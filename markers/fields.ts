/**
 * Reads checked values out of a parsed TOML table. Every error is one line: the file, the key's path, what was expected.
 */

/** Longest file, in characters. */
export const MAX_LADDER_TEXT = 65_536;

/** Longest marker or message, in characters. */
export const MAX_MARKER_TEXT = 240;

/** Longest list in a file. */
export const MAX_LIST = 1024;

/** Raised while a file is read and turned into a result by its loader; never leaves the loader. */
export class FieldFault extends Error {
  override readonly name = 'FieldFault';
}

export type Table = Readonly<Record<string, unknown>>;

function isTable(value: unknown): value is Table {
  // A TOML date is an object too, and lists are.
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** One table of a file, with the path that leads to it. */
export class Fields {
  private readonly table: Table;
  private readonly file: string;
  private readonly path: string;

  /** Fails on a key that is not in `known`, as that is a typing error. */
  constructor(table: unknown, file: string, path: string, known: readonly string[] | undefined) {
    this.file = file;
    this.path = path;
    if (!isTable(table)) throw new FieldFault(`${file}: ${path}: expected a table`);
    this.table = table;
    for (const key of Object.keys(table)) {
      if (known !== undefined && !known.includes(key)) {
        this.fail(key, `unknown key; expected one of ${known.join(', ')}`);
      }
    }
  }

  has(key: string): boolean {
    return this.table[key] !== undefined;
  }

  keys(): readonly string[] {
    return Object.keys(this.table);
  }

  fail(key: string, expected: string): never {
    throw new FieldFault(`${this.file}: ${this.at(key)}: ${expected}`);
  }

  text(key: string): string {
    return this.checkText(this.table[key], key);
  }

  optionalText(key: string): string | undefined {
    return this.has(key) ? this.text(key) : undefined;
  }

  texts(key: string): readonly string[] {
    const value = this.table[key];
    if (!Array.isArray(value)) return this.fail(key, 'expected a list of strings');
    if (value.length > MAX_LIST) return this.fail(key, `expected at most ${MAX_LIST} entries`);
    return value.map((entry: unknown, index) => this.checkText(entry, `${key}[${index}]`));
  }

  /** A text, or a whole number as text. */
  word(key: string): string {
    const value = this.table[key];
    return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : this.text(key);
  }

  optionalTexts(key: string): readonly string[] | undefined {
    return this.has(key) ? this.texts(key) : undefined;
  }

  /** A whole number in [min, max]. */
  optionalInteger(key: string, min: number, max: number): number | undefined {
    if (!this.has(key)) return undefined;
    const value = this.table[key];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      return this.fail(key, `expected a whole number from ${min} to ${max}`);
    }
    return value;
  }

  optionalBoolean(key: string): boolean | undefined {
    if (!this.has(key)) return undefined;
    const value = this.table[key];
    return typeof value === 'boolean' ? value : this.fail(key, 'expected true or false');
  }

  /** The table at `key`; an absent one counts as empty. */
  sub(key: string, known: readonly string[] | undefined): Fields {
    return new Fields(this.table[key] ?? {}, this.file, this.at(key), known);
  }

  /** The tables of an array of tables; an absent one counts as empty. */
  subs(key: string, known: readonly string[] | undefined): readonly Fields[] {
    const value = this.table[key] ?? [];
    if (!Array.isArray(value)) return this.fail(key, 'expected an array of tables');
    if (value.length > MAX_LIST) return this.fail(key, `expected at most ${MAX_LIST} entries`);
    return value.map((entry: unknown, index) => new Fields(entry, this.file, this.at(`${key}[${index}]`), known));
  }

  private checkText(value: unknown, key: string): string {
    if (typeof value !== 'string' || value === '' || value.length > MAX_MARKER_TEXT || value.includes('\n')) {
      return this.fail(key, `expected a string of 1 to ${MAX_MARKER_TEXT} characters on one line`);
    }
    return value;
  }

  private at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }
}
