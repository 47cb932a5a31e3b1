/**
 * The control queue of virtio-net (virtio 1.2, section 5.1.6.5) and the receive filter that it sets. The OS never uses
 * it; after reset the card is promiscuous (sheet 05, section 14.1, rule 4).
 */
import type { VirtioPort } from './backend.ts';
import type { Chain } from './chain.ts';

const CTRL_RX = 0;
const CTRL_RX_NOBCAST = 5;
const CTRL_MAC = 1;
const CTRL_MAC_TABLE_SET = 0;
const CTRL_MAC_ADDR_SET = 1;
const CTRL_VLAN = 2;
const CTRL_VLAN_DEL = 1;

const CTRL_OK = 0;
const CTRL_ERR = 1;

const HEADER_SIZE = 2;
const MAC_SIZE = 6;
const VLAN_IDS = 4096;
/** Addresses the filter holds; a longer table means "accept all of that kind" (as QEMU does). */
const MAC_TABLE_LIMIT = 64;
const ETHERTYPE_OFFSET = 12;
const ETHERTYPE_VLAN = 0x8100;

const PROMISC = 0;
const ALLMULTI = 1;
const ALLUNI = 2;
const NOMULTI = 3;
const NOUNI = 4;
const NOBCAST = 5;

/** State of the receive filter and the commands that change it. */
export class NetControl {
  readonly #mac: Uint8Array;
  /** One flag per CTRL_RX command. */
  readonly #mode = new Uint8Array(CTRL_RX_NOBCAST + 1);
  readonly #vlans = new Uint8Array(VLAN_IDS);
  #unicast: readonly string[] = [];
  #multicast: readonly string[] = [];
  #uniOverflow = false;
  #multiOverflow = false;

  /** `mac` is the live MAC of the config space; MAC_ADDR_SET writes it. */
  constructor(mac: Uint8Array) {
    this.#mac = mac;
    this.reset();
  }

  /** Promiscuous, tables and VLAN set empty. */
  reset(): void {
    this.#mode.fill(0);
    this.#mode[PROMISC] = 1;
    this.#vlans.fill(0);
    this.#unicast = [];
    this.#multicast = [];
    this.#uniOverflow = false;
    this.#multiOverflow = false;
  }

  /** Serves all commands in queue `index`: the answer is one status byte. */
  serve(port: VirtioPort, index: number): void {
    const queue = port.queue(index);
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
      if (chain.writableBytes < 1 || chain.readableBytes < HEADER_SIZE) {
        return port.fail(index, 'control command without header or status');
      }
      chain.writeU8(0, this.#command(chain) ? CTRL_OK : CTRL_ERR);
      queue.push(chain, 1);
      queue.signal();
    }
  }

  /** True when the filter lets a frame through to the guest; `byVlan` when CTRL_VLAN was negotiated. */
  accepts(frame: Uint8Array, byVlan: boolean): boolean {
    if (this.#on(PROMISC)) return true;
    const type = ((frame[ETHERTYPE_OFFSET] ?? 0) << 8) | (frame[ETHERTYPE_OFFSET + 1] ?? 0);
    if (byVlan && type === ETHERTYPE_VLAN) {
      const vlan = (((frame[ETHERTYPE_OFFSET + 2] ?? 0) << 8) | (frame[ETHERTYPE_OFFSET + 3] ?? 0)) % VLAN_IDS;
      if (this.#vlans[vlan] === 0) return false;
    }
    const target = frame.subarray(0, MAC_SIZE);
    if (((target[0] ?? 0) & 1) !== 0) {
      if (target.every((byte) => byte === 0xff)) return !this.#on(NOBCAST);
      if (this.#on(NOMULTI)) return false;
      return this.#on(ALLMULTI) || this.#multiOverflow || this.#multicast.includes(target.join());
    }
    if (this.#on(NOUNI)) return false;
    if (this.#on(ALLUNI) || this.#uniOverflow) return true;
    return target.join() === this.#mac.join() || this.#unicast.includes(target.join());
  }

  #on(flag: number): boolean {
    return this.#mode[flag] !== 0;
  }

  /** Runs one command; false for an unknown or malformed one (announce and offload commands are never possible here). */
  #command(chain: Chain): boolean {
    const header = chain.readU32(0);
    const command = (header >>> 8) & 0xff;
    const payload = chain.readableBytes - HEADER_SIZE;
    switch (header & 0xff) {
      case CTRL_RX:
        if (command > CTRL_RX_NOBCAST || payload < 1) return false;
        this.#mode[command] = chain.readU32(HEADER_SIZE) & 0xff;
        return true;
      case CTRL_MAC:
        if (command === CTRL_MAC_ADDR_SET && payload === MAC_SIZE) {
          chain.read(HEADER_SIZE, this.#mac);
          return true;
        }
        return command === CTRL_MAC_TABLE_SET && this.#setTables(chain);
      case CTRL_VLAN: {
        const vlan = chain.readU32(HEADER_SIZE) & 0xffff;
        if (command > CTRL_VLAN_DEL || payload < 2 || vlan >= VLAN_IDS) return false;
        this.#vlans[vlan] = command === CTRL_VLAN_DEL ? 0 : 1;
        return true;
      }
      default:
        return false;
    }
  }

  /** Payload: entry count (u32) and addresses, first for unicast, then for multicast. */
  #setTables(chain: Chain): boolean {
    const unicast = readTable(chain, HEADER_SIZE);
    if (unicast === null) return false;
    const multicast = readTable(chain, unicast.end);
    if (multicast === null || multicast.end !== chain.readableBytes) return false;
    this.#uniOverflow = unicast.overflow;
    this.#unicast = unicast.addresses;
    this.#multiOverflow = multicast.overflow;
    this.#multicast = multicast.addresses;
    return true;
  }
}

interface MacTable {
  readonly addresses: readonly string[];
  readonly overflow: boolean;
  readonly end: number;
}

function readTable(chain: Chain, offset: number): MacTable | null {
  if (offset + 4 > chain.readableBytes) return null;
  const count = chain.readU32(offset);
  const end = offset + 4 + count * MAC_SIZE;
  if (end > chain.readableBytes) return null;
  if (count > MAC_TABLE_LIMIT) return { addresses: [], overflow: true, end };
  const address = new Uint8Array(MAC_SIZE);
  const addresses: string[] = [];
  for (let i = 0; i < count; i += 1) {
    chain.read(offset + 4 + i * MAC_SIZE, address);
    addresses.push(address.join());
  }
  return { addresses, overflow: false, end };
}
