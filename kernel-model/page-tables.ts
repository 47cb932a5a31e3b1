/**
 * Sv39 page tables in guest RAM (sheet 05, section 16.3; sheet 10, section 7). Only 4 KiB leaves; leaves carry A, and D
 * when writable. Virtual addresses are numbers, the upper canonical half negative (see registers.ts).
 */
import type { GuestMemory } from '../sim/memory.ts';
import { PAGE_SIZE } from './abi.ts';
import type { KernelAddresses } from './image.ts';
import { LOW_WINDOW_BASE, TABLE_POOL_PAGES, UART_PAGE } from './layout.ts';
import { isCanonical } from './registers.ts';

/** Page-table entry bits. */
export const Pte = { V: 1, R: 2, W: 4, X: 8, U: 16, G: 32, A: 64, D: 128 } as const;
/** Every bit that a caller may pass; others are unknown flags. */
export const PTE_FLAG_BITS = 0xff;

/** User mappings from here to {@link GLOBAL_LOW_END} get G, as do those of the UART's page. */
const GLOBAL_LOW_END = 0x8100_0000;

/** Why a page was not mapped; the words are those of the kernel's MapError. */
export type MapError = 'unaligned' | 'invalid-flags' | 'permission-denied' | 'overlap' | 'out-of-range' | 'no-memory';

/** Hands out the pages of page tables and says so on the UART: 64 static ones, then the kernel heap. */
export class TablePages {
  /** Page-table pages ever taken. */
  count = 0;
  readonly #memory: GuestMemory;
  readonly #addresses: KernelAddresses;
  readonly #announce: (line: string) => void;
  /** Freed heap pages, lowest address last. */
  readonly #free: number[] = [];
  #run = 0;
  #time = 0;
  #page = 0;

  constructor(memory: GuestMemory, addresses: KernelAddresses, announce: (line: string) => void) {
    this.#memory = memory;
    this.#addresses = addresses;
    this.#announce = announce;
  }

  /** A zeroed page's physical address, null when the heap is exhausted (the kernel then panics, section 7.4). */
  allocate(): number | null {
    if (this.count < TABLE_POOL_PAGES) {
      const page = this.#addresses.tablePool + this.count * PAGE_SIZE;
      this.#announce(`PT: pool idx=${this.count}`);
      return this.#hand(page);
    }
    this.#announce('PT: heap alloc');
    const page = this.#free.pop() ?? this.#nextHeapPage();
    return page === null ? null : this.#hand(page);
  }

  /** Gives a page back; pages of the static pool stay taken. */
  free(page: number): void {
    const { tablePool } = this.#addresses;
    if (page >= tablePool && page < tablePool + TABLE_POOL_PAGES * PAGE_SIZE) return;
    const free = this.#free;
    let i = free.length;
    while (i > 0 && (free[i - 1] ?? 0) < page) i--;
    free.splice(i, 0, page);
  }

  #hand(page: number): number {
    this.count++;
    this.#memory.slice(page, PAGE_SIZE).fill(0);
    return page;
  }

  #nextHeapPage(): number | null {
    for (;;) {
      const run = this.#addresses.heapTables[this.#run];
      if (run === undefined) return null;
      if (this.#page < run.count) return (run.first + this.#time * run.stride + this.#page++) * PAGE_SIZE;
      this.#page = 0;
      this.#time++;
      if (this.#time >= run.times) {
        this.#time = 0;
        this.#run++;
      }
    }
  }
}

/** Index into the table of `level` (2 = root). */
export function tableIndex(va: number, level: number): number {
  const index = Math.floor(va / 2 ** (12 + 9 * level)) % 512;
  return index < 0 ? index + 512 : index;
}

/** Bits that `map` adds to what the caller asked for. */
export function leafFlags(va: number, flags: number): number {
  let bits = flags | Pte.V | Pte.A;
  if (flags & Pte.W) bits |= Pte.D;
  if ((va >= LOW_WINDOW_BASE && va < GLOBAL_LOW_END) || (va >= UART_PAGE && va < UART_PAGE + PAGE_SIZE)) bits |= Pte.G;
  return bits;
}

/** Called for every table that a walk creates: the parent's table and index, and the new page. */
export type TableCreated = (parent: number, index: number, page: number) => void;

