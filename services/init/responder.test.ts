/** init's responder over the real kernel: children and policyd are stand-ins, init's loop is the real one. */
import { describe, expect, it } from 'vitest';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { encodeRouteGet } from '../lib/ipc.ts';
import { respond } from './responder.ts';
import { commitHealth, publishBootSlot } from './boot-slots.ts';
import { InitSlot, InitState } from './state.ts';
import type { Child, InitOptions } from './state.ts';

const OPTIONS: InitOptions = {
  services: [],
  slotOrder: [],
  required: [],
  routeFailOpen: false,
  bootSlotByte: 7,
  producersReachMetricsd: true,
  statefsReachesLogd: true,
};

const ROUTE_REQ = 20;
const CHILD_REQ = 30;
const CHILD_RSP = 31;
const POLICYD_REQ = 40;
const SECOND = 1_000_000_000;

/** What policyd does with one ROUTE query: the frames it sends to init's slot 2, in order. */
type Answer = (query: Uint8Array) => readonly Uint8Array[];

const verdict =
  (status: number): Answer =>
  (query) => [reply(query, status)];

function reply(query: Uint8Array, status: number, nonceOffset = 0): Uint8Array {
  const frame = Uint8Array.from([0x50, 0x4f, 3, 0x82, ...query.subarray(4, 8), status, 0]);
  frame[4] = ((frame[4] ?? 0) + nonceOffset) & 0xff;
  return frame;
}

/** Runs init's responder with one child that asks for `targets` in turn; the statuses it was answered. */
function ask(
  childName: string,
  targets: readonly string[],
  answer: Answer,
  options: Partial<InitOptions> = {},
  routes: Child['routes'] = [],
) {
  const { kernel, uart } = bareKernel();
  const [routeReq, routeRsp, childReq, childRsp] = [8, 8, 8, 8].map(() => newEndpoint(kernel));
  const answers: number[][] = [];
  const child: Program = function* (sys) {
    for (const target of targets) {
      yield sys.send(1, encodeRouteGet(target, 9));
      yield sys.recv(2, 64);
      const view = new DataView(sys.message.payload.buffer, sys.message.payload.byteOffset);
      answers.push([sys.message.payload[4] ?? -1, view.getUint32(5, true), view.getUint32(9, true)]);
    }
    return 0;
  };
  const policyd: Program = function* (sys) {
    for (;;) {
      yield sys.recv(5, 64);
      for (const frame of answer(sys.message.payload.slice())) yield sys.send(6, frame);
    }
  };
  const init: Program = function* (sys) {
    const state = new InitState(sys, { ...OPTIONS, ...options });
    state.setEndpoint('pol_ctl_route_req', ROUTE_REQ);
    const entry: Child = { name: childName, pid: 1, ctrlReq: CHILD_REQ, ctrlRsp: CHILD_RSP, routes: [] };
    entry.routes.push({ target: 'logd', send: 8, recv: 5 }, { target: '@reply', send: 6, recv: 5 }, ...routes);
    state.children.push(entry, { name: 'policyd', pid: 2, ctrlReq: POLICYD_REQ, ctrlRsp: 41, routes: [] });
    return yield* respond(state);
  };
  const initTask = addTask(kernel, init, { name: 'init-lite' });
  const childTask = addTask(kernel, child, { name: childName });
  const policydTask = addTask(kernel, policyd, { name: 'policyd' });
  grant(initTask, InitSlot.POL_ROUTE_RSP, endpointCap(routeRsp ?? 0));
  grant(initTask, ROUTE_REQ, endpointCap(routeReq ?? 0));
  grant(initTask, CHILD_REQ, endpointCap(childReq ?? 0));
  grant(initTask, CHILD_RSP, endpointCap(childRsp ?? 0));
  grant(initTask, POLICYD_REQ, endpointCap(newEndpoint(kernel)));
  grant(childTask, 1, endpointCap(childReq ?? 0));
  grant(childTask, 2, endpointCap(childRsp ?? 0));
  grant(policydTask, 5, endpointCap(routeReq ?? 0));
  grant(policydTask, 6, endpointCap(routeRsp ?? 0));
  runUntil(kernel, 3 * SECOND);
  return { answers, uart: uart() };
}

