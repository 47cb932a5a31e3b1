/**
 * Shapes of the OS's ELF files, as the reference log shows them (entries, global pointers and arena pages of its
 * SPAWN-FRAME and EXEC-META lines): the simulator writes small files of the same shape, whose note names the program.
 */
import { writeElf } from '../kernel-model/synthetic-elf.ts';

/** Flags of a segment (ELF PF_X, PF_W, PF_R). */
const READ_EXEC = 5;
const READ_ONLY = 4;
const READ_WRITE = 6;
const PAGE = 0x1000;
/** Where services are linked; the first page holds read-only data. */
const LINK_BASE = 0x1_0000;
/** gp = address of the writable segment + this (sheet 10, section 6.3). */
const GP_OFFSET = 0x800;

/** One service's file. `pages` counts all segments. */
interface ServiceShape {
  readonly entry: number;
  readonly gp: number;
  readonly pages: number;
}

const SERVICES: ReadonlyMap<string, ServiceShape> = new Map([
  ['keystored', { entry: 0x14d92, gp: 0x278cc, pages: 120 }],
  ['rngd', { entry: 0x12240, gp: 0x1601c, pages: 102 }],
  ['policyd', { entry: 0x11c3c, gp: 0x16078, pages: 102 }],
  ['logd', { entry: 0x14654, gp: 0x18194, pages: 104 }],
  ['metricsd', { entry: 0x1475e, gp: 0x1d248, pages: 109 }],
  ['samgrd', { entry: 0x12718, gp: 0x16a18, pages: 103 }],
  ['bundlemgrd', { entry: 0x1317c, gp: 0x16a40, pages: 103 }],
  ['statefsd', { entry: 0x12336, gp: 0x1cbe8, pages: 109 }],
  ['updated', { entry: 0x12abc, gp: 0x2cfd0, pages: 125 }],
  ['timed', { entry: 0x121fc, gp: 0x1583c, pages: 102 }],
  ['packagefsd', { entry: 0x1375c, gp: 0x1b124, pages: 107 }],
  ['vfsd', { entry: 0x12a72, gp: 0x1720e, pages: 103 }],
  ['execd', { entry: 0x11a76, gp: 0x19528, pages: 105 }],
  ['netstackd', { entry: 0x1a24e, gp: 0x27c44, pages: 120 }],
  ['dsoftbusd', { entry: 0x22a1c, gp: 0x2ff70, pages: 128 }],
  ['selftest-client', { entry: 0x3f676, gp: 0x4ca78, pages: 157 }],
]);

/** The ELF of a service: one read-only page, text up to the data, data and heap. Its note names the program `name`. */
export function serviceElf(name: string): Uint8Array {
  const shape = SERVICES.get(name);
  if (shape === undefined) return new Uint8Array(0);
  const data = shape.gp - GP_OFFSET;
  const dataPage = data - (data % PAGE);
  const end = LINK_BASE + shape.pages * PAGE;
  return writeElf({
    entry: shape.entry,
    segments: [
      { vaddr: LINK_BASE, memsz: PAGE, flags: READ_ONLY },
      { vaddr: LINK_BASE + PAGE, memsz: dataPage - LINK_BASE - PAGE, flags: READ_EXEC },
      { vaddr: data, memsz: end - data, flags: READ_WRITE },
    ],
    program: name,
  });
}

/** init-lite's ELF (sheet 10, section 1.6 and end). */
export function initElf(program: string): Uint8Array {
  return writeElf({
    entry: 0x1040_0000,
    segments: [
      { vaddr: 0x1040_0000, memsz: 0x1_1bb8, flags: READ_EXEC },
      { vaddr: 0x1041_1bb8, memsz: 0xe_4b08, flags: READ_ONLY },
      { vaddr: 0x104f_66c0, memsz: 0x8_0941, flags: READ_WRITE },
    ],
    program,
    sections: [{ name: '.sdata', address: 0x104f_66c0 }],
  });
}
