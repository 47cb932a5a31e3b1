/** S61 and S62 against netstackd on the kernel, behind its card (sheet 80, section 6.23). */
import { describe, expect, it } from 'vitest';
import { Rights } from '../../kernel-model/abi.ts';
import { endpointCap, newEndpoint } from '../../kernel-model/testing.ts';
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { recv, send, yieldForever } from '../lib/ipc.ts';
import { NetWorld } from '../netstackd/fixtures/net-board.ts';
import type { NetWorldOptions } from '../netstackd/fixtures/net-board.ts';
import { icmpPing, localAddr } from './net.ts';
import { SELFTEST_DEFAULTS } from './fixtures/options.ts';
import { SelftestState } from './state.ts';

const SECOND = 1_000_000_000;
const ROUTES: Readonly<Record<string, readonly [number, number]>> = {
  netstackd: [0x19, 0x1a],
  '@reply': [0x18, 0x17],
};

/** Runs both steps from `start` on; the address of S61 and the lines of the selftest. */
function steps(options: NetWorldOptions, routed = ROUTES): { address: Ipv4 | null | 'unset'; lines: string[] } {
  const world = new NetWorld(options);
  const { kernel } = world.machine;
  const [inbox, queries, answers] = [newEndpoint(kernel), newEndpoint(kernel), newEndpoint(kernel)];
  let address: Ipv4 | null | 'unset' = 'unset';
  world.add('router', { 3: endpointCap(queries, Rights.RECV), 4: endpointCap(answers, Rights.SEND) }, function* (sys) {
    for (;;) {
      yield* recv(sys, 3, 'forever');
      const query = sys.message.payload;
      const slots = routed[Buffer.from(query.subarray(5)).toString()];
      const [to, from] = slots ?? [0, 0];
      yield* send(sys, 4, Uint8Array.of(0x52, 0x54, 1, 0x41, slots ? 0 : 1, to, 0, 0, 0, from, 0, 0, 0), 'forever');
    }
  });
  world.add(
    'selftest-client',
    {
      1: endpointCap(queries, Rights.SEND),
      2: endpointCap(answers, Rights.RECV),
      0x17: endpointCap(inbox, Rights.RECV),
      0x18: endpointCap(inbox, Rights.SEND),
      0x19: endpointCap(world.requests, Rights.SEND),
    },
    function* (sys) {
      const state = new SelftestState(sys, SELFTEST_DEFAULTS);
      const poll = sys.beginPoll();
      poll.deadline = 11 * SECOND;
      poll.clockEvery = 1;
      yield sys.runPoll();
      yield* localAddr(state);
      address = state.localAddress;
      yield* icmpPing(state);
      return yield* yieldForever(sys);
    },
  );
  world.run(21 * SECOND);
  return { address, lines: world.machine.lines().filter((line) => line.startsWith('SELFTEST: icmp')) };
}

describe('S61 and S62', () => {
  it('a bound interface: its address, and an answer of the gateway', () => {
    expect(steps({})).toEqual({ address: ipv4(10, 0, 2, 15), lines: ['SELFTEST: icmp ping ok'] });
  });

  it('nobody on the wire: the fallback address, FAIL', () => {
    expect(steps({ network: 'silent' })).toEqual({ address: ipv4(10, 0, 2, 15), lines: ['SELFTEST: icmp ping FAIL'] });
  });

  it('one of two machines: no ping', () => {
    const options: NetWorldOptions = { network: 'silent', netstackd: { smoke: false } };
    expect(steps(options)).toEqual({ address: ipv4(10, 42, 0, 86), lines: [] });
  });

  it('netstackd that has no card never answers', () => {
    expect(steps({ granted: false })).toEqual({ address: null, lines: ['SELFTEST: icmp ping FAIL'] });
  });

  it('no route: no address, FAIL', () => {
    expect(steps({}, {})).toEqual({ address: null, lines: ['SELFTEST: icmp ping FAIL'] });
  });
});