const OK = 0;
const NOT_FOUND = 1;
const DENIED = 3;

describe('routing (sheet 20, section 7.2)', () => {
  it("OBS-19: the verdict is policyd's", () => {
    expect(ask('rngd', ['logd'], verdict(0)).answers).toEqual([[OK, 8, 5]]);
    expect(ask('rngd', ['logd'], verdict(1)).answers).toEqual([[DENIED, 0, 0]]);
  });

  it('the own name and @reply are never gated, unknown names are not found', () => {
    const { answers } = ask('rngd', ['rngd', '@reply', 'nobody'], () => []);
    expect(answers).toEqual([
      [NOT_FOUND, 0, 0],
      [OK, 6, 5],
      [DENIED, 0, 0],
    ]);
    expect(ask('rngd', ['nobody'], verdict(0)).answers).toEqual([[NOT_FOUND, 0, 0]]);
    // A private row of the wiring is not a name that routing knows.
    const routes = [{ target: 'backdoor', send: 8, recv: 5 }];
    expect(ask('rngd', ['backdoor'], verdict(0), {}, routes).answers).toEqual([[NOT_FOUND, 0, 0]]);
  });

  it("policyd's own routes are not asked of policyd, which is not serving yet", () => {
    let queries = 0;
    const refuses: Answer = (query) => ((queries += 1), [reply(query, 1)]);
    expect(ask('policyd', ['logd'], refuses).answers).toEqual([[OK, 8, 5]]);
    expect(queries).toBe(0);
  });

  it('OBS-23: quirk route-fail-open, both: without an answer the contract denies, the reference allows', () => {
    expect(ask('rngd', ['logd'], () => []).answers).toEqual([[DENIED, 0, 0]]);
    expect(ask('rngd', ['logd'], () => [], { routeFailOpen: true }).answers).toEqual([[OK, 8, 5]]);
  });

  it('quirk route-fail-open, reference: it never opens bundlemgrd to execd', () => {
    expect(ask('bundlemgrd', ['execd'], () => [], { routeFailOpen: true }).answers).toEqual([[DENIED, 0, 0]]);
  });

  it('COR-3: quirk route-fail-open, both: a late frame of another conversation denies nobody, or opens the route', () => {
    const late: Answer = (query) => [Uint8Array.from([0x55, 0x44, 1, 0x85, 0, 1, 0, 2]), reply(query, 1)];
    expect(ask('rngd', ['logd'], late).answers).toEqual([[DENIED, 0, 0]]);
    expect(ask('rngd', ['logd'], late, { routeFailOpen: true }).answers).toEqual([[OK, 8, 5]]);
    const lateAllow: Answer = (query) => [Uint8Array.from([0x42, 0x4e, 1, 0x84, 0, 1, 0, 0]), reply(query, 0)];
    expect(ask('rngd', ['logd'], lateAllow).answers).toEqual([[OK, 8, 5]]);
  });

  it('COR-1: a reply with another nonce is not the answer', () => {
    expect(ask('rngd', ['logd'], (query) => [reply(query, 0, 1)]).answers).toEqual([[DENIED, 0, 0]]);
  });

  it('prints what the harness reads', () => {
    expect(ask('selftest-client', ['samgrd'], verdict(0)).uart).toBe(
      'init: route samgrd from selftest-client\r\n' +
        'init: route samgrd rsp status=0x0000000000000001 send=0x0000000000000000 recv=0x0000000000000000\r\n',
    );
    expect(ask('rngd', ['policyd'], verdict(0)).uart).toBe(
      'init: route policyd from rngd pol_send=None pol_recv=None\r\n',
    );
    expect(ask('rngd', ['vfsd'], verdict(1)).uart).toBe(
      'init: route vfsd from rngd\r\ninit: route vfsd DENIED by policy\r\n',
    );
  });
});

const PC_EXECD = Uint8Array.from([0x50, 0x43, 1, 1, 7, 0, 0, 0, 4, ...Buffer.from('demo'), 2]);

