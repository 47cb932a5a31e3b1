/**
 * Finds which of many fixed strings a line contains. Most UART lines contain none, which one regular expression tells; in the
 * others, strings that begin with the same word are looked for only where that word is.
 */

interface Bucket {
  readonly word: string;
  readonly needles: { readonly text: string; readonly index: number }[];
}

/** Characters that a regular expression takes for more than themselves. */
const SPECIAL = /[.*+?^${}()|[\]\\]/g;

export class NeedleSet {
  private readonly buckets: readonly Bucket[];
  /** Matches lines with any of them; null: there are none. */
  private readonly any: RegExp | null;

  /** Needles are known by their index in the list, and a lower index goes first. */
  constructor(needles: readonly string[]) {
    const byWord = new Map<string, Bucket>();
    needles.forEach((text, index) => {
      const blank = text.indexOf(' ', 1);
      const word = blank < 0 ? text : text.slice(0, blank);
      const bucket = byWord.get(word) ?? { word, needles: [] };
      bucket.needles.push({ text, index });
      byWord.set(word, bucket);
    });
    this.buckets = [...byWord.values()];
    const sources = needles.map((text) => text.replace(SPECIAL, String.raw`\$&`));
    this.any = needles.length === 0 ? null : new RegExp(sources.join('|'));
  }

  /** Calls back with the index of every needle that the line contains, in no promised order. */
  forEachIn(line: string, found: (index: number) => void): void {
    if (!this.anyIn(line)) return;
    for (const bucket of this.buckets) {
      if (!line.includes(bucket.word)) continue;
      for (const needle of bucket.needles) {
        if (line.includes(needle.text)) found(needle.index);
      }
    }
  }

  /** The lowest index of a needle that the line contains, -1 if there is none. */
  firstIn(line: string): number {
    let first = -1;
    this.forEachIn(line, (index) => {
      if (first < 0 || index < first) first = index;
    });
    return first;
  }

  anyIn(line: string): boolean {
    return this.any?.test(line) ?? false;
  }
}
