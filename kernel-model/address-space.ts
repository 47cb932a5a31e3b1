/**
 * Address spaces (sheet 10, sections 1.2 KMAP, 6.4 and 7.3; sheet 05, section 16.3): a root table in RAM, an ASID, and
 * the kernel's own mappings in each of them. Building those costs some 6,100 entries; only the first space builds them,
 * the others take fresh table pages in the same order and copy their bytes.
 */
import type { GuestMemory } from '../sim/memory.ts';
import { assert } from '../sim/assert.ts';
import { PAGE_SIZE } from './abi.ts';
import type { KernelAddresses } from './image.ts';
import {
  hex,
  INIT_POOL_BASE,
  INIT_WINDOW_END,
  KERNEL_BASE,
  LOW_WINDOW_BASE,
  LOW_WINDOW_END,
  MAX_ASID,
  UART_PAGE,
  VMO_ARENA_BASE,
  VMO_ARENA_END,
} from './layout.ts';
import { entryAddress, findLeaf, mapPage, mapRun, Pte, writeEntry } from './page-tables.ts';
import type { MapError, TablePages } from './page-tables.ts';

/** What an access needs from a leaf. */
export const Access = { LOAD: Pte.R, STORE: Pte.W, FETCH: Pte.X } as const;
export type AccessKind = 2 | 4 | 8;

/** No translation: the access is a page fault. */
export const NO_TRANSLATION = -1;

/** Translations kept per space; a full cache starts over. */
const CACHE_PAGES = 4096;
const SATP_SV39 = 8n << 60n;

/** One Sv39 address space. */
export class AddressSpace {
  /** Global index that syscalls use, 1.. */
  readonly handle: number;
  readonly asid: number;
  /** Physical address of the root table. */
  readonly root: number;
  /** satp that activates this space. */
  readonly satp: bigint;
  /** Pages of the kernel that its creation mapped. */
  readonly kernelPages: number;
  /** Tasks that run in it; the last one to be reaped takes it along. */
  tasks = 0;
  readonly #memory: GuestMemory;
  readonly #pages: TablePages;
  readonly #tables: number[];
  /** Page number to its leaf's flags plus physical page number * 256; entries never change once valid. */
  readonly #cache = new Map<number, number>();

  constructor(
    memory: GuestMemory,
    pages: TablePages,
    handle: number,
    asid: number,
    tables: number[],
    kernelPages: number,
  ) {
    const root = tables[0];
    assert(root !== undefined, 'address space without a root table');
    this.#memory = memory;
    this.#pages = pages;
    this.#tables = tables;
    this.handle = handle;
    this.asid = asid;
    this.root = root;
    this.kernelPages = kernelPages;
    this.satp = SATP_SV39 | (BigInt(asid) << 44n) | BigInt(root / PAGE_SIZE);
  }

