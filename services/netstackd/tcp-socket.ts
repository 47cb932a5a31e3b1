/**
 * One TCP connection or listener (RFC 9293; parameters of sheet 70, section 3). Pure: segments and times in, segments out.
 * A listener becomes its first connection and never listens again, unless that connection is reset while it is set up.
 * No congestion control, no selective acknowledgement, no zero-window probe: a closed window opens with the next segment
 * of the peer, at the latest with its keep-alive.
 */
import { assert } from '../../sim/assert.ts';
import { Assembler } from './assembler.ts';
import { ByteRing } from './bytes.ts';
import { segmentLength, seqAdd, seqDiff } from './tcp-segment.ts';
import { TcpPeer } from './tcp-peer.ts';
import type { Segment, TcpControl, TcpPair } from './tcp-segment.ts';
import { RTO_MAX_MS, RttEstimator, TIMER_OFF } from './tcp-timers.ts';
import type { TcpTimer } from './tcp-timers.ts';

/** Largest payload that fits the device (IP MTU 1486). */
export const TCP_MSS = 1446;
export const ACK_DELAY_MS = 10;
export const TIME_WAIT_MS = 10_000;
/** Least time between two answers to segments outside the window (RFC 5961, section 7). */
export const CHALLENGE_INTERVAL_MS = 1000;
const WINDOW_MAX = 0xffff;

export type TcpState =
  | 'closed'
  | 'listen'
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'close-wait'
  | 'closing'
  | 'last-ack'
  | 'time-wait';

const NO_BYTES = new Uint8Array(0);

export class TcpSocket {
  readonly kind = 'tcp';
  readonly #rx: ByteRing;
  readonly #tx: ByteRing;
  readonly #assembler = new Assembler();
  readonly #keepAliveMs: number | null;
  #state: TcpState = 'closed';
  #listenPort = 0;
  #pair: TcpPair | null = null;
  #timer: TcpTimer = TIMER_OFF;
  #rtt = new RttEstimator();
  /** Sequence number of the first byte in the send buffer (of the SYN before it is acknowledged). */
  #localSeq = 0;
  /** Next sequence number to send. */
  #nextSeq = 0;
  /** Sequence number of the first byte in the receive buffer. */
  #remoteSeq = 0;
  /** What was acknowledged last, and the window that went with it. */
  #lastAck: number | null = null;
  #lastWindow = 0;
  #peer: TcpPeer | null = null;
  #finSent = false;
  /** {@link close} came before the connection was up. */
  #closeWhenUp = false;
  /** 'none': an acknowledgement leaves at once; else when it is due. */
  #ackDueAt: number | 'none' = 'none';
  #challengeFrom = 0;

  /** Buffer sizes in bytes, below 65,536; `keepAliveMs` null sends no keep-alives. */
  constructor(rxBytes: number, txBytes: number, keepAliveMs: number | null) {
    this.#rx = new ByteRing(rxBytes);
    this.#tx = new ByteRing(txBytes);
    this.#keepAliveMs = keepAliveMs;
  }

  get state(): TcpState {
    return this.#state;
  }

  /** Addresses of the connection; null while it has none. */
  get pair(): TcpPair | null {
    return this.#pair;
  }

  /** Bytes that can be read. */
  get readable(): number {
    return this.#rx.length;
  }

  /** True when data may be queued for sending: the connection is up in that direction. */
  get writable(): boolean {
    return this.#state === 'established' || this.#state === 'close-wait';
  }

