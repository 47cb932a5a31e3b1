/** The images execd can run, and the children it remembers (sheet 60, sections 6.3 and 6.4). */
import { exit0Elf, exit42Elf, helloElf } from './payloads/payloads.ts';

/** Children remembered at most; the oldest is forgotten first. */
export const MAX_TRACKED = 16;

/** Name of a child that execd does not remember. */
export const UNKNOWN_NAME = 'unknown';

/** One image. */
export interface ExecImage {
  readonly name: string;
  readonly elf: Uint8Array;
}

/** Images by the byte that names them. */
export type ImageTable = ReadonlyMap<number, ExecImage>;

/** The three payloads of the OS. */
export function payloadImages(): ImageTable {
  return new Map([
    [1, { name: 'demo.hello', elf: helloElf() }],
    [2, { name: 'demo.exit0', elf: exit0Elf() }],
    [3, { name: 'demo.exit42', elf: exit42Elf() }],
  ]);
}

interface Tracked {
  readonly pid: number;
  readonly name: string;
}

/** Children by pid. Their end does not remove them (sheet 60, Q6). */
export class TrackedChildren {
  readonly #children: Tracked[] = [];

  add(pid: number, name: string): void {
    if (this.#children.length >= MAX_TRACKED) this.#children.shift();
    this.#children.push({ pid, name });
  }

  /** The image's name, null for a pid that is not remembered. */
  nameOf(pid: number): string | null {
    return this.#children.find((child) => child.pid === pid)?.name ?? null;
  }
}
