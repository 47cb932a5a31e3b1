/** Which bytes behind the end of a TCP receive buffer have arrived out of order (sheet 70, section 3). */

/** Separate runs that are kept; a segment that would add one more is dropped and comes again. */
export const ASSEMBLER_RUNS = 4;

interface Run {
  readonly start: number;
  readonly end: number;
}

/** Runs in order, not touching each other. Offsets count from the end of what was taken in. */
export class Assembler {
  #runs: readonly Run[] = [];

  get empty(): boolean {
    return this.#runs.length === 0;
  }

  /** Marks `length` bytes at `offset` as arrived; false when there is no run left for them. */
  add(offset: number, length: number): boolean {
    if (length === 0) return true;
    let start = offset;
    let end = offset + length;
    const runs: Run[] = [];
    for (const run of this.#runs) {
      if (run.end < start || run.start > end) {
        runs.push(run);
        continue;
      }
      start = Math.min(start, run.start);
      end = Math.max(end, run.end);
    }
    if (runs.length >= ASSEMBLER_RUNS) return false;
    runs.push({ start, end });
    this.#runs = runs.sort((a, b) => a.start - b.start);
    return true;
  }

  /** Bytes that follow the end without a gap; they count as taken in from now on. */
  takeFront(): number {
    const first = this.#runs[0];
    if (first === undefined || first.start > 0) return 0;
    this.#runs = this.#runs.slice(1).map((run) => ({ start: run.start - first.end, end: run.end - first.end }));
    return first.end;
  }

  clear(): void {
    this.#runs = [];
  }
}
