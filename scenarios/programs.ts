/**
 * From names to options: the one place where quirks and faults of a scenario become the plain options of kernel and
 * services (quirks.md: nobody below sees the table), and where the boot image is put together.
 */
import type { KernelImage } from '../kernel-model/image.ts';
import { REFERENCE_ADDRESSES } from '../kernel-model/layout.ts';
import type { Program } from '../kernel-model/sys.ts';
import { bundlemgrdProgram } from '../services/bundlemgrd/main.ts';
import { dsoftbusdProgram } from '../services/dsoftbusd/main.ts';
import { execdProgram } from '../services/execd/main.ts';
import { execdContract } from '../services/execd/options.ts';
import { helloElf } from '../services/execd/payloads/payloads.ts';
import { initProgram } from '../services/init/main.ts';
import type { InitOptions } from '../services/init/state.ts';
import { keystoredProgram } from '../services/keystored/main.ts';
import { serviceProgram } from '../services/lib/entry.ts';
import { yieldForever } from '../services/lib/ipc.ts';
import { X25519 } from '../services/lib/x25519.ts';
import { LOGD_CONTRACT, logdProgram } from '../services/logd/main.ts';
import { METRICSD_CONTRACT, metricsdProgram } from '../services/metricsd/main.ts';
import { HEAP_BYTES } from '../services/netstackd/heap.ts';
import { netstackdProgram } from '../services/netstackd/main.ts';
import { packagefsdProgram } from '../services/packagefsd/main.ts';
import { policydProgram } from '../services/policyd/main.ts';
import { withGrants, withoutGrants } from '../services/policyd/policy.ts';
import type { PolicySet } from '../services/policyd/policy.ts';
import { rngdProgram } from '../services/rngd/main.ts';
import { samgrdProgram } from '../services/samgrd/main.ts';
import { selftestProgram } from '../services/selftest-client/main.ts';
import { timedProgram } from '../services/timed/main.ts';
import { updatedProgram } from '../services/updated/main.ts';
import { vfsdProgram } from '../services/vfsd/main.ts';
import { statefsdProgram } from '../services/statefsd/main.ts';
import { assert } from '../sim/assert.ts';
import { initElf, serviceElf } from './elfs.ts';
import { DEFAULT_STACK_PAGES, IMAGES, STACK_PAGES } from './images.ts';
import type { FaultPlan } from './fault-plan.ts';
import { INIT_NAME } from './faults.ts';
import { embeddedPolicy } from './policy-grants.ts';
import type { ImageDefinition } from './images.ts';
import type { QuirkSet } from './quirks.ts';
import type { Boot, Faults, Scenario } from './scenario.ts';

/** Name under which the first task runs (sheet 10, section 1.6). */
const INIT = 'init-lite';
/** Tasks that may set others' QoS (sheet 10, section 5.4). */
const QOS_ADMINISTRATORS: readonly string[] = ['execd', 'policyd'];
/** Receive buffers of servers, bytes: the protocol's own limit, and what the reference cuts to (quirk receive-cut). */
const RECEIVE_MAX = 8192;
const RECEIVE_CUT = 512;
/** Services that report to metricsd beside the selftest (quirks.md, metrics-unrouted). */
const PRODUCERS: readonly string[] = ['execd', 'bundlemgrd', 'timed', 'dsoftbusd'];
/** Header, lengths and key of a WAL segment's PUT take less than this, bytes (sheet 50, section 8; sheet 40, section 14). */
const PUT_OVERHEAD = 112;
/** How long statefsd offers an answer that nobody may read, where producers reach a metricsd that does not wait for its acks. */
const UNREAD_ANSWER_NS = 10_000_000;

