/**
 * The capability table of every service, as data (sheet 20, section 5). Slots are pinned to the sheet's numbers: where a
 * peer is not in the image its slots stay empty and nothing else moves (design, decision 6). Steps are in transfer order.
 */
import type { EndpointName } from './endpoints.ts';

/** A capability handed to the service: `peer` is the service whose absence leaves the slot empty. */
export interface Give {
  readonly kind: 'give';
  readonly endpoint: EndpointName;
  readonly right: 'SEND' | 'RECV';
  readonly slot: number;
  readonly peer: string | null;
  /** keystored and netstackd announce some transfers (section 11); `{cap}` stands for init's slot. */
  readonly announce: string | null;
  /** Transfers of updated's wiring after its own pair are not fatal; the label of their failure line. */
  readonly lenient: string | null;
}

/** A reply inbox created during wiring, owned by the service. */
export interface CreateInbox {
  readonly kind: 'inbox';
  readonly recv: number;
  readonly send: number;
  readonly announce: boolean;
}

/** A reply inbox created earlier (section 4) whose two halves are handed over here. */
export type WiringStep =
  Give | CreateInbox | { readonly kind: 'line'; readonly text: string; readonly peer: string | null };

/** The (send, recv) pair init answers for ROUTE_GET of `target`. */
export interface RouteEntry {
  readonly target: string;
  readonly send: number;
  readonly recv: number;
}

/** Everything init wires for one service. */
export interface ServiceWiring {
  readonly steps: readonly WiringStep[];
  readonly routes: readonly RouteEntry[];
}

/** Plain options that change wiring (quirks.md). */
export interface WiringOptions {
  /** quirk metrics-unrouted off: producers get metricsd. */
  readonly producersReachMetricsd: boolean;
  /** quirk statefs-audit-lost off: statefsd gets logd. */
  readonly statefsReachesLogd: boolean;
}

/** Wiring of one service; unknown names have none. */
export function wiringOf(service: string, options: WiringOptions): ServiceWiring {
  const base = BASE[service];
  if (base === undefined) return { steps: [], routes: [] };
  if (service === 'statefsd' && options.statefsReachesLogd) {
    return {
      steps: [...base.steps, give('log_req', 'SEND', 8, 'logd')],
      routes: [...base.routes, route('logd', 8, 5)],
    };
  }
  const producer = options.producersReachMetricsd ? PRODUCERS[service] : undefined;
  if (producer === undefined) return base;
  return { steps: [...base.steps, ...producer.steps], routes: [...base.routes, ...producer.routes] };
}

function give(
  endpoint: EndpointName,
  right: 'SEND' | 'RECV',
  slot: number,
  peer: string | null = null,
  announce: string | null = null,
  lenient: string | null = null,
): Give {
  return { kind: 'give', endpoint, right, slot, peer, announce, lenient };
}

function inbox(recv: number, send: number, announce = false): CreateInbox {
  return { kind: 'inbox', recv, send, announce };
}

function line(text: string, peer: string | null = null): WiringStep {
  return { kind: 'line', text, peer };
}

function route(target: string, send: number, recv: number): RouteEntry {
  return { target, send, recv };
}

const Z = '0x00000000000000';

