/**
 * What init knows while it runs: its options, the children with their control channels, the endpoints it made, the routes
 * it will answer. One object per boot; no behaviour beyond small queries.
 */
import { FrameStash } from '../lib/correlation.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { EndpointName } from './endpoints.ts';
import type { RouteEntry } from './wiring.ts';

/** One service image that init starts. */
export interface ServiceImage {
  readonly name: string;
  /** Stack pages asked for; clamped to at least 1 (sheet 20, section 2). */
  readonly stackPages: number;
  readonly elf: Uint8Array;
}

/** Plain options of one image (design, decision 6). Contract settings are the defaults of the image builder. */
export interface InitOptions {
  /** Images in spawn order. */
  readonly services: readonly ServiceImage[];
  /** Names whose slot numbers are reserved, in the sheet's order; those not in `services` leave holes. */
  readonly slotOrder: readonly string[];
  /** Services looked up after `init: ready`, in this order; the first one missing is fatal. */
  readonly required: readonly string[];
  /** quirk route-fail-open: a route or exec check that policyd does not answer is allowed. */
  readonly routeFailOpen: boolean;
  /** quirk boot-slot-byte: the boot attempt's slot is read from byte 5. */
  readonly bootSlotByte: 5 | 7;
  /** quirk metrics-unrouted off. */
  readonly producersReachMetricsd: boolean;
  /** quirk statefs-audit-lost off. */
  readonly statefsReachesLogd: boolean;
}

/** A started service. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** init's slots of the control channel: REQ is received from, RSP is sent to. */
  readonly ctrlReq: number;
  readonly ctrlRsp: number;
  readonly routes: RouteEntry[];
}

/** Stash of replies that were not awaited (sheet 20, section 8.4): 8 frames of at most 16 bytes. */
export const STASH_SLOTS = 8;
export const STASH_BYTES = 16;

/** init's own pinned slots (sheet 20, sections 3 and 4). */
export const InitSlot = { BOOTSTRAP: 0, FACTORY: 1, POL_ROUTE_RSP: 2, REPLY_SOURCE: 4, POL_EXEC_RSP: 5 } as const;

/** init's state. */
export class InitState {
  readonly sys: Sys;
  readonly options: InitOptions;
  /** init's own pid, for its lines. */
  pid = 0;
  readonly children: Child[] = [];
  readonly stash = new FrameStash(STASH_SLOTS, STASH_BYTES);
  /** Questions to policyd so far. Answering anything else leaves no trace in init. */
  queries = 0;
  /** Nonce of the next ROUTE or EXEC query to policyd (u32, first value 1). */
  #policyNonce = 1;
  readonly #endpoints = new Map<EndpointName, number>();

  constructor(sys: Sys, options: InitOptions) {
    this.sys = sys;
    this.options = options;
  }

  child(name: string): Child | undefined {
    return this.children.find((child) => child.name === name);
  }

  has(name: string): boolean {
    return this.child(name) !== undefined;
  }

  setEndpoint(name: EndpointName, slot: number): void {
    this.#endpoints.set(name, slot);
  }

  /** init's slot of an endpoint; every endpoint of the tables exists once bring-up got past creation. */
  endpoint(name: EndpointName): number {
    return this.#endpoints.get(name) ?? -1;
  }

  nextPolicyNonce(): number {
    const nonce = this.#policyNonce;
    this.#policyNonce = (nonce + 1) >>> 0;
    return nonce;
  }
}
