/** The harness's exact lines (sheet 85); the dash in them is U+2013. */

export const SATP_HANG = '[error] SATP switch hang: trampoline entered but no post-satp marker';
export const NO_INIT = '[error] os-lite init markers not found (init: start); userspace bring-up required';
export const COMPLETED = 'QEMU selftest completed (markers verified).';

/** Runner lines of an early stop (sheet 85, sections 6 and 6.2). */
export const STOP_SUCCESS = '[info] Success marker detected – stopping QEMU';
export const STOP_PANIC = '[warn] Exception/Panic marker detected – stopping QEMU early for triage';
export const STOP_HARDENING = '[warn] Kernel debug-hardening marker detected – stopping QEMU for triage';

export function stopAtMarker(marker: string): string {
  return `[info] Marker "${marker}" seen – stopping QEMU`;
}

/** V2: too few harts for the SMP ladder; exit code 2. */
export function smpTooFew(harts: number): string {
  return `[error] REQUIRE_SMP=1 requires SMP>=2 (current SMP=${harts})`;
}

/** Section 4.3, rule 5. */
export function phaseInfo(phase: string, end: string, until: string): string {
  return `[info] RUN_PHASE=${phase} end_marker='${end}' (early-exit via RUN_UNTIL_MARKER='${until}')`;
}

export function firstFailedPhase(phase: string, marker: string): string {
  return `[error] first_failed_phase=${phase} missing_marker='${marker}'`;
}

export function missingMarker(marker: string): string {
  return `[error] Missing UART marker: ${marker}`;
}

export function upButNotReady(marker: string, service: string): string {
  return `[error] Service up but not ready: missing '${marker}' after 'init: up ${service}'`;
}

export function missingRequired(flag: string, marker: string): string {
  return `[error] Missing UART marker (${flag}): ${marker}`;
}

export function outOfOrder(marker: string, line: number): string {
  return `[error] Marker out of order: ${marker} (line ${line})`;
}

/** Section 4.5: head of an excerpt. */
export function excerptHead(start: string, prev: string): readonly string[] {
  return [
    '[info] --- uart excerpt (bounded, phase-scoped) ---',
    `[info] start_marker='${start}' prev_marker='${prev}'`,
  ];
}

export const EXCERPT_TAIL = '[info] (no start marker found; showing last 220 lines)';

/** Not of the harness: a failure line in a strict run. */
export function unexpectedFail(line: number, text: string): string {
  return `[error] Unexpected failure line ${line}: ${text}`;
}