/** Section 5, in its order, with the lines of section 11 in their places. */
const BASE: Readonly<Record<string, ServiceWiring>> = {
  keystored: {
    steps: [
      line('init: ks arm'),
      give('key_req', 'RECV', 3, null, 'init: wire keystored xfer key_req RECV cap={cap}'),
      give('key_rsp', 'SEND', 4, null, 'init: wire keystored xfer key_rsp SEND cap={cap}'),
      inbox(5, 6, true),
      give('state_req', 'SEND', 7, 'statefsd', 'init: wire keystored xfer state_req SEND cap={cap}'),
      give('log_req', 'SEND', 8, 'logd'),
      give('pol_req', 'SEND', 9, 'policyd', 'init: wire keystored xfer pol_req SEND cap={cap}'),
      give('rng_req', 'SEND', 0xa, 'rngd', 'init: wire keystored xfer rng_req SEND cap={cap}'),
    ],
    routes: [
      route('keystored', 4, 3),
      route('@reply', 6, 5),
      route('statefsd', 7, 5),
      route('logd', 8, 5),
      route('policyd', 9, 5),
      route('rngd', 0xa, 5),
    ],
  },
  rngd: {
    steps: [
      give('rng_req', 'RECV', 3),
      give('rng_rsp', 'SEND', 4),
      inbox(5, 6),
      give('log_req', 'SEND', 7, 'logd'),
      give('pol_req', 'SEND', 8, 'policyd'),
    ],
    routes: [route('rngd', 4, 3), route('@reply', 6, 5), route('logd', 7, 5), route('policyd', 8, 5)],
  },
  policyd: {
    steps: [
      give('pol_req', 'RECV', 3),
      give('pol_rsp', 'SEND', 4),
      line(`init: policyd slots recv=${Z}03 send=${Z}04`),
      inbox(9, 0xa),
      line(`init: policyd reply slots recv=${Z}09 send=${Z}0a`),
      give('log_req', 'SEND', 0xb, 'logd'),
      line(`init: policyd logd slots send=${Z}0b recv=${Z}09`, 'logd'),
    ],
    routes: [route('policyd', 4, 3), route('@reply', 0xa, 9), route('logd', 0xb, 9)],
  },
  logd: {
    steps: [give('log_req', 'RECV', 3), give('log_rsp', 'SEND', 4), line(`init: logd slots recv=${Z}03 send=${Z}04`)],
    routes: [route('logd', 4, 3)],
  },
  metricsd: {
    steps: [
      give('metrics_req', 'RECV', 3),
      give('metrics_rsp', 'SEND', 4),
      line(`init: metricsd slots recv=${Z}03 send=${Z}04`),
      inbox(5, 6),
      give('log_req', 'SEND', 8, 'logd'),
      line(`init: metricsd logd slots send=${Z}08 recv=${Z}05`, 'logd'),
      give('state_req', 'SEND', 7, 'statefsd'),
    ],
    routes: [route('metricsd', 4, 3), route('@reply', 6, 5), route('logd', 8, 5), route('statefsd', 7, 5)],
  },
  samgrd: {
    steps: [
      give('sam_req', 'RECV', 3),
      give('sam_rsp', 'SEND', 4),
      line(`init: samgrd slots recv=${Z}03 send=${Z}04`),
      inbox(5, 6),
      give('log_req', 'SEND', 7, 'logd'),
    ],
    routes: [route('samgrd', 4, 3), route('@reply', 6, 5), route('logd', 7, 5)],
  },
  bundlemgrd: {
    steps: [
      give('bnd_req', 'RECV', 3),
      give('bnd_rsp', 'SEND', 4),
      line(`init: bundlemgrd slots recv=${Z}03 send=${Z}04`),
      give('bnd_exe_req', 'SEND', 5, 'execd'),
      give('bnd_exe_rsp', 'RECV', 6, 'execd'),
      inbox(7, 8),
      give('log_req', 'SEND', 9, 'logd'),
    ],
    routes: [route('bundlemgrd', 4, 3), route('execd', 5, 6), route('@reply', 8, 7), route('logd', 9, 7)],
  },
  statefsd: {
    steps: [
      give('state_req', 'RECV', 3),
      give('state_rsp', 'SEND', 4),
      line(`init: statefsd slots recv=${Z}03 send=${Z}04`),
      inbox(5, 6),
      give('pol_req', 'SEND', 7, 'policyd'),
    ],
    routes: [route('statefsd', 4, 3), route('@reply', 6, 5), route('policyd', 7, 5)],
  },
  updated: {
    steps: [
      give('upd_req', 'RECV', 3),
      give('upd_rsp', 'SEND', 4),
      line(`init: updated slots recv=${Z}03 send=${Z}04`),
      give('bnd_req', 'SEND', 5, 'bundlemgrd', null, 'bundlemgrd send'),
      give('bnd_rsp_updated', 'RECV', 6, 'bundlemgrd', null, 'bundlemgrd recv'),
      give('key_req', 'SEND', 7, 'keystored', null, 'keystored send'),
      give('key_rsp', 'RECV', 8, 'keystored', null, 'keystored recv'),
      give('state_req', 'SEND', 9, 'statefsd', null, 'statefsd send'),
      line(`init: updated statefsd send slot=${Z}09`, 'statefsd'),
      inbox(0xa, 0xb),
      line(`init: updated reply recv slot=${Z}0a`),
      line(`init: updated reply send slot=${Z}0b`),
      give('log_req', 'SEND', 0xc, 'logd', null, 'logd send'),
    ],
    routes: [
      route('updated', 4, 3),
      route('bundlemgrd', 5, 6),
      route('keystored', 7, 8),
      route('statefsd', 9, 0xa),
      route('@reply', 0xb, 0xa),
      route('logd', 0xc, 0xa),
    ],
  },
  timed: { steps: [give('timed_req', 'RECV', 3), give('timed_rsp', 'SEND', 4)], routes: [route('timed', 4, 3)] },
  packagefsd: {
    steps: [
      give('pkg_req', 'RECV', 3),
      give('pkg_rsp', 'SEND', 4),
      give('packagefsd_reply', 'RECV', 5),
      give('packagefsd_reply', 'SEND', 6),
      give('bnd_req', 'SEND', 7, 'bundlemgrd'),
    ],
    routes: [route('packagefsd', 4, 3), route('@reply', 6, 5), route('bundlemgrd', 7, 5)],
  },
  vfsd: {
    steps: [
      give('vfs_req', 'RECV', 3),
      give('vfs_rsp', 'SEND', 4),
      give('pkg_req', 'SEND', 5, 'packagefsd'),
      give('pkg_rsp', 'RECV', 6, 'packagefsd'),
    ],
    routes: [route('vfsd', 4, 3), route('packagefsd', 5, 6)],
  },
  execd: {
    steps: [
      give('exe_req', 'RECV', 3),
      give('exe_rsp', 'SEND', 4),
      give('execd_reply', 'RECV', 5),
      give('execd_reply', 'SEND', 6),
      line(`init: execd reply slots recv=${Z}05 send=${Z}06`),
      give('log_req', 'SEND', 7, 'logd'),
      line(`init: execd logd slots send=${Z}07 recv=${Z}05`, 'logd'),
    ],
    routes: [route('execd', 4, 3), route('@reply', 6, 5), route('logd', 7, 5)],
  },
  netstackd: {
    steps: [
      give('net_req', 'RECV', 5, null, 'init: wire netstackd xfer net_req RECV'),
      give('net_rsp', 'SEND', 6, null, 'init: wire netstackd xfer net_rsp SEND'),
      line(`init: netstackd svc slots recv=${Z}05 send=${Z}06`),
    ],
    routes: [route('netstackd', 6, 5)],
  },
  dsoftbusd: {
    steps: [
      give('net_req', 'SEND', 3, 'netstackd'),
      give('net_dsoft_rsp', 'RECV', 4, 'netstackd'),
      line(`init: dsoftbusd netstackd slots send=${Z}03 recv=${Z}04`, 'netstackd'),
      give('dsoftbusd_reply', 'RECV', 5),
      give('dsoftbusd_reply', 'SEND', 6),
      line(`init: dsoftbusd reply slots recv=${Z}05 send=${Z}06`),
      give('sam_req', 'SEND', 7, 'samgrd'),
      give('bnd_req', 'SEND', 8, 'bundlemgrd'),
      give('dsoft_req', 'RECV', 9),
      give('dsoft_rsp', 'SEND', 0xa),
      give('log_req', 'SEND', 0xb, 'logd'),
    ],
    routes: [
      route('netstackd', 3, 4),
      route('@reply', 6, 5),
      route('samgrd', 7, 5),
      route('bundlemgrd', 8, 5),
      route('dsoftbusd', 0xa, 9),
      route('logd', 0xb, 5),
    ],
  },
  'selftest-client': {
    steps: [
      ...pair('vfs_req', 'vfs_rsp', 3, 4, 'vfsd'),
      line(`init: selftest vfsd slots send=${Z}03 recv=${Z}04`, 'vfsd'),
      ...pair('pkg_req', 'pkg_rsp', 5, 6, 'packagefsd'),
      ...pair('pol_req', 'pol_rsp', 7, 8, 'policyd'),
      line(`init: selftest policyd slots send=${Z}07 recv=${Z}08`, 'policyd'),
      ...pair('bnd_req', 'bnd_rsp', 9, 0xa, 'bundlemgrd'),
      line(`init: selftest bundlemgrd slots send=${Z}09 recv=${Z}0a`, 'bundlemgrd'),
      ...pair('upd_req', 'upd_rsp', 0xb, 0xc, 'updated'),
      line(`init: selftest updated slots send=${Z}0b recv=${Z}0c`, 'updated'),
      ...pair('sam_req', 'sam_rsp', 0xd, 0xe, 'samgrd'),
      line(`init: selftest samgrd slots send=${Z}0d recv=${Z}0e`, 'samgrd'),
      ...pair('exe_req', 'exe_rsp', 0xf, 0x10, 'execd'),
      line(`init: selftest execd slots send=${Z}0f recv=${Z}10`, 'execd'),
      ...pair('key_req', 'key_rsp', 0x11, 0x12, 'keystored'),
      line(`init: selftest keystored slots send=${Z}11 recv=${Z}12`, 'keystored'),
      ...pair('state_req', 'state_rsp', 0x13, 0x14, 'statefsd'),
      line(`init: selftest statefsd slots send=${Z}13 recv=${Z}14`, 'statefsd'),
      ...pair('log_req', 'log_rsp', 0x15, 0x16, 'logd'),
      line(`init: selftest logd slots send=${Z}15 recv=${Z}16`, 'logd'),
      ...pair('metrics_req', 'metrics_rsp', 0x21, 0x22, 'metricsd'),
      line(`init: selftest metricsd slots send=${Z}21 recv=${Z}22`, 'metricsd'),
      give('selftest_reply', 'RECV', 0x17),
      give('selftest_reply', 'SEND', 0x18),
      line(`init: selftest reply slots send=${Z}18 recv=${Z}17`),
      ...pair('net_req', 'net_selftest_rsp', 0x19, 0x1a, 'netstackd'),
      ...pair('dsoft_req', 'dsoft_rsp', 0x1b, 0x1c, 'dsoftbusd'),
      ...pair('rng_req', 'rng_rsp', 0x1d, 0x1e, 'rngd'),
      line(`init: selftest rngd slots send=${Z}1d recv=${Z}1e`, 'rngd'),
      ...pair('timed_req', 'timed_rsp', 0x1f, 0x20, 'timed'),
    ],
    routes: [
      route('vfsd', 3, 4),
      route('packagefsd', 5, 6),
      route('policyd', 7, 8),
      route('bundlemgrd', 9, 0xa),
      route('updated', 0xb, 0xc),
      route('samgrd', 0xd, 0xe),
      route('execd', 0xf, 0x10),
      route('keystored', 0x11, 0x12),
      route('statefsd', 0x13, 0x14),
      route('logd', 0x15, 0x16),
      route('metricsd', 0x21, 0x22),
      route('@reply', 0x18, 0x17),
      route('netstackd', 0x19, 0x1a),
      route('dsoftbusd', 0x1b, 0x1c),
      route('rngd', 0x1d, 0x1e),
      route('timed', 0x1f, 0x20),
    ],
  },
};

/** Contract: the producers of sheet 40, section 16 reach metricsd (quirks.md, metrics-unrouted). */
const PRODUCERS: Readonly<Record<string, ServiceWiring>> = {
  execd: { steps: [give('metrics_req', 'SEND', 8, 'metricsd')], routes: [route('metricsd', 8, 5)] },
  bundlemgrd: { steps: [give('metrics_req', 'SEND', 0xa, 'metricsd')], routes: [route('metricsd', 0xa, 7)] },
  dsoftbusd: { steps: [give('metrics_req', 'SEND', 0xc, 'metricsd')], routes: [route('metricsd', 0xc, 5)] },
  timed: {
    steps: [inbox(5, 6), give('metrics_req', 'SEND', 7, 'metricsd')],
    routes: [route('@reply', 6, 5), route('metricsd', 7, 5)],
  },
};

function pair(req: EndpointName, rsp: EndpointName, send: number, recv: number, peer: string): readonly Give[] {
  return [give(req, 'SEND', send, peer), give(rsp, 'RECV', recv, peer)];
}
