/**
 * The DHCP client socket (RFC 2131; sheet 70, section 3): discover, request, renew. Pure: messages and poll times in,
 * messages and configurations out.
 */
import {
  IPV4_ANY,
  IPV4_BROADCAST,
  MAC_SIZE,
  isMulticast,
  macOf,
  prefixLength,
  readU32,
  writeMac,
} from '../../sim/net/address.ts';
import type { Ipv4, Mac } from '../../sim/net/address.ts';
import {
  CHADDR_SIZE,
  DhcpCode,
  DhcpOp,
  DhcpType,
  FILE_SIZE,
  SNAME_SIZE,
  dhcpAddress,
  dhcpOption,
  dhcpType,
  dhcpU32,
} from '../../sim/net/dhcp.ts';
import type { DhcpMessage, DhcpOption } from '../../sim/net/dhcp.ts';

/** Retry of DISCOVER, ms of poll time. */
export const DISCOVER_RETRY_MS = 10_000;
/** First retry of REQUEST; doubles every second try. */
export const REQUEST_RETRY_MS = 5000;
/** REQUESTs before the client starts over. */
export const REQUEST_TRIES = 5;
/** Least time between two renewals. */
const RENEW_RETRY_MS = 60_000;
/** Lease of a server that names none, seconds. */
const LEASE_DEFAULT_S = 120;
/** Longest message taken: MTU without the headers. */
export const MAX_MESSAGE_SIZE = 1418;
const HTYPE_ETHERNET = 1;

/** What a lease says. */
export interface DhcpConfig {
  readonly ip: Ipv4;
  readonly prefix: number;
  readonly gateway: Ipv4 | null;
}

/** A message to send, and to whom. */
export interface DhcpOutgoing {
  readonly src: Ipv4;
  readonly dst: Ipv4;
  readonly message: DhcpMessage;
}

type DhcpState =
  | { readonly kind: 'discovering'; readonly retryAt: number }
  | {
      readonly kind: 'requesting';
      readonly retryAt: number;
      readonly tries: number;
      readonly server: Ipv4;
      readonly offered: Ipv4;
    }
  | {
      readonly kind: 'bound';
      readonly config: DhcpConfig;
      readonly server: Ipv4;
      readonly renewAt: number;
      readonly expiresAt: number;
    };

/** The configuration changed since the last question. */
export type DhcpEvent = 'deconfigured' | DhcpConfig;

export class DhcpClient {
  readonly kind = 'dhcp';
  readonly #mac: Mac;
  #state: DhcpState = { kind: 'discovering', retryAt: 0 };
  #xid = 1;
  /** Set at first, so that the first question without a lease is answered with `deconfigured` (quirk Q3). */
  #changed = true;

  constructor(mac: Mac) {
    this.#mac = mac;
  }

