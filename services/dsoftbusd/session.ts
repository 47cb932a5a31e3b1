/**
 * Phases of a session between two machines (sheet 70, section 12.4). Nothing outside sees them; they keep the set-up loop
 * honest: a step out of turn is a bug of ours.
 */
import { assert } from '../../sim/assert.ts';
import type { Handle } from '../netstackd/wire.ts';

export type SessionPhase =
  'idle' | 'listening' | 'dialing' | 'accepting' | 'connected' | 'handshaking' | 'ready' | 'reconnect';

/** Which side of a session a node is. */
export type SessionRole = 'initiator' | 'acceptor';

/** Epochs count in 32 bits. */
const EPOCH_MASK = 0xffff_ffff;

/** Phases that may follow each phase; nothing follows ready. */
const NEXT: Readonly<Record<SessionPhase, readonly SessionPhase[]>> = {
  idle: ['listening'],
  listening: ['dialing', 'accepting'],
  dialing: ['connected'],
  accepting: ['connected'],
  connected: ['handshaking'],
  handshaking: ['ready', 'reconnect'],
  ready: [],
  reconnect: ['dialing', 'accepting'],
};

export class Session {
  readonly #role: SessionRole;
  #phase: SessionPhase = 'idle';
  #epoch = 1;
  #stream: Handle | null = null;

  constructor(role: SessionRole) {
    this.#role = role;
  }

  get phase(): SessionPhase {
    return this.#phase;
  }

  /** 1, and one more with each reconnect, wrapping. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Stream of the current connection, null without one. */
  get stream(): Handle | null {
    return this.#stream;
  }

  /** The listener is there. */
  listen(): void {
    this.#enter('listening');
  }

  /** Starts, or goes on, looking for the peer. */
  seek(): void {
    const phase = this.#role === 'initiator' ? 'dialing' : 'accepting';
    if (this.#phase !== phase) this.#enter(phase);
  }

  /** A stream to the peer is open. */
  connect(stream: Handle): void {
    this.#enter('connected');
    this.#stream = stream;
  }

  handshake(): void {
    this.#enter('handshaking');
  }

  authenticated(): void {
    this.#enter('ready');
  }

  /** The handshake failed: gives up the stream and returns it. */
  reconnect(): Handle {
    this.#enter('reconnect');
    const stream = this.#stream;
    assert(stream !== null, 'a handshake has a stream');
    this.#stream = null;
    this.#epoch = (this.#epoch + 1) & EPOCH_MASK;
    return stream;
  }

  #enter(phase: SessionPhase): void {
    assert(NEXT[this.#phase].includes(phase), `a session goes from ${this.#phase} to ${phase}`);
    this.#phase = phase;
  }
}
