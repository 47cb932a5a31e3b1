/**
 * The selftest client (sheet 80): runs its image's steps in program order and prints a marker for each claim it has seen
 * hold. A fatal point ends it with an error; otherwise it prints `SELFTEST: end` and yields for ever.
 */
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { yieldForever } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import {
  capQueryMmio,
  capQueryVmo,
  ipcDeadline,
  ipcPayload,
  kernelLoopback,
  mmioMap,
  qos,
  replyLoopback,
  replySlots,
} from './basics.ts';
import { bundlemgrd, routeExecdDenied, routingBundlemgrd } from './bundlemgrd.ts';
import { dsoftbus, remoteProxy } from './dsoftbus.ts';
import { crashReport, execDenied, execExit0, execHello, execMalformed } from './exec.ts';
import { deviceKey, keystoredCapMove, reloadDeviceKey, resolveKeystored, signDenied } from './keystored.ts';
import {
  anyAudit,
  audits,
  coreServices,
  hardeningRejects,
  logQuery,
  logdSlots,
  readinessGate,
  recordCount,
  sinkProbe,
} from './logd.ts';
import { securityRejects, semantics, waitWindow } from './metrics.ts';
import { icmpPing, localAddr } from './net.ts';
import { mmioPolicyDeny, policyAllow, policyDeny, policyMalformed, requesterSpoof, routingPolicyd } from './policy.ts';
import { entropy, entropyOversized } from './rng.ts';
import { capMoveReply, samgrd, senderId, senderPid, soak } from './samgrd.ts';
import { NAME, SelftestState } from './state.ts';
import type { SelftestOptions, Step, StepId } from './state.ts';
import { timedCoalesce } from './timed.ts';
import { bootctlPersist, otaRollback, otaUpdate, routingUpdated, updatedProbe } from './updates.ts';
import { vfs } from './vfs.ts';
import { statefsPersist, statefsPut, statefsUnauthorized } from './statefs.ts';

/** A wait whose result the program ignores (section 5). */
function* ignoredWait(state: SelftestState): Call<boolean> {
  yield* waitWindow(state);
  return true;
}

/** The wait before S42 happens only if metricsd was routable. */
function* metricsWait(state: SelftestState): Call<boolean> {
  if (state.metrics !== null) yield* waitWindow(state);
  return true;
}

function* end(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: end');
  return true;
}

/** Section 5, by number. */
const STEPS: Readonly<Record<StepId, Step>> = {
  S01: resolveKeystored,
  S02: qos,
  S04: timedCoalesce,
  S05: entropy,
  S06: entropyOversized,
  S07: deviceKey,
  S08: statefsPut,
  S09: statefsUnauthorized,
  S10: statefsPersist,
  S11: reloadDeviceKey,
  S12: replySlots,
  S13: replyLoopback,
  S14: keystoredCapMove,
  S15: readinessGate,
  S16: samgrd,
  S17: routingPolicyd,
  'S17-bundlemgrd': routingBundlemgrd,
  'S17-updated': routingUpdated,
  S18: updatedProbe,
  S19: bundlemgrd,
  S20: otaUpdate,
  S21: otaRollback,
  S22: bootctlPersist,
  S23: routeExecdDenied,
  S24: policyAllow,
  S25: policyDeny,
  S26: mmioPolicyDeny,
  S28: logdSlots,
  S29: recordCount,
  S30: anyAudit,
  S31: audits,
  S32: signDenied,
  S33: requesterSpoof,
  S34: policyMalformed,
  S35: execHello,
  S36: execExit0,
  S37: crashReport,
  S38: execDenied,
  S39: execMalformed,
  S40: hardeningRejects,
  wait: ignoredWait,
  S41: securityRejects,
  'wait-metrics': metricsWait,
  S42: semantics,
  S47: logQuery,
  S48: sinkProbe,
  S49: coreServices,
  S50: ipcPayload,
  S51: ipcDeadline,
  S52: kernelLoopback,
  S53: capMoveReply,
  S54: senderPid,
  S55: senderId,
  S56: soak,
  S57: mmioMap,
  S58: capQueryMmio,
  S59: capQueryVmo,
  S60: vfs,
  S61: localAddr,
  S62: icmpPing,
  S63: dsoftbus,
  S64: remoteProxy,
  S65: end,
};

/** The selftest client's program. */
export function selftestProgram(options: SelftestOptions): Program {
  return serviceProgram(NAME, function* run(sys: Sys): Call<ServiceEnd> {
    const state = new SelftestState(sys, options);
    for (const step of options.steps) {
      if (!(yield* STEPS[step](state))) return '()';
    }
    return yield* yieldForever(sys);
  });
}
