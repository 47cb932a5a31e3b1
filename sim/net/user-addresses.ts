/** Who lives where in QEMU's user-mode network (sheet 70, section 5; sheet 05, section 14.3). */
import type { Ipv4, Mac } from './address.ts';
import { ipv4, prefixMask } from './address.ts';

export const USER_PREFIX = 24;
export const USER_MASK = prefixMask(USER_PREFIX);
export const USER_GATEWAY = ipv4(10, 0, 2, 2);
export const USER_DNS = ipv4(10, 0, 2, 3);
/** Last address of the network. */
export const USER_SUBNET_BROADCAST = ipv4(10, 0, 2, 255);
/** The first of {@link USER_LEASES} addresses that DHCP hands out. */
export const USER_FIRST_LEASE = ipv4(10, 0, 2, 15);
export const USER_LEASES = 16;
/** Source of errors about what was sent to the host itself, where nothing listens. */
export const HOST_LOOPBACK = ipv4(127, 0, 0, 1);
/** The host's resolver: the source of an answer that lost its way (TEST-NET-1, RFC 5737; the real one is the host's). */
export const FOREIGN_RESOLVER = ipv4(192, 0, 2, 53);

/** Address of the network's own stations: 52:55 and the IPv4 address. */
export function userMac(address: Ipv4): Mac {
  return (0x5255_0000_0000 + address) as Mac;
}

/** Source address of every IPv4 frame of the network, whoever the packet is from. */
export const USER_MAC = userMac(USER_GATEWAY);
