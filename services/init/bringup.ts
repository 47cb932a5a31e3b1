/**
 * init's phases A to E and G: spawn, control channels, endpoints, wiring (sheet 20, sections 3 to 5 and 11). Every call
 * returns null, or the fatal text that ends init.
 */
import { Rights } from '../../kernel-model/abi.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { ENDPOINT_DEPTH, SERVICE_ENDPOINTS } from './endpoints.ts';
import type { EndpointName } from './endpoints.ts';
import { abiLabel, spawnReason } from './errors.ts';
import type { FatalText } from './errors.ts';
import { InitSlot } from './state.ts';
import type { Child, InitState, ServiceImage } from './state.ts';
import { wiringOf } from './wiring.ts';
import type { Give, WiringStep } from './wiring.ts';

/** Child slots of its control channel and of policyd's (sheet 20, section 1). */
const CHILD_CTRL_SEND = 1;
const CHILD_CTRL_RECV = 2;
const POLICYD_ROUTE_REQ = 5;
const POLICYD_ROUTE_RSP = 6;
const POLICYD_EXEC_REQ = 7;
const POLICYD_EXEC_RSP = 8;

/** Longest name init prints (sheet 20, section 1); longer ones cannot be started anyway. */
type Outcome = Call<FatalText | null>;

/** Phase B: the two policy reply endpoints and the SEND-only source of moved reply capabilities. */
export function* createPolicyChannels(init: InitState): Outcome {
  const { sys } = init;
  const routeRsp = yield sys.endpointCreate(InitSlot.FACTORY, ENDPOINT_DEPTH);
  if (routeRsp < 0) return abi(routeRsp);
  const clone = yield sys.capClone(routeRsp);
  if (clone < 0) return abi(clone);
  init.pid = yield sys.getpid();
  const source = yield sys.capTransfer(init.pid, clone, Rights.SEND);
  if (source < 0) return abi(source);
  const execRsp = yield sys.endpointCreate(InitSlot.FACTORY, ENDPOINT_DEPTH);
  if (execRsp < 0) return abi(execRsp);
  init.setEndpoint('pol_ctl_route_rsp', routeRsp);
  init.setEndpoint('pol_ctl_exec_rsp', execRsp);
  return null;
}

/** Phase C: starts every image in order and pins its control channel. */
export function* spawnServices(init: InitState): Outcome {
  for (const name of init.options.slotOrder) {
    const image = init.options.services.find((service) => service.name === name);
    const failed = image === undefined ? yield* reservePair(init) : yield* spawnService(init, image);
    if (failed !== null) return failed;
  }
  return null;
}

/** Keeps the slot numbers of an absent service's control channel free of others (design, decision 6). */
function* reservePair(init: InitState): Outcome {
  for (let i = 0; i < 2; i++) {
    const slot = yield init.sys.endpointCreate(InitSlot.FACTORY, ENDPOINT_DEPTH);
    if (slot < 0) return abi(slot);
  }
  return null;
}

function* spawnService(init: InitState, image: ServiceImage): Outcome {
  const { sys } = init;
  yield sys.println(`init: start ${image.name}`);
  if (image.elf.length === 0) {
    yield sys.println(`init: fail ${image.name} err=missing-elf`);
    return 'missing-elf';
  }
  const pid = yield sys.execV2(image.elf, Math.max(1, image.stackPages), 0, image.name);
  if (pid < 0) {
    const label = abiLabel(pid);
    yield sys.println(`init: fail ${image.name} err=abi`);
    return `abi:${label}`;
  }
  const req = yield sys.endpointCreate(InitSlot.FACTORY, ENDPOINT_DEPTH);
  if (req < 0) return abi(req);
  const rsp = yield sys.endpointCreate(InitSlot.FACTORY, ENDPOINT_DEPTH);
  if (rsp < 0) return abi(rsp);
  const send = yield sys.capTransferTo(pid, req, Rights.SEND, CHILD_CTRL_SEND);
  if (send < 0) return abi(send);
  const recv = yield sys.capTransferTo(pid, rsp, Rights.RECV, CHILD_CTRL_RECV);
  if (recv < 0) return abi(recv);
  if (image.name === 'updated') {
    yield sys.println(`init: updated ctrl slots send=0x${hex16(send)} recv=0x${hex16(recv)}`);
  }
  yield sys.println(`init: up ${image.name}`);
  init.children.push({ name: image.name, pid, ctrlReq: req, ctrlRsp: rsp, routes: [] });
  return null;
}

