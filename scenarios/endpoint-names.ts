/**
 * Names of endpoints for people: those of init's table (services/init/endpoints.ts), each service's control channel
 * (`ctl-req.NAME`, `ctl-rsp.NAME`) and reply inbox (`inbox.NAME`), and `bootstrap`, the loopback in every first slot. Ids exist only
 * while a machine runs, so a name is resolved through the capability table that holds it.
 */
import type { Kernel } from '../kernel-model/kernel.ts';
import type { Task } from '../kernel-model/task.ts';
import { SERVICE_ENDPOINTS } from '../services/init/endpoints.ts';
import { InitSlot } from '../services/init/state.ts';
import { wiringOf } from '../services/init/wiring.ts';
import { SLOT_ORDER } from './images.ts';

/** Task and slot that hold a capability for the endpoint. */
interface Place {
  readonly task: string;
  readonly slot: number;
}

const INIT = 'init-lite';
/** Slot of init's first service endpoint (sheet 20, section 4). */
const FIRST_SLOT = 0x26;
/** A service's own slots (sheet 20, section 1). */
const CTRL_SEND = 1;
const CTRL_RECV = 2;
const BOOTSTRAP = 'bootstrap';
const NO_ENDPOINT = -1;

function placeOf(name: string): Place | null {
  if (name === 'pol_ctl_route_rsp') return { task: INIT, slot: InitSlot.POL_ROUTE_RSP };
  if (name === 'pol_ctl_exec_rsp') return { task: INIT, slot: InitSlot.POL_EXEC_RSP };
  const index = SERVICE_ENDPOINTS.findIndex((spec) => spec.name === name);
  if (index >= 0) return { task: INIT, slot: FIRST_SLOT + index };
  const dot = name.indexOf('.');
  const task = name.slice(dot + 1);
  if (dot < 0 || !SLOT_ORDER.includes(task)) return null;
  switch (name.slice(0, dot)) {
    case 'ctl-req':
      return { task, slot: CTRL_SEND };
    case 'ctl-rsp':
      return { task, slot: CTRL_RECV };
    case 'inbox': {
      const { steps } = wiringOf(task, { producersReachMetricsd: true, statefsReachesLogd: true });
      const inbox = steps.find((step) => step.kind === 'inbox');
      return inbox === undefined ? null : { task, slot: inbox.recv };
    }
    default:
      return null;
  }
}

/** True for a name that can be resolved in some image. */
export function isEndpointName(name: string): boolean {
  return name === BOOTSTRAP || placeOf(name) !== null;
}

/** Every name, in a fixed order. */
export function endpointNames(): readonly string[] {
  const services = SLOT_ORDER.flatMap((name) => [`ctl-req.${name}`, `ctl-rsp.${name}`, `inbox.${name}`]);
  const named = SERVICE_ENDPOINTS.map((spec) => spec.name);
  return [BOOTSTRAP, 'pol_ctl_route_rsp', 'pol_ctl_exec_rsp', ...named, ...services].filter(isEndpointName);
}

/** Resolves names against one running kernel, and ids back to names. */
export class EndpointNames {
  readonly #kernel: Kernel;
  readonly #ids = new Map<string, number>();
  #names: ReadonlyMap<number, string> = new Map();
  /** Endpoints that existed when the reverse table was last built. */
  #known = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Id of a name; -1 while nobody holds the endpoint yet. */
  idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = name === BOOTSTRAP ? 0 : this.#lookUp(name);
    if (id !== NO_ENDPOINT) this.#ids.set(name, id);
    return id;
  }

  /** Name of an id, or null. */
  nameOf(id: number): string | null {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    // Tables fill while init wires; an id that stays unknown is asked again only after something was created.
    const { length } = this.#kernel.router.endpoints;
    if (length === this.#known && this.#wired) return null;
    this.#known = length;
    this.#names = new Map(endpointNames().map((name) => [this.idOf(name), name]));
    return this.#names.get(id) ?? null;
  }

  /** True when every service's first own slot has been filled. */
  get #wired(): boolean {
    return this.#kernel.tasks.every((task) => !SLOT_ORDER.includes(task.name) || task.caps.get(CTRL_RECV + 1) !== null);
  }

  #lookUp(name: string): number {
    const place = placeOf(name);
    const cap = place === null ? null : (taskNamed(this.#kernel, place.task)?.caps.get(place.slot) ?? null);
    return cap?.kind === 'endpoint' && cap.rights !== 0 ? cap.endpoint : NO_ENDPOINT;
  }
}

/** The first task of that name; `init` is short for the first task. */
export function taskNamed(kernel: Kernel, name: string): Task | null {
  const wanted = name === 'init' ? INIT : name;
  return kernel.tasks.find((task) => task.name === wanted) ?? null;
}
