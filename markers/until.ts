/**
 * When a run may stop before its time: `RUN_UNTIL_MARKER` and `RUN_PHASE` (sheet 85, sections 4.3 and 6).
 */

import { phaseNamed, trimToPhase } from './ladder.ts';
import type { Ladder, Result } from './ladder.ts';
import { STOP_HARDENING, STOP_PANIC, STOP_SUCCESS, phaseInfo, stopAtMarker } from './messages.ts';
import { NeedleSet } from './needles.ts';

/** What `RUN_UNTIL_MARKER` asks for. */
export type Until =
  /** `0`: nothing stops the run. */
  | { readonly kind: 'never' }
  /** `1`: the stop set is complete. */
  | { readonly kind: 'set' }
  /** Any other text: the first line that contains it; lines of trouble stop the run too. */
  | { readonly kind: 'marker'; readonly text: string };

export function parseUntil(value: string): Until {
  if (value === '0') return { kind: 'never' };
  if (value === '1') return { kind: 'set' };
  return { kind: 'marker', text: value };
}

export interface StopReason {
  readonly kind: 'success' | 'marker' | 'panic' | 'hardening';
  /** The line that stopped the run, 1-based. */
  readonly line: number;
  /** The runner's message. */
  readonly message: string;
}

/** Watches the lines of a run for its reason to stop. */
export class UntilWatcher {
  private readonly until: Until;
  private readonly flagNames: readonly string[];
  private readonly flags: NeedleSet;
  private readonly ignore: NeedleSet;
  private readonly panic: NeedleSet;
  private readonly hardening: NeedleSet;
  private readonly set: boolean[];
  private setCount = 0;
  private lineCount = 0;
  private reason: StopReason | undefined;

  constructor(ladder: Ladder, until: Until) {
    this.until = until;
    this.flagNames = ladder.stop.flatMap((group) => group.flags);
    this.flags = new NeedleSet(this.flagNames);
    this.ignore = new NeedleSet(ladder.trouble.ignore);
    this.panic = new NeedleSet(ladder.trouble.panic);
    this.hardening = new NeedleSet(ladder.trouble.hardening);
    this.set = this.flagNames.map(() => false);
  }

  /** Takes the next line, without its ending. Gives the reason to stop after it, and that one for ever after. */
  line(text: string): StopReason | undefined {
    if (this.reason !== undefined) return this.reason;
    this.lineCount += 1;
    if (this.until.kind === 'never') return undefined;
    if (this.until.kind === 'marker' && text.includes(this.until.text)) {
      return this.stop('marker', stopAtMarker(this.until.text));
    }
    // One flag per line at most: a named "init: start x" never counts for the plain one, even when seen before.
    const flag = this.flags.firstIn(text);
    if (flag >= 0) {
      if (this.set[flag] !== true) {
        this.set[flag] = true;
        this.setCount += 1;
      }
      if (this.until.kind === 'set' && this.setCount === this.flagNames.length) {
        return this.stop('success', STOP_SUCCESS);
      }
      return undefined;
    }
    if (this.until.kind === 'set' || this.ignore.anyIn(text)) return undefined;
    if (this.panic.anyIn(text)) return this.stop('panic', STOP_PANIC);
    if (this.hardening.anyIn(text)) return this.stop('hardening', STOP_HARDENING);
    return undefined;
  }

  /**
   * Says whether an unfinished line has just received the last byte of the awaited marker, for a machine that stops
   * there and not at the line's end as the harness does.
   */
  completesAt(unfinished: string): boolean {
    return this.until.kind === 'marker' && unfinished.endsWith(this.until.text);
  }

  get stopped(): StopReason | undefined {
    return this.reason;
  }

  /** Flags of the stop set not seen yet, in the ladder's order. */
  missingFlags(): readonly string[] {
    return this.flagNames.filter((_, index) => this.set[index] !== true);
  }

  private stop(kind: StopReason['kind'], message: string): StopReason {
    this.reason = { kind, line: this.lineCount, message };
    return this.reason;
  }
}

/** A run's ladder and stop rule after `RUN_PHASE` was applied to them. */
export interface RunPlan {
  readonly ladder: Ladder;
  readonly until: Until;
  /** Lines for the user, before the run. */
  readonly info: readonly string[];
}

/**
 * Applies `RUN_PHASE` (sheet 85, section 4.3): trims the ladder, and turns `RUN_UNTIL_MARKER=1` into the phase's end
 * marker; any other value is kept. Error: a phase that the ladder does not have (exit code 2).
 */
export function planRun(ladder: Ladder, untilValue: string, phase: string | undefined): Result<RunPlan> {
  if (phase === undefined) return { ok: true, value: { ladder, until: parseUntil(untilValue), info: [] } };
  const trimmed = trimToPhase(ladder, phase);
  if (!trimmed.ok) return trimmed;
  const end = phaseNamed(ladder, phase)?.end ?? '';
  const value = untilValue === '1' ? end : untilValue;
  return {
    ok: true,
    value: { ladder: trimmed.value, until: parseUntil(value), info: [phaseInfo(phase, end, value)] },
  };
}
