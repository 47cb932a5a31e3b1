/**
 * Who waits for whom: a picture of a kernel that makes no progress. Plain data first, text second. Reading it changes
 * nothing in the machine.
 */
import { Rights } from './abi.ts';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';

/** A task that could end a wait. */
export interface Holder {
  readonly pid: number;
  readonly name: string;
  readonly slot: number;
}

/** One endpoint that a task waits on. */
export interface AwaitedEndpoint {
  readonly endpoint: number;
  readonly alive: boolean;
  /** Messages queued and the depth. */
  readonly queued: number;
  readonly depth: number;
  /** 'recv': living tasks with SEND. 'send': living tasks with RECV. The waiting task itself is left out. */
  readonly direction: 'recv' | 'send';
  readonly holders: readonly Holder[];
  /** Endpoints in whose queues a capability travels that could end the wait. */
  readonly inFlight: readonly number[];
}

/** What one living task is doing. */
export interface Waiting {
  readonly pid: number;
  readonly name: string;
  /** 'runnable' tasks wait for nothing but their turn; 'polling' ones use it to look again. */
  readonly kind: 'runnable' | 'polling' | 'recv' | 'send' | 'wait';
  /** Virtual ns since the wait began; 0 for a runnable task. */
  readonly since: number;
  /** Absolute virtual ns, null for none. */
  readonly deadline: number | null;
  readonly endpoints: readonly AwaitedEndpoint[];
  /** Children that WAIT would take, pids; empty unless kind is 'wait'. */
  readonly children: readonly number[];
  /** True: no deadline, and everybody who could end the wait is stuck too. */
  readonly stuck: boolean;
}

export interface StallReport {
  /** Virtual ns. */
  readonly now: number;
  readonly tasks: readonly Waiting[];
}

/** Looks at all living tasks. */
export function stallReport(kernel: Kernel): StallReport {
  const holders = new HolderIndex(kernel);
  const living = kernel.tasks.filter((task) => task.state !== 'zombie' && task.generator !== null);
  const tasks = living.map((task) => describeTask(kernel, holders, task));
  const stuck = stuckPids(tasks);
  return { now: kernel.clock.now, tasks: tasks.map((task) => ({ ...task, stuck: stuck.has(task.pid) })) };
}

function describeTask(kernel: Kernel, holders: HolderIndex, task: Task): Waiting {
  const base = { pid: task.pid, name: task.name, since: task.blockSince, children: [], stuck: false };
  const awaited = (id: number, direction: 'recv' | 'send'): AwaitedEndpoint => {
    const endpoint = kernel.router.endpoints[id];
    return {
      endpoint: id,
      alive: endpoint?.alive ?? false,
      queued: endpoint?.count ?? 0,
      depth: endpoint?.depth ?? 0,
      direction,
      ...holders.of(id, direction === 'recv' ? Rights.SEND : Rights.RECV, task.pid),
    };
  };
  // A lone task is retried over and over: to the person who looks it is blocked like the others.
  const kind = task.blockKind;
  if (task.state === 'ready' && !task.lone) {
    if (!task.polling) return { ...base, kind: 'runnable', since: 0, deadline: null, endpoints: [] };
    const poll = task.sys.poll;
    const slots = (list: readonly number[], direction: 'recv' | 'send'): AwaitedEndpoint[] =>
      list.flatMap((slot) => {
        const cap = task.caps.get(slot);
        return cap?.kind === 'endpoint' ? [awaited(cap.endpoint, direction)] : [];
      });
    const bounded = poll.clockEvery !== 0 && poll.deadline !== Infinity;
    return {
      ...base,
      kind: 'polling',
      deadline: bounded ? poll.deadline : null,
      endpoints: [...slots(poll.slots, 'recv'), ...slots(poll.sendSlots, 'send')],
    };
  }
  if (kind === 'wait' || kind === 'none') {
    const children = task.waitTarget > 0 ? [task.waitTarget] : [...task.children];
    return { ...base, kind: 'wait', deadline: null, endpoints: [], children };
  }
  const deadline = task.blockDeadline === 0 ? null : task.blockDeadline;
  return { ...base, kind, deadline, endpoints: [awaited(task.blockEndpoint, kind)] };
}

