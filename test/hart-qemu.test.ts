/**
 * The hart against an independent one: random programs as static ELF files under `qemu-riscv64` (Debian: qemu-user) and on
 * our hart, with the same start. At their end they write all registers and their data to standard output; both must agree
 * to the byte, and in the number of instructions. Skipped where qemu-riscv64 is not installed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bus } from '../sim/bus.ts';
import { assemble } from '../sim/hart/asm.ts';
import { InstructionClock } from '../sim/hart/counters.ts';
import { Hart } from '../sim/hart/hart.ts';
import { HartMemory } from '../sim/hart/memory.ts';
import { DATA_SIZE, randomProgram, startRegisters } from '../sim/hart/test-kit.ts';
import { Chance } from '../sim/hart/testing.ts';
import { Ram } from '../sim/ram.ts';

const QEMU = 'qemu-riscv64';
const installed = spawnSync(QEMU, ['--version']).status === 0;

/** Programs to compare; `npm run proof` compares more. */
const PROGRAMS = Number(process.env['HART_QEMU_PROGRAMS'] ?? 40);
const INSTRUCTIONS = 900;

/** One segment, readable, writable and executable: code, then data. */
const BASE = 0x10_0000;
const DATA = 0x12_0000;
const SIZE = 0x3_0000;
const HEADER_SIZE = 0x1000;
const SYS_WRITE = 64n;
const SYS_EXIT = 93n;
const RAM_BASE = 0x8000_0000;

/** Registers, then data, as the program writes them out. gp points at the dump area. */
const DUMP_SIZE = 256 + DATA_SIZE;
const REGISTERS = DATA - 256;

interface Image {
  readonly bytes: Uint8Array;
  readonly entry: number;
}

/** Loads all registers from the area in front of the data, runs the random program, stores them back, writes, exits. */
function image(seed: number): Image {
  const chance = new Chance(seed * 2_654_435);
  const prologue = assemble(
    `li gp, ${REGISTERS}\n${others((register) => `ld x${register}, ${8 * register}(gp)`)}`,
    BASE,
  ).bytes;
  const program = randomProgram(chance, BASE + prologue.length, INSTRUCTIONS);
  const epilogue = assemble(
    `${others((register) => `sd x${register}, ${8 * register}(gp)`)}
      li a7, ${SYS_WRITE}
      li a0, 1
      mv a1, gp
      li a2, ${DUMP_SIZE}
      ecall
      li a7, ${SYS_EXIT}
      li a0, 0
      ecall`,
    program.end,
  ).bytes;
  const bytes = new Uint8Array(SIZE);
  bytes.set(prologue);
  bytes.set(program.bytes, prologue.length);
  bytes.set(epilogue, program.end - BASE);
  const view = new DataView(bytes.buffer);
  startRegisters(chance, DATA, 1 + chance.below(20)).forEach((value, register) => {
    if (register !== 3) view.setBigUint64(REGISTERS - BASE + 8 * register, value, true);
  });
  for (let at = 0; at < DATA_SIZE; at += 8) view.setBigUint64(DATA - BASE + at, chance.operand(), true);
  return { bytes, entry: BASE };
}

/** A line for each register but x0 and gp. */
function others(line: (register: number) => string): string {
  return Array.from({ length: 32 }, (_, i) => i)
    .filter((register) => register !== 0 && register !== 3)
    .map(line)
    .join('\n');
}

function elf({ bytes, entry }: Image): Uint8Array {
  const file = new Uint8Array(HEADER_SIZE + bytes.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 243, true); // EM_RISCV
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint32(48, 1, true); // EF_RISCV_RVC
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 7, true); // RWX
  view.setBigUint64(72, BigInt(HEADER_SIZE), true);
  view.setBigUint64(80, BigInt(BASE), true);
  view.setBigUint64(88, BigInt(BASE), true);
  view.setBigUint64(96, BigInt(bytes.length), true);
  view.setBigUint64(104, BigInt(bytes.length), true);
  view.setBigUint64(112, 0x1000n, true);
  file.set(bytes, HEADER_SIZE);
  return file;
}

/** What the program writes on our hart, and the instructions it took, ecalls included. */
function runHere({ bytes, entry }: Image): { output: Uint8Array; instructions: number } {
  const ram = new Ram(RAM_BASE, SIZE);
  ram.bytes.set(bytes);
  const shift = (RAM_BASE - BASE) / 4096;
  const memory = new HartMemory(new Bus(ram, []), {
    translate: (page) => (page >= BASE / 4096 && page < (BASE + SIZE) / 4096 ? page + shift : -1),
  });
  const hart = new Hart(memory, new InstructionClock(0));
  hart.state.pc = BigInt(entry);
  let output = new Uint8Array();
  for (let ecalls = 1; ; ecalls++) {
    const stop = hart.run(10_000_000);
    if (stop.reason !== 'trap' || stop.cause !== 8) throw new Error(`stopped at ${hart.state.pc}: ${stop.cause}`);
    if (hart.getX(17) === SYS_EXIT) return { output, instructions: hart.state.retired + ecalls };
    expect(hart.getX(17)).toBe(SYS_WRITE);
    output = ram.bytes.slice(Number(hart.getX(11)) - BASE, Number(hart.getX(11) + hart.getX(12)) - BASE);
    hart.setX(10, hart.getX(12));
    hart.state.pc += 4n;
  }
}

// A report names skipped tests by their titles: this one says why.
const suite = installed ? 'qemu-riscv64 agrees' : 'qemu-riscv64 agrees (not installed: apt-get install qemu-user)';

describe.skipIf(!installed)(suite, () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hart-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  function write(program: Image): string {
    const path = join(folder, 'program');
    writeFileSync(path, elf(program));
    chmodSync(path, 0o755);
    return path;
  }

  it(`on registers and memory after each of ${PROGRAMS} random programs`, { timeout: 600_000 }, () => {
    let instructions = 0;
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const program = image(seed);
      const { status, signal, stdout } = spawnSync(QEMU, [write(program)]);
      expect({ status, signal }, `seed ${seed}`).toEqual({ status: 0, signal: null });
      const here = runHere(program);
      instructions += here.instructions;
      const differs = stdout.findIndex((byte, i) => byte !== here.output[i]);
      expect(stdout.length).toBe(DUMP_SIZE);
      if (differs >= 0) expect.fail(`seed ${seed}: byte ${differs} (register ${differs / 8}) differs`);
    }
    expect(instructions).toBeGreaterThan(PROGRAMS * 100);
    if (process.env['HART_QEMU_PROGRAMS'] !== undefined)
      console.log(`${PROGRAMS} programs, ${instructions} instructions`);
  });

  it(`on the number of instructions of each of ${PROGRAMS} random programs`, { timeout: 600_000 }, () => {
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const program = image(seed);
      const log = join(folder, 'log');
      spawnSync(QEMU, ['-singlestep', '-d', 'nochain,exec', '-D', log, write(program)]);
      const executed = readFileSync(log, 'utf8').match(/^Trace /gm)?.length ?? 0;
      expect(executed, `seed ${seed}`).toBe(runHere(program).instructions);
    }
  });
});
