/**
 * Classic pcap files (the libpcap savefile format), link type Ethernet: a view of the trace's `packet` events as the
 * harness's OS2VM_PCAP files are of a machine's wire (sheet 85; sheet 70, section 13). Little-endian, so that the bytes
 * are the same everywhere.
 */
import type { TraceListener } from '../trace.ts';

/** Unit of the second half of a time stamp. */
export type PcapResolution = 'us' | 'ns';

export const PCAP_MAGIC_US = 0xa1b2_c3d4;
export const PCAP_MAGIC_NS = 0xa1b2_3c4d;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
/** Longest part of a frame that is stored. */
export const PCAP_SNAPLEN = 65_536;
const LINKTYPE_ETHERNET = 1;
export const PCAP_FILE_HEADER = 24;
export const PCAP_RECORD_HEADER = 16;
const NS_PER_SECOND = 1_000_000_000;

/** The first 24 bytes of a file. */
export function pcapHeader(resolution: PcapResolution = 'us'): Uint8Array {
  const bytes = new Uint8Array(PCAP_FILE_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, resolution === 'us' ? PCAP_MAGIC_US : PCAP_MAGIC_NS, true);
  view.setUint16(4, VERSION_MAJOR, true);
  view.setUint16(6, VERSION_MINOR, true);
  view.setUint32(16, PCAP_SNAPLEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return bytes;
}

/**
 * One frame with its header. `t`: ns since `epochSeconds` (Unix time); a part of a microsecond is cut off. Frames beyond
 * the snap length are cut.
 */
export function pcapRecord(
  t: number,
  frame: Uint8Array,
  resolution: PcapResolution = 'us',
  epochSeconds = 0,
): Uint8Array {
  const stored = Math.min(frame.length, PCAP_SNAPLEN);
  const bytes = new Uint8Array(PCAP_RECORD_HEADER + stored);
  const view = new DataView(bytes.buffer);
  const rest = t % NS_PER_SECOND;
  view.setUint32(0, epochSeconds + Math.floor(t / NS_PER_SECOND), true);
  view.setUint32(4, resolution === 'us' ? Math.floor(rest / 1000) : rest, true);
  view.setUint32(8, stored, true);
  view.setUint32(12, frame.length, true);
  bytes.set(frame.subarray(0, stored), PCAP_RECORD_HEADER);
  return bytes;
}

export interface PcapOptions {
  readonly resolution?: PcapResolution;
  /** Whole seconds added to every time stamp: Unix time at power-on; 0 when missing. */
  readonly epochSeconds?: number;
  /** Virtual ns added to an event's time when it comes: the boots before this one, or a machine's late power-on. */
  readonly offsetNs?: () => number;
}

/** A listener that hands out a file piece by piece: its header at once, then a record per `packet` event. */
export function pcapView(sink: (chunk: Uint8Array) => void, options: PcapOptions = {}): TraceListener {
  const { resolution = 'us', epochSeconds = 0, offsetNs } = options;
  sink(pcapHeader(resolution));
  return (event) => {
    if (event.kind !== 'packet') return;
    sink(pcapRecord(event.t + (offsetNs?.() ?? 0), event.bytes, resolution, epochSeconds));
  };
}

/** A frame out of a file. */
export interface PcapFrame {
  readonly seconds: number;
  /** Of the second; the file may say a second or more. */
  readonly ns: number;
  readonly bytes: Uint8Array;
  /** Its length on the wire; `bytes` may be less. */
  readonly length: number;
}

/** Too short for a header or a record; not a pcap file; another link type. */
export type PcapReject = 'truncated' | 'bad-magic' | 'bad-link-type';

/** Reads a file of either byte order and resolution. The frames are views of `bytes`. */
export function parsePcap(bytes: Uint8Array): readonly PcapFrame[] | PcapReject {
  if (bytes.length < PCAP_FILE_HEADER) return 'truncated';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = isMagic(view.getUint32(0, true));
  if (!little && !isMagic(view.getUint32(0, false))) return 'bad-magic';
  if (view.getUint32(20, little) !== LINKTYPE_ETHERNET) return 'bad-link-type';
  const unit = view.getUint32(0, little) === PCAP_MAGIC_US ? 1000 : 1;
  const frames: PcapFrame[] = [];
  let at = PCAP_FILE_HEADER;
  while (at < bytes.length) {
    const start = at + PCAP_RECORD_HEADER;
    if (start > bytes.length) return 'truncated';
    const stored = view.getUint32(at + 8, little);
    if (start + stored > bytes.length) return 'truncated';
    frames.push({
      seconds: view.getUint32(at, little),
      ns: view.getUint32(at + 4, little) * unit,
      bytes: bytes.subarray(start, start + stored),
      length: view.getUint32(at + 12, little),
    });
    at = start + stored;
  }
  return frames;
}

function isMagic(word: number): boolean {
  return word === PCAP_MAGIC_US || word === PCAP_MAGIC_NS;
}