/** The largest set of waits without deadline whose wakers are all in the set. */
function stuckPids(tasks: readonly Waiting[]): ReadonlySet<number> {
  const stuck = new Set(
    tasks.filter((t) => t.kind !== 'runnable' && t.kind !== 'polling' && t.deadline === null).map((t) => t.pid),
  );
  const hopeless = (task: Waiting): boolean =>
    task.children.every((pid) => stuck.has(pid)) &&
    task.endpoints.every((e) => e.inFlight.length === 0 && e.holders.every((h) => stuck.has(h.pid)));
  for (let changed = true; changed;) {
    changed = false;
    for (const task of tasks) {
      if (stuck.has(task.pid) && !hopeless(task)) {
        stuck.delete(task.pid);
        changed = true;
      }
    }
  }
  return stuck;
}

/** Endpoint capabilities of living tasks and of queued messages. */
class HolderIndex {
  readonly #held: { readonly endpoint: number; readonly rights: number; readonly holder: Holder }[] = [];
  readonly #travelling: { readonly endpoint: number; readonly rights: number; readonly on: number }[] = [];

  constructor(kernel: Kernel) {
    for (const { pid, name, state, caps, generator } of kernel.tasks) {
      if (state === 'zombie' || generator === null) continue;
      for (const [slot, cap] of caps.entries()) {
        if (cap.kind !== 'endpoint') continue;
        this.#held.push({ endpoint: cap.endpoint, rights: cap.rights, holder: { pid, name, slot } });
      }
    }
    for (const endpoint of kernel.router.endpoints) {
      for (const { moved } of endpoint.messages()) {
        if (moved?.kind === 'endpoint') this.#travelling.push({ ...moved, on: endpoint.id });
      }
    }
  }

  of(endpoint: number, right: number, except: number): { holders: Holder[]; inFlight: number[] } {
    const fits = (c: { endpoint: number; rights: number }): boolean =>
      c.endpoint === endpoint && (c.rights & right) !== 0;
    return {
      holders: this.#held.filter((c) => fits(c) && c.holder.pid !== except).map((c) => c.holder),
      inFlight: this.#travelling.filter(fits).map((c) => c.on),
    };
  }
}

/** What the text can say beyond the report itself. */
export interface StallWords {
  /** A name for an endpoint, or null. */
  readonly endpointName?: (endpoint: number) => string | null;
  /** Nothing can happen any more: a deadline that still lies ahead is one that nobody will look at (sheet 10, section 5.3). */
  readonly dead?: boolean;
}

/** The report as text, one paragraph per task that waits: stuck ones first, parents that wait for a child last. */
export function renderStall(report: StallReport, words: StallWords = {}): string {
  const unseen = (task: Waiting): boolean =>
    words.dead === true && task.deadline !== null && task.deadline > report.now;
  const rank = (task: Waiting): number => (task.kind === 'wait' ? 2 : task.stuck || unseen(task) ? 0 : 1);
  const order = [...report.tasks].sort((a, b) => rank(a) - rank(b) || a.pid - b.pid);
  const lines = [`at ${seconds(report.now)}: who waits for whom`];
  for (const task of order) {
    const who = `${task.name === '' ? 'unnamed' : task.name} (pid ${task.pid})`;
    if (task.kind === 'runnable') {
      lines.push(`  ${who} is runnable`);
      continue;
    }
    const until = task.deadline === null ? 'no deadline' : `until ${seconds(task.deadline)}`;
    const hint = unseen(task) ? ' (no task blocks any more, so nobody looks at deadlines)' : '';
    const mark = task.stuck || unseen(task) ? `, STUCK${hint}` : '';
    lines.push(`  ${who} ${VERBS[task.kind]} since ${seconds(task.since)}, ${until}${mark}`);
    if (task.kind === 'wait') lines.push(`    children: ${task.children.join(', ') || 'none'}`);
    for (const endpoint of task.endpoints) lines.push(`    ${renderEndpoint(endpoint, words)}`);
  }
  return `${lines.join('\n')}\n`;
}

const VERBS = {
  polling: 'polls',
  recv: 'waits for a message',
  send: 'waits for room to send',
  wait: 'waits for a child',
} as const;

function renderEndpoint(e: AwaitedEndpoint, { endpointName }: StallWords): string {
  const right = e.direction === 'recv' ? 'SEND' : 'RECV';
  const names = e.holders.map((h) => `${h.name === '' ? 'unnamed' : h.name} (pid ${h.pid}, slot ${h.slot})`);
  const flying = e.inFlight.map((on) => `a message on endpoint ${on}`);
  const held = [...names, ...flying].join(', ') || 'nobody';
  const name = endpointName?.(e.endpoint) ?? null;
  const which = `endpoint ${e.endpoint}${name === null ? '' : ` ${name}`}${e.alive ? '' : ' (closed)'}`;
  return `${which}, ${e.queued} of ${e.depth} queued, ${right} held by ${held}`;
}

function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(6)} s`;
}
