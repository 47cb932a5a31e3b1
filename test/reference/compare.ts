/**
 * Compares a run with `--quirks reference` to the log of the real image, task by task: each task's own lines, in its own
 * order, text exact. What the image `observability` cannot print (it has eight of the sixteen services) is an explicit
 * list of changes to the reference's lines, each with its reason; a change that does not fit is an error.
 */
import { KERNEL, splitByTask } from '../../markers/tasks.ts';

/** One place where the reference's lines are known to differ: `lines` there, `here` in their place (nothing, if left out). */
export interface Change {
  readonly lines: readonly string[];
  readonly here?: readonly string[];
  readonly reason: string;
}

/** The services of both images, in spawn order: the n-th has pid 18 + n (sheet 20, section 2). */
export const REFERENCE_SERVICES: readonly string[] = [
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
const FIRST_SERVICE_PID = 18;

/** Lines of one log by task. */
export type ByTask = ReadonlyMap<string, readonly string[]>;

export function byTask(lines: readonly string[]): ByTask {
  const { tasks } = splitByTask(lines);
  return new Map([...tasks].map(([task, list]) => [task, list.map((line) => line.text)]));
}

/**
 * Values that depend on the build and on how many images lie in memory (reference README: by shape): page-table roots,
 * physical addresses, frame numbers. Everything else is compared as it stands.
 */
export function byShape(line: string): string {
  return line
    .replace(/\b(satp|pa|q_pa|buf_pa|pfn)=0x[0-9a-f]+/g, '$1=#')
    .replace(/(EXEC-META: va=0x2000b000 pa=#) entry=0x[0-9a-f]+/, '$1 entry=#')
    .replace(/(trampoline enter val)=0x[0-9a-f]+/, '$1=#');
}

/** A pid of the reference as this image numbers it; null for a service that it does not have. */
export function pidHere(pid: number, services: readonly string[]): number | null {
  const name = REFERENCE_SERVICES[pid - FIRST_SERVICE_PID];
  if (name === undefined) return pid;
  const index = services.indexOf(name);
  return index < 0 ? null : FIRST_SERVICE_PID + index;
}

/** The line with this image's pids; pids of absent services stay. */
function withPids(line: string, services: readonly string[]): string {
  return line
    .replace(/\bpid=0x([0-9a-f]{16})\b/g, (whole, hex: string) => {
      const pid = pidHere(parseInt(hex, 16), services);
      return pid === null ? whole : `pid=0x${pid.toString(16).padStart(16, '0')}`;
    })
    .replace(/\b((?:caller_|target_)?pid)=(\d+)\b/g, (whole, key: string, decimal: string) => {
      const pid = pidHere(Number(decimal), services);
      return pid === null ? whole : `${key}=${pid}`;
    });
}

/** The reference's lines of one task as this image must print them. Throws where a change does not fit. */
export function expected(
  reference: readonly string[],
  changes: readonly Change[],
  services: readonly string[],
): string[] {
  const out: string[] = [];
  let at = 0;
  for (const change of changes) {
    const start = find(reference, change.lines, at);
    if (start < 0)
      throw new Error(`a change does not fit the reference: ${change.lines[0] ?? '(empty)'} (${change.reason})`);
    out.push(...reference.slice(at, start), ...(change.here ?? []));
    at = start + change.lines.length;
  }
  out.push(...reference.slice(at));
  return out.map((line) => byShape(withPids(line, services)));
}

function find(lines: readonly string[], wanted: readonly string[], from: number): number {
  for (let i = from; i + wanted.length <= lines.length; i++) {
    if (wanted.every((line, k) => lines[i + k] === line)) return i;
  }
  return -1;
}

/** Kernel lines cut into what is compared in different ways. */
export interface KernelLines {
  /** Up to init's own spawn, exact. */
  readonly boot: readonly string[];
  /** One block of lines per service, from its address space to its place in the run queue. */
  readonly spawns: readonly (readonly string[])[];
  /** Activations after it, in order. */
  readonly activations: readonly string[];
  /** Pids of enqueue lines after it: the kernel prints its first 32 enqueues only (sheet 10, section 1). */
  readonly enqueues: readonly number[];
  /** The rest: what tasks ask the kernel for. */
  readonly rest: readonly string[];
}

const ENQUEUE = /^\[DEBUG sched\] enqueue: pid=(\d+) qos=Normal$/;
/** Pid of init: the last task before the services. */
const INIT_PID = 17;

export function kernelLines(tasks: ByTask, services: number): KernelLines {
  const lines = tasks.get(KERNEL) ?? [];
  const spawned = (pid: number): number => lines.indexOf(`[DEBUG sched] enqueue: pid=${pid} qos=Normal`);
  // init's activation and jump follow its enqueue; the first service's block begins with its first page table.
  const afterInit = lines.indexOf('PT: heap alloc', spawned(INIT_PID));
  const blocks: (readonly string[])[] = [];
  let at = afterInit;
  for (let i = 0; i < services; i++) {
    const end = spawned(FIRST_SERVICE_PID + i) + 1;
    blocks.push(lines.slice(at, end));
    at = end;
  }
  const tail = lines.slice(at);
  const isActivation = (line: string): boolean => line.startsWith('AS: ') || line.startsWith('[INFO as] AS: ');
  return {
    boot: lines.slice(0, afterInit),
    spawns: blocks,
    activations: tail.filter(isActivation),
    enqueues: tail.flatMap((line) => ENQUEUE.exec(line)?.[1] ?? []).map(Number),
    rest: tail.filter((line) => !isActivation(line) && !ENQUEUE.test(line)),
  };
}
