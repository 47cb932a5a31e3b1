/**
 * A small two-pass assembler for programs that run on the hart: test programs, and payloads of images. It takes the GNU
 * syntax of RV64IMAC as far as such programs need it.
 *
 * One statement per line, `#` starts a comment, `name:` defines a label. Operands are registers (ABI or x names), numbers
 * (decimal, 0x hex, 'c'), symbols, and sums and differences of these. Directives: `.byte .half .word .dword` (lists of
 * values), `.ascii`/`.asciz "text"`, `.zero n`, `.align n` (zeros up to a multiple of 2^n), `.equ name, value`,
 * `.option rvc` and `.option norvc` (whether instructions whose operands name no symbol are
 * shortened to 16 bits; off at the start). All instructions of `isa.ts` and `compressed.ts`, with `.aq`, `.rl`, `.aqrl`
 * on atomics, and the usual pseudo-instructions (`pseudo.ts`), `li`, `la`, `call` and `tail` among them.
 *
 * The text is ours, not a guest's: a mistake in it is an {@link InternalError} that names line and reason.
 */
import { InternalError } from '../assert.ts';
import { compress, compressedEncodingOf, encode, encodeCompressed, encodingOf } from './encode.ts';
import { expandPseudo, loadImmediate } from './pseudo.ts';
import type { Operand } from './syntax.ts';
import { COMPRESSED_OPERANDS, CSR_NAMES, OPERANDS, registerNumber } from './syntax.ts';

/** What {@link assemble} made. */
export interface Assembly {
  /** Address of the first byte. */
  readonly base: number;
  readonly bytes: Uint8Array;
  /** Labels and `.equ` names. */
  readonly symbols: ReadonlyMap<string, bigint>;
}

/** Longest output in bytes. */
export const MAX_ASSEMBLY = 0x100_0000;

/** A piece of output whose place and length are known and whose bytes may still need symbols. */
interface Piece {
  readonly line: number;
  readonly at: number;
  readonly length: number;
  emit(context: Context): readonly number[];
}

/** What an operand's value may depend on. */
interface Context {
  readonly line: number;
  readonly pc: number;
  readonly symbols: ReadonlyMap<string, bigint>;
}

const DATA_WIDTHS: ReadonlyMap<string, number> = new Map([
  ['.byte', 1],
  ['.half', 2],
  ['.word', 4],
  ['.dword', 8],
]);

