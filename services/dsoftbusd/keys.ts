/** The test keys of DSoftBus, constant across runs (sheet 70, section 10.1). The selftest client holds its own of them. */
import { KEY_BYTES, secretKey } from '../lib/noise.ts';
import type { SecretKey } from '../lib/noise.ts';

/** Ports that keys are derived from, and that the sessions of a single machine listen on. */
export const PORT_A = 34_567;
export const PORT_B = 34_568;

/** Tag bytes of the keys, by session and side. */
export const KeyTag = {
  SERVER_STATIC: 0xa0,
  CLIENT_STATIC: 0xb0,
  SERVER_EPHEMERAL: 0xc0,
  CLIENT_EPHEMERAL: 0xd0,
  NODE_A_STATIC: 0xd0,
  NODE_B_STATIC: 0xd1,
  NODE_A_EPHEMERAL: 0xe0,
  NODE_B_EPHEMERAL: 0xe1,
  /** Both nodes of a pair of machines; their ports differ. */
  CROSS_VM_EPHEMERAL: 0xe0,
} as const;

/** secret(tag, port): tag, port high, port low, then (tag * port mod 65536) + i in each byte i. */
export function testSecret(tag: number, port: number): SecretKey {
  const seed = (tag * port) & 0xffff;
  const bytes = Uint8Array.from({ length: KEY_BYTES }, (_, i) => (seed + i) & 0xff);
  bytes[0] = tag;
  bytes[1] = port >> 8;
  bytes[2] = port & 0xff;
  return secretKey(bytes);
}
