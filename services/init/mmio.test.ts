/** init's device phase over the real kernel and its page tables: policyd and the device windows are stand-ins. */
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { runToEnd, startRoot, testMachine } from '../../kernel-model/test-kit.ts';
import { addTask, endpointCap, grant, newEndpoint } from '../../kernel-model/testing.ts';
import { grantDevices } from './mmio.ts';
import { InitSlot, InitState } from './state.ts';
import type { InitOptions } from './state.ts';
import { encodeCheckCap } from './wire.ts';

const OPTIONS: InitOptions = {
  services: [],
  slotOrder: [],
  required: [],
  routeFailOpen: false,
  bootSlotByte: 7,
  producersReachMetricsd: true,
  statefsReachesLogd: true,
};

const POLICY_REQ = 20;
const [NET, BLK, RNG] = [1, 2, 4];
const WINDOWS = 0x1000_1000;
const MAGIC = 0x7472_6976;

/** The verdict on (subject, capability); null = policyd says nothing. */
type Verdicts = (subject: string, capability: string) => number | null;

/** The base policy: block device for statefsd and virtioblkd, and so on; netstackd is denied it. */
const byPolicy: Verdicts = (subject, capability) => (subject === 'netstackd' && capability.endsWith('.blk') ? 1 : 0);

interface Phase {
  readonly failure: unknown;
  readonly lines: readonly string[];
  /** What each service holds in slot 0x30 afterwards. */
  readonly windows: Readonly<Record<string, unknown>>;
}

/** Runs phase F for `services` on a board whose virtio slots hold `devices` (device ids; 0 = empty). */
function phase(services: readonly string[], verdicts: Verdicts, devices: readonly number[]): Phase {
  const machine = testMachine({
    memory: {
      bus: {
        read: (address: number) => {
          const at = address - WINDOWS;
          const id = devices[at >> 12];
          if (id === undefined || at < 0) return -1;
          if ((at & 0xfff) === 0) return MAGIC;
          return (at & 0xfff) === 8 ? id : -1;
        },
        write: () => false,
      },
    },
  });
  const { kernel } = machine;
  const [req, rsp] = [newEndpoint(kernel), newEndpoint(kernel)];
  const asked = (frame: Uint8Array): readonly [string, string] => {
    const capability = Buffer.from(frame.subarray(13)).toString();
    const subject = services.find((name) => {
      const expected = encodeCheckCap(serviceIdOf(name), capability);
      return Buffer.compare(expected, frame) === 0;
    });
    return [subject ?? 'netstackd', capability];
  };
  const policyd: Program = function* (sys) {
    for (;;) {
      yield sys.recv(5, 64);
      const verdict = verdicts(...asked(sys.message.payload));
      if (verdict !== null) yield sys.send(6, Uint8Array.of(0x50, 0x4f, 1, 0x84, verdict, 0));
    }
  };
  const idle: Program = function* (sys) {
    for (;;) yield sys.recv(1, 16);
  };
  let failure: unknown = 'running';
  const pids = new Map<string, number>();
  const root = startRoot(machine, function* (sys) {
    const state = new InitState(sys, OPTIONS);
    state.setEndpoint('pol_ctl_route_req', POLICY_REQ);
    for (const [name, pid] of pids) state.children.push({ name, pid, ctrlReq: 30, ctrlRsp: 31, routes: [] });
    failure = yield* grantDevices(state);
    return 0;
  });
  for (const name of services) {
    const task = addTask(kernel, name === 'policyd' ? policyd : idle, { name, parent: root });
    pids.set(name, task.pid);
    grant(task, 1, endpointCap(newEndpoint(kernel)));
    if (name !== 'policyd') continue;
    grant(task, 5, endpointCap(req));
    grant(task, 6, endpointCap(rsp));
  }
  const rootTask = kernel.tasks[root];
  if (rootTask === undefined) throw new Error('no root task');
  grant(rootTask, POLICY_REQ, endpointCap(req));
  grant(rootTask, InitSlot.POL_ROUTE_RSP, endpointCap(rsp));
  runToEnd(machine);
  const windows: Record<string, unknown> = {};
  for (const [name, pid] of pids) windows[name] = kernel.tasks[pid]?.caps.get(0x30);
  return { failure, lines: machine.lines().filter((line) => line.startsWith('init: ')), windows };
}

const ALL = ['policyd', 'netstackd', 'rngd', 'statefsd', 'selftest-client'];
const DEVICES = [0, 0, 0, 0, 0, BLK, RNG, NET];
const DENY_OK = 'init: mmio policy deny ok';

describe('device windows (sheet 20, section 6)', () => {
  it('OBS-19: each allowed service gets its own window, to map and nothing else', () => {
    const { failure, windows, lines } = phase(ALL, byPolicy, DEVICES);
    expect(failure).toBeNull();
    expect(lines[0]).toBe(DENY_OK);
    const window = (base: number): unknown => ({ kind: 'mmio', base, len: 0x1000, rights: 4 });
    expect(windows).toEqual({
      policyd: null,
      netstackd: window(0x1000_8000),
      rngd: window(0x1000_7000),
      statefsd: window(0x1000_6000),
      'selftest-client': window(0x1000_8000),
    });
  });

  it('a denied service is told and goes without; the others get theirs', () => {
    const { failure, windows, lines } = phase(
      ALL,
      (subject) => (subject === 'rngd' ? 1 : byPolicy(subject, '.blk')),
      DEVICES,
    );
    expect(failure).toBeNull();
    expect(lines).toContain('init: mmio grant DENIED svc=rngd cap=device.mmio.rng');
    expect(windows).toMatchObject({ rngd: null, statefsd: { kind: 'mmio' } });
  });

  it('OBS-23: a policyd that allows the proof, or says nothing, ends the bring-up', () => {
    expect(phase(ALL, () => 0, DEVICES)).toMatchObject({
      failure: 'map:mmio policy deny unexpectedly allowed',
      lines: [],
    });
    expect(phase(ALL, () => null, DEVICES).failure).toBe('map:mmio policy deny timeout');
    const later: Verdicts = (subject, capability) =>
      capability.endsWith('.rng') ? null : byPolicy(subject, capability);
    expect(phase(ALL, later, DEVICES).failure).toBe('map:mmio policy timeout');
  });

  it('without policyd every grant is denied, and there is no proof', () => {
    const { failure, windows, lines } = phase(['netstackd', 'rngd'], () => 0, DEVICES);
    expect(failure).toBeNull();
    expect(lines).not.toContain(DENY_OK);
    expect(lines.filter((line) => line.includes('DENIED'))).toHaveLength(2);
    expect(windows).toEqual({ netstackd: null, rngd: null });
  });

  it.each([
    ['map:virtio-net slot not found', [RNG, BLK, 0, 0, 0, 0, 0, 0]],
    ['map:virtio-rng slot not found', [NET, BLK, 0, 0, 0, 0, 0, 0]],
    ['map:virtio-blk slot not found', [NET, RNG, 0, 0, 0, 0, 0, 0]],
  ])('%s', (failure, devices) => {
    expect(phase(ALL, byPolicy, devices).failure).toBe(failure);
  });
});
