/** The index of a system set: reading it as the OS does, and building it (sheet 55, sections 5.2 and 5.4, step 7). */
import * as capnp from 'capnp-es';
import { CapnpMessage } from '../lib/capnp-pointers.ts';
import type { CapnpStruct } from '../lib/capnp-pointers.ts';
import { trimWhiteSpace, utf8Text } from '../lib/utf8.ts';
import { SystemSetIndex as IndexBuilder } from './system-set.capnp.ts';

/** Bytes of a publisher's Ed25519 key and of a SHA-256 digest. */
export const PUBLISHER_BYTES = 32;
export const DIGEST_BYTES = 32;

/** A publisher's key: it signs the index that names it. */
export type Publisher = Uint8Array & { readonly __brand: 'Publisher' };
/** A SHA-256 digest. */
export type Digest = Uint8Array & { readonly __brand: 'Digest' };

/** One bundle of a set. */
export interface BundleEntry {
  readonly name: string;
  readonly version: string;
  readonly manifestSha256: Digest;
  readonly payloadSha256: Digest;
  /** u64. */
  readonly payloadSize: bigint;
}

/** A decoded index; texts are trimmed. */
export interface SystemSetIndex {
  readonly systemVersion: string;
  readonly publisher: Publisher;
  /** u64, ms since 1970; nobody looks at it. */
  readonly timestampUnixMs: bigint;
  readonly bundles: readonly BundleEntry[];
}

type TextField = 'systemVersion' | 'bundle name' | 'bundle version';

/** Why an index was refused; the texts are the OS's. */
export type IndexFault =
  | 'capnp decode failed'
  | 'capnp root missing'
  | `${TextField} ${'missing' | 'invalid utf-8' | 'empty'}`
  | 'publisher missing'
  | 'publisher must be 32 bytes'
  | 'bundles missing'
  | 'manifestSha256 missing'
  | 'payloadSha256 missing'
  | 'digest must be 32 bytes';

type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: IndexFault };

/** Pointers and data offsets of the two structs. */
const Root = { SYSTEM_VERSION: 0, PUBLISHER: 1, BUNDLES: 2, TIMESTAMP: 8 } as const;
const Bundle = { NAME: 0, VERSION: 1, MANIFEST_SHA256: 2, PAYLOAD_SHA256: 3, PAYLOAD_SIZE: 0 } as const;
/** The one version there is; nobody checks it on the way in. */
const SCHEMA_VERSION = 1;

/** Decodes any bytes. */
export function decodeIndex(bytes: Uint8Array): Result<SystemSetIndex> {
  const message = CapnpMessage.parse(bytes);
  if (message === null) return failed('capnp decode failed');
  const root = message.root();
  if (root === null) return failed('capnp root missing');
  const systemVersion = textOf(root, Root.SYSTEM_VERSION, 'systemVersion');
  if (!systemVersion.ok) return systemVersion;
  const publisher = root.data(Root.PUBLISHER);
  if (publisher === null) return failed('publisher missing');
  if (publisher.length !== PUBLISHER_BYTES) return failed('publisher must be 32 bytes');
  const list = root.structs(Root.BUNDLES);
  if (list === null) return failed('bundles missing');
  const bundles: BundleEntry[] = [];
  for (let i = 0; i < list.count; i++) {
    const bundle = bundleOf(list.at(i));
    if (!bundle.ok) return bundle;
    bundles.push(bundle.value);
  }
  const timestampUnixMs = root.u64(Root.TIMESTAMP);
  return {
    ok: true,
    value: { systemVersion: systemVersion.value, publisher: publisher as Publisher, timestampUnixMs, bundles },
  };
}

function bundleOf(entry: CapnpStruct): Result<BundleEntry> {
  const name = textOf(entry, Bundle.NAME, 'bundle name');
  if (!name.ok) return name;
  const version = textOf(entry, Bundle.VERSION, 'bundle version');
  if (!version.ok) return version;
  const manifestSha256 = entry.data(Bundle.MANIFEST_SHA256);
  if (manifestSha256 === null) return failed('manifestSha256 missing');
  const payloadSha256 = entry.data(Bundle.PAYLOAD_SHA256);
  if (payloadSha256 === null) return failed('payloadSha256 missing');
  if (manifestSha256.length !== DIGEST_BYTES || payloadSha256.length !== DIGEST_BYTES)
    return failed('digest must be 32 bytes');
  return {
    ok: true,
    value: {
      name: name.value,
      version: version.value,
      manifestSha256: manifestSha256 as Digest,
      payloadSha256: payloadSha256 as Digest,
      payloadSize: entry.u64(Bundle.PAYLOAD_SIZE),
    },
  };
}

function textOf(struct: CapnpStruct, pointer: number, field: TextField): Result<string> {
  const bytes = struct.text(pointer);
  if (bytes === null) return failed(`${field} missing`);
  const raw = utf8Text(bytes);
  if (raw === null) return failed(`${field} invalid utf-8`);
  const value = trimWhiteSpace(raw);
  return value === '' ? failed(`${field} empty`) : { ok: true, value };
}

function failed(fault: IndexFault): { readonly ok: false; readonly fault: IndexFault } {
  return { ok: false, fault };
}

/** Encodes an index, objects in the order of the OS's packers. */
export function encodeIndex(index: SystemSetIndex): Uint8Array {
  const message = new capnp.Message();
  const root = message.initRoot(IndexBuilder);
  root.schemaVersion = SCHEMA_VERSION;
  root.systemVersion = index.systemVersion;
  root._initPublisher(index.publisher.length).copyBuffer(index.publisher);
  root.timestampUnixMs = index.timestampUnixMs;
  const bundles = root._initBundles(index.bundles.length);
  index.bundles.forEach((bundle, i) => {
    const entry = bundles.get(i);
    entry.name = bundle.name;
    entry.version = bundle.version;
    entry._initManifestSha256(bundle.manifestSha256.length).copyBuffer(bundle.manifestSha256);
    entry._initPayloadSha256(bundle.payloadSha256.length).copyBuffer(bundle.payloadSha256);
    entry.payloadSize = bundle.payloadSize;
  });
  return new Uint8Array(message.toArrayBuffer());
}
