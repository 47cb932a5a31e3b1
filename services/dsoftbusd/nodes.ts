/** The two nodes of a pair of machines (sheet 70, section 12.1): everything follows from the own address. */
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { KeyTag, PORT_A, PORT_B } from './keys.ts';
import type { SessionRole } from './session.ts';

/** Multicast group of announcements. Sent to, but never received from: no stack joins it. */
export const DISCOVERY_GROUP: Ipv4 = ipv4(239, 42, 0, 1);
/** What both nodes announce. */
export const SERVICES: readonly string[] = ['samgrd', 'bundlemgrd'];

/** One side of the pair. */
export interface Node {
  readonly deviceId: string;
  readonly ip: Ipv4;
  readonly port: number;
  readonly staticTag: number;
}

/** The own side, the other, and who dials. */
export interface NodePair {
  readonly own: Node;
  readonly peer: Node;
  readonly role: SessionRole;
}

const NODE_A: Node = {
  deviceId: 'node-a',
  ip: ipv4(10, 42, 0, 10),
  port: PORT_A,
  staticTag: KeyTag.NODE_A_STATIC,
};
const NODE_B: Node = {
  deviceId: 'node-b',
  ip: ipv4(10, 42, 0, 11),
  port: PORT_B,
  staticTag: KeyTag.NODE_B_STATIC,
};

/** node-a at exactly 10.42.0.10; any other address is node-b's, whatever it is (Q2). */
export function pairOf(ip: Ipv4): NodePair {
  return ip === NODE_A.ip
    ? { own: NODE_A, peer: NODE_B, role: 'initiator' }
    : { own: { ...NODE_B, ip }, peer: NODE_A, role: 'acceptor' };
}