/** One exec check on the channel of `childName`; the frame it got, or null. `answer` stands for policyd's exec channel. */
function execCheck(childName: string, answer: Answer, options: Partial<InitOptions> = {}): Uint8Array | null {
  const { kernel } = bareKernel();
  const [execReq, execRsp, childReq, childRsp] = [8, 8, 8, 8].map(() => newEndpoint(kernel));
  let got: Uint8Array | null = null;
  const child: Program = function* (sys) {
    yield sys.send(1, PC_EXECD);
    if ((yield sys.recv(2, 64)) >= 0) got = sys.message.payload.slice();
    return 0;
  };
  const policyd: Program = function* (sys) {
    for (;;) {
      yield sys.recv(7, 64);
      const query = sys.message.payload.slice();
      expect([...query.subarray(0, 4), query[16]]).toEqual([0x50, 0x4f, 3, 3, 2]);
      for (const frame of answer(query)) yield sys.send(8, frame);
    }
  };
  const init: Program = function* (sys) {
    const state = new InitState(sys, { ...OPTIONS, ...options });
    state.setEndpoint('pol_ctl_exec_req', ROUTE_REQ);
    state.children.push({ name: childName, pid: 1, ctrlReq: CHILD_REQ, ctrlRsp: CHILD_RSP, routes: [] });
    state.children.push({ name: 'policyd', pid: 2, ctrlReq: POLICYD_REQ, ctrlRsp: 41, routes: [] });
    return yield* respond(state);
  };
  const initTask = addTask(kernel, init, { name: 'init-lite' });
  const childTask = addTask(kernel, child, { name: childName });
  const policydTask = addTask(kernel, policyd, { name: 'policyd' });
  grant(initTask, InitSlot.POL_EXEC_RSP, endpointCap(execRsp ?? 0));
  grant(initTask, ROUTE_REQ, endpointCap(execReq ?? 0));
  grant(initTask, CHILD_REQ, endpointCap(childReq ?? 0));
  grant(initTask, CHILD_RSP, endpointCap(childRsp ?? 0));
  grant(initTask, POLICYD_REQ, endpointCap(newEndpoint(kernel)));
  grant(childTask, 1, endpointCap(childReq ?? 0));
  grant(childTask, 2, endpointCap(childRsp ?? 0));
  grant(policydTask, 7, endpointCap(execReq ?? 0));
  grant(policydTask, 8, endpointCap(execRsp ?? 0));
  runUntil(kernel, 3 * SECOND);
  return got;
}

describe('exec checks (sheet 20, section 7.4)', () => {
  const says = (verdict: number): number[] => [0x50, 0x43, 1, 0x81, 7, 0, 0, 0, verdict];
  const exec =
    (status: number, nonceOffset = 0): Answer =>
    (query) => {
      const frame = reply(query, status, nonceOffset);
      frame[3] = 0x83;
      return [frame];
    };
  const asked = (...args: Parameters<typeof execCheck>): number[] => [...(execCheck(...args) ?? [])];

  it("OBS-19: the verdict is policyd's, for execd alone", () => {
    expect(asked('execd', exec(0))).toEqual(says(0));
    expect(asked('execd', exec(1))).toEqual(says(1));
    for (const other of ['samgrd', 'bundlemgrd', 'vfsd', 'selftest-client', 'init-lite'])
      expect(asked(other, exec(0))).toEqual(says(1));
  });

  it('OBS-23: quirk route-fail-open, contract: silence, another nonce, op or status denies', () => {
    expect(asked('execd', () => [])).toEqual(says(1));
    expect(asked('execd', exec(0, 1))).toEqual(says(1));
    expect(asked('execd', verdict(0))).toEqual(says(1));
    expect(asked('execd', exec(2))).toEqual(says(1));
    // A frame of another conversation is skipped, and the answer behind it counts.
    const foreign = Uint8Array.of(0x55, 0x44, 1, 0x83, 0, 0, 0);
    expect(asked('execd', (query) => [foreign, ...exec(0)(query)])).toEqual(says(0));
  });

  it('quirk route-fail-open, reference: silence and frames of others allow', () => {
    const open = { routeFailOpen: true };
    expect(asked('execd', () => [], open)).toEqual(says(0));
    const foreign = Uint8Array.of(0x55, 0x44, 1, 0x83, 0, 0, 0);
    expect(asked('execd', (query) => [foreign, ...exec(1)(query)], open)).toEqual(says(0));
    expect(asked('execd', exec(1), open)).toEqual(says(1));
  });
});

