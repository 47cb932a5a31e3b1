/**
 * What the hart's tests share: a naive hart on bigints that follows the manual's text and knows nothing of the real one,
 * a rig that puts a real hart on a small board, and operands worth trying.
 */
import type { BusWindow } from '../bus.ts';
import { Bus } from '../bus.ts';
import { Ram } from '../ram.ts';
import { InstructionClock } from './counters.ts';
import { Hart } from './hart.ts';
import type { Access } from './memory.ts';
import { ACCESS_FAULT, HartMemory, PAGE_FAULT } from './memory.ts';

export const RAM_BASE = 0x8000_0000;
export const RAM_PAGES = 16;

/** Virtual page to RAM page and rights (letters of rwx), or to a physical page outside RAM. */
export interface Mapping {
  readonly rights: string;
  /** Page of the RAM, or null where `physical` is given. */
  readonly page: number | null;
  readonly physical?: number;
}

/** The pages that tests run in: code at 10000h (three pages), data at 20000h (two pages apart in RAM), a read-only page. */
export const PAGES: ReadonlyMap<number, Mapping> = new Map([
  [0x10, { rights: 'rx', page: 1 }],
  [0x11, { rights: 'rx', page: 7 }],
  [0x12, { rights: 'rx', page: 3 }],
  [0x20, { rights: 'rw', page: 9 }],
  [0x21, { rights: 'rw', page: 5 }],
  [0x23, { rights: 'r', page: 11 }],
]);
export const CODE = 0x1_0000;
export const DATA = 0x2_0000;
export const READ_ONLY = 0x2_3000;

/** A hart over a page list, with RAM at {@link RAM_BASE}. */
export class HartRig {
  readonly ram = new Ram(RAM_BASE, RAM_PAGES * 4096);
  readonly bus: Bus;
  readonly memory: HartMemory;
  readonly hart: Hart;
  pages: ReadonlyMap<number, Mapping>;

  constructor(pages: ReadonlyMap<number, Mapping> = PAGES, windows: readonly BusWindow[] = []) {
    this.pages = pages;
    this.bus = new Bus(this.ram, windows);
    this.memory = new HartMemory(this.bus, { translate: (page, access) => this.translate(page, access) });
    this.hart = new Hart(this.memory, new InstructionClock(1000));
    this.hart.state.pc = BigInt(CODE);
  }

  translate(page: number, access: Access): number {
    const mapping = this.pages.get(page);
    const right = access === 'fetch' ? 'x' : access === 'load' ? 'r' : 'w';
    if (mapping === undefined || !mapping.rights.includes(right)) return PAGE_FAULT;
    if (mapping.page === null) return mapping.physical ?? ACCESS_FAULT;
    return RAM_BASE / 4096 + mapping.page;
  }

  /** RAM offset of a mapped virtual address. */
  at(address: number): number {
    return (this.pages.get(Math.floor(address / 4096))?.page ?? 0) * 4096 + (address % 4096);
  }

  poke(address: number, bytes: Iterable<number>): void {
    let at = address;
    for (const byte of bytes) this.ram.bytes[this.at(at++)] = byte;
  }

  poke64(address: number, value: bigint): void {
    this.poke(address, bytesOf(value, 8));
  }

  peek64(address: number): bigint {
    let value = 0n;
    for (let i = 7; i >= 0; i--) value = (value << 8n) | BigInt(this.ram.bytes[this.at(address + i)] ?? 0);
    return value;
  }

  /** Puts instructions at an address. The decoded code must learn of it. */
  code(address: number, ...words: readonly number[]): void {
    let at = address;
    for (const word of words) {
      const length = (word & 3) === 3 ? 4 : 2;
      this.poke(at, bytesOf(BigInt(word >>> 0), length));
      this.memory.code.written(this.at(at), length);
      at += length;
    }
  }

  get registers(): readonly bigint[] {
    return Array.from({ length: 32 }, (_, i) => this.hart.getX(i));
  }
}

