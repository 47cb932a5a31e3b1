/** vfsd's open files (sheet 55, section 12): one table for all clients, each handle with its own copy of the bytes. */
import type { FileHandle } from './wire.ts';

const HANDLE_LAST = 0xffff_ffff;

/** Handles count from 1, and from 1 again behind the last u32; one that comes round replaces the old one. */
export class HandleTable {
  readonly #files = new Map<FileHandle, Uint8Array>();
  #next: number;

  /** `first` is the first handle given out. */
  constructor(first = 1) {
    this.#next = first;
  }

  /** Open files. */
  get size(): number {
    return this.#files.size;
  }

  open(bytes: Uint8Array): FileHandle {
    const handle = this.#next as FileHandle;
    this.#next = handle === HANDLE_LAST ? 1 : handle + 1;
    this.#files.set(handle, bytes.slice());
    return handle;
  }

  /** Bytes [offset, offset + length) as far as the file has them; a view. Null: no such handle. */
  read(handle: FileHandle, offset: bigint, length: number): Uint8Array | null {
    const file = this.#files.get(handle);
    if (file === undefined) return null;
    const size = BigInt(file.length);
    const start = offset < size ? offset : size;
    const end = start + BigInt(length);
    return file.subarray(Number(start), Number(end < size ? end : size));
  }

  /** False: no such handle. */
  close(handle: FileHandle): boolean {
    return this.#files.delete(handle);
  }
}