describe('conversations with updated and bundlemgrd (sheet 20, section 8)', () => {
  const UPDATED = 50;
  const BUNDLEMGRD = 51;
  interface Talk {
    readonly result: unknown;
    readonly uart: readonly string[];
    readonly asked: readonly (readonly number[])[];
    readonly now: number;
  }
  type Peer = (frame: Uint8Array, nth: number) => readonly (readonly number[])[];

  /** Runs one conversation against two peers that answer on the capability that comes with each request. */
  function talk(
    body: typeof commitHealth | typeof publishBootSlot,
    peers: { readonly updated?: Peer; readonly bundlemgrd?: Peer },
    options: Partial<InitOptions> = {},
  ): Talk {
    const { kernel, clock, uart } = bareKernel();
    const [updatedReq, bundleReq, inbox] = [8, 8, 8].map(() => newEndpoint(kernel));
    const asked: number[][] = [];
    const peer = (name: 'updated' | 'bundlemgrd'): Program =>
      function* (sys) {
        for (let nth = 0; ; nth++) {
          yield sys.recv(3, 64);
          const frame = sys.message.payload.slice();
          const moved = (sys.message.flags & 1) !== 0 ? sys.message.src : -1;
          asked.push([...frame]);
          for (const answer of peers[name]?.(frame, nth) ?? []) {
            if (moved >= 0) yield sys.send(moved, Uint8Array.from(answer));
          }
        }
      };
    let result: unknown = 'running';
    let now = 0;
    const init: Program = function* (sys) {
      const state = new InitState(sys, { ...OPTIONS, ...options });
      state.setEndpoint('upd_req', UPDATED);
      state.setEndpoint('bnd_req', BUNDLEMGRD);
      for (const name of Object.keys(peers))
        state.children.push({ name, pid: 1, ctrlReq: CHILD_REQ, ctrlRsp: CHILD_RSP, routes: [] });
      result = yield* body(state);
      now = clock.now;
      return 0;
    };
    const initTask = addTask(kernel, init, { name: 'init-lite' });
    const updated = addTask(kernel, peer('updated'), { name: 'updated' });
    const bundlemgrd = addTask(kernel, peer('bundlemgrd'), { name: 'bundlemgrd' });
    grant(initTask, InitSlot.POL_ROUTE_RSP, endpointCap(inbox ?? 0));
    grant(initTask, InitSlot.REPLY_SOURCE, endpointCap(inbox ?? 0));
    grant(initTask, UPDATED, endpointCap(updatedReq ?? 0));
    grant(initTask, BUNDLEMGRD, endpointCap(bundleReq ?? 0));
    grant(updated, 3, endpointCap(updatedReq ?? 0));
    grant(bundlemgrd, 3, endpointCap(bundleReq ?? 0));
    runUntil(kernel, 60 * SECOND);
    return { result, uart: uart().split('\r\n').slice(0, -1), asked, now };
  }

  const attempt = (status: number, slot: number): number[] => [0x55, 0x44, 1, 0x85, status, 1, 0, slot];
  const active = (slot: number, status = 0): number[] => [0x42, 0x4e, 1, 0x84, status, slot, 0, 0];
  const BOOT = [0x55, 0x44, 1, 5];

  it('quirk boot-slot-byte, contract: publishes the rollback target over a moved capability, and nothing for 0', () => {
    const peers = { updated: () => [attempt(0, 2)], bundlemgrd: () => [active(2)] };
    expect(talk(publishBootSlot, peers)).toMatchObject({ uart: [], asked: [BOOT, [0x42, 0x4e, 1, 4, 2]] });
    const none = { updated: () => [attempt(0, 0)], bundlemgrd: () => [active(1)] };
    expect(talk(publishBootSlot, none)).toMatchObject({ uart: [], asked: [BOOT] });
  });

  it('quirk boot-slot-byte, reference: takes the length for the slot', () => {
    const peers = { updated: () => [attempt(0, 2)], bundlemgrd: () => [active(1)] };
    expect(talk(publishBootSlot, peers, { bootSlotByte: 5 }).asked).toEqual([BOOT, [0x42, 0x4e, 1, 4, 1]]);
  });

  it('a status is told; an answer of another slot, a refusal and silence are a failed rollback', () => {
    const refused = { updated: () => [attempt(3, 2)], bundlemgrd: () => [active(2)] };
    expect(talk(publishBootSlot, refused)).toMatchObject({ uart: ['init: boot attempt fail'], asked: [BOOT] });
    for (const answer of [[active(1)], [active(2, 1)], []]) {
      const peers = { updated: () => [attempt(0, 2)], bundlemgrd: () => answer };
      expect(talk(publishBootSlot, peers).uart).toEqual(['init: rollback fail']);
    }
  });

  it('20 attempts of half a second, then init goes on without a word; seven bytes are no answer', () => {
    const silent = talk(publishBootSlot, { updated: () => [[0x55, 0x44, 1, 0x85, 3, 0, 0]], bundlemgrd: () => [] });
    expect(silent.asked).toEqual(Array.from({ length: 20 }, () => BOOT));
    expect(silent.uart).toEqual([]);
    expect(silent.now).toBeGreaterThanOrEqual(10 * SECOND);
    expect(silent.now).toBeLessThan(11 * SECOND);
    const third = { updated: (_: Uint8Array, nth: number) => (nth < 2 ? [] : [attempt(0, 0)]), bundlemgrd: () => [] };
    expect(talk(publishBootSlot, third).asked).toHaveLength(3);
  });

  it('frames of others are stashed: an answer that came in front of its time is found', () => {
    const peers = { updated: () => [active(2), attempt(0, 2)], bundlemgrd: () => [] };
    expect(talk(publishBootSlot, peers).uart).toEqual([]);
  });

  const health = (status: number): number[] => [0x55, 0x44, 1, 0x83, status, 0, 0];
  const state = (activeSlot: number, status = 0): number[] => [0x55, 0x44, 1, 0x84, status, 4, 0, activeSlot, 0, 0, 1];
  const commit = (committed: readonly (readonly number[])[], told: readonly (readonly number[])[]): Talk =>
    talk(commitHealth, { updated: (frame) => (frame[3] === 3 ? committed : told) });

  it('health: commits, then asks which slot is active', () => {
    expect(commit([health(0)], [state(1)])).toMatchObject({
      result: { slot: 'a' },
      uart: [],
      asked: [
        [0x55, 0x44, 1, 3],
        [0x55, 0x44, 1, 4],
      ],
    });
    expect(commit([health(0)], [state(2)]).result).toEqual({ slot: 'b' });
  });

  it.each([
    ['updated health_ok failed', [health(3)], []],
    ['updated health_ok timeout', [], []],
    ['updated status timeout', [health(0)], []],
    ['updated status failed', [health(0)], [state(1, 3)]],
    ['updated status payload missing', [health(0)], [[0x55, 0x44, 1, 0x84, 0, 0, 0]]],
    ['updated status payload missing', [health(0)], [state(1).slice(0, 10)]],
    ['updated status slot invalid', [health(0)], [state(3)]],
    ['updated status slot invalid', [health(0)], [state(0)]],
  ])('health: %s', (failure, committed, told) => {
    expect(commit(committed, told).result).toEqual({ failure });
  });

  it('health: the first other frame of updated is told once a wait, and kept', () => {
    const other = [0x55, 0x44, 1, 0x85, 0, 0, 0];
    const talked = commit([other, state(2), [1, 2, 3], health(0)], []);
    expect(talked.uart).toEqual(['init: health recv other op=0x0000000000000085']);
    // The early status answer was stashed, and is found there.
    expect(talked.result).toEqual({ slot: 'b' });
  });
});
