/**
 * System sets (`.nxs`): the checks of section 5.4 in their order, in two halves with the signature's verification between
 * them, and the packer. The set's own index names the key that it must be signed with; digests bind the bundles.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { sameBytes } from '../lib/text.ts';
import { decodeIndex, encodeIndex } from './system-set-index.ts';
import type { BundleEntry, Digest, IndexFault, Publisher, SystemSetIndex } from './system-set-index.ts';
import { walkTar, writeTar } from './tar.ts';
import type { TarFault, TarMember } from './tar.ts';

/** Limits, bytes and bundles. */
export const MAX_ARCHIVE = 104_857_600;
export const MAX_INDEX = 1_048_576;
export const MAX_BUNDLES = 256;
export const MAX_MANIFEST = 262_144;
export const MAX_PAYLOAD = 52_428_800;
export const SIGNATURE_BYTES = 64;

/** Names of the first two members, and of a bundle's two files. */
const INDEX_NAME = 'system.nxsindex';
const SIGNATURE_NAME = 'system.sig.ed25519';
const BUNDLE_SUFFIX = '.nxb';
const MANIFEST_NAME = 'manifest.nxb';
const PAYLOAD_NAME = 'payload.elf';

/** Hashing is done in chunks of this size; a hook fires on every 64th chunk of a blob, and every 8th call of it yields. */
const HASH_CHUNK = 4096;
const HOOK_CHUNKS = 64;
export const HOOK_CALLS_PER_YIELD = 8;
const HASH_BLOCK = 64;

/** Why a set was refused, as the audit says it. */
export type SetFault =
  | TarFault
  | IndexFault
  | 'oversized'
  | 'missing system entries'
  | 'missing-entry'
  | 'signature'
  | 'too many bundles'
  | 'digest'
  | 'unexpected-entry';

/** A set whose index was read; nothing is verified yet. */
export interface SystemSet {
  /** What the signature signs. */
  readonly indexBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly index: SystemSetIndex;
  /** The other files by name; of two with one name the last. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What the checks of the bundles cost. */
export interface HashWork {
  /** 64-byte blocks hashed. */
  readonly blocks: number;
  /** Calls of the progress hook. */
  readonly hookCalls: number;
}

/** Steps 1 to 7: tar, the two system entries, the index. */
export function readSystemSet(archive: Uint8Array): SystemSet | SetFault {
  if (archive.length > MAX_ARCHIVE) return 'oversized';
  const entries = walkTar(archive);
  if (typeof entries === 'string') return entries;
  const [indexEntry, signatureEntry, ...others] = entries;
  if (indexEntry === undefined || signatureEntry === undefined) return 'missing system entries';
  if (indexEntry.name !== INDEX_NAME || signatureEntry.name !== SIGNATURE_NAME) return 'missing-entry';
  if (indexEntry.data.length > MAX_INDEX) return 'oversized';
  if (signatureEntry.data.length !== SIGNATURE_BYTES) return 'signature';
  const index = decodeIndex(indexEntry.data);
  if (!index.ok) return index.fault;
  const files = new Map<string, Uint8Array>();
  for (const entry of others) if (!entry.directory) files.set(entry.name, entry.data);
  return { indexBytes: indexEntry.data, signature: signatureEntry.data, index: index.value, files };
}

/** Steps 9 to 13: every bundle is there, whole and as the index says, and nothing else is. */
export function checkBundles(set: SystemSet): HashWork | SetFault {
  if (set.index.bundles.length > MAX_BUNDLES) return 'too many bundles';
  const left = new Map(set.files);
  let blocks = 0;
  let hookCalls = 0;
  for (const bundle of set.index.bundles) {
    const manifest = take(left, bundle.name, MANIFEST_NAME);
    const payload = take(left, bundle.name, PAYLOAD_NAME);
    if (manifest === null || payload === null) return 'missing-entry';
    if (manifest.length > MAX_MANIFEST || payload.length > MAX_PAYLOAD) return 'oversized';
    if (BigInt(payload.length) !== bundle.payloadSize) return 'digest';
    for (const blob of [manifest, payload]) {
      blocks += hashBlocks(blob.length);
      hookCalls += Math.ceil(blob.length / HASH_CHUNK / HOOK_CHUNKS);
    }
    if (!sameBytes(sha256(manifest), bundle.manifestSha256)) return 'digest';
    if (!sameBytes(sha256(payload), bundle.payloadSha256)) return 'digest';
  }
  return left.size > 0 ? 'unexpected-entry' : { blocks, hookCalls };
}

function take(files: Map<string, Uint8Array>, bundle: string, file: string): Uint8Array | null {
  const name = `${bundle}${BUNDLE_SUFFIX}/${file}`;
  const data = files.get(name) ?? null;
  files.delete(name);
  return data;
}

/** Blocks of a SHA-256 over `length` bytes, padding included. */
function hashBlocks(length: number): number {
  return Math.floor((length + 8) / HASH_BLOCK) + 1;
}

/** A bundle to pack. */
export interface PackedBundle {
  readonly name: string;
  readonly version: string;
  readonly manifest: Uint8Array;
  readonly payload: Uint8Array;
}

/** A set to pack. */
export interface SystemSetSource {
  readonly systemVersion: string;
  readonly timestampUnixMs: bigint;
  readonly publisher: Publisher;
  /** In the order of their names. */
  readonly bundles: readonly PackedBundle[];
}

/** Packs a set; `sign` signs the index's bytes with the publisher's key. */
export function packSystemSet(source: SystemSetSource, sign: (index: Uint8Array) => Uint8Array): Uint8Array {
  const { systemVersion, timestampUnixMs, publisher } = source;
  const bundles = source.bundles.map((bundle): BundleEntry => ({
    name: bundle.name,
    version: bundle.version,
    manifestSha256: sha256(bundle.manifest) as Digest,
    payloadSha256: sha256(bundle.payload) as Digest,
    payloadSize: BigInt(bundle.payload.length),
  }));
  const index = encodeIndex({ systemVersion, timestampUnixMs, publisher, bundles });
  const members: TarMember[] = [
    { name: INDEX_NAME, data: index },
    { name: SIGNATURE_NAME, data: sign(index) },
  ];
  for (const { name, manifest, payload } of source.bundles) {
    const folder = `${name}${BUNDLE_SUFFIX}/`;
    members.push({ name: folder, data: null });
    members.push({ name: `${folder}${MANIFEST_NAME}`, data: manifest });
    members.push({ name: `${folder}${PAYLOAD_NAME}`, data: payload });
  }
  return writeTar(members);
}
