/**
 * How two logs of the same lines are interleaved: the longest sequence of lines that both print in the same order, the share of
 * pairs of lines that stand in the same order, and the blocks that moved. Lines are compared as they stand.
 */

/** Lines of one log at most: the comparison's table grows with the product of both. */
export const MAX_COMPARED_LINES = 5000;

/** A part and its whole. */
export interface Share {
  readonly of: number;
  readonly total: number;
}

/** Neighbouring lines of the reference that stand elsewhere in the other log, or that it lacks. */
export interface MovedBlock {
  /** 1-based number of the first line in the reference. */
  readonly line: number;
  readonly lines: readonly string[];
  /** 1-based number of the line's place in the other log; null when that log lacks one of the lines. */
  readonly at: number | null;
}

export interface Interleaving {
  /** Lines of the longest common subsequence, of the reference's lines. */
  readonly inSequence: Share;
  /** Pairs of lines of the reference that the other log has in the same order, of all pairs. A line that it lacks loses its pairs. */
  readonly pairs: Share;
  /** Reference lines outside that sequence, in blocks. */
  readonly moved: readonly MovedBlock[];
  /** Lines of the other log that the reference lacks: the k-th of a text counts as such when the reference has fewer. */
  readonly extra: readonly string[];
}

/** Compares `lines` to `reference`. Throws for a log of more than {@link MAX_COMPARED_LINES} lines. */
export function compareOrder(reference: readonly string[], lines: readonly string[]): Interleaving {
  for (const log of [reference, lines])
    if (log.length > MAX_COMPARED_LINES)
      throw new Error(`${log.length} lines, expected at most ${MAX_COMPARED_LINES} for a comparison of their order`);
  const places = placesOf(reference, lines);
  const kept = commonSubsequence(reference, lines);
  const found = places.filter((place) => place >= 0);
  const used = new Set(found);
  const n = reference.length;
  return {
    inSequence: { of: kept.filter(Boolean).length, total: n },
    pairs: { of: pairsAmong(found.length) - inversions(found), total: pairsAmong(n) },
    moved: blocks(reference, kept, places),
    extra: lines.filter((_line, index) => !used.has(index)),
  };
}

function pairsAmong(n: number): number {
  return n < 2 ? 0 : (n * (n - 1)) / 2;
}

/** Where each line of the reference stands in `lines`, the k-th of a text at the k-th of that text; -1 for none. */
function placesOf(reference: readonly string[], lines: readonly string[]): number[] {
  const open = new Map<string, number[]>();
  lines.forEach((line, index) => {
    const list = open.get(line);
    if (list === undefined) open.set(line, [index]);
    else list.push(index);
  });
  for (const list of open.values()) list.reverse();
  return reference.map((line) => open.get(line)?.pop() ?? -1);
}

/** For each line of `a`, whether it is in one longest common subsequence with `b`. */
function commonSubsequence(a: readonly string[], b: readonly string[]): boolean[] {
  const kept = a.map(() => false);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) kept[start++] = true;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    kept[--endA] = true;
    endB -= 1;
  }
  const width = endB - start + 1;
  // longest[i * width + j]: of what follows a[start + i] and b[start + j].
  const longest = new Uint16Array((endA - start + 1) * width);
  const at = (i: number, j: number): number => longest[(i - start) * width + (j - start)] ?? 0;
  for (let i = endA - 1; i >= start; i--) {
    for (let j = endB - 1; j >= start; j--) {
      longest[(i - start) * width + (j - start)] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  for (let i = start, j = start; i < endA && j < endB;) {
    if (a[i] === b[j]) {
      kept[i++] = true;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) i += 1;
    else j += 1;
  }
  return kept;
}

/** Pairs of `values` (all different) that stand in falling order. */
function inversions(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = values.length >> 1;
  const left = values.slice(0, middle);
  const right = values.slice(middle);
  let count = inversions(left) + inversions(right);
  left.sort((a, b) => a - b);
  right.sort((a, b) => a - b);
  for (let i = 0, j = 0; i < left.length; i++) {
    while (j < right.length && (right[j] ?? 0) < (left[i] ?? 0)) j += 1;
    count += j;
  }
  return count;
}

function blocks(reference: readonly string[], kept: readonly boolean[], places: readonly number[]): MovedBlock[] {
  const moved: MovedBlock[] = [];
  for (let i = 0; i < reference.length;) {
    if (kept[i] === true) {
      i += 1;
      continue;
    }
    let end = i;
    while (end < reference.length && kept[end] === false) end += 1;
    const here = places.slice(i, end);
    const at = here.includes(-1) ? null : (here[0] ?? 0) + 1;
    moved.push({ line: i + 1, lines: reference.slice(i, end), at });
    i = end;
  }
  return moved;
}
