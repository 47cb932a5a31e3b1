/** Phases of a session (sheet 70, section 12.4). */
import { describe, expect, it } from 'vitest';
import type { Handle } from '../netstackd/wire.ts';
import { Session } from './session.ts';
import type { SessionRole } from './session.ts';

const stream = (n: number): Handle => n as Handle;

describe.each<[SessionRole, string]>([
  ['initiator', 'dialing'],
  ['acceptor', 'accepting'],
])('%s', (role, seeking) => {
  it('comes to ready by way of a reconnect, an epoch later and on another stream', () => {
    const session = new Session(role);
    expect([session.phase, session.epoch, session.stream]).toEqual(['idle', 1, null]);
    session.listen();
    session.seek();
    session.seek();
    expect(session.phase).toBe(seeking);
    session.connect(stream(3));
    expect([session.phase, session.stream]).toEqual(['connected', 3]);
    session.handshake();
    expect(session.reconnect()).toBe(3);
    expect([session.phase, session.epoch, session.stream]).toEqual(['reconnect', 2, null]);
    session.seek();
    session.connect(stream(4));
    session.handshake();
    session.authenticated();
    expect([session.phase, session.epoch, session.stream]).toEqual(['ready', 2, 4]);
  });

  it('nothing leaves ready, and nothing is skipped', () => {
    const session = new Session(role);
    expect(() => {
      session.seek();
    }).toThrow('idle');
    session.listen();
    expect(() => {
      session.connect(stream(1));
    }).toThrow('listening');
    session.seek();
    session.connect(stream(1));
    expect(() => {
      session.authenticated();
    }).toThrow('connected');
    session.handshake();
    session.authenticated();
    expect(() => {
      session.reconnect();
    }).toThrow('ready');
    expect(() => {
      session.seek();
    }).toThrow('ready');
  });
});
