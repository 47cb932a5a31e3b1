/**
 * A ladder as plain data: the markers a run must print, their phases, the flags of `RUN_UNTIL_MARKER=1` and the checks
 * that come after the ladder (sheet 85). Loaded from TOML by `loader.ts`; everything else here only reads it.
 */

/** A value or one clear line that says what was wrong. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string };

/** A phase: where its excerpt begins and the ladder marker that ends it (sheet 85, section 4.1). */
export interface Phase {
  readonly name: string;
  readonly start: string;
  readonly end: string;
}

/** Flags of the stop set under a common name (sheet 85, section 6.1). */
export interface StopGroup {
  readonly group: string;
  readonly flags: readonly string[];
}

/** Lines that stop a run early when it waits for one marker (sheet 85, section 6.2). */
export interface Trouble {
  readonly ignore: readonly string[];
  readonly panic: readonly string[];
  readonly hardening: readonly string[];
}

/** What replaces a requirement's markers in a log without its gate (sheet 85, section 5.2). */
export interface Gate {
  /** The markers are required only of a log that contains this. */
  readonly marker: string;
  /** A log without the gate passes with a warning if it contains this. */
  readonly fallback: string;
  readonly fallbackWarning: string;
  /** Named as `missing_marker` of a log that contains neither. */
  readonly neither: string;
  /** Named in the second error line of such a log. */
  readonly neitherText: string;
  /** The flag that makes the gate itself required. */
  readonly strictFlag: string | undefined;
}

/** A check made after the ladder and never trimmed by a phase (sheet 85, sections 5.2 and 5.3). */
export interface Requirement {
  readonly name: string;
  /** As the message shows it, such as `REQUIRE_DSOFTBUS=1`. */
  readonly flag: string;
  /** Phase, excerpt start and previous marker of its failure. */
  readonly phase: string;
  readonly start: string;
  readonly prev: string;
  readonly markers: readonly string[];
  readonly gate: Gate | undefined;
}

export interface Ladder {
  readonly name: string;
  readonly markers: readonly string[];
  readonly phases: readonly Phase[];
  readonly stop: readonly StopGroup[];
  readonly orderedExact: readonly string[];
  readonly orderedPrefix: readonly string[];
  readonly requirements: readonly Requirement[];
  /** Substrings of lines that report a failure; only a strict verdict minds them. */
  readonly fail: readonly string[];
  /** Substrings of failure lines that belong to a good run. */
  readonly expectedFail: readonly string[];
  readonly trouble: Trouble;
  /** The phase it was trimmed to. */
  readonly trimmedTo: string | undefined;
}

/** Says whether the order rule looks at a marker (sheet 85, section 3.3, rule 2). */
export function isOrdered(ladder: Ladder, marker: string): boolean {
  return ladder.orderedExact.includes(marker) || ladder.orderedPrefix.some((prefix) => marker.startsWith(prefix));
}

export function phaseNamed(ladder: Ladder, name: string): Phase | undefined {
  return ladder.phases.find((phase) => phase.name === name);
}

/** The phase that a missing marker at `index` is charged to, `unknown` if none (sheet 85, section 4.2). */
export function failedPhase(ladder: Ladder, index: number): string {
  for (const phase of ladder.phases) {
    const end = ladder.markers.indexOf(phase.end);
    if (end >= index) return phase.name;
  }
  return 'unknown';
}

/**
 * Cuts the ladder after the end marker of a phase (sheet 85, section 4.3, rules 1, 2 and 4). The cut is positional:
 * everything before it stays required, whatever phase it belongs to. Requirements stay whole.
 */
export function trimToPhase(ladder: Ladder, name: string): Result<Ladder> {
  const phase = phaseNamed(ladder, name);
  if (phase === undefined) {
    const names = ladder.phases.map((known) => `${known.name} `).join('');
    return { ok: false, error: `[error] Unknown RUN_PHASE='${name}' (supported: ${names})` };
  }
  const end = ladder.markers.indexOf(phase.end);
  if (end < 0) {
    const text = `RUN_PHASE=${name} end_marker='${phase.end}' not found in expected marker ladder`;
    return { ok: false, error: `[error] ${text}` };
  }
  return { ok: true, value: { ...ladder, markers: ladder.markers.slice(0, end + 1), trimmedTo: name } };
}

/** The ladder with the requirements of `others` added, for runs that combine them (SMP with DHCP, say). */
export function withRequirements(ladder: Ladder, others: readonly Ladder[]): Ladder {
  const added = others.flatMap((other) => other.requirements);
  const kept = ladder.requirements.filter((own) => !added.some((other) => other.name === own.name));
  return { ...ladder, requirements: [...kept, ...added] };
}

/** Every text that the ladder knows, once each: markers, stop flags, requirements. */
export function knownMarkers(ladder: Ladder): readonly string[] {
  return [
    ...new Set([
      ...ladder.markers,
      ...ladder.stop.flatMap((group) => group.flags),
      ...ladder.requirements.flatMap((requirement) => requirement.markers),
    ]),
  ];
}
