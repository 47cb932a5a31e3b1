/**
 * Bump allocators of physical memory (sheet 10, sections 1.5, 6.3 and 7.2): the VMO arena, the pool of S-mode stacks and
 * the pages of the first task. Nothing is ever given back.
 */
import type { GuestMemory } from '../sim/memory.ts';
import { PAGE_SIZE } from './abi.ts';
import { KERNEL_STACK_PAGES } from './layout.ts';

/** Bytes rounded up to whole pages. */
export function roundUpToPages(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

/** A bump allocator of zeroed, contiguous pages. */
export class PageArena {
  /** First address not handed out yet. */
  cursor: number;
  readonly end: number;
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory, base: number, end: number) {
    this.#memory = memory;
    this.cursor = base;
    this.end = end;
  }

  /** Takes `bytes` (> 0, rounded up to pages) and returns their physical address, null when the arena is full. */
  allocate(bytes: number): number | null {
    const size = roundUpToPages(bytes);
    if (!(size > 0 && size <= this.end - this.cursor)) return null;
    const base = this.cursor;
    this.cursor += size;
    // Nothing is ever given back, so beyond what devices wrote the pages are as they were built; the host need not back them.
    const { untouchedFrom = Infinity } = this.#memory;
    const end = Math.min(this.cursor, untouchedFrom);
    if (end > base) this.#memory.slice(base, end - base).fill(0);
    return base;
  }
}

/** The pool of S-mode stacks: 4 pages each, taken downwards. */
export class StackPool {
  readonly base: number;
  /** Lowest address handed out. */
  cursor: number;

  constructor(base: number, end: number) {
    this.base = base;
    this.cursor = end;
  }

  /** Physical address of a new stack's lowest page, null when the pool is exhausted. */
  allocate(): number | null {
    const bytes = KERNEL_STACK_PAGES * PAGE_SIZE;
    if (this.cursor - bytes < this.base) return null;
    this.cursor -= bytes;
    return this.cursor;
  }
}
