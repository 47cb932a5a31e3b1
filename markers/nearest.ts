/** Suggestions for a mistyped marker. */

import { knownMarkers } from './ladder.ts';
import type { Ladder } from './ladder.ts';

/** Longest text, in characters, that a suggestion is looked for; the rest of a longer one is not compared. */
export const MAX_NEAREST_TEXT = 200;

/** Suggestions given at most. */
export const MAX_SUGGESTIONS = 3;

export interface Suggestion {
  readonly marker: string;
  /** Edits that turn the text into the marker or, if fewer, into a piece of it. */
  readonly distance: number;
}

/**
 * Edit distance between `text` and the nearest piece of `whole` (`anchored` false) or all of it (true). One row of the
 * table at a time; a row's minimum never falls, so it stops once that is above `limit`, with `limit + 1`.
 */
export function editDistance(text: string, whole: string, anchored: boolean, limit: number): number {
  let row = Array.from({ length: whole.length + 1 }, (_, column) => (anchored ? column : 0));
  for (let i = 1; i <= text.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= whole.length; j++) {
      const swap = (row[j - 1] ?? 0) + (text[i - 1] === whole[j - 1] ? 0 : 1);
      const cell = Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      next.push(cell);
      if (cell < least) least = cell;
    }
    if (least > limit) return limit + 1;
    row = next;
  }
  const distance = anchored ? (row[whole.length] ?? 0) : row.reduce((least, cell) => Math.min(least, cell));
  return Math.min(distance, limit + 1);
}

/**
 * The candidates nearest to `text`, best first. A piece of a marker is a legitimate thing to wait for, so a candidate is
 * as near as its nearest piece; among equals the one nearest as a whole goes first, then the earlier one.
 * A third of the text may differ, and two characters of a short one.
 */
export function nearestMarkers(
  text: string,
  candidates: readonly string[],
  count: number = MAX_SUGGESTIONS,
): readonly Suggestion[] {
  const wanted = text.slice(0, MAX_NEAREST_TEXT).toLowerCase();
  if (wanted === '') return [];
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  const scored: { readonly marker: string; readonly distance: number; readonly whole: number }[] = [];
  for (const marker of candidates) {
    const lower = marker.slice(0, MAX_NEAREST_TEXT).toLowerCase();
    const distance = editDistance(wanted, lower, false, limit);
    if (distance > limit) continue;
    scored.push({ marker, distance, whole: editDistance(wanted, lower, true, MAX_NEAREST_TEXT) });
  }
  // The sort is stable, so equals keep the candidates' order.
  scored.sort((a, b) => a.distance - b.distance || a.whole - b.whole);
  return scored.slice(0, count).map(({ marker, distance }) => ({ marker, distance }));
}

/**
 * Says whether the ladder knows a line with this text: the text is a piece of a marker, or a marker with what its line
 * may add (`execd: crash report pid=36`, `net: smoltcp iface up 10.0.2.15`). A marker that begins others
 * (`init: start`) excuses no longer text.
 */
export function isKnownMarkerText(text: string, known: readonly string[]): boolean {
  return known.some((marker) => {
    if (marker.includes(text)) return true;
    if (!text.startsWith(marker)) return false;
    if (known.some((other) => other !== marker && other.startsWith(marker))) return false;
    return marker.endsWith('=') || text[marker.length] === ' ';
  });
}

/**
 * One line about a marker text that the ladder does not know, `undefined` for one that it does. Not an error: a run may
 * wait for any line.
 */
export function unknownMarkerHint(text: string, ladder: Ladder): string | undefined {
  const known = knownMarkers(ladder);
  if (isKnownMarkerText(text, known)) return undefined;
  const near = nearestMarkers(text, known);
  const hint = near.length === 0 ? 'nothing is near it' : `nearest: ${near.map((s) => `'${s.marker}'`).join(', ')}`;
  return `marker '${text}' is not in ladder '${ladder.name}'; ${hint}`;
}
