import { describe, expect, it } from 'vitest';
import { SERVICE_ENDPOINTS } from './endpoints.ts';
import { wiringOf } from './wiring.ts';
import type { ServiceWiring } from './wiring.ts';

const CONTRACT = { producersReachMetricsd: true, statefsReachesLogd: true };
const REFERENCE = { producersReachMetricsd: false, statefsReachesLogd: false };
const SERVICES = [
  'keystored',
  'rngd',
  'policyd',
  'logd',
  'metricsd',
  'samgrd',
  'bundlemgrd',
  'statefsd',
  'updated',
  'timed',
  'packagefsd',
  'vfsd',
  'execd',
  'netstackd',
  'dsoftbusd',
  'selftest-client',
];

function slotsOf(wiring: ServiceWiring): readonly number[] {
  return wiring.steps.flatMap((step) => {
    if (step.kind === 'give') return [step.slot];
    return step.kind === 'inbox' ? [step.recv, step.send] : [];
  });
}

describe('wiring tables (sheet 20, sections 4 and 5)', () => {
  it('the 41 endpoints stand in slot order, key_req, state_req and log_req are init-owned, log_req is deep', () => {
    expect(SERVICE_ENDPOINTS).toHaveLength(0x4f - 0x26);
    expect(SERVICE_ENDPOINTS.filter((spec) => spec.owner === null).map((spec) => spec.name)).toEqual([
      'key_req',
      'state_req',
      'log_req',
    ]);
    expect(SERVICE_ENDPOINTS.filter((spec) => spec.depth !== 8)).toEqual([{ name: 'log_req', owner: null, depth: 64 }]);
  });

  it.each(SERVICES)('%s: every slot once, every route names slots that are filled', (service) => {
    for (const options of [CONTRACT, REFERENCE]) {
      const wiring = wiringOf(service, options);
      const slots = slotsOf(wiring);
      expect(new Set(slots).size).toBe(slots.length);
      const policyd = service === 'policyd' ? [5, 6, 7, 8] : [];
      for (const route of wiring.routes) {
        expect([...slots, ...policyd]).toContain(route.send);
        expect([...slots, ...policyd]).toContain(route.recv);
      }
    }
  });

  it('selftest-client holds 0x03 to 0x22 without a hole', () => {
    const slots = [...slotsOf(wiringOf('selftest-client', REFERENCE))].sort((a, b) => a - b);
    expect(slots).toEqual(Array.from({ length: 0x20 }, (_, i) => i + 3));
  });

  it('OBS-10: who logs through the sink is given its three slots', () => {
    for (const service of ['metricsd', 'samgrd', 'bundlemgrd', 'updated', 'execd', 'dsoftbusd', 'selftest-client']) {
      const targets = wiringOf(service, CONTRACT).routes.map((route) => route.target);
      expect(targets).toContain('logd');
      expect(targets).toContain('@reply');
    }
  });

  it('quirk metrics-unrouted, both: producers reach metricsd only by contract', () => {
    const reach = (service: string, options: typeof CONTRACT) =>
      wiringOf(service, options).routes.find((route) => route.target === 'metricsd');
    expect(reach('execd', CONTRACT)).toEqual({ target: 'metricsd', send: 8, recv: 5 });
    expect(reach('bundlemgrd', CONTRACT)).toEqual({ target: 'metricsd', send: 0xa, recv: 7 });
    expect(reach('dsoftbusd', CONTRACT)).toEqual({ target: 'metricsd', send: 0xc, recv: 5 });
    expect(reach('timed', CONTRACT)).toEqual({ target: 'metricsd', send: 7, recv: 5 });
    for (const service of ['execd', 'bundlemgrd', 'dsoftbusd', 'timed'])
      expect(reach(service, REFERENCE)).toBeUndefined();
    expect(reach('selftest-client', REFERENCE)).toBeDefined();
  });

  it('quirk statefs-audit-lost, both: statefsd reaches logd only by contract', () => {
    expect(slotsOf(wiringOf('statefsd', CONTRACT))).toContain(8);
    expect(slotsOf(wiringOf('statefsd', REFERENCE))).not.toContain(8);
  });
});