export function bytesOf(value: bigint, width: number): number[] {
  return Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** A small generator of its own: xorshift, 32 bits. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** 0 .. 2^32 - 1. */
  word(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  /** 0 .. n - 1. */
  below(n: number): number {
    return this.word() % n;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A 64-bit value, every second one near an edge. */
  operand(): bigint {
    const random = (BigInt(this.word()) << 32n) | BigInt(this.word());
    switch (this.below(4)) {
      case 0:
        return random;
      case 1:
        return BigInt.asUintN(64, this.pick(EDGES) + BigInt(this.below(5)) - 2n);
      case 2:
        return random >> BigInt(this.below(64));
      default:
        return BigInt.asUintN(64, -(random >> BigInt(this.below(64))));
    }
  }
}

const EDGES: readonly bigint[] = [
  0n,
  1n << 15n,
  1n << 31n,
  -(1n << 31n),
  1n << 32n,
  1n << 53n,
  1n << 63n,
  0xffff_ffff_0000_0000n,
  0x7fff_ffff_8000_0000n,
];

/** One instruction as the model takes it. */
export interface ModelInstruction {
  readonly mnemonic: string;
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly imm: number;
  readonly length: 2 | 4;
}

export interface ModelTrap {
  readonly cause: number;
  readonly tval: bigint;
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const s64 = (value: bigint): bigint => BigInt.asIntN(64, value);
const s32 = (value: bigint): bigint => BigInt.asIntN(32, value);
const u32 = (value: bigint): bigint => BigInt.asUintN(32, value);

/** Raised inside the model by a memory access. */
class Fault extends Error {
  readonly code: number;
  readonly tval: bigint;

  constructor(cause: number, tval: bigint) {
    super('fault');
    this.code = cause;
    this.tval = tval;
  }
}

/** RV64IMA by the book: bigint registers, byte-wise memory, one instruction at a time, handed in decoded. */
export class ModelHart {
  readonly x: bigint[] = new Array<bigint>(32).fill(0n);
  readonly ram: Uint8Array;
  readonly pages: ReadonlyMap<number, Mapping>;
  pc = BigInt(CODE);
  reservation: { readonly address: bigint; readonly value: bigint } | null = null;
  retired = 0;

  constructor(ram: Uint8Array, pages: ReadonlyMap<number, Mapping> = PAGES) {
    this.ram = ram;
    this.pages = pages;
  }

  /** Executes one instruction; null, or the trap that it raised. */
  step(instruction: ModelInstruction): ModelTrap | null {
    const next = u64(this.pc + BigInt(instruction.length));
    try {
      this.pc = u64(this.#execute(instruction, next) ?? next);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      this.reservation = null;
      return { cause: fault.code, tval: fault.tval };
    }
    this.x[0] = 0n;
    this.retired++;
    return null;
  }

  /** The new pc, or null for the next instruction. */
  #execute({ mnemonic, rd, rs1, rs2, imm }: ModelInstruction, next: bigint): bigint | null {
    const a = this.x[rs1]!;
    const b = this.x[rs2]!;
    const i = BigInt(imm);
    const [base = '', width] = mnemonic.split('.');
    if (width === 'w' || width === 'd') {
      this.#atomic(base, width === 'w' ? 4 : 8, rd, a, b);
      return null;
    }
    const target = u64(this.pc + i);
    switch (mnemonic) {
      case 'jal':
        this.x[rd] = next;
        return target;
      case 'jalr':
        this.x[rd] = next;
        return u64(a + i) & ~1n;
      case 'beq':
        return a === b ? target : null;
      case 'bne':
        return a !== b ? target : null;
      case 'blt':
        return s64(a) < s64(b) ? target : null;
      case 'bge':
        return s64(a) >= s64(b) ? target : null;
      case 'bltu':
        return a < b ? target : null;
      case 'bgeu':
        return a >= b ? target : null;
      case 'lb':
      case 'lh':
      case 'lw':
      case 'ld': {
        const bytes = 1 << 'bhwd'.indexOf(mnemonic[1]!);
        this.x[rd] = u64(BigInt.asIntN(8 * bytes, this.#load(u64(a + i), bytes, 'r', 13)));
        return null;
      }
      case 'lbu':
      case 'lhu':
      case 'lwu':
        this.x[rd] = this.#load(u64(a + i), 1 << 'bhw'.indexOf(mnemonic[1]!), 'r', 13);
        return null;
      case 'sb':
      case 'sh':
      case 'sw':
      case 'sd':
        this.#store(u64(a + i), 1 << 'bhwd'.indexOf(mnemonic[1]!), b);
        return null;
      case 'fence':
      case 'fence.i':
        return null;
      case 'ecall':
        throw new Fault(8, 0n);
      case 'ebreak':
        throw new Fault(3, 0n);
      default:
        this.x[rd] = u64(arithmetic(mnemonic, a, b, i, this.pc));
        return null;
    }
  }

  #atomic(name: string, bytes: number, rd: number, address: bigint, b: bigint): void {
    const bits = 8 * bytes;
    const misaligned = address % BigInt(bytes) !== 0n;
    if (name === 'sc') {
      const held = this.reservation;
      this.reservation = null;
      const expected = held !== null && held.address === address && !misaligned ? held.value : null;
      const matches = expected !== null && this.#holds(address, bytes, expected);
      if (matches) this.#store(address, bytes, b);
      this.x[rd] = matches ? 0n : 1n;
      return;
    }
    if (misaligned) throw new Fault(name === 'lr' ? 4 : 6, address);
    const old = BigInt.asIntN(
      bits,
      name === 'lr' ? this.#load(address, bytes, 'r', 13) : this.#load(address, bytes, 'w', 15),
    );
    const operand = BigInt.asIntN(bits, b);
    const unsigned = (value: bigint): bigint => BigInt.asUintN(bits, value);
    const results: Readonly<Record<string, () => bigint>> = {
      amoswap: () => operand,
      amoadd: () => old + operand,
      amoxor: () => old ^ operand,
      amoand: () => old & operand,
      amoor: () => old | operand,
      amomin: () => (old < operand ? old : operand),
      amomax: () => (old > operand ? old : operand),
      amominu: () => (unsigned(old) < unsigned(operand) ? old : operand),
      amomaxu: () => (unsigned(old) > unsigned(operand) ? old : operand),
    };
    if (name === 'lr') this.reservation = { address, value: u64(old) };
    else this.#store(address, bytes, results[name]!());
    this.x[rd] = u64(old);
  }

  #byte(address: bigint, right: string, cause: number): number {
    const mapping = this.pages.get(Number(address >> 12n));
    if (mapping === undefined || mapping.page === null || !mapping.rights.includes(right))
      throw new Fault(cause, address);
    return mapping.page * 4096 + Number(address & 0xfffn);
  }

  #load(address: bigint, bytes: number, right: string, cause: number): bigint {
    let value = 0n;
    for (let i = 0; i < bytes; i++)
      value |= BigInt(this.ram[this.#byte(u64(address + BigInt(i)), right, cause)]!) << BigInt(8 * i);
    return value;
  }

  #holds(address: bigint, bytes: number, value: bigint): boolean {
    try {
      return u64(BigInt.asIntN(8 * bytes, this.#load(address, bytes, 'r', 13))) === value;
    } catch {
      return false;
    }
  }

  #store(address: bigint, bytes: number, value: bigint): void {
    const places = Array.from({ length: bytes }, (_, i) => this.#byte(u64(address + BigInt(i)), 'w', 15));
    places.forEach((place, i) => (this.ram[place] = Number((value >> BigInt(8 * i)) & 0xffn)));
  }
}

/** Result of an instruction that only computes. */
export function arithmetic(mnemonic: string, a: bigint, b: bigint, i: bigint, pc: bigint): bigint {
  const sa = s64(a);
  const sb = s64(b);
  const shift = b & 63n;
  const shiftW = b & 31n;
  switch (mnemonic) {
    case 'lui':
      return i;
    case 'auipc':
      return pc + i;
    case 'addi':
      return a + i;
    case 'slti':
      return sa < i ? 1n : 0n;
    case 'sltiu':
      return a < u64(i) ? 1n : 0n;
    case 'xori':
      return a ^ u64(i);
    case 'ori':
      return a | u64(i);
    case 'andi':
      return a & u64(i);
    case 'slli':
      return a << i;
    case 'srli':
      return a >> i;
    case 'srai':
      return sa >> i;
    case 'addiw':
      return s32(a + i);
    case 'slliw':
      return s32(a << i);
    case 'srliw':
      return s32(u32(a) >> i);
    case 'sraiw':
      return s32(a) >> i;
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'sll':
      return a << shift;
    case 'slt':
      return sa < sb ? 1n : 0n;
    case 'sltu':
      return a < b ? 1n : 0n;
    case 'xor':
      return a ^ b;
    case 'srl':
      return a >> shift;
    case 'sra':
      return sa >> shift;
    case 'or':
      return a | b;
    case 'and':
      return a & b;
    case 'addw':
      return s32(a + b);
    case 'subw':
      return s32(a - b);
    case 'sllw':
      return s32(a << shiftW);
    case 'srlw':
      return s32(u32(a) >> shiftW);
    case 'sraw':
      return s32(a) >> shiftW;
    case 'mul':
      return a * b;
    case 'mulh':
      return (sa * sb) >> 64n;
    case 'mulhsu':
      return (sa * b) >> 64n;
    case 'mulhu':
      return (a * b) >> 64n;
    case 'div':
      return sb === 0n ? -1n : sa / sb;
    case 'divu':
      return b === 0n ? -1n : a / b;
    case 'rem':
      return sb === 0n ? sa : sa % sb;
    case 'remu':
      return b === 0n ? a : a % b;
    case 'mulw':
      return s32(a * b);
    case 'divw':
      return s32(b) === 0n ? -1n : s32(s32(a) / s32(b));
    case 'divuw':
      return u32(b) === 0n ? -1n : s32(u32(a) / u32(b));
    case 'remw':
      return s32(b) === 0n ? s32(a) : s32(s32(a) % s32(b));
    case 'remuw':
      return u32(b) === 0n ? s32(a) : s32(u32(a) % u32(b));
    default:
      throw new Error(`the model has no ${mnemonic}`);
  }
}
