/**
 * The images the simulator can boot, as data (design, decision 6): services in spawn order, the required ones, the
 * selftest's steps, the machine's default, the ladder.
 */
import type { NetworkKind } from '../sim/net/network.ts';
import type { StepId } from '../services/selftest-client/state.ts';

/** One image. */
export interface ImageDefinition {
  readonly name: string;
  /** Services in spawn order (sheet 20, section 2). */
  readonly services: readonly string[];
  /** Names whose slots are reserved, in spawn order: the services, and holes for what other images have there. */
  readonly slotOrder: readonly string[];
  /** Services without which init gives up, in the order it looks. */
  readonly required: readonly string[];
  /** The selftest's program. */
  readonly steps: readonly StepId[];
  /** Default shift of ns per instruction. */
  readonly icount: number;
  /** What is behind its network card. */
  readonly network: NetworkKind;
  /** netstackd is built for the smoke harness: a long DHCP loop, and the user network's address without a lease. */
  readonly smoke: boolean;
  /** Runs on two linked machines. */
  readonly paired: boolean;
  /** Name of its ladder. */
  readonly ladder: string;
}

/** The order that fixes every slot number (sheet 20, section 2). */
export const SLOT_ORDER: readonly string[] = [
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

/** Present-or-fatal services, in the order init looks them up (sheet 20, section 2). */
const REQUIRED: readonly string[] = [
  'selftest-client',
  'vfsd',
  'packagefsd',
  'policyd',
  'netstackd',
  'dsoftbusd',
  'bundlemgrd',
  'updated',
  'samgrd',
  'execd',
  'keystored',
  'statefsd',
  'rngd',
  'timed',
];

/** Stack pages asked for at spawn; all others ask for 8 (sheet 20, section 2). */
export const STACK_PAGES: ReadonlyMap<string, number> = new Map([['metricsd', 1]]);
export const DEFAULT_STACK_PAGES = 8;

const OBSERVABILITY_SERVICES: readonly string[] = [
  'keystored',
  'rngd',
  'policyd',
  'logd',
  'metricsd',
  'samgrd',
  'statefsd',
  'selftest-client',
];

/** RFC-0024's spine: what observability needs, and nothing else. */
const OBSERVABILITY: ImageDefinition = {
  name: 'observability',
  services: OBSERVABILITY_SERVICES,
  slotOrder: SLOT_ORDER,
  required: REQUIRED.filter((name) => OBSERVABILITY_SERVICES.includes(name)),
  steps: [
    'S01',
    'S02',
    'S05',
    'S06',
    'S07',
    'S08',
    'S09',
    'S10',
    'S11',
    'S12',
    'S13',
    'S14',
    'S16',
    'S17',
    'S24',
    'S25',
    'S26',
    'S28',
    'S29',
    'S30',
    'S31',
    'S32',
    'S33',
    'S34',
    'S40',
    'wait',
    'S41',
    'wait-metrics',
    'S42',
    'S47',
    'S48',
    'S50',
    'S51',
    'S52',
    'S53',
    'S54',
    'S55',
    'S56',
    'S57',
    'S58',
    'S59',
    'S65',
  ],
  icount: 1,
  network: 'unplugged',
  smoke: true,
  paired: false,
  ladder: 'observability',
};

/** The reference's image: all sixteen services, every step. */
const DEFAULT: ImageDefinition = {
  name: 'default',
  services: SLOT_ORDER,
  slotOrder: SLOT_ORDER,
  required: REQUIRED,
  steps: [
    'S01',
    'S02',
    'S04',
    'S05',
    'S06',
    'S07',
    'S08',
    'S09',
    'S10',
    'S11',
    'S12',
    'S13',
    'S14',
    'S15',
    'S16',
    'S17',
    'S17-bundlemgrd',
    'S17-updated',
    'S18',
    'S19',
    'S20',
    'S21',
    'S22',
    'S23',
    'S24',
    'S25',
    'S26',
    'S28',
    'S29',
    'S30',
    'S31',
    'S32',
    'S33',
    'S34',
    'S35',
    'S36',
    'S37',
    'S38',
    'S39',
    'S40',
    'wait',
    'S41',
    'wait-metrics',
    'S42',
    'S47',
    'S48',
    'S49',
    'S50',
    'S51',
    'S52',
    'S53',
    'S54',
    'S55',
    'S56',
    'S57',
    'S58',
    'S59',
    'S60',
    'S61',
    'S62',
    'S63',
    'S64',
    'S65',
  ],
  icount: 1,
  network: 'user',
  smoke: true,
  paired: false,
  ladder: 'default',
};

/** Spawn order of the two-machine harness (sheet 85, section 12.1), with metricsd's place behind logd. */
const OS2VM_ORDER: readonly string[] = [
  'logd',
  'metricsd',
  'updated',
  'timed',
  'keystored',
  'rngd',
  'policyd',
  'samgrd',
  'bundlemgrd',
  'packagefsd',
  'vfsd',
  'execd',
  'statefsd',
  'netstackd',
  'dsoftbusd',
  'selftest-client',
];

/** The reference's two-machine image: no metricsd, netstackd without the smoke build. */
const OS2VM: ImageDefinition = {
  ...DEFAULT,
  name: 'os2vm',
  services: OS2VM_ORDER.filter((name) => name !== 'metricsd'),
  slotOrder: OS2VM_ORDER,
  network: 'silent',
  smoke: false,
  paired: true,
  ladder: 'os2vm',
};

/** The same with metricsd, so that dsoftbusd's metrics have somewhere to go. */
const OS2VM_METRICS: ImageDefinition = { ...OS2VM, name: 'os2vm-metrics', services: OS2VM_ORDER };

/** Every image by name. */
export const IMAGES: ReadonlyMap<string, ImageDefinition> = new Map([
  [DEFAULT.name, DEFAULT],
  [OBSERVABILITY.name, OBSERVABILITY],
  [OS2VM.name, OS2VM],
  [OS2VM_METRICS.name, OS2VM_METRICS],
]);
