/**
 * Bundle manifests (sheet 55, section 14): building them, and the validation of the OS's host tools. No service of the OS
 * reads a manifest; the simulator's own packages carry them.
 */
import * as capnp from 'capnp-es';
import { CapnpMessage } from '../lib/capnp-pointers.ts';
import { trimWhiteSpace, utf8Text } from '../lib/utf8.ts';
import { BundleManifest as ManifestBuilder } from './manifest.capnp.ts';

/** Bytes of a publisher's id and of a signature. */
export const PUBLISHER_ID_BYTES = 16;
export const MANIFEST_SIGNATURE_BYTES = 64;

/** A publisher's id. */
export type PublisherId = Uint8Array & { readonly __brand: 'PublisherId' };
/** A manifest's signature. */
export type ManifestSignature = Uint8Array & { readonly __brand: 'ManifestSignature' };

/** A manifest; texts are trimmed. */
export interface BundleManifest {
  readonly name: string;
  readonly semver: string;
  readonly minSdk: string;
  /** At least one, none empty. */
  readonly abilities: readonly string[];
  readonly capabilities: readonly string[];
  readonly publisher: PublisherId;
  readonly signature: ManifestSignature;
}

/** The field that made a manifest invalid, or that there is no message at all. */
export type ManifestReject =
  'decode' | 'name' | 'semver' | 'minSdk' | 'abilities' | 'capabilities' | 'publisher' | 'signature';

const Pointer = {
  NAME: 0,
  SEMVER: 1,
  ABILITIES: 2,
  CAPABILITIES: 3,
  MIN_SDK: 4,
  PUBLISHER: 5,
  SIGNATURE: 6,
} as const;
const SCHEMA_VERSION = 1;

/** Decodes any bytes; the first invalid field decides, in the order of the reads. */
export function decodeManifest(bytes: Uint8Array): BundleManifest | ManifestReject {
  const root = CapnpMessage.parse(bytes)?.root() ?? null;
  if (root === null) return 'decode';
  const name = filled(root.text(Pointer.NAME));
  if (name === null) return 'name';
  const semver = filled(root.text(Pointer.SEMVER));
  if (semver === null || !isSemver(semver)) return 'semver';
  const minSdk = filled(root.text(Pointer.MIN_SDK));
  if (minSdk === null || !isSemver(minSdk)) return 'minSdk';
  const abilities = allFilled(root.texts(Pointer.ABILITIES));
  if (abilities === null || abilities.length === 0) return 'abilities';
  const capabilities = allFilled(root.texts(Pointer.CAPABILITIES));
  if (capabilities === null) return 'capabilities';
  const publisher = root.data(Pointer.PUBLISHER);
  if (publisher?.length !== PUBLISHER_ID_BYTES) return 'publisher';
  const signature = root.data(Pointer.SIGNATURE);
  if (signature?.length !== MANIFEST_SIGNATURE_BYTES) return 'signature';
  return {
    name,
    semver,
    minSdk,
    abilities,
    capabilities,
    publisher: publisher as PublisherId,
    signature: signature as ManifestSignature,
  };
}

function filled(bytes: Uint8Array | null): string | null {
  const raw = bytes === null ? null : utf8Text(bytes);
  const text = raw === null ? '' : trimWhiteSpace(raw);
  return text === '' ? null : text;
}

function allFilled(texts: readonly (Uint8Array | null)[] | null): readonly string[] | null {
  if (texts === null) return null;
  const all: string[] = [];
  for (const bytes of texts) {
    const text = filled(bytes);
    if (text === null) return null;
    all.push(text);
  }
  return all;
}

/** Grammar of SemVer 2.0.0. */
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

/** True for a version by SemVer 2.0.0. */
export function isSemver(text: string): boolean {
  return SEMVER.test(text);
}

/** Encodes a manifest, objects in the order of the OS's packers; the fields after version 1.0 stay absent. */
export function encodeManifest(manifest: BundleManifest): Uint8Array {
  const message = new capnp.Message();
  const root = message.initRoot(ManifestBuilder);
  root.schemaVersion = SCHEMA_VERSION;
  root.name = manifest.name;
  root.semver = manifest.semver;
  const abilities = root._initAbilities(manifest.abilities.length);
  for (const [i, ability] of manifest.abilities.entries()) abilities.set(i, ability);
  const capabilities = root._initCapabilities(manifest.capabilities.length);
  for (const [i, capability] of manifest.capabilities.entries()) capabilities.set(i, capability);
  root.minSdk = manifest.minSdk;
  root._initPublisher(manifest.publisher.length).copyBuffer(manifest.publisher);
  root._initSignature(manifest.signature.length).copyBuffer(manifest.signature);
  return new Uint8Array(message.toArrayBuffer());
}

/** A manifest of the demonstration bundles: one ability, no capability, nobody's signature (section 14.2). */
export function demoManifest(name: string, semver: string): Uint8Array {
  return encodeManifest({
    name,
    semver,
    minSdk: '0.1.0',
    abilities: ['demo'],
    capabilities: [],
    publisher: new Uint8Array(PUBLISHER_ID_BYTES) as PublisherId,
    signature: new Uint8Array(MANIFEST_SIGNATURE_BYTES) as ManifestSignature,
  });
}
