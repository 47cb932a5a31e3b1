/**
 * The policy recipe and its compilation when an image is built (sheet 30, sections 5.1 and 5.3). policyd itself never sees
 * TOML: it gets the compiled set.
 */
import { parse, TomlError } from 'smol-toml';
import type { TomlTable, TomlValue } from 'smol-toml';
import { byUtf8, canonical, policySet } from './policy.ts';
import type { PolicySet } from './policy.ts';

/** One file of the recipe directory; `name` is its file name. */
export interface RecipeFile {
  readonly name: string;
  readonly text: string;
}

/** The OS's recipe: 17 subjects, 52 grants. */
export const BASE_RECIPE: RecipeFile = {
  name: 'base.toml',
  text: `# Capabilities per service. Who is not listed is denied everything.
[allow]
bundlemgrd = ["fs.read", "fs.verify", "ipc.core"]
"demo.testsvc" = []
dsoftbusd = ["ipc.core"]
execd = ["fs.read", "ipc.core", "proc.spawn"]
init-lite = ["fs.read", "ipc.core", "policy.delegate", "proc.spawn"]
keystored = [
  "crypto.sign", "crypto.verify", "device.keygen", "ipc.core", "policy.delegate", "rng.entropy", "statefs.keystore",
]
metricsd = ["ipc.core", "statefs.write"]
netstackd = ["device.mmio.net", "ipc.core"]
nexus-init = ["fs.read", "ipc.core", "policy.delegate", "proc.spawn"]
packagefsd = ["fs.read", "ipc.core"]
rngd = ["device.mmio.rng", "ipc.core", "policy.delegate"]
samgrd = ["ipc.core", "time.read"]
selftest-client = [
  "device.key.reload", "device.keygen", "device.mmio.net", "device.pubkey.read", "ipc.core", "proc.spawn",
  "rng.entropy", "statefs.boot", "statefs.read", "statefs.write",
]
statefsd = ["device.mmio.blk", "ipc.core", "policy.delegate"]
updated = ["crypto.verify", "ipc.core", "statefs.boot"]
vfsd = ["ipc.core"]
virtioblkd = ["device.mmio.blk", "ipc.core"]
`,
};

/** timed's route to metricsd needs an entry (contract; quirk metrics-unrouted leaves it out). */
export const TIMED_RECIPE: RecipeFile = {
  name: 'local-timed.toml',
  text: '[allow]\ntimed = ["ipc.core"]\n',
};

/** The compiled set, or one line that names file, key and what was expected. */
export type Compiled =
  { readonly ok: true; readonly policy: PolicySet } | { readonly ok: false; readonly error: string };

/** Compiles a recipe directory: `*.toml` in path order; a later subject of the same canonical name replaces the earlier. */
export function compilePolicy(files: readonly RecipeFile[]): Compiled {
  const subjects = new Map<string, readonly string[]>();
  const recipes = files.filter((file) => hasTomlExtension(file.name)).sort((a, b) => byUtf8(a.name, b.name));
  for (const file of recipes) {
    const allow = readAllow(file);
    if (typeof allow === 'string') return { ok: false, error: allow };
    for (const [subject, capabilities] of allow) subjects.set(canonical(subject), capabilities.map(canonical));
  }
  return { ok: true, policy: policySet(subjects) };
}

/** As a path's extension: a leading dot alone makes a hidden file without one. */
function hasTomlExtension(name: string): boolean {
  const base = name.slice(name.lastIndexOf('/') + 1);
  return base.endsWith('.toml') && base.length > '.toml'.length;
}

/** The `[allow]` table in byte-wise order of its keys, or an error line. */
function readAllow(file: RecipeFile): readonly (readonly [string, readonly string[]])[] | string {
  let root: TomlTable;
  try {
    root = parse(file.text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return `${file.name}:${error.line}:${error.column}: ${error.message.split('\n')[0] ?? 'invalid TOML'}`;
  }
  const allow = Object.hasOwn(root, 'allow') ? root['allow'] : {};
  if (!isTable(allow)) return `${file.name}: allow: expected a table of subjects`;
  const pairs: [string, string[]][] = [];
  for (const [subject, value] of Object.entries(allow)) {
    if (!isStrings(value)) return `${file.name}: allow.${subject}: expected an array of capability names`;
    pairs.push([subject, value]);
  }
  return pairs.sort((a, b) => byUtf8(a[0], b[0]));
}

function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date);
}

function isStrings(value: TomlValue): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
