/** dsoftbusd and the selftest's step S63 with the real netstackd, kernel, card and user network. */
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Capability } from '../../kernel-model/captable.ts';
import { endpointCap, newEndpoint } from '../../kernel-model/testing.ts';
import { encodeRouteResponse } from '../init/wire.ts';
import { budgetOf, recvWithin } from '../lib/ipc.ts';
import { NetWorld } from '../netstackd/fixtures/net-board.ts';
import { NETSTACKD_CONTRACT, NETSTACKD_REFERENCE } from '../netstackd/options.ts';
import type { NetstackdOptions } from '../netstackd/options.ts';
import { dsoftbus } from '../selftest-client/dsoftbus.ts';
import { SELFTEST_DEFAULTS } from '../selftest-client/fixtures/options.ts';
import { SelftestState } from '../selftest-client/state.ts';
import { dsoftbusdProgram } from './main.ts';
import { DSOFTBUSD_CONTRACT, DSOFTBUSD_REFERENCE } from './options.ts';
import type { DsoftbusdOptions } from './options.ts';

const S = 1_000_000_000;
/** When the selftest comes to S63: before 50,000 ACCEPTs are used up, which is sooner here than in a whole run. */
const CLIENT_AT = 2.5 * S;

class World extends NetWorld {
  constructor(netstackd: NetstackdOptions, options: DsoftbusdOptions) {
    super({ netstackd });
    const inbox = this.endpoint();
    this.add(
      'dsoftbusd',
      {
        ...this.#control({}),
        3: endpointCap(this.requests, Rights.SEND),
        4: endpointCap(this.endpoint(), Rights.RECV),
        5: endpointCap(inbox, Rights.RECV),
        6: endpointCap(inbox, Rights.SEND),
      },
      dsoftbusdProgram({ ...options, silentSink: true }),
    );
    const own = this.endpoint();
    this.add(
      'selftest-client',
      {
        ...this.#control({ netstackd: [0x19, 0x1a], '@reply': [0x18, 0x17] }),
        0x19: endpointCap(this.requests, Rights.SEND),
        0x17: endpointCap(own, Rights.RECV),
        0x18: endpointCap(own, Rights.SEND),
      },
      function* (sys) {
        yield* recvWithin(sys, 0x17, yield* budgetOf(sys, CLIENT_AT));
        yield* dsoftbus(new SelftestState(sys, SELFTEST_DEFAULTS));
        return 0;
      },
    );
  }

  endpoint(): number {
    return newEndpoint(this.machine.kernel);
  }

  /** Control slots with somebody behind them who knows these routes. */
  #control(routes: Readonly<Record<string, readonly [number, number]>>): Readonly<Record<number, Capability>> {
    const [ask, tell] = [this.endpoint(), this.endpoint()];
    this.add(
      'init-lite',
      { 0: endpointCap(ask, Rights.RECV), 1: endpointCap(tell, Rights.SEND) },
      function* (sys): Generator<ReturnType<typeof sys.recv>, number, number> {
        for (;;) {
          yield sys.recv(0, 64, TRUNCATE);
          const pair = routes[new TextDecoder().decode(sys.message.payload.subarray(5))];
          const [send, recv] = pair ?? [0, 0];
          yield sys.send(1, encodeRouteResponse(pair === undefined ? 1 : 0, send, recv, null), NONBLOCK);
        }
      },
    );
    return { 1: endpointCap(ask, Rights.SEND), 2: endpointCap(tell, Rights.RECV) };
  }

  /** Lines of the default run from the local address on. */
  get session(): string[] {
    const lines = this.machine.lines();
    return lines.slice(lines.indexOf('dsoftbusd: local ip ok'));
  }
}

describe.each([
  ['contract', NETSTACKD_CONTRACT, DSOFTBUSD_CONTRACT],
  ['reference', NETSTACKD_REFERENCE, DSOFTBUSD_REFERENCE],
])('%s', (_name, netstackd, options) => {
  it('the lines of the reference run, in its order (lines 1183 to 1204 and 1497 to 1500)', () => {
    const world = new World(netstackd, options);
    world.run(CLIENT_AT + S / 10);
    expect(world.session).toEqual([
      'dsoftbusd: local ip ok',
      'dsoftbusd: ip phase done',
      'dsoftbusd: udp bind begin',
      'netstackd: rpc udp bind',
      'dsoftbusd: udp bind ok',
      'dsoftbusd: discovery up (udp loopback)',
      'dsoftbusd: discovery announce sent',
      'dsoftbusd: discovery peer found device=local',
      'netstackd: rpc listen',
      'dbg:netstackd: listen mode loopback',
      'netstackd: rpc listen ok',
      'dsoftbusd: os transport up (udp+tcp)',
      'netstackd: rpc listen',
      'netstackd: rpc listen ok',
      'dsoftbusd: session connect peer=node-b',
      'dsoftbusd: connect portB ok',
      'dsoftbusd: connect ip loopback ok',
      'netstackd: rpc connect loopback ok',
      'dsoftbusd: identity bound peer=node-b',
      'dsoftbusd: dual-node session ok',
      'dsoftbusd: ready',
      '[INFO dsoftbusd] dsoftbusd: ready',
      'dsoftbusd: auth ok',
      'dsoftbusd: os session ok',
      'SELFTEST: dsoftbus os connect ok',
      'SELFTEST: dsoftbus ping ok',
    ]);
  });
});