  /** Waits for connections to `port` (not 0) on any address. */
  listen(port: number): void {
    assert(this.#state === 'closed' && port !== 0, 'a socket listens once, on a port');
    this.#listenPort = port;
    this.#state = 'listen';
  }

  /** Starts a connection; `isn` is its initial sequence number. */
  connect(pair: TcpPair, isn: number): void {
    assert(this.#state === 'closed', 'only a new socket connects');
    this.#pair = pair;
    this.#localSeq = isn;
    this.#nextSeq = isn;
    this.#state = 'syn-sent';
  }

  /** No more data will be sent; what is queued still is. */
  close(): void {
    switch (this.#state) {
      case 'listen':
      case 'syn-sent':
        this.#reset();
        return;
      case 'syn-received':
        this.#closeWhenUp = true;
        return;
      case 'established':
        this.#state = 'fin-wait-1';
        return;
      case 'close-wait':
        this.#state = 'last-ack';
        return;
      default:
        return;
    }
  }

  /** Queues data; the bytes taken. Only while {@link writable}. */
  send(data: Uint8Array): number {
    return this.writable ? this.#tx.push(data) : 0;
  }

  recv(max: number): Uint8Array {
    const data = this.#rx.pop(max);
    this.#remoteSeq = seqAdd(this.#remoteSeq, data.length);
    return data;
  }

  /** True when the segment belongs to this socket. A listener takes everything on its port but acknowledgements. */
  accepts(pair: TcpPair, segment: Segment): boolean {
    if (this.#state === 'closed') return false;
    if (this.#state === 'listen') return segment.ack === null && pair.local.port === this.#listenPort;
    const own = this.#pair;
    return (
      own !== null &&
      own.local.port === pair.local.port &&
      own.local.ip === pair.local.ip &&
      own.remote.port === pair.remote.port &&
      own.remote.ip === pair.remote.ip
    );
  }

  /** Takes a segment that {@link accepts} took. The answer that has to leave at once, or null. */
  process(now: number, pair: TcpPair, segment: Segment, isn: () => number): Segment | null {
    switch (this.#state) {
      case 'closed':
        return null;
      case 'listen':
        if (segment.control === 'syn') this.#open(now, pair, segment, isn());
        return null;
      case 'syn-sent':
        return this.#processSynSent(now, segment);
      default:
        return this.#processSynchronized(now, segment);
    }
  }

  /** SYN for a listener. */
  #open(now: number, pair: TcpPair, segment: Segment, isn: number): void {
    this.#pair = pair;
    this.#localSeq = isn;
    this.#nextSeq = isn;
    this.#state = 'syn-received';
    this.#remoteSeq = seqAdd(segment.seq, 1);
    this.#peer = new TcpPeer(segment, isn);
    this.#setIdle(now);
  }

  #processSynSent(now: number, segment: Segment): Segment | null {
    const acceptable = segment.ack === seqAdd(this.#localSeq, 1);
    if (segment.control === 'rst') {
      if (acceptable) this.#reset();
      return null;
    }
    if (!acceptable) return segment.ack === null ? null : this.#rst(segment.ack);
    // Half-open connections of the peer are answered with its own acknowledgement, which resets them (section 3.5.1).
    if (segment.control !== 'syn') return null;
    this.#rtt.onAck(now, segment.ack);
    this.#remoteSeq = seqAdd(segment.seq, 1);
    this.#peer = new TcpPeer(segment, this.#localSeq);
    this.#lastAck = segment.seq;
    this.#localSeq = seqAdd(this.#localSeq, 1);
    this.#nextSeq = this.#localSeq;
    this.#state = 'established';
    this.#setIdle(now);
    return null;
  }

  #processSynchronized(now: number, segment: Segment): Segment | null {
    if (this.#outsideWindow(segment)) {
      if (this.#state === 'time-wait') this.#startTimeWait(now);
      if (segment.control === 'rst') return null;
      this.#peer?.learn(segment);
      return this.#challenge(now);
    }
    if (segment.control === 'rst') {
      this.#onReset();
      return null;
    }
    if (segment.control === 'syn') return this.#challenge(now);
    if (segment.ack === null) return null;
    const acked = seqDiff(segment.ack, this.#localSeq);
    if (this.#state === 'syn-received') {
      if (acked !== 1) return this.#rst(segment.ack);
      this.#localSeq = segment.ack;
      this.#state = this.#closeWhenUp ? 'fin-wait-1' : 'established';
      this.#rtt.onAck(now, segment.ack);
      return this.#take(now, segment, 0, true);
    }
    if (acked > this.#tx.length + (this.#finSent ? 1 : 0)) return this.#challenge(now);
    return this.#take(now, segment, Math.max(0, acked), acked > 0);
  }

  /** The segment is in the window and acknowledges `bytes` of the send buffer, one more if it acknowledges the FIN. */
  #take(now: number, segment: Segment, bytes: number, advances: boolean): Segment | null {
    const ofFin = bytes > this.#tx.length;
    this.#tx.drop(ofFin ? bytes - 1 : bytes);
    this.#localSeq = seqAdd(this.#localSeq, bytes);
    if (advances) this.#rtt.onAck(now, this.#localSeq);
    if (seqDiff(this.#nextSeq, this.#localSeq) < 0) this.#nextSeq = this.#localSeq;
    this.#peer?.learn(segment);
    if (ofFin) this.#onFinAcked(now);
    if (this.#pair === null) return null;
    if (this.#timer.kind === 'retransmit') {
      if (this.#nextSeq === this.#localSeq) this.#setIdle(now);
      else if (advances) this.#setRetransmit(now, this.#rtt.timeoutMs);
    } else if (this.#timer.kind === 'idle') this.#setIdle(now);
    const inOrder = this.#takePayload(now, segment);
    if (segment.control === 'fin' && this.#finIsNext(segment)) this.#onFin(now);
    return inOrder ? null : this.#ackNow();
  }

  /** Puts the payload in place; false when the peer should hear at once what is missing. */
  #takePayload(now: number, segment: Segment): boolean {
    const { payload } = segment;
    if (payload.length === 0 || !this.#receives) return true;
    const offset = seqDiff(segment.seq, seqAdd(this.#remoteSeq, this.#rx.length));
    const fresh = offset < 0 ? payload.subarray(-offset) : payload;
    const at = Math.max(0, offset);
    const fits = Math.min(fresh.length, this.#rx.free - at);
    if (!this.#assembler.add(at, fits)) return false;
    this.#rx.writeAhead(at, fresh.subarray(0, fits));
    this.#rx.extend(this.#assembler.takeFront());
    if (!this.#assembler.empty) return false;
    if (this.#ackDueAt === 'none' && this.#ackIsDue) this.#ackDueAt = now + ACK_DELAY_MS;
    return true;
  }

  /** True when the FIN of a segment follows what has arrived; another one comes again. */
  #finIsNext(segment: Segment): boolean {
    const end = seqAdd(segment.seq, segment.payload.length);
    return this.#receives && this.#assembler.empty && end === seqAdd(this.#remoteSeq, this.#rx.length);
  }

  #onFin(now: number): void {
    // The FIN takes a sequence number behind the last byte: bytes are counted from the buffer's start.
    this.#remoteSeq = seqAdd(this.#remoteSeq, 1);
    this.#ackDueAt = 'none';
    switch (this.#state) {
      case 'established':
        this.#state = 'close-wait';
        return;
      case 'fin-wait-1':
        this.#state = 'closing';
        return;
      case 'fin-wait-2':
        this.#state = 'time-wait';
        this.#startTimeWait(now);
        return;
      default:
        return;
    }
  }

  #onFinAcked(now: number): void {
    switch (this.#state) {
      case 'fin-wait-1':
        this.#state = 'fin-wait-2';
        return;
      case 'closing':
        this.#state = 'time-wait';
        this.#startTimeWait(now);
        return;
      case 'last-ack':
        this.#reset();
        return;
      default:
        return;
    }
  }

  #onReset(): void {
    const listens = this.#state === 'syn-received' && this.#listenPort !== 0;
    this.#reset();
    if (listens) this.#state = 'listen';
  }

  /** Ends the connection. What was received can still be read. */
  #reset(): void {
    this.#state = 'closed';
    this.#pair = null;
    this.#timer = TIMER_OFF;
    this.#rtt = new RttEstimator();
    this.#lastAck = null;
    this.#ackDueAt = 'none';
    this.#finSent = false;
    this.#closeWhenUp = false;
    this.#peer = null;
    this.#tx.clear();
    this.#assembler.clear();
  }

  /** The acceptability test of RFC 9293, section 3.10.7.4; a keep-alive is not acceptable, so that it is answered. */
  #outsideWindow(segment: Segment): boolean {
    const window = this.#rx.free;
    const from = seqDiff(segment.seq, seqAdd(this.#remoteSeq, this.#rx.length));
    const length = segmentLength(segment);
    if (length === 0) return from < 0 || (window === 0 ? from > 0 : from >= window);
    if (window === 0) return true;
    return from >= window || from + length <= 0;
  }

  /** The next segment to send at `now`, or null. {@link sent} must follow if it left. */
  next(now: number): Segment | null {
    if (this.#pair === null) return null;
    if (!this.#hasData && this.#timer.kind === 'retransmit' && now >= this.#timer.at) {
      const delay = Math.min(2 * this.#timer.delay, RTO_MAX_MS);
      this.#nextSeq = this.#localSeq;
      this.#rtt.onRetransmit();
      this.#timer = { kind: 'retransmit', at: now + delay, delay };
    }
    if (this.#hasData) return this.#dataSegment();
    if (this.#ackIsDue && (this.#ackDueAt === 'none' || now >= this.#ackDueAt)) return this.#pureAck();
    if (this.#windowToUpdate) return this.#pureAck();
    if (this.#timer.kind === 'idle' && now >= this.#timer.at && this.#lastAck !== null) return this.#keepAlive();
    if (this.#timer.kind === 'close' && now >= this.#timer.at) this.#reset();
    return null;
  }

  /** The segment from {@link next} has left. */
  sent(now: number, segment: Segment): void {
    if (this.#timer.kind === 'idle') this.#setIdle(now);
    if (segment.ack !== null) this.#acking(segment);
    if (segment.control === 'fin') this.#finSent = true;
    const length = segmentLength(segment);
    if (segment.seq !== this.#nextSeq || length === 0) return;
    this.#nextSeq = seqAdd(segment.seq, length);
    this.#rtt.onSend(now, this.#nextSeq);
    if (this.#timer.kind !== 'retransmit') this.#setRetransmit(now, this.#rtt.timeoutMs);
  }

  /** When {@link next} has something to send or do, ms of poll time; 0 for now, Infinity for never. */
  get pollAt(): number {
    if (this.#pair === null) return Infinity;
    if (this.#hasData || this.#windowToUpdate) return 0;
    const at = this.#timer.at;
    if (!this.#ackIsDue) return at;
    return this.#ackDueAt === 'none' ? 0 : Math.min(at, this.#ackDueAt);
  }

  #dataSegment(): Segment {
    if (this.#state === 'syn-sent') {
      const syn = this.#make('syn', this.#localSeq, NO_BYTES);
      return { ...syn, ack: null, mss: TCP_MSS, scale: 0, sackPermitted: true };
    }
    if (this.#state === 'syn-received') {
      const syn = this.#make('syn', this.#localSeq, NO_BYTES);
      const scale = this.#peer?.scales === true ? 0 : null;
      return { ...syn, mss: TCP_MSS, scale, sackPermitted: this.#peer?.sackPermitted === true };
    }
    const offset = seqDiff(this.#nextSeq, this.#localSeq);
    const room = Math.max(0, this.#window - offset);
    const payload = this.#tx.peek(offset, Math.min(room, this.#segmentMax));
    const last = offset + payload.length === this.#tx.length;
    const control = !last ? 'none' : this.#closing ? 'fin' : 'psh';
    return this.#make(control, this.#nextSeq, payload);
  }

  /** True when a SYN, data or a FIN can leave (with Nagle's rule, RFC 9293, section 3.7.4). */
  get #hasData(): boolean {
    const offset = seqDiff(this.#nextSeq, this.#localSeq);
    if (this.#state === 'syn-sent' || this.#state === 'syn-received') return offset === 0;
    if (this.#state === 'closed' || this.#state === 'listen' || this.#state === 'time-wait') return false;
    const most = Math.min(this.#window, this.#tx.length) - offset;
    if (this.#closing && offset === this.#tx.length) return true;
    if (most <= 0) return false;
    return offset === 0 || most >= this.#segmentMax || this.#closing;
  }

  get #segmentMax(): number {
    return Math.min(TCP_MSS, this.#peer?.mss ?? TCP_MSS);
  }

  get #window(): number {
    return this.#peer?.window ?? 0;
  }

  get #closing(): boolean {
    return this.#state === 'fin-wait-1' || this.#state === 'closing' || this.#state === 'last-ack';
  }

  get #receives(): boolean {
    return this.#state === 'established' || this.#state === 'fin-wait-1' || this.#state === 'fin-wait-2';
  }

  get #ackIsDue(): boolean {
    return this.#lastAck !== null && this.#lastAck !== seqAdd(this.#remoteSeq, this.#rx.length);
  }

  /** True when reading has made at least twice the window that the peer knows. */
  get #windowToUpdate(): boolean {
    if (this.#lastAck === null || !this.#receives) return false;
    const known = this.#lastWindow - seqDiff(seqAdd(this.#remoteSeq, this.#rx.length), this.#lastAck);
    return this.#rx.free > 0 && this.#rx.free >= 2 * known && this.#rx.free > known;
  }

  /** An answer that leaves at once. */
  #ackNow(): Segment {
    const segment = this.#pureAck();
    this.#acking(segment);
    return segment;
  }

  #pureAck(): Segment {
    return this.#make('none', this.#nextSeq, NO_BYTES);
  }

  #keepAlive(): Segment {
    return this.#make('none', seqAdd(this.#nextSeq, -1), new Uint8Array(1));
  }

  #challenge(now: number): Segment | null {
    if (now < this.#challengeFrom) return null;
    this.#challengeFrom = now + CHALLENGE_INTERVAL_MS;
    return this.#ackNow();
  }

  /** Remembers what the segment acknowledges. */
  #acking(segment: Segment): void {
    this.#lastAck = segment.ack;
    this.#lastWindow = segment.window;
    this.#ackDueAt = 'none';
  }

  #make(control: TcpControl, seq: number, payload: Uint8Array): Segment {
    return {
      control,
      seq,
      ack: seqAdd(this.#remoteSeq, this.#rx.length),
      window: Math.min(this.#rx.free, WINDOW_MAX),
      scale: null,
      mss: null,
      sackPermitted: false,
      payload,
    };
  }

  #rst(seq: number): Segment {
    return { ...this.#make('rst', seq, NO_BYTES), ack: null, window: 0 };
  }

  #setIdle(now: number): void {
    this.#timer = { kind: 'idle', at: this.#keepAliveMs === null ? Infinity : now + this.#keepAliveMs };
  }

  #setRetransmit(now: number, delay: number): void {
    this.#timer = { kind: 'retransmit', at: now + delay, delay };
  }

  #startTimeWait(now: number): void {
    this.#timer = { kind: 'close', at: now + TIME_WAIT_MS };
  }
}
