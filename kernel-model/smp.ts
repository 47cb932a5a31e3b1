/**
 * Secondary harts and their self-tests (sheet 10, sections 5.5 and 10; sheet 05, section 17). Secondary harts never run
 * tasks: they go online, take software interrupts and spin. Per-CPU run queues and stealing exist only here, for the
 * self-tests; the real scheduler is the boot hart's.
 */
import { MSIP, SSIP } from '../sim/hart-inputs.ts';
import type { HartInputs } from '../sim/hart-inputs.ts';
import type { MmioDevice } from '../sim/memory.ts';
import type { QosClass } from './abi.ts';
import { RunQueue } from './scheduler.ts';

/** Kernel's CPU ceiling. */
export const MAX_CPUS = 4;
/** Spins of the boot hart: while nothing may happen, and while an acknowledgement must come. */
export const COUNTERFACTUAL_SPINS = 200_000;
export const ACK_SPINS = 5_000_000;

/** Software interrupts between harts, as the firmware's send_ipi works them. */
export interface IpiPort {
  /** Harts of the machine. */
  readonly harts: number;
  /** False for a hart that does not come when the firmware starts it; without the method all come. */
  starts?(hart: number): boolean;
  /** The SBI call: raises the machine software interrupt of a hart. False: the hart does not exist. */
  send(hart: number): boolean;
  /** One step of a secondary hart: true when it took a supervisor software interrupt, which `send` had caused. */
  step(hart: number): boolean;
  /** True: no step does anything until somebody sends. Without the method nobody knows. */
  quiet?(): boolean;
}

/** The port over the board's ACLINT: MSIP through its register, SSIP by the firmware, cleared by the handler. */
export function aclintPort(mswi: MmioDevice, harts: readonly HartInputs[]): IpiPort {
  const MSIP_STRIDE = 4;
  return {
    harts: harts.length,
    send: (hart) => {
      if (harts[hart] === undefined) return false;
      mswi.write(hart * MSIP_STRIDE, 4, 1);
      return true;
    },
    step: (hart) => {
      const inputs = harts[hart];
      if (inputs === undefined) return false;
      if (inputs.pending & (1 << MSIP)) {
        mswi.write(hart * MSIP_STRIDE, 4, 0);
        inputs.line(SSIP).set(true);
      }
      if (!(inputs.pending & (1 << SSIP))) return false;
      inputs.clear(SSIP);
      return true;
    },
    quiet: () => harts.slice(1).every(({ pending }) => (pending & ((1 << MSIP) | (1 << SSIP))) === 0),
  };
}

/** A port without a board: one pending bit per hart. */
export function plainPort(harts: number): IpiPort {
  const pending = new Uint8Array(harts);
  return {
    harts,
    send: (hart) => {
      if (hart < 0 || hart >= harts) return false;
      pending[hart] = 1;
      return true;
    },
    step: (hart) => {
      const taken = pending[hart] === 1;
      pending[hart] = 0;
      return taken;
    },
  };
}

/** Counters of one CPU's reschedule interrupts. */
export interface IpiCounters {
  accepted: number;
  sent: number;
  trapped: number;
  acknowledged: number;
}

/** CPUs of one kernel: who is online, reschedule requests, and the self-test's queues. */
export class Smp {
  /** Bit n: cpu n is online. */
  online = 1;
  /** The counterfactual check's switch: SBI calls are not made. */
  failSends = false;
  steals = 0;
  readonly counters: readonly IpiCounters[];
  readonly #port: IpiPort;
  readonly #pending: boolean[] = new Array<boolean>(MAX_CPUS).fill(false);
  readonly #queues: readonly (readonly [RunQueue, RunQueue, RunQueue, RunQueue])[];

  constructor(port: IpiPort) {
    this.#port = port;
    this.counters = Array.from({ length: MAX_CPUS }, () => ({ accepted: 0, sent: 0, trapped: 0, acknowledged: 0 }));
    this.#queues = Array.from(
      { length: MAX_CPUS },
      () => [new RunQueue(), new RunQueue(), new RunQueue(), new RunQueue()] as const,
    );
  }

  /** hart_start: true when the hart exists and went online. */
  start(cpu: number): boolean {
    if (cpu >= this.#port.harts || cpu >= MAX_CPUS || this.#port.starts?.(cpu) === false) return false;
    this.online |= 1 << cpu;
    return true;
  }

  isOnline(cpu: number): boolean {
    return cpu >= 0 && cpu < MAX_CPUS && (this.online & (1 << cpu)) !== 0;
  }

  /** Asks a CPU to reschedule; false for an invalid or offline one. */
  requestResched(cpu: number): boolean {
    const counters = this.counters[cpu];
    if (counters === undefined || !this.isOnline(cpu)) return false;
    counters.accepted++;
    this.#pending[cpu] = true;
    if (!this.failSends && this.#port.send(cpu)) counters.sent++;
    return true;
  }

  /** So many rounds in which every secondary hart runs a step. */
  spinFor(rounds: number): void {
    // Harts that wait for a message change nothing, and the boot hart, which spins, sends none.
    for (let round = 0; round < rounds && this.#port.quiet?.() !== true; round++) this.spin();
  }

  /** One round in which every secondary hart runs a step. */
  spin(): void {
    for (let cpu = 1; cpu < MAX_CPUS; cpu++) {
      const counters = this.counters[cpu];
      if (counters === undefined || !this.isOnline(cpu) || !this.#port.step(cpu)) continue;
      counters.trapped++;
      if (this.#pending[cpu]) {
        this.#pending[cpu] = false;
        counters.acknowledged++;
      }
    }
  }

  // -- per-CPU queues -----------------------------------------------------------------------------------------------

  enqueue(cpu: number, pid: number, qos: QosClass): boolean {
    return this.#queues[cpu]?.[qos].push(pid) ?? false;
  }

  queued(cpu: number): number {
    return (this.#queues[cpu] ?? []).reduce((sum, queue) => sum + queue.count, 0);
  }

  /** Next task of a CPU, -1 for none: per class its own head, else one steal of at most that class. One task per pick. */
  pick(cpu: number): number {
    for (let qos = 3; qos >= 0; qos--) {
      const own = this.#queues[cpu]?.[qos];
      if (own !== undefined && own.count > 0) return own.pop();
      const stolen = this.steal(cpu, qos as QosClass);
      if (stolen >= 0) return stolen;
    }
    return -1;
  }

  /** Takes the head of the highest class up to `max` from the first online CPU that has one; -1 for none. */
  steal(cpu: number, max: QosClass): number {
    for (let qos: number = max; qos >= 0; qos--) {
      for (let victim = 0; victim < MAX_CPUS; victim++) {
        const queue = this.#queues[victim]?.[qos];
        if (victim === cpu || !this.isOnline(victim) || queue === undefined || queue.count === 0) continue;
        this.steals++;
        return queue.pop();
      }
    }
    return -1;
  }

  /** Empties the self-test's queues. */
  clearQueues(): void {
    for (const queues of this.#queues) for (const queue of queues) while (queue.count > 0) queue.pop();
  }
}