/** Phase D: every service endpoint in table order, with the key_req self-transfer probe in its place. */
export function* createServiceEndpoints(init: InitState): Outcome {
  const { sys } = init;
  for (const spec of SERVICE_ENDPOINTS) {
    const owner = spec.owner === null ? undefined : init.child(spec.owner);
    const slot =
      owner === undefined
        ? yield sys.endpointCreate(InitSlot.FACTORY, spec.depth)
        : yield sys.endpointCreateFor(InitSlot.FACTORY, owner.pid, spec.depth);
    if (slot < 0) return abi(slot);
    init.setEndpoint(spec.name, slot);
    if (spec.name === 'key_req') yield* probeKeyReq(init, slot);
  }
  return null;
}

function* probeKeyReq(init: InitState, slot: number): Call<void> {
  const { sys } = init;
  yield sys.println(`init: probe key_req self-xfer pid=0x${hex16(init.pid)} cap=0x${hex16(slot)}`);
  for (const [label, right] of [
    ['SEND', Rights.SEND],
    ['RECV', Rights.RECV],
  ] as const) {
    const copy = yield sys.capTransfer(init.pid, slot, right);
    if (copy < 0) {
      yield sys.println(`init: probe key_req self-xfer ${label} err=abi:${abiLabel(copy)}`);
      continue;
    }
    yield sys.println(`init: probe key_req self-xfer ${label} ok slot=0x${hex16(copy)}`);
    yield sys.capClose(copy);
  }
}

/** Phase E: policyd's control slots. */
export function* pinPolicyd(init: InitState): Outcome {
  const policyd = init.child('policyd');
  if (policyd === undefined) return null;
  const pins: readonly (readonly [EndpointName, number, number])[] = [
    ['pol_ctl_route_req', Rights.RECV, POLICYD_ROUTE_REQ],
    ['pol_ctl_route_rsp', Rights.SEND, POLICYD_ROUTE_RSP],
    ['pol_ctl_exec_req', Rights.RECV, POLICYD_EXEC_REQ],
    ['pol_ctl_exec_rsp', Rights.SEND, POLICYD_EXEC_RSP],
  ];
  for (const [name, right, slot] of pins) {
    const done = yield init.sys.capTransferTo(policyd.pid, init.endpoint(name), right, slot);
    if (done < 0) return abi(done);
  }
  return null;
}

/** Phase G: hands every service its capabilities and records its routes. Nothing here gives up the CPU. */
export function* wireServices(init: InitState): Outcome {
  const late: Child[] = [];
  for (const child of init.children) {
    yield init.sys.println(`init: wire svc=${child.name} pid=0x${hex16(child.pid)}`);
    // Producers' capabilities and inboxes come after every documented endpoint (quirks.md, metrics-unrouted).
    const wiring = wiringOf(child.name, { ...init.options, producersReachMetricsd: false });
    const missing = new Set<number>();
    for (const step of wiring.steps) {
      const failed = yield* wireStep(init, child, step, missing);
      if (failed !== null) return failed;
    }
    child.routes.push(...recorded(wiring.routes, missing));
    late.push(child);
  }
  if (!init.options.producersReachMetricsd || !init.has('metricsd')) return null;
  for (const child of late) {
    const documented = wiringOf(child.name, { ...init.options, producersReachMetricsd: false });
    const wiring = wiringOf(child.name, init.options);
    for (const step of wiring.steps.slice(documented.steps.length)) {
      const failed = yield* wireStep(init, child, step, new Set());
      if (failed !== null) return failed;
    }
    child.routes.push(...wiring.routes.slice(documented.routes.length));
  }
  return null;
}

