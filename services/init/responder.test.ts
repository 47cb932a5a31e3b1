/** init's responder over the real kernel: children and policyd are stand-ins, init's loop is the real one. */
import { describe, expect, it } from 'vitest';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { encodeRouteGet } from '../lib/ipc.ts';
import { respond } from './responder.ts';
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
function ask(childName: string, targets: readonly string[], answer: Answer, options: Partial<InitOptions> = {}) {
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
    entry.routes.push({ target: 'logd', send: 8, recv: 5 }, { target: '@reply', send: 6, recv: 5 });
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