/** The checks of one mapping, in the kernel's order; null when it may go on to the tables. */
export function checkMapping(va: number, flags: number): MapError | null {
  if (!isCanonical(va) || va % PAGE_SIZE !== 0) return 'unaligned';
  if (flags < 0 || flags > PTE_FLAG_BITS) return 'invalid-flags';
  if (flags & Pte.W && flags & Pte.X) return 'permission-denied';
  if (!(flags & Pte.V) || !(flags & (Pte.R | Pte.W | Pte.X))) return 'invalid-flags';
  return null;
}

/** Writes one leaf, creating tables on the way. Everything but the tables created stays as it was on an error. */
export function mapPage(
  memory: GuestMemory,
  pages: TablePages,
  root: number,
  va: number,
  pa: number,
  flags: number,
  created: TableCreated,
): MapError | null {
  const refused = checkMapping(va, flags);
  if (refused !== null) return refused;
  let table = root;
  for (let level = 2; level > 0; level--) {
    const index = tableIndex(va, level);
    const entry = table + index * 8;
    const low = memory.readU32(entry);
    if (low & Pte.V) {
      if (low & (Pte.R | Pte.W | Pte.X)) return 'overlap';
      table = entryAddress(memory, entry);
      continue;
    }
    const page = pages.allocate();
    if (page === null) return 'no-memory';
    writeEntry(memory, entry, page, Pte.V);
    created(table, index, page);
    table = page;
  }
  const leaf = table + tableIndex(va, 0) * 8;
  if (memory.readU32(leaf) & Pte.V) return 'overlap';
  writeEntry(memory, leaf, pa, leafFlags(va, flags));
  return null;
}

/** Bytes that one table of leaves covers. */
export const LEAF_TABLE_SPAN = 512 * PAGE_SIZE;

/**
 * Maps `bytes` (whole pages) from `va` to `pa` as {@link mapPage} would page by page: one walk per table of leaves, then
 * its entries. Stops at the first error; pages before it stay mapped.
 */
export function mapRun(
  memory: GuestMemory,
  pages: TablePages,
  root: number,
  va: number,
  pa: number,
  bytes: number,
  flags: number,
  created: TableCreated,
): MapError | null {
  const end = va + bytes;
  const offset = pa - va;
  for (let at = va; at < end;) {
    const error = mapPage(memory, pages, root, at, at + offset, flags, created);
    if (error !== null) return error;
    const leaf = findLeaf(memory, root, at);
    const stop = Math.min(end, Math.floor(at / LEAF_TABLE_SPAN) * LEAF_TABLE_SPAN + LEAF_TABLE_SPAN);
    for (let page = at + PAGE_SIZE; page < stop; page += PAGE_SIZE) {
      const entry = leaf + ((page - at) / PAGE_SIZE) * 8;
      if (memory.readU32(entry) & Pte.V) return 'overlap';
      writeEntry(memory, entry, page + offset, leafFlags(page, flags));
    }
    at = stop;
  }
  return null;
}

/** Physical address of the leaf entry of `va`, -1 when nothing is mapped there. */
export function findLeaf(memory: GuestMemory, root: number, va: number): number {
  if (!isCanonical(va)) return -1;
  let table = root;
  for (let level = 2; level > 0; level--) {
    const entry = table + tableIndex(va, level) * 8;
    if (!(memory.readU32(entry) & Pte.V)) return -1;
    table = entryAddress(memory, entry);
  }
  const leaf = table + tableIndex(va, 0) * 8;
  return memory.readU32(leaf) & Pte.V ? leaf : -1;
}

/** Physical address that the entry at `entry` points to. */
export function entryAddress(memory: GuestMemory, entry: number): number {
  return (memory.readU32(entry + 4) * 2 ** 22 + (memory.readU32(entry) >>> 10)) * PAGE_SIZE;
}

/** Writes the entry at `entry`. */
export function writeEntry(memory: GuestMemory, entry: number, pa: number, flags: number): void {
  const ppn = Math.floor(pa / PAGE_SIZE);
  memory.writeU32(entry, (((ppn % 2 ** 22) << 10) | flags) >>> 0);
  memory.writeU32(entry + 4, Math.floor(ppn / 2 ** 22) % 2 ** 22);
}
