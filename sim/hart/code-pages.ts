/** The decoded code of one hart, page by page of RAM. What it holds is a pure function of the RAM bytes, so it is no state. */
import { emptyPage, NOT_DECODED, PAGE_SIZE } from './slots.ts';

/** Decoded pages kept at most (16 KiB of host memory each); at the limit all are dropped. */
export const MAX_CODE_PAGES = 1024;

/** Decoded pages by the RAM offset of their first byte. */
export class CodePages {
  /** A page whose slots nobody may fill: for code outside RAM, which is decoded anew each time it runs. */
  declare readonly uncached: Int32Array;
  declare readonly pages: Map<number, Int32Array>;

  constructor() {
    this.uncached = emptyPage();
    this.pages = new Map();
  }

  get isFull(): boolean {
    return this.pages.size >= MAX_CODE_PAGES;
  }

  has(offset: number): boolean {
    return this.pages.has(offset - (offset % PAGE_SIZE));
  }

  /** The slots of the page at a RAM offset that is a multiple of the page size. */
  page(offset: number): Int32Array {
    let page = this.pages.get(offset);
    if (page === undefined) {
      page = emptyPage();
      this.pages.set(offset, page);
    }
    return page;
  }

  /** Drops what was decoded from bytes that have changed. The slot before them may hold an instruction that reaches in. */
  written(offset: number, length: number): void {
    for (let at = Math.max(0, (offset & ~1) - 2); at < offset + length; at += 2) {
      const page = this.pages.get(at - (at % PAGE_SIZE));
      if (page) page[at % PAGE_SIZE] = NOT_DECODED;
    }
  }

  clear(): void {
    this.pages.clear();
  }
}