/** The kernel's boot image for one boot of a scenario. */
export function kernelImageOf(scenario: Scenario, boot: Boot, plan: FaultPlan): KernelImage {
  const definition = IMAGES.get(scenario.image);
  assert(definition !== undefined, 'the scenario names no image');
  const { quirks } = scenario;
  // Both ends of a session are often on one machine, and the second one need not compute what the first one has.
  const x25519 = new X25519();
  const programs = new Map<string, Program>([
    [INIT, plan.program(INIT_NAME, initProgram(initOptions(definition, boot.faults, quirks, plan)))],
  ]);
  for (const service of presentServices(definition, boot.faults)) {
    programs.set(service, plan.program(service, programOf(service, definition, boot.faults, quirks, plan, x25519)));
  }
  return {
    initElf: plan.elf(INIT_NAME, initElf(INIT)),
    initName: INIT,
    qosAdministrators: QOS_ADMINISTRATORS,
    programs,
    addresses: REFERENCE_ADDRESSES,
    options: {
      loneReceiverEinval: quirks.has('lone-receiver-einval'),
      kselftestUnchecked: quirks.has('kselftest-unchecked'),
      userExceptionFatal: quirks.has('user-exception-fatal'),
      faultNoWake: quirks.has('fault-no-wake'),
    },
    harts: scenario.machine.harts,
    icount: scenario.machine.icount,
    skipPolls: scenario.machine.skipPolls,
  };
}

/** Programs of an image with the size of their ELF files, for the trace; the first task's comes first. */
export function programsOf(image: KernelImage): readonly { readonly name: string; readonly bytes: number }[] {
  const { initName, initElf: elf } = image;
  return [...image.programs.keys()].map((name) => ({
    name,
    bytes: (name === initName ? elf : serviceElf(name)).length,
  }));
}

function presentServices(definition: ImageDefinition, faults: Faults): readonly string[] {
  return definition.services.filter((service) => !faults.without.includes(service));
}

function initOptions(definition: ImageDefinition, faults: Faults, quirks: QuirkSet, plan: FaultPlan): InitOptions {
  return {
    services: presentServices(definition, faults).map((name) => ({
      name,
      stackPages: STACK_PAGES.get(name) ?? DEFAULT_STACK_PAGES,
      elf: plan.elf(name, serviceElf(name)),
    })),
    slotOrder: definition.slotOrder,
    required: definition.required.filter((service) => !faults.without.includes(service)),
    routeFailOpen: quirks.has('route-fail-open'),
    bootSlotByte: quirks.has('boot-slot-byte') ? 5 : 7,
    producersReachMetricsd: !quirks.has('metrics-unrouted'),
    statefsReachesLogd: !quirks.has('statefs-audit-lost'),
  };
}

/** Where a PUT that the store cuts is refused under no nonce, nobody could tell the refusal from silence: segments fit it. */
function segmentMaxOf(quirks: QuirkSet): number {
  if (!quirks.has('receive-cut')) return METRICSD_CONTRACT.segmentMaxBytes;
  const silent = quirks.has('error-drops-nonce') && !quirks.has('wal-unacknowledged');
  return silent ? RECEIVE_CUT - PUT_OVERHEAD : Infinity;
}

/** Producers reach a metricsd that does not wait for its acks: statefsd's answers to it end up where the selftest reads. */
function leavesAnswersUnread(definition: ImageDefinition, quirks: QuirkSet): boolean {
  const routed = PRODUCERS.some((name) => definition.services.includes(name)) && !quirks.has('metrics-unrouted');
  return routed && quirks.has('wal-unacknowledged');
}

