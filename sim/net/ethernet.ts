/** Ethernet II frames without FCS (sheet 05, section 14; sheet 70, section 3). */
import type { Mac } from './address.ts';
import { MAC_SIZE, readMac, readU16, writeMac, writeU16 } from './address.ts';

export const ETHERNET_HEADER = 14;
const DST = 0;
const SRC = MAC_SIZE;
const TYPE = 2 * MAC_SIZE;

/** EtherType. */
export const EtherType = { IPV4: 0x0800, ARP: 0x0806 } as const;

export interface EthernetFrame {
  readonly dst: Mac;
  readonly src: Mac;
  /** 16 bits; below 0x600 it is a length (IEEE 802.3), which nobody here sends. */
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Why bytes are no frame: shorter than the header. */
export type EthernetReject = 'truncated';

/** `payload` is a view of `bytes`, with any padding. */
export function decodeEthernet(bytes: Uint8Array): EthernetFrame | EthernetReject {
  if (bytes.length < ETHERNET_HEADER) return 'truncated';
  return {
    dst: readMac(bytes, DST),
    src: readMac(bytes, SRC),
    type: readU16(bytes, TYPE),
    payload: bytes.subarray(ETHERNET_HEADER),
  };
}

/** `minimum`: bytes to which a shorter frame is padded with zeros; 0 pads nothing. */
export function encodeEthernet(frame: EthernetFrame, minimum = 0): Uint8Array {
  const bytes = new Uint8Array(Math.max(ETHERNET_HEADER + frame.payload.length, minimum));
  writeMac(bytes, DST, frame.dst);
  writeMac(bytes, SRC, frame.src);
  writeU16(bytes, TYPE, frame.type);
  bytes.set(frame.payload, ETHERNET_HEADER);
  return bytes;
}
