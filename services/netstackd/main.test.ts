import { describe, expect, it } from 'vitest';
import { NetWorld } from './fixtures/net-board.ts';
import { NETSTACKD_REFERENCE } from './options.ts';

const SECOND = 1_000_000_000;

describe('start-up on kernel, card and user network (sheet 70, section 4)', () => {
  it('the lines of the reference run, in its order', () => {
    const world = new NetWorld({ netstackd: NETSTACKD_REFERENCE, networkOptions: { dns: 'foreign-late' } });
    world.run(3 * SECOND);
    expect(world.lines).toEqual([
      'netstackd: ready',
      'net: virtio-net up',
      'SELFTEST: net iface ok',
      'net: virtio tx reclaim',
      'net: dhcp event configured',
      'net: dhcp bound 10.0.2.15/24 gw=10.0.2.2',
      'net: smoltcp iface up 10.0.2.15',
      'SELFTEST: net ping ok',
      'netstackd: udp dns unavailable (fallback dhcp proof)',
      'SELFTEST: net udp dns ok',
      'SELFTEST: net tcp listen ok',
      'netstackd: facade up',
      'netstackd: svc slots 5/6',
    ]);
  });
});
