/**
 * Broken parts for the kernel's self-tests (fault `selftest`, docs/faults.md): each does one thing wrong that one check
 * looks at, so that the check's line turns into its failure form and the others stay.
 */
import type { QosClass } from '../kernel-model/abi.ts';
import { CapTable } from '../kernel-model/captable.ts';
import { Router } from '../kernel-model/endpoint.ts';
import { REAL_PARTS } from '../kernel-model/kselftest-ipc.ts';
import type { SelftestParts } from '../kernel-model/kselftest-ipc.ts';
import { MAX_CPUS, Smp } from '../kernel-model/smp.ts';
import type { SelftestPart } from './faults.ts';

/** The parts that are broken, in place of the real ones; `say` is told of each when it is put in. */
export function brokenParts(
  broken: readonly SelftestPart[],
  say: (part: SelftestPart) => void,
): Partial<SelftestParts> {
  const cpu = broken.find(isCpuPart);
  return {
    ...(broken.includes('router') && {
      newRouter: (limits) => {
        say('router');
        return new FullRouter(0, limits);
      },
    }),
    ...(broken.includes('cap-table') && {
      newCapTable: (slots) => {
        say('cap-table');
        return new CapTable(slots + 1);
      },
    }),
    ...(broken.includes('spawn-reason') && {
      reasonOf: (error) => {
        say('spawn-reason');
        return REAL_PARTS.reasonOf(error) + 1;
      },
    }),
    ...(cpu !== undefined && {
      newSmp: (port) => {
        say(cpu);
        return new CPU_PARTS[cpu](port);
      },
    }),
  };
}

/** A router that takes what its limits forbid: every check of the self-tests that counts on them fails. */
class FullRouter extends Router {
  override admits(): number {
    return 0;
  }

  override create(depth: number, owner: number): number {
    return owner < 0 && depth === 1 ? -1 : super.create(depth, owner);
  }
}

/** Forgets once that the second hart is online: when the check of the online mask asks, after the boot did. */
class ForgetfulMask extends Smp {
  #asked = 0;

  override isOnline(cpu: number): boolean {
    if (cpu === 1) this.#asked += 1;
    return !(cpu === 1 && this.#asked === 2) && super.isOnline(cpu);
  }
}

/** Takes requests for a CPU that no machine has. */
class AnyTarget extends Smp {
  override requestResched(cpu: number): boolean {
    return cpu >= MAX_CPUS || super.requestResched(cpu);
  }
}

/** Takes requests for a CPU that is not online. */
class OfflineTarget extends Smp {
  override requestResched(cpu: number): boolean {
    return (cpu < MAX_CPUS && !this.isOnline(cpu)) || super.requestResched(cpu);
  }
}

/** Never takes another CPU's task. */
class NoSteal extends Smp {
  override steal(): number {
    return -1;
  }
}

/** Takes a second task with each stolen one. */
class GreedySteal extends Smp {
  override steal(cpu: number, max: QosClass): number {
    const first = super.steal(cpu, max);
    if (first >= 0) super.steal(cpu, max);
    return first;
  }
}

/** Steals tasks of any class. */
class ClasslessSteal extends Smp {
  override steal(cpu: number): number {
    return super.steal(cpu, 3);
  }
}

const CPU_PARTS = {
  'online-mask': ForgetfulMask,
  'ipi-target': AnyTarget,
  'ipi-offline': OfflineTarget,
  steal: NoSteal,
  'steal-bound': GreedySteal,
  'steal-class': ClasslessSteal,
} as const;

function isCpuPart(part: SelftestPart): part is keyof typeof CPU_PARTS {
  return part in CPU_PARTS;
}
