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
  /** What was seen, for the person who watches. */
  readonly seen: string;
}

/** Runs the checks in their order; each is really made when its turn comes. */
export function* smpChecks(smp: Smp): Generator<SmpCheck, void, void> {
  const online = smp.isOnline(1);
  yield { name: 'smp online', ok: online, seen: `cpu1 ${online ? 'online' : 'offline'}` };
  yield { name: 'ipi counterfactual', ...counterfactual(smp) };
  yield { name: 'ipi resched', ...resched(smp) };
  const invalid = smp.requestResched(MAX_CPUS);
  yield { name: 'test_reject_invalid_ipi_target_cpu', ok: !invalid, seen: request(MAX_CPUS, invalid) };
  // With four harts nobody is offline, so the reference's check fails (its own limit).
  const offline = smp.isOnline(2) ? 3 : 2;
  const idle = !smp.isOnline(offline);
  const taken = smp.requestResched(offline);
  yield { name: 'test_reject_offline_cpu_resched', ok: idle && !taken, seen: request(offline, taken) };
  yield { name: 'work stealing', ...stealing(smp) };
  yield { name: 'test_reject_steal_above_bound', ...bounded(smp) };
  yield { name: 'test_reject_steal_higher_qos', ...higherQos(smp) };
}

type Outcome = Omit<SmpCheck, 'name'>;

function request(cpu: number, taken: boolean): string {
  return `cpu${cpu} ${taken ? 'accepted' : 'refused'}`;
}

function counterfactual(smp: Smp): Outcome {
  const before = { ...counters(smp) };
  smp.failSends = true;
  const accepted = smp.requestResched(1);
  smp.failSends = false;
  smp.spinFor(COUNTERFACTUAL_SPINS);
  const since = risen(before, counters(smp));
  const ok = accepted && since.sent === 0 && since.trapped === 0 && since.acknowledged === 0;
  return { ok, seen: told(since) };
}

function resched(smp: Smp): Outcome {
  const before = { ...counters(smp) };
  if (!smp.requestResched(1)) return { ok: false, seen: 'refused' };
  const after = counters(smp);
  for (let spin = 0; spin < ACK_SPINS && after.acknowledged === before.acknowledged; spin++) smp.spin();
  const since = risen(before, after);
  const ok = since.accepted > 0 && since.sent > 0 && since.trapped > 0 && since.acknowledged > 0;
  return { ok, seen: told(since) };
}

function risen(before: IpiCounters, after: IpiCounters): IpiCounters {
  return {
    accepted: after.accepted - before.accepted,
    sent: after.sent - before.sent,
    trapped: after.trapped - before.trapped,
    acknowledged: after.acknowledged - before.acknowledged,
  };
}

function told({ accepted, sent, trapped, acknowledged }: IpiCounters): string {
  return `accepted ${accepted}, sent ${sent}, trapped ${trapped}, acknowledged ${acknowledged}`;
}

function counters(smp: Smp): IpiCounters {
  return smp.counters[1] ?? { accepted: 0, sent: 0, trapped: 0, acknowledged: 0 };
}

function stealing(smp: Smp): Outcome {
  smp.clearQueues();
  const before = smp.steals;
  smp.enqueue(1, TEST_PID, Qos.NORMAL);
  const picked = smp.pick(0);
  const steals = smp.steals - before;
  return {
    ok: picked === TEST_PID && steals > 0,
    seen: `${picked < 0 ? 'nothing' : 'the task'} picked, steals ${steals}`,
  };
}

function bounded(smp: Smp): Outcome {
  smp.clearQueues();
  smp.enqueue(1, TEST_PID, Qos.NORMAL);
  smp.enqueue(1, TEST_PID + 1, Qos.NORMAL);
  smp.pick(0);
  const left = smp.queued(1);
  smp.clearQueues();
  return { ok: left === 1, seen: `${left} of 2 left` };
}

function higherQos(smp: Smp): Outcome {
  smp.clearQueues();
  smp.enqueue(1, TEST_PID, Qos.INTERACTIVE);
  const stolen = smp.steal(0, Qos.NORMAL);
  const kept = smp.queued(1) === 1;
  smp.clearQueues();
  return { ok: stolen < 0 && kept, seen: `task ${kept ? 'kept' : 'stolen'}` };
}