/** Routes whose two slots were both filled (sheet 20, section 7.2, rule 7). */
function recorded<R extends { readonly send: number; readonly recv: number }>(
  routes: readonly R[],
  missing: ReadonlySet<number>,
): readonly R[] {
  return routes.filter((route) => !missing.has(route.send) && !missing.has(route.recv));
}

function* wireStep(init: InitState, child: Child, step: WiringStep, missing: Set<number>): Outcome {
  switch (step.kind) {
    case 'line':
      if (step.peer === null || init.has(step.peer)) yield init.sys.println(step.text);
      return null;
    case 'inbox':
      return yield* wireInbox(init, child, step.recv, step.send, step.announce);
    case 'give': {
      if (step.peer !== null && !init.has(step.peer)) {
        missing.add(step.slot);
        return yield* holdSlot(init, child, step.slot);
      }
      return yield* wireGive(init, child, step, missing);
    }
  }
}

/**
 * Keeps the slot of an absent peer out of use: a capability without rights answers every send and receive with EPERM, as an
 * empty slot does, and no clone or moved capability can land there (design, decision 6).
 */
function* holdSlot(init: InitState, child: Child, slot: number): Outcome {
  const done = yield init.sys.capTransferTo(child.pid, InitSlot.BOOTSTRAP, 0, slot);
  return done < 0 ? abi(done) : null;
}

function* wireGive(init: InitState, child: Child, step: Give, missing: Set<number>): Outcome {
  const { sys } = init;
  const source = init.endpoint(step.endpoint);
  const done = yield sys.capTransferTo(child.pid, source, Rights[step.right], step.slot);
  if (done < 0) {
    if (step.lenient !== null) {
      missing.add(step.slot);
      yield sys.println(`init: updated cap transfer fail ${step.lenient} err=${abiLabel(done)}`);
      return null;
    }
    if (step.announce !== null) {
      yield sys.println(`init: wire ${child.name} xfer ${step.endpoint} err=abi:${abiLabel(done)}`);
    }
    return abi(done);
  }
  if (step.announce !== null) yield sys.println(step.announce.replace('{cap}', `0x${hex16(source)}`));
  return null;
}

function* wireInbox(init: InitState, child: Child, recv: number, send: number, announce: boolean): Outcome {
  const { sys } = init;
  const inbox = yield sys.endpointCreateFor(InitSlot.FACTORY, child.pid, ENDPOINT_DEPTH);
  if (inbox < 0) {
    if (announce) yield sys.println(`init: wire ${child.name} create reply_ep err=abi:${abiLabel(inbox)}`);
    return abi(inbox);
  }
  if (announce) yield sys.println(`init: wire ${child.name} create reply_ep`);
  for (const [label, right, slot] of [
    ['RECV', Rights.RECV, recv],
    ['SEND', Rights.SEND, send],
  ] as const) {
    const done = yield sys.capTransferTo(child.pid, inbox, right, slot);
    if (done < 0) {
      if (announce) yield sys.println(`init: wire ${child.name} xfer reply_ep ${label} err=abi:${abiLabel(done)}`);
      return abi(done);
    }
    if (announce) yield sys.println(`init: wire ${child.name} xfer reply_ep ${label} cap=0x${hex16(inbox)}`);
  }
  return null;
}

/** Section 9: the fatal lines. init then exits with -1 and its endpoints die with it. */
export function* fatal(init: InitState, text: FatalText): Call<number> {
  const { sys } = init;
  let reason = '';
  if (text === 'abi:spawn-failed') reason = ` reason=${spawnReason(yield sys.spawnLastError())}`;
  yield sys.println(`!fatal-err ${text}`);
  yield sys.println(`[ERROR init] fatal err=${text}${reason}`);
  yield sys.println('!fatal init-lite fatal');
  yield sys.println('[ERROR init] init-lite fatal');
  // Path and line are build artefacts that the sheet leaves open (section 13, UNKNOWN).
  yield sys.println('panic file=init-lite line=0 col=0');
  return -1;
}

function abi(result: number): FatalText {
  return `abi:${abiLabel(result)}`;
}