  /** Maps one page. `flags` are PTE bits; W+X is refused, so is a page that is mapped already. */
  map(va: number, pa: number, flags: number): MapError | null {
    return mapPage(this.#memory, this.#pages, this.root, va, pa, flags, (_parent, _index, page) => {
      this.#tables.push(page);
    });
  }

  /** Maps `bytes` (whole pages); stops at the first error, earlier pages stay mapped (sheet 10, section 7.1). */
  mapRange(va: number, pa: number, bytes: number, flags: number): MapError | null {
    return mapRun(this.#memory, this.#pages, this.root, va, pa, bytes, flags, (_parent, _index, page) => {
      this.#tables.push(page);
    });
  }

  /**
   * Physical address of `va`, {@link NO_TRANSLATION} when the access faults. A user access needs a user leaf; the kernel
   * reads and writes user pages too (SUM is set).
   */
  translate(va: number, access: AccessKind, user = true): number {
    const page = Math.floor(va / PAGE_SIZE);
    let cached = this.#cache.get(page);
    if (cached === undefined) {
      const leaf = findLeaf(this.#memory, this.root, va);
      if (leaf < 0) return NO_TRANSLATION;
      const bits = this.#memory.readU32(leaf) & 0xff;
      // W without R is reserved: the walk faults, whatever the access (sheet 05, section 18.10, rule 2).
      if ((bits & (Pte.R | Pte.W)) === Pte.W) return NO_TRANSLATION;
      cached = (entryAddress(this.#memory, leaf) / PAGE_SIZE) * 256 + bits;
      if (this.#cache.size >= CACHE_PAGES) this.#cache.clear();
      this.#cache.set(page, cached);
    }
    const flags = cached % 256;
    if ((flags & access) === 0 || (user && (flags & Pte.U) === 0)) return NO_TRANSLATION;
    return Math.floor(cached / 256) * PAGE_SIZE + (va - page * PAGE_SIZE);
  }

  /** Raw leaf entry of a mapped page, 0 when there is none. */
  leaf(va: number): bigint {
    const at = findLeaf(this.#memory, this.root, va);
    return at < 0 ? 0n : this.#memory.readU64(at);
  }

  /** Adds bits to the leaf of a mapped page (the first task's shared pages, sheet 10, section 1.6). */
  addLeafFlags(va: number, flags: number): void {
    const at = findLeaf(this.#memory, this.root, va);
    assert(at >= 0, 'flags added to a page that is not mapped');
    this.#memory.writeU32(at, (this.#memory.readU32(at) | flags) >>> 0);
    this.#cache.delete(Math.floor(va / PAGE_SIZE));
  }

  /** Gives the table pages back. */
  release(): void {
    for (const page of this.#tables) this.#pages.free(page);
    this.#tables.length = 0;
    this.#cache.clear();
  }
}

/** One step of KMAP: a line to print, or (null) a table page to take. */
type KmapStep = string | null;

interface KmapLink {
  readonly parent: number;
  readonly index: number;
  readonly child: number;
}

/** Result of creating a space. */
export type AddressSpaceResult = AddressSpace | 'asid-exhausted' | 'no-memory';

/** The kernel's table of address spaces. Handles are global and reused lowest first; ASIDs go round. */
export class AddressSpaces {
  readonly #memory: GuestMemory;
  readonly #pages: TablePages;
  readonly #addresses: KernelAddresses;
  readonly #print: (line: string) => void;
  readonly #spaces: (AddressSpace | null)[] = [null];
  readonly #asidUsed = new Uint8Array(MAX_ASID + 1);
  #nextAsid = 1;
  #steps: KmapStep[] = [];
  readonly #links: KmapLink[] = [];
  #image = new Uint8Array(0);
  #kernelPages = 0;

  constructor(memory: GuestMemory, pages: TablePages, addresses: KernelAddresses, print: (line: string) => void) {
    this.#memory = memory;
    this.#pages = pages;
    this.#addresses = addresses;
    this.#print = print;
  }

  /** The space of a handle, null for an unknown one. */
  get(handle: number): AddressSpace | null {
    return this.#spaces[handle] ?? null;
  }

  /** Creates a space with the kernel's mappings; prints KMAP. */
  create(): AddressSpaceResult {
    const asid = this.#takeAsid();
    if (asid === 0) return 'asid-exhausted';
    const tables = this.#image.length === 0 ? this.#buildFirst() : this.#copyTables();
    if (tables === null) {
      this.#asidUsed[asid] = 0;
      return 'no-memory';
    }
    let handle = 1;
    while (this.#spaces[handle]) handle++;
    const space = new AddressSpace(this.#memory, this.#pages, handle, asid, tables, this.#kernelPages);
    this.#spaces[handle] = space;
    return space;
  }

  /** Frees handle, ASID and table pages. */
  destroy(space: AddressSpace): void {
    assert(this.#spaces[space.handle] === space, 'address space destroyed twice');
    this.#spaces[space.handle] = null;
    this.#asidUsed[space.asid] = 0;
    space.release();
  }

  #takeAsid(): number {
    for (let tries = 0; tries < MAX_ASID; tries++) {
      const asid = this.#nextAsid;
      this.#nextAsid = asid === MAX_ASID ? 1 : asid + 1;
      if (this.#asidUsed[asid] === 0) {
        this.#asidUsed[asid] = 1;
        return asid;
      }
    }
    return 0;
  }

  /** Maps the kernel page by page, in the order of sheet 05, section 16.3, and remembers the outcome. */
  #buildFirst(): number[] | null {
    const a = this.#addresses;
    const tables: number[] = [];
    this.#steps = [];
    const root = this.#pages.allocate();
    if (root === null) return null;
    tables.push(root);
    this.#steps.push(null);
    const created = (parent: number, index: number, page: number): void => {
      this.#links.push({ parent: tables.indexOf(parent), index, child: tables.length });
      tables.push(page);
      this.#steps.push(null);
    };
    const range = (start: number, end: number, flags: number): boolean => {
      const error = mapRun(this.#memory, this.#pages, root, start, start, end - start, flags | Pte.V | Pte.G, created);
      assert(error === null || error === 'no-memory', `kernel mapping of ${hex(start)}: ${error ?? ''}`);
      this.#kernelPages += (end - start) / PAGE_SIZE;
      return error === null;
    };
    const say = (text: string): void => {
      this.#steps.push(text);
      this.#print(text);
    };
    const rw = Pte.R | Pte.W;
    if (!range(KERNEL_BASE, a.textEnd, Pte.R | Pte.X)) return null;
    say(
      `[INFO mm] AS-MAP: HEAP OK in DATA range: heap=${hex(a.heapStart)}..${hex(a.heapEnd)} data_end=${hex(a.dataEnd)}`,
    );
    if (!range(a.textEnd, a.dataEnd, rw)) return null;
    say(
      `[INFO mm] AS-MAP: KSTACK check: start=${hex(a.kstackStart)} end=${hex(a.kstackEnd)} data_end=${hex(a.dataEnd)} ` +
        `guard=0 map_from=${hex(a.kstackMapFrom)}`,
    );
    say(`[INFO mm] AS-MAP: mapping KSTACK tail ${hex(a.kstackMapFrom)}..${hex(a.kstackEnd)}`);
    if (!range(a.kstackMapFrom, a.kstackEnd, rw)) return null;
    say('[INFO mm] AS-MAP: KSTACK tail mapped ok');
    if (!range(INIT_POOL_BASE, INIT_WINDOW_END, rw)) return null;
    if (!range(LOW_WINDOW_BASE, LOW_WINDOW_END, rw)) return null;
    if (!range(VMO_ARENA_BASE, VMO_ARENA_END, rw)) return null;
    if (!range(UART_PAGE, UART_PAGE + PAGE_SIZE, rw)) return null;
    say('[INFO mm] map kernel segments ok');
    this.#image = new Uint8Array(tables.length * PAGE_SIZE);
    tables.forEach((page, i) => {
      this.#image.set(this.#memory.slice(page, PAGE_SIZE), i * PAGE_SIZE);
    });
    return tables;
  }

  /** Takes pages and prints lines as {@link #buildFirst} did; the bytes are copied, the links set anew. */
  #copyTables(): number[] | null {
    const tables: number[] = [];
    for (const step of this.#steps) {
      if (step !== null) {
        this.#print(step);
        continue;
      }
      const page = this.#pages.allocate();
      if (page === null) {
        for (const taken of tables) this.#pages.free(taken);
        return null;
      }
      const at = tables.length * PAGE_SIZE;
      this.#memory.slice(page, PAGE_SIZE).set(this.#image.subarray(at, at + PAGE_SIZE));
      tables.push(page);
    }
    for (const { parent, index, child } of this.#links) {
      writeEntry(this.#memory, (tables[parent] ?? 0) + index * 8, tables[child] ?? 0, Pte.V);
    }
    return tables;
  }
}