  /** What changed since the last call, or null. */
  event(): DhcpEvent | null {
    if (!this.#changed) return null;
    this.#changed = false;
    return this.#state.kind === 'bound' ? this.#state.config : 'deconfigured';
  }

  /** When {@link next} has something to send, ms of poll time. */
  get pollAt(): number {
    return this.#state.kind === 'bound' ? Math.min(this.#state.renewAt, this.#state.expiresAt) : this.#state.retryAt;
  }

  /** The message that is due at `now`, or null; `xid` becomes its transaction id. {@link sent} must follow if it left. */
  next(now: number, xid: number): DhcpOutgoing | null {
    const state = this.#state;
    if (state.kind === 'bound' && now >= state.expiresAt) this.#reset();
    if (now < this.pollAt) return null;
    switch (this.#state.kind) {
      case 'discovering':
        return { src: IPV4_ANY, dst: IPV4_BROADCAST, message: this.#message(DhcpType.DISCOVER, xid, IPV4_ANY, []) };
      case 'requesting': {
        const { server, offered, tries } = this.#state;
        if (tries >= REQUEST_TRIES) {
          this.#reset();
          return null;
        }
        const options = [dhcpU32(DhcpCode.SERVER_ID, server), dhcpU32(DhcpCode.REQUESTED_IP, offered)];
        return { src: IPV4_ANY, dst: IPV4_BROADCAST, message: this.#message(DhcpType.REQUEST, xid, IPV4_ANY, options) };
      }
      case 'bound': {
        const { config, server } = this.#state;
        return { src: config.ip, dst: server, message: this.#message(DhcpType.REQUEST, xid, config.ip, []) };
      }
    }
  }

  sent(now: number, outgoing: DhcpOutgoing): void {
    this.#xid = outgoing.message.xid;
    const state = this.#state;
    switch (state.kind) {
      case 'discovering':
        this.#state = { ...state, retryAt: now + DISCOVER_RETRY_MS };
        return;
      case 'requesting': {
        const wait = REQUEST_RETRY_MS * 2 ** Math.floor(state.tries / 2);
        this.#state = { ...state, retryAt: now + wait, tries: state.tries + 1 };
        return;
      }
      case 'bound': {
        const half = Math.floor((state.expiresAt - now) / 2);
        this.#state = { ...state, renewAt: now + Math.max(RENEW_RETRY_MS, half) };
        return;
      }
    }
  }

  /** Takes a message that came from port 67 to port 68. */
  process(now: number, message: DhcpMessage): void {
    if (message.op !== DhcpOp.REPLY || macOf(message.chaddr) !== this.#mac || message.xid !== this.#xid) return;
    const server = dhcpAddress(message, DhcpCode.SERVER_ID);
    if (server === null) return;
    const type = dhcpType(message);
    const state = this.#state;
    if (state.kind === 'discovering') {
      if (type !== DhcpType.OFFER || !isUnicast(message.yiaddr)) return;
      this.#state = { kind: 'requesting', retryAt: now, tries: 0, server, offered: message.yiaddr };
      return;
    }
    if (type === DhcpType.NAK) {
      this.#reset();
      return;
    }
    if (type !== DhcpType.ACK) return;
    const lease = leaseOf(now, message);
    if (lease === null) return;
    if (state.kind !== 'bound' || !sameConfig(state.config, lease.config)) this.#changed = true;
    this.#state = { kind: 'bound', server: state.server, ...lease };
  }

  #reset(): void {
    if (this.#state.kind === 'bound') this.#changed = true;
    this.#state = { kind: 'discovering', retryAt: 0 };
  }

  #message(type: number, xid: number, ciaddr: Ipv4, asked: readonly DhcpOption[]): DhcpMessage {
    const chaddr = new Uint8Array(CHADDR_SIZE);
    writeMac(chaddr, 0, this.#mac);
    const options: DhcpOption[] = [
      { code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) },
      { code: DhcpCode.CLIENT_ID, data: Uint8Array.of(HTYPE_ETHERNET, ...chaddr.subarray(0, MAC_SIZE)) },
      ...asked,
      { code: DhcpCode.MAX_SIZE, data: Uint8Array.of(MAX_MESSAGE_SIZE >>> 8, MAX_MESSAGE_SIZE & 0xff) },
      { code: DhcpCode.PARAMETER_LIST, data: Uint8Array.of(DhcpCode.SUBNET_MASK, DhcpCode.ROUTER, DhcpCode.DNS) },
    ];
    return {
      op: DhcpOp.REQUEST,
      htype: HTYPE_ETHERNET,
      hlen: MAC_SIZE,
      hops: 0,
      xid,
      secs: 0,
      flags: 0,
      ciaddr,
      yiaddr: IPV4_ANY,
      siaddr: IPV4_ANY,
      giaddr: IPV4_ANY,
      chaddr,
      sname: new Uint8Array(SNAME_SIZE),
      file: new Uint8Array(FILE_SIZE),
      options,
    };
  }
}

/** Configuration and times of an ACK; null without a valid mask or a unicast address. */
function leaseOf(
  now: number,
  message: DhcpMessage,
): { readonly config: DhcpConfig; readonly renewAt: number; readonly expiresAt: number } | null {
  const mask = dhcpAddress(message, DhcpCode.SUBNET_MASK);
  const prefix = mask === null ? null : prefixLength(mask);
  if (prefix === null || !isUnicast(message.yiaddr)) return null;
  const time = dhcpOption(message, DhcpCode.LEASE_TIME);
  const leaseMs = 1000 * (time?.length === 4 ? readU32(time, 0) : LEASE_DEFAULT_S);
  const routers = dhcpOption(message, DhcpCode.ROUTER);
  const gateway = routers !== null && routers.length >= 4 ? (readU32(routers, 0) as Ipv4) : null;
  return {
    config: { ip: message.yiaddr, prefix, gateway },
    renewAt: now + Math.floor(leaseMs / 2),
    expiresAt: now + leaseMs,
  };
}

/** True for the addresses one host can have. */
export function isUnicast(address: Ipv4): boolean {
  return address !== IPV4_ANY && address !== IPV4_BROADCAST && !isMulticast(address);
}

export function sameConfig(a: DhcpConfig, b: DhcpConfig): boolean {
  return a.ip === b.ip && a.prefix === b.prefix && a.gateway === b.gateway;
}
