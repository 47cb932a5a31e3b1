/** Loads the first task's ELF into its address space (sheet 10, section 1.6 and rows 43 to 47 of section 1.3). */
import { PAGE_SIZE } from './abi.ts';
import type { AddressSpace } from './address-space.ts';
import { ElfFile, PF_W, PF_X, PT_LOAD, readElf } from './elf.ts';
import { segmentFlags } from './exec.ts';
import { kernelPageFault } from './faults.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import type { KernelMemory } from './kernel-memory.ts';
import { hex, hex16, INIT_WINDOW_END, USER_STACK_EXTRA_PAGES, USER_STACK_SP, USER_STACK_TOP } from './layout.ts';
import { Pte } from './page-tables.ts';

/** Stack pages asked for; every stack gets {@link USER_STACK_EXTRA_PAGES} more. */
const INIT_STACK_PAGES = 16;
const GP_OFFSET = 0x800;
/** Symbol that holds gp, where the file was not stripped. */
const GP_SYMBOL = '__global_pointer$';

/** A loaded first task. */
export interface LoadedInit {
  readonly elf: ElfFile;
  readonly entry: number;
  readonly sp: number;
  readonly gp: number;
}

/** Loads `elf` into `space`, printing as it goes; the kernel's error text when it can not. */
export function loadInit(kernel: Kernel, space: AddressSpace, bytes: Uint8Array): LoadedInit | string {
  const elf = readElf(bytes);
  if (!(elf instanceof ElfFile)) return elf;
  const memory = memoryOf(kernel);
  const say = (text: string): void => {
    kernel.uart.line(`[INFO selftest] KSELFTEST: ${text}`);
  };
  let textPage: number | null = null;
  let dataPage: number | null = null;
  for (let i = 0; i < elf.header.phnum; i++) {
    const segment = elf.programHeader(i);
    if (segment === null) return 'bad phoff';
    if (segment.type !== PT_LOAD || segment.memsz === 0) continue;
    const { vaddr, memsz, filesz, offset, flags } = segment;
    const bits = segmentFlags(flags);
    say(`PT_LOAD segment vaddr=${hex(vaddr)} memsz=${hex(memsz)} flags=${hex(flags)}`);
    say(`map flags bits=${hex(bits)}`);
    if (filesz > memsz || !(offset + filesz <= bytes.length)) return 'map failed';
    const error = loadSegment(kernel, memory, space, vaddr, memsz, bits, elf.bytes.subarray(offset, offset + filesz));
    if (error !== null) return error;
    if (flags & PF_X) textPage ??= pageOf(vaddr);
    if (flags & PF_W) dataPage ??= pageOf(vaddr);
  }
  for (let va = USER_STACK_TOP - (INIT_STACK_PAGES + USER_STACK_EXTRA_PAGES) * PAGE_SIZE; va < USER_STACK_TOP;) {
    const page = takePage(kernel, memory);
    if (page === null) return 'stack oom';
    if (space.map(va, page, Pte.V | Pte.U | Pte.R | Pte.W) !== null) return 'stack map failed';
    va += PAGE_SIZE;
  }
  if (textPage !== null) say(`text page entry=0x${hex16(space.leaf(textPage))} va=0x${hex16(textPage)}`);
  if (dataPage !== null) say(`data page entry=0x${hex16(space.leaf(dataPage))} va=0x${hex16(dataPage)}`);
  const symbol = elf.symbolValue(GP_SYMBOL);
  if (symbol !== null) return { elf, entry: elf.header.entry, sp: USER_STACK_SP, gp: symbol };
  const section = elf.sectionAddress('.sdata') ?? elf.sectionAddress('.data');
  if (section === null) return 'missing gp (no __global_pointer$ and no .sdata/.data)';
  const gp = section + GP_OFFSET;
  say(`derived gp=${hex(gp)} from .sdata/.data`);
  return { elf, entry: elf.header.entry, sp: USER_STACK_SP, gp };
}

/** A page of the pool, with the time to clear, fill and map it. Behind its mapped window the kernel faults on clearing it: a panic (sheet 05, quirk 16). */
function takePage(kernel: Kernel, memory: KernelMemory): number | null {
  const page = memory.initPages.allocate(PAGE_SIZE);
  kernel.charge(kernel.costs.mapPage + kernel.costs.copyPage);
  if (page === null || page < INIT_WINDOW_END) return page;
  const sepc = BigInt(kernel.image.addresses.guardPc);
  kernelPageFault(kernel, { cause: 15, sepc, stval: BigInt(page), task: null, satp: memory.activeSpace?.satp ?? 0n });
  return null;
}

function pageOf(va: number): number {
  return va - (va % PAGE_SIZE);
}

/** Pages one by one; a page that an earlier segment mapped is shared and only gains bits. */
function loadSegment(
  kernel: Kernel,
  memory: KernelMemory,
  space: AddressSpace,
  vaddr: number,
  memsz: number,
  bits: number,
  file: Uint8Array,
): string | null {
  const { ram } = memory;
  for (let va = pageOf(vaddr); va < vaddr + memsz; va += PAGE_SIZE) {
    const leaf = space.leaf(va);
    let page: number;
    if (leaf === 0n) {
      const fresh = takePage(kernel, memory);
      if (fresh === null) return 'oom';
      if (space.map(va, fresh, bits) !== null) return 'map failed';
      page = fresh;
    } else {
      if ((leaf & BigInt(Pte.U)) === 0n) return 'map failed';
      page = Number(leaf >> 10n) * PAGE_SIZE;
      const executable = (leaf & BigInt(Pte.X)) !== 0n;
      const gained = bits & Pte.W && !executable ? Pte.W | Pte.D : 0;
      space.addLeafFlags(va, Pte.A | gained);
    }
    const from = Math.max(va, vaddr);
    const to = Math.min(va + PAGE_SIZE, vaddr + file.length);
    if (to > from) ram.slice(page + (from - va), to - from).set(file.subarray(from - vaddr, to - vaddr));
  }
  return null;
}
