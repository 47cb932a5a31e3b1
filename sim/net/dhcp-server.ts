/** The user network's DHCP server: its leases and the bytes of its answers (sheet 05, section 14.3; sheet 70, section 5). */
import type { Ipv4, Mac } from './address.ts';
import { IPV4_ANY, IPV4_BROADCAST, macOf, MAC_SIZE } from './address.ts';
import type { DhcpMessage, DhcpOption } from './dhcp.ts';
import {
  CHADDR_SIZE,
  DhcpCode,
  DhcpOp,
  DhcpType,
  dhcpAddress,
  dhcpType,
  dhcpU32,
  encodeDhcp,
  FILE_SIZE,
  SNAME_SIZE,
} from './dhcp.ts';
import { USER_DNS, USER_FIRST_LEASE, USER_GATEWAY, USER_LEASES, USER_MASK } from './user-addresses.ts';

/** Bytes of every answer, zero padded. */
export const DHCP_REPLY_SIZE = 548;
/** Seconds. */
export const LEASE_TIME = 86_400;
const HTYPE_ETHERNET = 1;
/** Text of a NAK. */
const NAK_TEXT = 'requested address not available';

/** An answer. `address` is null in a NAK. */
export interface DhcpReply {
  readonly payload: Uint8Array;
  readonly mac: Mac;
  readonly address: Ipv4 | null;
}

/** Leases are never given back: neither time nor RELEASE ends one, as in the reference. */
export class DhcpServer {
  /** Index is the address's distance from {@link USER_FIRST_LEASE}. */
  readonly #leases: (Mac | null)[] = Array.from({ length: USER_LEASES }, () => null);

  /** The answer to a client's message, or null when there is none. */
  answer(request: DhcpMessage): DhcpReply | null {
    if (request.op !== DhcpOp.REQUEST) return null;
    // A client that names no type is taken for a BOOTP client and gets what a REQUEST gets.
    const type = dhcpType(request) ?? DhcpType.REQUEST;
    const mac = macOf(request.chaddr);
    const wanted = dhcpAddress(request, DhcpCode.REQUESTED_IP) ?? IPV4_ANY;
    switch (type) {
      case DhcpType.DISCOVER: {
        const address = this.#claim(wanted, mac) ?? this.#allocate(mac);
        return address === null ? null : reply(request, mac, DhcpType.OFFER, address);
      }
      case DhcpType.REQUEST: {
        const named = wanted === IPV4_ANY ? request.ciaddr : wanted;
        const address = named === IPV4_ANY ? this.#allocate(mac) : this.#claim(named, mac);
        if (address !== null) return reply(request, mac, DhcpType.ACK, address);
        return named === IPV4_ANY ? null : reply(request, mac, DhcpType.NAK, null);
      }
      default:
        return null;
    }
  }

  /** That very address, if it is in the range and free or the client's own. */
  #claim(address: Ipv4, mac: Mac): Ipv4 | null {
    const index = address - USER_FIRST_LEASE;
    if (index < 0 || index >= USER_LEASES) return null;
    const holder = this.#leases[index] ?? null;
    if (holder !== null && holder !== mac) return null;
    this.#leases[index] = mac;
    return address;
  }

  /** The first address that is free or the client's own. */
  #allocate(mac: Mac): Ipv4 | null {
    const index = this.#leases.findIndex((holder) => holder === null || holder === mac);
    if (index < 0) return null;
    this.#leases[index] = mac;
    return (USER_FIRST_LEASE + index) as Ipv4;
  }
}

function reply(request: DhcpMessage, mac: Mac, type: number, address: Ipv4 | null): DhcpReply {
  const chaddr = new Uint8Array(CHADDR_SIZE);
  chaddr.set(request.chaddr.subarray(0, MAC_SIZE));
  const options: DhcpOption[] = [{ code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) }];
  if (address === null) {
    options.push({ code: DhcpCode.MESSAGE, data: Uint8Array.from(NAK_TEXT, (letter) => letter.charCodeAt(0)) });
  } else {
    options.push(
      dhcpU32(DhcpCode.SERVER_ID, USER_GATEWAY),
      dhcpU32(DhcpCode.SUBNET_MASK, USER_MASK),
      dhcpU32(DhcpCode.ROUTER, USER_GATEWAY),
      dhcpU32(DhcpCode.DNS, USER_DNS),
      dhcpU32(DhcpCode.LEASE_TIME, LEASE_TIME),
    );
  }
  const message: DhcpMessage = {
    op: DhcpOp.REPLY,
    htype: HTYPE_ETHERNET,
    hlen: MAC_SIZE,
    hops: 0,
    xid: request.xid,
    secs: 0,
    flags: 0,
    ciaddr: IPV4_ANY,
    yiaddr: address ?? IPV4_BROADCAST,
    siaddr: USER_GATEWAY,
    giaddr: IPV4_ANY,
    chaddr,
    sname: new Uint8Array(SNAME_SIZE),
    file: new Uint8Array(FILE_SIZE),
    options,
  };
  return { payload: encodeDhcp(message, DHCP_REPLY_SIZE), mac, address };
}