/** Assembles a program that is to run at `base` (an even address below 2^53). */
export function assemble(source: string, base: number): Assembly {
  const symbols = new Map<string, bigint>();
  const pieces: Piece[] = [];
  let at = base;
  let short = false;

  const place = (line: number, length: number, emit: Piece['emit']): void => {
    if (at + length - base > MAX_ASSEMBLY) fail(line, `the program is longer than ${MAX_ASSEMBLY} bytes`);
    pieces.push({ line, at, length, emit });
    at += length;
  };
  const define = (line: number, name: string, value: bigint): void => {
    if (symbols.has(name)) fail(line, `${name} is defined twice`);
    symbols.set(name, value);
  };
  const statement = (line: number, text: string): void => {
    const [, head = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
    const operands = rest === '' ? [] : splitOperands(rest);
    const here = (): Context => ({ line, pc: at, symbols });
    const width = DATA_WIDTHS.get(head);
    if (width !== undefined) {
      const data = (context: Context): number[] =>
        operands.flatMap((operand) => littleEndian(evaluate(operand, context), width));
      place(line, width * operands.length, data);
    } else if (head === '.ascii' || head === '.asciz') {
      const bytes = [...new TextEncoder().encode(String(JSON.parse(rest))), ...(head === '.asciz' ? [0] : [])];
      place(line, bytes.length, () => bytes);
    } else if (head === '.zero') {
      const length = Number(evaluate(rest, here()));
      place(line, length, () => new Array<number>(length).fill(0));
    } else if (head === '.align') {
      const unit = 2 ** Number(evaluate(rest, here()));
      const length = (unit - (at % unit)) % unit;
      place(line, length, () => new Array<number>(length).fill(0));
    } else if (head === '.equ') {
      define(line, operands[0] ?? '', evaluate(operands[1] ?? '', here()));
    } else if (head === '.option') {
      if (rest !== 'rvc' && rest !== 'norvc') fail(line, `unknown option ${rest}`);
      short = rest === 'rvc';
    } else if (head.startsWith('.')) {
      fail(line, `unknown directive ${head}`);
    } else {
      instruction(line, head, operands);
    }
  };
  const instruction = (line: number, head: string, operands: readonly string[]): void => {
    if (head === 'li') {
      const value = evaluate(operands[1] ?? '', { line, pc: at, symbols });
      for (const step of loadImmediate(operands[0] ?? '', value)) statement(line, step);
      return;
    }
    if (head === 'la') {
      place(line, 8, (context) => loadAddress(operands, context));
      return;
    }
    const expanded = expandPseudo(head, operands);
    if (expanded !== null) {
      for (const step of expanded) statement(line, step);
      return;
    }
    const build = builder(line, head, operands);
    if (short && operands.every(isConstant) && encodingOf(head) !== null) {
      const bits = build.short({ line, pc: at, symbols });
      if (bits !== null) {
        place(line, 2, () => littleEndian(BigInt(bits), 2));
        return;
      }
    }
    place(line, build.length, (context) => littleEndian(BigInt(build.bits(context)), build.length));
  };

  source.split('\n').forEach((raw, index) => {
    const line = index + 1;
    let text = stripComment(raw).trim();
    for (let label = /^([A-Za-z_.$][\w.$]*):\s*/.exec(text); label; label = /^([A-Za-z_.$][\w.$]*):\s*/.exec(text)) {
      define(line, label[1] ?? '', BigInt(at));
      text = text.slice(label[0].length);
    }
    if (text !== '') statement(line, text);
  });

  const bytes = new Uint8Array(at - base);
  for (const piece of pieces) bytes.set(piece.emit({ line: piece.line, pc: piece.at, symbols }), piece.at - base);
  return { base, bytes, symbols };
}

/** `la`: auipc and addi. */
function loadAddress(operands: readonly string[], context: Context): number[] {
  const distance = Number(evaluate(operands[1] ?? '', context)) - context.pc;
  const low = (distance << 20) >> 20;
  const rd = operands[0] ?? '';
  const upper = builder(context.line, 'auipc', [rd, String(((distance - low) >> 12) & 0xf_ffff)]);
  const lower = builder(context.line, 'addi', [rd, rd, String(low)]);
  return [upper, lower].flatMap((step) => littleEndian(BigInt(step.bits(context)), 4));
}

interface Builder {
  readonly length: 2 | 4;
  bits(context: Context): number;
  /** The 16-bit form, or null. */
  short(context: Context): number | null;
}

const ORDERING: ReadonlyMap<string, number> = new Map([
  ['.aqrl', 3],
  ['.aq', 2],
  ['.rl', 1],
]);

/** Finds the instruction and checks its operands against its format; values are left for later. */
function builder(line: number, head: string, operands: readonly string[]): Builder {
  const [, suffix = ''] = /^(?:lr|sc|amo\w+)\.[wd](\.aqrl|\.aq|\.rl)$/.exec(head) ?? [];
  const name = head.slice(0, head.length - suffix.length);
  const row = encodingOf(name);
  const compressed = compressedEncodingOf(name);
  const shape = row !== null ? OPERANDS[row.format] : COMPRESSED_OPERANDS.get(name);
  if (shape === undefined) return fail(line, `unknown instruction ${head}`);
  const given = row?.format === 'fence' ? [] : operands;
  if (given.length !== shape.length) fail(line, `${head} takes ${shape.length} operands: ${shape.join(', ')}`);
  const ordering = (ORDERING.get(suffix) ?? 0) << 25;
  const values = (context: Context): Values => {
    const values: Values = { rd: 0, rs1: 0, rs2: 0, imm: 0 };
    shape.forEach((operand, i) => parseOperand(operand, given[i] ?? '', values, context));
    return values;
  };
  return {
    length: row !== null ? 4 : 2,
    bits(context) {
      const found = values(context);
      const bits =
        row !== null
          ? encode(row.mnemonic, found)
          : compressed !== null
            ? encodeCompressed(compressed, withFixed(compressed.expansion, found))
            : null;
      if (bits === null) return fail(context.line, `${head} ${operands.join(', ')}: an operand does not fit`);
      return (bits | ordering) >>> 0;
    },
    short(context) {
      if (row === null || ordering !== 0) return null;
      const found = values(context);
      // mv is addi for the long form and add for the short one.
      if (row.mnemonic === 'addi' && found.imm === 0 && found.rd !== 0 && found.rs1 !== 0)
        return compress('add', { rd: found.rd, rs1: 0, rs2: found.rs1, imm: 0 });
      return compress(row.mnemonic, found);
    },
  };
}

/** Operands of an instruction while they are collected. */
interface Values {
  rd: number;
  rs1: number;
  rs2: number;
  imm: number;
}

/** Registers that a compressed instruction implies and its text does not name. */
function withFixed(expansion: { readonly [Key in 'rd' | 'rs1' | 'rs2']?: unknown } | null, values: Values): Values {
  const fixed = (field: unknown, value: number): number => (typeof field === 'number' ? field : value);
  return {
    ...values,
    rd: fixed(expansion?.rd, values.rd),
    rs1: fixed(expansion?.rs1, values.rs1),
    rs2: fixed(expansion?.rs2, values.rs2),
  };
}

function parseOperand(operand: Operand, text: string, values: Values, context: Context): void {
  const register = (name: string): number =>
    registerNumber(name) ?? fail(context.line, `${name || 'nothing'} is no register`);
  const number = (expression: string): number => Number(evaluate(expression, context));
  switch (operand) {
    case 'rd':
    case 'rs1':
    case 'rs2':
      values[operand] = register(text);
      return;
    case 'rdrs1':
      values.rd = register(text);
      values.rs1 = values.rd;
      return;
    case 'sp':
      if (register(text) !== 2) fail(context.line, `expected sp, not ${text}`);
      return;
    case 'imm':
      values.imm = number(text);
      return;
    case 'mem':
    case 'at': {
      const [, offset = '', base = ''] = /^(.*)\(\s*(\w+)\s*\)$/.exec(text) ?? [];
      values.imm = offset.trim() === '' ? 0 : number(offset);
      values.rs1 = register(base);
      return;
    }
    case 'target':
      values.imm = number(text) - context.pc;
      return;
    case 'upper': {
      const value = number(text);
      values.imm = value > 0xf_ffff || value < -0x8_0000 ? NaN : value << 12;
      return;
    }
    case 'csr':
      values.imm = CSR_NAMES.get(text) ?? number(text);
      return;
    case 'uimm':
      values.rs1 = number(text);
      return;
  }
}

/** Value of a sum of numbers and symbols; `.` is the address of the statement. */
function evaluate(expression: string, context: Context): bigint {
  let total = 0n;
  let rest = expression.trim();
  if (rest === '') fail(context.line, 'an operand is missing');
  while (rest !== '') {
    const term = /^([+-]?)\s*('(?:\\.|[^\\])'|[\w.$]+)\s*/.exec(rest);
    if (term === null) return fail(context.line, `cannot read ${expression}`);
    const value = termValue(term[2] ?? '', context);
    total += term[1] === '-' ? -value : value;
    rest = rest.slice(term[0].length);
  }
  return total;
}

function termValue(term: string, context: Context): bigint {
  if (/^(?:\d+|0x[\da-fA-F_]+)$/.test(term)) return BigInt(term.replaceAll('_', ''));
  if (term.startsWith("'")) {
    const escapes: ReadonlyMap<string, string> = new Map([
      ["'\\n'", '\n'],
      ["'\\0'", '\0'],
    ]);
    return BigInt((escapes.get(term) ?? term.slice(-2, -1)).charCodeAt(0));
  }
  if (term === '.') return BigInt(context.pc);
  return context.symbols.get(term) ?? fail(context.line, `${term} is not defined`);
}

/** True for operands whose value cannot change between the passes. */
function isConstant(operand: string): boolean {
  const names = operand.match(/[A-Za-z_.$][\w.$]*/g) ?? [];
  return names.every((name) => registerNumber(name) !== null || /^x[\da-fA-F_]+$/.test(name));
}

function littleEndian(value: bigint, width: number): number[] {
  return Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function stripComment(line: string): string {
  return line.replace(/("(?:\\.|[^"\\])*"|'(?:\\.|[^\\])')|#.*$/g, (_, quoted: string | undefined) => quoted ?? '');
}

function splitOperands(text: string): string[] {
  return (text.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^\\])'|[^,])+/g) ?? []).map((operand) => operand.trim());
}

function fail(line: number, reason: string): never {
  throw new InternalError(`assembly line ${line}: ${reason}`);
}
