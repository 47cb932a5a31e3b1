/**
 * The policy set and its evaluation (sheet 30, sections 4 and 5): who holds which capability, denied by default, no
 * wildcards, no hierarchy.
 */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';

/** One subject with what it holds. */
export interface PolicyEntry {
  /** Canonical name: trimmed, ASCII lower case. */
  readonly subject: string;
  readonly id: ServiceId;
  /** Canonical, sorted, no duplicates. */
  readonly capabilities: readonly string[];
}

/** Entries sorted by canonical subject. Immutable at run time. */
export interface PolicySet {
  readonly entries: readonly PolicyEntry[];
}

/** One line of the recipe: this subject holds this capability. */
export interface Grant {
  readonly subject: string;
  readonly capability: string;
}

/** Names of capabilities that policyd itself asks for. */
export const Capability = {
  CORE: 'ipc.core',
  DELEGATE: 'policy.delegate',
  ROUTE_EXECD: 'route.execd',
  SPAWN: 'proc.spawn',
} as const;

/** True iff the first entry of `id` lists `capability`, ASCII case ignored (sheet 30, section 5.2). */
export function has(policy: PolicySet, id: ServiceId, capability: string): boolean {
  const entry = policy.entries.find((candidate) => candidate.id === id);
  return entry !== undefined && entry.capabilities.some((held) => equalsIgnoringAsciiCase(held, capability));
}

/** True iff `id` has an entry that is not empty. */
export function hasAny(policy: PolicySet, id: ServiceId): boolean {
  return (policy.entries.find((candidate) => candidate.id === id)?.capabilities.length ?? 0) > 0;
}

/** Literally ASCII: the Kelvin sign is no K (sheet 30, section 11). */
function equalsIgnoringAsciiCase(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (fold(a.charCodeAt(i)) !== fold(b.charCodeAt(i))) return false;
  return true;
}

function fold(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
}

/** Transitional aliases (sheet 30, section 4): FNV-1a of the same names from another basis. */
const Alias = {
  SELFTEST_CLIENT: 0x68c1_66c3_7bcd_7154n,
  KEYSTORED: 0xe34f_d9be_f149_d9den,
  UPDATED: 0x338f_beeb_af28_aff9n,
  METRICSD: 0xed20_5ae1_e47c_393dn,
  RNGD: 0x4421_2a82_4873_13edn,
  STATEFSD: 0x3963_9576_ab14_6400n,
} as const;

/** Canonical id of a sender (spoof rule) or of the subject of ops 4 and 5. */
export function norm(id: ServiceId): ServiceId {
  switch (id as bigint) {
    case Alias.SELFTEST_CLIENT:
      return serviceIdOf('selftest-client');
    case Alias.KEYSTORED:
      return serviceIdOf('keystored');
    case Alias.UPDATED:
      return serviceIdOf('updated');
    case Alias.METRICSD:
      return serviceIdOf('metricsd');
    default:
      return id;
  }
}

/** Canonical id of a sender in the delegate rule. */
export function dnorm(id: ServiceId): ServiceId {
  switch (id as bigint) {
    case Alias.KEYSTORED:
      return serviceIdOf('keystored');
    case Alias.RNGD:
      return serviceIdOf('rngd');
    case Alias.STATEFSD:
      return serviceIdOf('statefsd');
    default:
      return id;
  }
}

/** Builds a set from canonical subjects; sorts subjects and capabilities (sheet 30, section 5.3 steps 3 and 5). */
export function policySet(subjects: ReadonlyMap<string, Iterable<string>>): PolicySet {
  const entries = [...subjects].map(([subject, capabilities]) => ({
    subject,
    id: subjectId(subject),
    capabilities: [...new Set(capabilities)].sort(byUtf8),
  }));
  return { entries: entries.sort((a, b) => byUtf8(a.subject, b.subject)) };
}

/** FNV-1a of a canonical subject. The empty subject has FNV's basis, not the kernel's id of a task without a name. */
function subjectId(subject: string): ServiceId {
  if (subject.length === 0) return 0xcbf2_9ce4_8422_2325n as ServiceId;
  return serviceIdOf(String.fromCharCode(...new TextEncoder().encode(subject)));
}

/** Canonical form of subjects and capabilities: Unicode white space off both ends, ASCII lower case (section 5.3 step 3). */
export function canonical(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isWhiteSpace(text.charCodeAt(from))) from += 1;
  while (to > from && isWhiteSpace(text.charCodeAt(to - 1))) to -= 1;
  return asciiLower(text.slice(from, to));
}

/** ASCII letters to lower case, everything else as it is. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Unicode White_Space. Not `trim()`: that leaves U+0085 and takes U+FEFF. */
function isWhiteSpace(code: number): boolean {
  if (code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0x85 || code === 0xa0 || code === 0x1680) return true;
  if (code >= 0x2000 && code <= 0x200a) return true;
  return code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f || code === 0x3000;
}

/** Order of the UTF-8 bytes, which is the order of code points; of texts without lone surrogates. */
export function byUtf8(a: string, b: string): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return codePointRank(left) - codePointRank(right);
  }
  return a.length - b.length;
}

/** A rank of UTF-16 units by the code points they stand in: surrogates, which stand for the highest, go last. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** The set with more grants; subjects without an entry get one. */
export function withGrants(policy: PolicySet, grants: readonly Grant[]): PolicySet {
  const subjects = subjectsOf(policy);
  for (const grant of grants) {
    const subject = canonical(grant.subject);
    const held = subjects.get(subject) ?? new Set<string>();
    subjects.set(subject, held.add(canonical(grant.capability)));
  }
  return policySet(subjects);
}

/** The set without some grants; what was not granted stays so. Entries stay, be they empty. */
export function withoutGrants(policy: PolicySet, grants: readonly Grant[]): PolicySet {
  const subjects = subjectsOf(policy);
  for (const grant of grants) subjects.get(canonical(grant.subject))?.delete(canonical(grant.capability));
  return policySet(subjects);
}

function subjectsOf(policy: PolicySet): Map<string, Set<string>> {
  return new Map(policy.entries.map((entry) => [entry.subject, new Set(entry.capabilities)]));
}

/** Number of grants in the set. */
export function grantCount(policy: PolicySet): number {
  return policy.entries.reduce((sum, entry) => sum + entry.capabilities.length, 0);
}
