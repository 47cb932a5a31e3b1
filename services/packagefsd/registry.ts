/** What is packaged (sheet 55, sections 11.1 and 18): bundles by `name@version`, their files, the active versions. */
import { KIND_FILE as IMAGE_FILE } from '../bundlemgrd/image.ts';
import type { ImageEntry } from '../bundlemgrd/image.ts';
import { demoManifest } from '../bundlemgrd/manifest.ts';
import { ascii } from '../lib/text.ts';
import { utf8Text } from '../lib/utf8.ts';
import { KIND_DIRECTORY, KIND_FILE } from './wire.ts';
import type { PackageEntry } from './wire.ts';

/** Path of a bundle's directory inside it. */
const DIRECTORY_PATH = '.';
const AT = '@';

/** A bundle's files, for the seed. */
interface SeedBundle {
  readonly name: string;
  readonly version: string;
  readonly files: readonly (readonly [path: string, bytes: Uint8Array])[];
}

/** Bundles and their entries; read-only once it is made. */
export class Registry {
  /** Entries by path, by `name@version`. */
  readonly #bundles = new Map<string, Map<string, PackageEntry>>();
  /** Active version by bundle name. */
  readonly #active = new Map<string, string>();

  /** From an image's entries. Null: a file's name, version or path is no UTF-8. */
  static fromImage(entries: readonly ImageEntry[]): Registry | null {
    const registry = new Registry();
    const last: (readonly [name: string, version: string])[] = [];
    for (const entry of entries) {
      if (entry.kind !== IMAGE_FILE) continue;
      const name = utf8Text(entry.bundle);
      const version = utf8Text(entry.version);
      const path = utf8Text(entry.path);
      if (name === null || version === null || path === null) return null;
      registry.#entriesOf(`${name}${AT}${version}`).set(path, { kind: KIND_FILE, bytes: entry.data.slice() });
      last.push([name, version]);
    }
    registry.#activate();
    for (const [name, version] of last) registry.#active.set(name, version);
    return registry;
  }

  /** What is there without a bundlemgrd. */
  static seed(): Registry {
    const registry = new Registry();
    for (const { name, version, files } of seedBundles()) {
      const entries = registry.#entriesOf(`${name}${AT}${version}`);
      for (const [path, bytes] of files) entries.set(path, { kind: KIND_FILE, bytes });
    }
    registry.#activate();
    return registry;
  }

  /** The entry of a path relative to `pkg:/`: `bundle[@version]/path`. Null: not found. */
  resolve(path: string): PackageEntry | null {
    const relative = path.replace(/^\/+/, '');
    const slash = relative.indexOf('/');
    if (slash < 0) return null;
    const bundle = relative.slice(0, slash);
    const key = bundle.includes(AT) ? bundle : this.#activeKey(bundle);
    if (key === null) return null;
    return this.#bundles.get(key)?.get(relative.slice(slash + 1)) ?? null;
  }

  #activeKey(name: string): string | null {
    const version = this.#active.get(name);
    return version === undefined ? null : `${name}${AT}${version}`;
  }

  #entriesOf(key: string): Map<string, PackageEntry> {
    const known = this.#bundles.get(key);
    if (known !== undefined) return known;
    const entries = new Map<string, PackageEntry>([
      [DIRECTORY_PATH, { kind: KIND_DIRECTORY, bytes: new Uint8Array(0) }],
    ]);
    this.#bundles.set(key, entries);
    return entries;
  }

  /** In byte order of the keys, split at the first `@` whatever the bundle's own name was. */
  #activate(): void {
    const keys = [...this.#bundles.keys()].sort(compareBytes);
    for (const key of keys) {
      const at = key.indexOf(AT);
      this.#active.set(key.slice(0, at), key.slice(at + 1));
    }
  }
}

/** Order of the UTF-8 bytes. */
function compareBytes(a: string, b: string): number {
  const encoder = new TextEncoder();
  const x = encoder.encode(a);
  const y = encoder.encode(b);
  const shared = Math.min(x.length, y.length);
  for (let i = 0; i < shared; i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return x.length - y.length;
}

/** The built-in bundles (section 11.1). demo.hello's manifest says 0.0.1. */
function seedBundles(): readonly SeedBundle[] {
  return [
    { name: 'system', version: '1.0.0', files: [['build.prop', ascii('ro.nexus.build=dev\n')]] },
    {
      name: 'demo.hello',
      version: '1.0.0',
      files: [
        ['manifest.nxb', demoManifest('demo.hello', '0.0.1')],
        ['payload.elf', ascii('HELLO_PAYLOAD_BYTES')],
      ],
    },
    {
      name: 'demo.exit0',
      version: '1.0.0',
      files: [
        ['manifest.nxb', demoManifest('demo.exit0', '1.0.0')],
        ['payload.elf', ascii('EXIT0')],
      ],
    },
  ];
}
