/** What the embedded policy grants, for images and for checking what a person wants to deny (sheet 30, section 5). */
import type { PolicySet } from '../services/policyd/policy.ts';
import { BASE_RECIPE, TIMED_RECIPE, compilePolicy } from '../services/policyd/recipe.ts';
import { assert } from '../sim/assert.ts';

/** The compiled recipe; `timed` (contract) has an entry for timed. */
export function embeddedPolicy(timed: boolean): PolicySet {
  const compiled = compilePolicy(timed ? [BASE_RECIPE, TIMED_RECIPE] : [BASE_RECIPE]);
  assert(compiled.ok, 'the embedded recipe does not compile');
  return compiled.policy;
}

/** Capabilities of a subject in some setting; null: the policy does not know it. */
export function grantsOf(subject: string): readonly string[] | null {
  return embeddedPolicy(true).entries.find((entry) => entry.subject === subject)?.capabilities ?? null;
}
