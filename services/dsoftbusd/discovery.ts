/**
 * The discovery announcement, version 1 (sheet 70, section 9.1): who a node is, where it listens, its static key. Every
 * byte string decodes to an announcement or to its first fault in field order; what follows the last field is ignored.
 */
import { KEY_BYTES, publicKey } from '../lib/noise.ts';
import type { PublicKey } from '../lib/noise.ts';
import { utf8Text } from '../lib/utf8.ts';

const MAGIC: readonly number[] = [0x4e, 0x58, 0x53, 0x42];
export const ANNOUNCE_VERSION = 1;
/** UDP port of announcements, and the longest datagram that is read, bytes. */
export const DISCOVERY_PORT = 37_020;
export const DATAGRAM_MAX = 256;
/** Bytes of a device id and of a service name, 1..64. */
export const DEVICE_ID_MAX = 64;
export const SERVICE_NAME_MAX = 64;
/** Services of one node. */
export const SERVICES_MAX = 16;

/** One node. Texts count in UTF-8 bytes; names may repeat. */
export interface Announce {
  readonly deviceId: string;
  /** TCP port, 0..65535. */
  readonly port: number;
  readonly staticKey: PublicKey;
  readonly services: readonly string[];
}

/** The field that is out of its bounds. */
export type InvalidField = 'device_id length' | 'service count' | 'service name length';

export type EncodeFault = { readonly fault: 'invalid-input'; readonly field: InvalidField };

export type DecodeFault =
  | { readonly fault: 'truncated' | 'bad-magic' | 'utf8' }
  | { readonly fault: 'unsupported-version'; readonly version: number }
  | EncodeFault;

const TRUNCATED: DecodeFault = { fault: 'truncated' };
const UTF8: DecodeFault = { fault: 'utf8' };

function invalid(field: InvalidField): EncodeFault {
  return { fault: 'invalid-input', field };
}

/** Encodes an announcement; the checks in the sheet's order. */
export function encodeAnnounce(announce: Announce): Uint8Array | EncodeFault {
  const encoder = new TextEncoder();
  const id = encoder.encode(announce.deviceId);
  if (id.length === 0 || id.length > DEVICE_ID_MAX) return invalid('device_id length');
  if (announce.services.length > SERVICES_MAX) return invalid('service count');
  const names = announce.services.map((name) => encoder.encode(name));
  if (names.some((name) => name.length === 0 || name.length > SERVICE_NAME_MAX)) return invalid('service name length');
  const { port, staticKey } = announce;
  return Uint8Array.from([
    ...MAGIC,
    ANNOUNCE_VERSION,
    id.length,
    ...id,
    (port >> 8) & 0xff,
    port & 0xff,
    ...staticKey,
    names.length,
    ...names.flatMap((name) => [name.length, ...name]),
  ]);
}

/** Decodes any bytes. */
export function decodeAnnounce(packet: Uint8Array): Announce | DecodeFault {
  const fields = new Fields(packet);
  const magic = fields.take(MAGIC.length);
  if (magic === null) return TRUNCATED;
  if (MAGIC.some((byte, i) => magic[i] !== byte)) return { fault: 'bad-magic' };
  const version = fields.byte();
  if (version === null) return TRUNCATED;
  if (version !== ANNOUNCE_VERSION) return { fault: 'unsupported-version', version };
  const deviceId = fields.text(DEVICE_ID_MAX, 'device_id length');
  if (typeof deviceId !== 'string') return deviceId;
  const port = fields.take(2);
  if (port === null) return TRUNCATED;
  const key = fields.take(KEY_BYTES);
  if (key === null) return TRUNCATED;
  const count = fields.byte();
  if (count === null) return TRUNCATED;
  if (count > SERVICES_MAX) return invalid('service count');
  const services: string[] = [];
  for (let i = 0; i < count; i++) {
    const name = fields.text(SERVICE_NAME_MAX, 'service name length');
    if (typeof name !== 'string') return name;
    services.push(name);
  }
  return {
    deviceId,
    port: ((port[0] ?? 0) << 8) | (port[1] ?? 0),
    staticKey: publicKey(key.slice()),
    services,
  };
}

/** Reads fields from the front. */
class Fields {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(n: number): Uint8Array | null {
    if (this.#at + n > this.#bytes.length) return null;
    this.#at += n;
    return this.#bytes.subarray(this.#at - n, this.#at);
  }

  byte(): number | null {
    return this.take(1)?.[0] ?? null;
  }

  /** A length byte, 1..max, and as many bytes of UTF-8. */
  text(max: number, field: InvalidField): string | DecodeFault {
    const length = this.byte();
    if (length === null) return TRUNCATED;
    if (length === 0 || length > max) return invalid(field);
    const bytes = this.take(length);
    if (bytes === null) return TRUNCATED;
    return utf8Text(bytes) ?? UTF8;
  }
}
