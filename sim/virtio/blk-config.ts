/** The config space of virtio-blk (virtio 1.2, section 5.2.4; values from sheet 05, section 12). */

/** Length of the config space. */
export const BLK_CONFIG_SIZE = 57;
/** Largest discard or write-zeroes request, in sectors. */
export const DISCARD_MAX_SECTORS = 0x3f_ffff;

const CONFIG_CAPACITY = 0x00;
const CONFIG_SEG_MAX = 0x0c;
const CONFIG_CYLINDERS = 0x10;
const CONFIG_HEADS = 0x12;
const CONFIG_SECTORS = 0x13;
const CONFIG_BLK_SIZE = 0x14;
/** The one writable byte: 1 write-back, 0 write-through. */
export const CONFIG_WRITEBACK = 0x20;
const CONFIG_NUM_QUEUES = 0x22;
const CONFIG_MAX_DISCARD_SECTORS = 0x24;
const CONFIG_MAX_DISCARD_SEG = 0x28;
const CONFIG_DISCARD_SECTOR_ALIGNMENT = 0x2c;
const CONFIG_MAX_WRITE_ZEROES_SECTORS = 0x30;
const CONFIG_MAX_WRITE_ZEROES_SEG = 0x34;
const CONFIG_WRITE_ZEROES_MAY_UNMAP = 0x38;

const SEG_MAX = 254;
const HEADS = 16;
const SECTORS_PER_TRACK = 63;
const MIN_CYLINDERS = 2;
const MAX_CYLINDERS = 16_383;

/** The config space of a disk with `sectors` sectors, in write-back mode. */
export function blkConfig(sectors: number): Uint8Array {
  const config = new Uint8Array(BLK_CONFIG_SIZE);
  const view = new DataView(config.buffer);
  view.setBigUint64(CONFIG_CAPACITY, BigInt(sectors), true);
  view.setUint32(CONFIG_SEG_MAX, SEG_MAX, true);
  const cylinders = Math.floor(sectors / (HEADS * SECTORS_PER_TRACK));
  view.setUint16(CONFIG_CYLINDERS, Math.min(Math.max(cylinders, MIN_CYLINDERS), MAX_CYLINDERS), true);
  config[CONFIG_HEADS] = HEADS;
  config[CONFIG_SECTORS] = SECTORS_PER_TRACK;
  view.setUint32(CONFIG_BLK_SIZE, 512, true);
  config[CONFIG_WRITEBACK] = 1;
  view.setUint16(CONFIG_NUM_QUEUES, 1, true);
  view.setUint32(CONFIG_MAX_DISCARD_SECTORS, DISCARD_MAX_SECTORS, true);
  view.setUint32(CONFIG_MAX_DISCARD_SEG, 1, true);
  view.setUint32(CONFIG_DISCARD_SECTOR_ALIGNMENT, 1, true);
  view.setUint32(CONFIG_MAX_WRITE_ZEROES_SECTORS, DISCARD_MAX_SECTORS, true);
  view.setUint32(CONFIG_MAX_WRITE_ZEROES_SEG, 1, true);
  config[CONFIG_WRITE_ZEROES_MAY_UNMAP] = 1;
  return config;
}

/** True when a config access reaches the write-back switch. */
export function coversWriteback(offset: number, width: number): boolean {
  return offset <= CONFIG_WRITEBACK && CONFIG_WRITEBACK < offset + width;
}
