/** The SMP lines of the boot transcript (sheet 10, section 10), printed when cpu1 is online. */
import { Qos } from './abi.ts';
import { ACK_SPINS, COUNTERFACTUAL_SPINS, MAX_CPUS } from './smp.ts';
import type { IpiCounters, Smp } from './smp.ts';

/** A pid that no task has. */
const TEST_PID = 0x7fff_ff00;

/** One check: its line's name, and whether what it claims held. */
export interface SmpCheck {
  readonly name: string;
  readonly ok: boolean;
}

/** Runs the checks in their order; each is really made when its turn comes. */
export function* smpChecks(smp: Smp): Generator<SmpCheck, void, void> {
  yield { name: 'smp online', ok: smp.isOnline(1) };
  yield { name: 'ipi counterfactual', ok: counterfactual(smp) };
  yield { name: 'ipi resched', ok: resched(smp) };
  yield { name: 'test_reject_invalid_ipi_target_cpu', ok: !smp.requestResched(MAX_CPUS) };
  // With four harts nobody is offline, so the reference's check fails (its own limit).
  const offline = smp.isOnline(2) ? 3 : 2;
  yield { name: 'test_reject_offline_cpu_resched', ok: !smp.isOnline(offline) && !smp.requestResched(offline) };
  yield { name: 'work stealing', ok: stealing(smp) };
  yield { name: 'test_reject_steal_above_bound', ok: bounded(smp) };
  yield { name: 'test_reject_steal_higher_qos', ok: higherQos(smp) };
}

function counterfactual(smp: Smp): boolean {
  const before = { ...counters(smp) };
  smp.failSends = true;
  const accepted = smp.requestResched(1);
  smp.failSends = false;
  for (let spin = 0; spin < COUNTERFACTUAL_SPINS; spin++) smp.spin();
  const after = counters(smp);
  return (
    accepted &&
    after.sent === before.sent &&
    after.trapped === before.trapped &&
    after.acknowledged === before.acknowledged
  );
}

function resched(smp: Smp): boolean {
  const before = { ...counters(smp) };
  if (!smp.requestResched(1)) return false;
  const after = counters(smp);
  for (let spin = 0; spin < ACK_SPINS && after.acknowledged === before.acknowledged; spin++) smp.spin();
  return (
    after.accepted > before.accepted &&
    after.sent > before.sent &&
    after.trapped > before.trapped &&
    after.acknowledged > before.acknowledged
  );
}

function counters(smp: Smp): IpiCounters {
  return smp.counters[1] ?? { accepted: 0, sent: 0, trapped: 0, acknowledged: 0 };
}

function stealing(smp: Smp): boolean {
  smp.clearQueues();
  const before = smp.steals;
  smp.enqueue(1, TEST_PID, Qos.NORMAL);
  return smp.pick(0) === TEST_PID && smp.steals > before;
}

function bounded(smp: Smp): boolean {
  smp.clearQueues();
  smp.enqueue(1, TEST_PID, Qos.NORMAL);
  smp.enqueue(1, TEST_PID + 1, Qos.NORMAL);
  smp.pick(0);
  const left = smp.queued(1);
  smp.clearQueues();
  return left === 1;
}

function higherQos(smp: Smp): boolean {
  smp.clearQueues();
  smp.enqueue(1, TEST_PID, Qos.INTERACTIVE);
  const stolen = smp.steal(0, Qos.NORMAL);
  const kept = smp.queued(1) === 1;
  smp.clearQueues();
  return stolen < 0 && kept;
}
