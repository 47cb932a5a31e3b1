/** TCP segments as the state machine sees them, and sequence number arithmetic (RFC 9293, section 3.4). */
import type { Ipv4 } from '../../sim/net/address.ts';
import { TcpFlag } from '../../sim/net/tcp.ts';
import type { TcpOption, TcpSegment } from '../../sim/net/tcp.ts';

/** At most one control function per segment; SYN with FIN or RST is nothing that anybody sends. */
export type TcpControl = 'none' | 'psh' | 'syn' | 'fin' | 'rst';

/** A segment without its ports. */
export interface Segment {
  readonly control: TcpControl;
  /** 32 bits, unsigned. */
  readonly seq: number;
  /** 32 bits, unsigned; null without ACK. */
  readonly ack: number | null;
  /** 16 bits, as on the wire. */
  readonly window: number;
  /** SYN only: window scale; null for none. */
  readonly scale: number | null;
  /** SYN only: largest payload; null for none. */
  readonly mss: number | null;
  readonly sackPermitted: boolean;
  readonly payload: Uint8Array;
}

/** One end of a connection. */
export interface TcpEndpoint {
  readonly ip: Ipv4;
  readonly port: number;
}

/** A connection as this side sees it. */
export interface TcpPair {
  readonly local: TcpEndpoint;
  readonly remote: TcpEndpoint;
}

/** Largest window scale (RFC 7323, section 2.3). */
const SCALE_MAX = 14;

/** a - b as a signed distance. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

/** a + n, wrapping. */
export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** Sequence numbers that the segment takes. */
export function segmentLength(segment: Segment): number {
  return segment.payload.length + (segment.control === 'syn' || segment.control === 'fin' ? 1 : 0);
}

/** Reads a decoded segment; null when its flags contradict each other. */
export function segmentOf(wire: TcpSegment): Segment | null {
  const control = controlOf(wire.flags);
  if (control === null) return null;
  let scale: number | null = null;
  let mss: number | null = null;
  let sackPermitted = false;
  for (const option of wire.options) {
    if (option.kind === 'mss') mss = option.value;
    else if (option.kind === 'window-scale') scale = Math.min(option.shift, SCALE_MAX);
    else if (option.kind === 'sack-permitted') sackPermitted = true;
  }
  return {
    control,
    seq: wire.seq,
    ack: (wire.flags & TcpFlag.ACK) === 0 ? null : wire.ack,
    window: wire.window,
    scale,
    mss,
    sackPermitted,
    payload: wire.payload,
  };
}

function controlOf(flags: number): TcpControl | null {
  switch (flags & (TcpFlag.FIN | TcpFlag.SYN | TcpFlag.RST | TcpFlag.PSH)) {
    case 0:
      return 'none';
    case TcpFlag.PSH:
      return 'psh';
    case TcpFlag.SYN:
    case TcpFlag.SYN | TcpFlag.PSH:
      return 'syn';
    case TcpFlag.FIN:
    case TcpFlag.FIN | TcpFlag.PSH:
      return 'fin';
    case TcpFlag.RST:
    case TcpFlag.RST | TcpFlag.PSH:
      return 'rst';
    default:
      return null;
  }
}

const CONTROL_FLAGS = { none: 0, psh: TcpFlag.PSH, syn: TcpFlag.SYN, fin: TcpFlag.FIN, rst: TcpFlag.RST } as const;

/** The segment for the wire; options in the order MSS, window scale, SACK permitted. */
export function wireOf(segment: Segment, srcPort: number, dstPort: number): TcpSegment {
  const options: TcpOption[] = [];
  if (segment.mss !== null) options.push({ kind: 'mss', value: segment.mss });
  if (segment.scale !== null) options.push({ kind: 'window-scale', shift: segment.scale });
  if (segment.sackPermitted) options.push({ kind: 'sack-permitted' });
  return {
    srcPort,
    dstPort,
    seq: segment.seq,
    ack: segment.ack ?? 0,
    flags: CONTROL_FLAGS[segment.control] | (segment.ack === null ? 0 : TcpFlag.ACK),
    window: segment.window,
    urgent: 0,
    options,
    payload: segment.payload,
  };
}

const NO_BYTES = new Uint8Array(0);

/** The answer to a segment that no socket takes (RFC 9293, section 3.10.7.1); null for a RST. */
export function resetFor(segment: Segment): Segment | null {
  if (segment.control === 'rst') return null;
  const ack = segment.ack === null ? seqAdd(segment.seq, segmentLength(segment)) : null;
  return {
    control: 'rst',
    seq: segment.ack ?? 0,
    ack,
    window: 0,
    scale: null,
    mss: null,
    sackPermitted: false,
    payload: NO_BYTES,
  };
}
