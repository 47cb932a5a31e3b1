/** The system set that the selftest stages (sheet 80, section 10): one bundle, 5632 bytes. */
import { demoManifest } from '../bundlemgrd/manifest.ts';
import { ascii } from '../lib/text.ts';
import type { Publisher } from '../updated/system-set-index.ts';
import { packSystemSet } from '../updated/system-set.ts';

const BUNDLE = 'demo.hello';
const VERSION = '0.0.1';
const SYSTEM_VERSION = '1.0.0';
const PAYLOAD = 'open-nexus-os selftest payload v1\n';
/** Public half of the signing key, whose seed is 32 bytes of 7, and its signature over the index. */
const PUBLISHER = 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c';
const SIGNATURE =
  'a726cb669715680805ca86eac1833dcb502eb9913202403e5974cde3bcc0d96a' +
  'e403c4fdcaa67ca7e2029c716a3b3c24ef2ecca6ce6d44d0014bdf56cb95a508';

/** The archive's bytes. */
export function stagedSet(): Uint8Array {
  const manifest = demoManifest(BUNDLE, VERSION);
  return packSystemSet(
    {
      systemVersion: SYSTEM_VERSION,
      timestampUnixMs: 0n,
      publisher: bytesOf(PUBLISHER) as Publisher,
      bundles: [{ name: BUNDLE, version: VERSION, manifest, payload: ascii(PAYLOAD) }],
    },
    () => bytesOf(SIGNATURE),
  );
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