/** The program of one service, or what a fault puts in its place. */
function programOf(
  service: string,
  definition: ImageDefinition,
  faults: Faults,
  quirks: QuirkSet,
  plan: FaultPlan,
  x25519: X25519,
): Program {
  if (faults.dead.includes(service)) return serviceProgram(service, deadService);
  if (faults.silent.includes(service)) return serviceProgram(service, yieldForever);
  const receiveMax = quirks.has('receive-cut') ? RECEIVE_CUT : RECEIVE_MAX;
  const inboxDiscards = quirks.has('inbox-discards');
  const silentSink = quirks.has('silent-sink');
  const errorDropsNonce = quirks.has('error-drops-nonce');
  const metricsUnrouted = quirks.has('metrics-unrouted');
  const sinkUnused = quirks.has('sink-slots-unused');
  const countRejects = !quirks.has('no-reject-counters');
  switch (service) {
    case 'keystored':
      return keystoredProgram({ receiveMax, inboxDiscards, stashAuthorises: quirks.has('stash-authorises') });
    case 'rngd':
      return rngdProgram({
        receiveMax,
        inboxDiscards,
        stashAuthorises: quirks.has('stash-authorises'),
        staleBytes: quirks.has('blk-status-preset'),
      });
    case 'policyd':
      return policydProgram({
        policy: policyOf(faults, quirks),
        auditDecisionByte: quirks.has('audit-decision-byte'),
        capCheckAsSender: quirks.has('cap-check-subject'),
        inboxDiscards,
        receiveMax,
      });
    case 'logd':
      return logdProgram({
        ...LOGD_CONTRACT,
        receiveMax,
        lifetimeBudget: quirks.has('lifetime-budget'),
        querySkips: quirks.has('query-skips'),
        countRejects,
        dropAppends: faults.logdDropsAppends,
      });
    case 'metricsd':
      return metricsdProgram({
        ...METRICSD_CONTRACT,
        receiveMax,
        segmentMaxBytes: segmentMaxOf(quirks),
        readyBeforeProof: quirks.has('ready-before-proof'),
        walUnacknowledged: quirks.has('wal-unacknowledged'),
        rollupByCount: quirks.has('rollup-by-count'),
        errorDropsNonce,
        inboxDiscards,
        silentSink,
        redact: !quirks.has('no-redaction'),
        countRejects,
      });
    case 'bundlemgrd':
      return bundlemgrdProgram({
        receiveMax,
        metricsUnrouted,
        sinkUnconfigured: sinkUnused,
        silentSink,
        inboxDiscards,
      });
    case 'updated':
      return updatedProgram({ sinkUnconfigured: sinkUnused, silentSink, inboxDiscards });
    case 'timed':
      return timedProgram({ receiveMax, metricsUnrouted, inboxDiscards });
    case 'packagefsd':
      return packagefsdProgram({ receiveMax });
    case 'vfsd':
      return vfsdProgram({ receiveMax });
    case 'execd':
      return execdProgram({
        ...execdContract(),
        receiveMax,
        metricsUnrouted,
        spanRequesterId: quirks.has('span-requester-id'),
        crashFieldsEmpty: quirks.has('crash-fields'),
        stashAuthorises: quirks.has('stash-authorises'),
        sinkSlotsUnused: sinkUnused,
        silentSink,
        inboxDiscards,
      });
    case 'netstackd':
      return netstackdProgram({
        smoke: definition.smoke,
        receiveMax,
        errorDropsNonce,
        dnsUnchecked: quirks.has('dns-unchecked'),
        connectPortReuse: quirks.has('connect-port-reuse'),
        heapBytes: plan.heapBytes('netstackd') ?? HEAP_BYTES,
      });
    case 'dsoftbusd':
      return dsoftbusdProgram({
        receiveMax,
        proxyUnchecked: quirks.has('proxy-unchecked'),
        metricsUnrouted,
        sinkSlotsUnused: sinkUnused,
        silentSink,
        inboxDiscards,
        x25519,
      });
    case 'samgrd':
      return samgrdProgram({ receiveMax });
    case 'statefsd':
      return statefsdProgram({
        receiveCut: quirks.has('receive-cut'),
        errorDropsNonce,
        auditLost: quirks.has('statefs-audit-lost'),
        restartFails: quirks.has('statefs-restart'),
        staleTail: quirks.has('statefs-tail'),
        statusPreset: quirks.has('blk-status-preset'),
        lateReplyDenies: quirks.has('late-reply-denies'),
        answerWaitNs: leavesAnswersUnread(definition, quirks) ? UNREAD_ANSWER_NS : null,
      });
    case 'selftest-client':
      return selftestProgram({
        steps: definition.steps,
        capCheckFiveBytes: quirks.has('cap-check-reply'),
        capCheckOtherSubject: quirks.has('cap-check-subject'),
        routingUnchecked: quirks.has('routing-unchecked'),
        childExitUnchecked: quirks.has('child-exit-unchecked'),
        helloElf: helloElf(),
        waitByRounds: quirks.has('wait-by-rounds'),
        receiveMax,
        strayAnswers: leavesAnswersUnread(definition, quirks),
        silentSink,
        inboxDiscards,
        x25519,
      });
    default:
      assert(false, `no program for service ${service}`);
  }
}

/** Fault `dead`: gone before it has done anything. */

function* deadService(): Generator<never, null, number> {
  return null;
}

function policyOf(faults: Faults, quirks: QuirkSet): PolicySet {
  const policy = embeddedPolicy(!quirks.has('metrics-unrouted'));
  return withGrants(withoutGrants(policy, faults.deny), faults.allow);
}
