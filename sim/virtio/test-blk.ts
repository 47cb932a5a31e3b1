/** A disk with its driver's hand on it, for tests: one request per call. */
import type { BlockImage } from '../block-image.ts';
import { SparseBlockImage } from '../block-image.ts';
import type { BlkOptions } from './blk.ts';
import { VirtioBlk } from './blk.ts';
import type { Buffer } from './test-rig.ts';
import { DATA, TestRig, WRITE } from './test-rig.ts';

export const HEADER = DATA;
export const STATUS_BYTE = DATA + 0x100;
export const BODY = DATA + 0x200;
export const UNMAPPED = 0x5_0000;
/** VERSION_1 in word 1; FLUSH (bit 9) in word 0. */
export const FLUSH = 0x200;

export const IN = 0;
export const OUT = 1;

/** A negotiated disk with a queue of 8; `low` are the driver's feature bits 0 to 31. */
export function ready(image: BlockImage = new SparseBlockImage(), options: BlkOptions = {}, low = FLUSH) {
  const rig = new TestRig(new VirtioBlk(image, options));
  rig.negotiate(low, 1);
  const queue = rig.setUp(0, 8);
  rig.driverOk();
  const header = (type: number, sector: number | bigint) => {
    rig.memory.writeU32(HEADER, type);
    rig.memory.writeU32(HEADER + 4, 0);
    rig.memory.writeU64(HEADER + 8, BigInt(sector));
    rig.memory.writeU8(STATUS_BYTE, 0xee);
  };
  /** One request; returns used.len and the status byte. */
  const request = (type: number, sector: number | bigint, data: readonly Buffer[]): [number, number] => {
    header(type, sector);
    const length = rig.submit(queue, [[HEADER, 16, 0], ...data, [STATUS_BYTE, 1, WRITE]]);
    return [length, rig.memory.readU8(STATUS_BYTE)];
  };
  const segment = (sector: number, count: number, flags: number): Buffer => {
    rig.memory.writeU64(BODY, BigInt(sector));
    rig.memory.writeU32(BODY + 8, count);
    rig.memory.writeU32(BODY + 12, flags);
    return [BODY, 16, 0];
  };
  return { rig, queue, header, request, segment };
}

export const r = (length: number): Buffer => [BODY, length, WRITE];
export const w = (length: number): Buffer => [BODY, length, 0];
