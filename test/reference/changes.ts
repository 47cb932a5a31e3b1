/**
 * What the image `observability` cannot print as the whole image does, task by task, in the order of the reference's
 * lines. Everything that is not listed must be the same text at the same place among the task's own lines.
 */
import type { Change } from './compare.ts';

const ABSENT = 'a service that this image does not have';
const STEP = 'a step of the selftest that needs a service this image does not have';

const started = (name: string): Change => ({ lines: [`init: start ${name}`, `init: up ${name}`], reason: ABSENT });

const INIT: readonly Change[] = [
  started('bundlemgrd'),
  {
    lines: [
      'init: start updated',
      'init: updated ctrl slots send=0x0000000000000001 recv=0x0000000000000002',
      'init: up updated',
    ],
    reason: ABSENT,
  },
  started('timed'),
  started('packagefsd'),
  started('vfsd'),
  started('execd'),
  started('netstackd'),
  started('dsoftbusd'),
  {
    lines: [
      'init: mmio grant begin svc=netstackd pid=0x000000000000001f slot=0x0000000000000030 base=0x0000000010008000 len=0x0000000000001000 cap=device.mmio.net',
      'init: mmio cap_create svc=netstackd',
      'init: mmio cap_create ok svc=netstackd cap_slot=0x000000000000004f',
      'init: mmio xfer_to_slot svc=netstackd dst_slot=0x0000000000000030',
      'init: mmio xfer_to_slot ok svc=netstackd got=0x0000000000000030',
      'init: mmio grant svc=netstackd slot=0x0000000000000030',
    ],
    reason: ABSENT,
  },
  {
    lines: [
      'init: wire svc=bundlemgrd pid=0x0000000000000018',
      'init: bundlemgrd slots recv=0x0000000000000003 send=0x0000000000000004',
    ],
    reason: ABSENT,
  },
  {
    lines: [
      'init: wire svc=updated pid=0x000000000000001a',
      'init: updated slots recv=0x0000000000000003 send=0x0000000000000004',
      'init: updated statefsd send slot=0x0000000000000009',
      'init: updated reply recv slot=0x000000000000000a',
      'init: updated reply send slot=0x000000000000000b',
      'init: wire svc=timed pid=0x000000000000001b',
      'init: wire svc=packagefsd pid=0x000000000000001c',
      'init: wire svc=vfsd pid=0x000000000000001d',
      'init: wire svc=execd pid=0x000000000000001e',
      'init: execd reply slots recv=0x0000000000000005 send=0x0000000000000006',
      'init: execd logd slots send=0x0000000000000007 recv=0x0000000000000005',
      'init: wire svc=netstackd pid=0x000000000000001f',
      'init: wire netstackd xfer net_req RECV',
      'init: wire netstackd xfer net_rsp SEND',
      'init: netstackd svc slots recv=0x0000000000000005 send=0x0000000000000006',
      'init: wire svc=dsoftbusd pid=0x0000000000000020',
      'init: dsoftbusd netstackd slots send=0x0000000000000003 recv=0x0000000000000004',
      'init: dsoftbusd reply slots recv=0x0000000000000005 send=0x0000000000000006',
    ],
    reason: ABSENT,
  },
  { lines: ['init: selftest vfsd slots send=0x0000000000000003 recv=0x0000000000000004'], reason: ABSENT },
  {
    lines: [
      'init: selftest bundlemgrd slots send=0x0000000000000009 recv=0x000000000000000a',
      'init: selftest updated slots send=0x000000000000000b recv=0x000000000000000c',
    ],
    reason: ABSENT,
  },
  { lines: ['init: selftest execd slots send=0x000000000000000f recv=0x0000000000000010'], reason: ABSENT },
  {
    lines: [
      'init: rollback fail',
      'init: ctrl req from updated',
      'init: route vfsd from vfsd',
      'init: route vfsd lookup svc=vfsd has_slots=Y',
      'init: ctrl req from updated',
    ],
    reason: 'the boot attempt with updated, and requests of updated and vfsd, which are absent',
  },
  {
    lines: ['init: route logd rsp status=0x0000000000000000 send=0x0000000000000015 recv=0x0000000000000016'],
    reason: "S15, the selftest's wait for dsoftbusd's record, is no step here",
  },
  {
    lines: [
      'init: route vfsd lookup svc=selftest-client has_slots=Y',
      'init: ctrl req from updated',
      'init: ctrl req from updated',
    ],
    here: ['init: route vfsd lookup svc=selftest-client has_slots=N'],
    reason: 'vfsd is absent, so the selftest has no slots of it (sheet 20, section 7.2); updated asks nothing',
  },
  {
    lines: ['init: health ok (slot b)', 'init: policyd route bundlemgrd->execd status=0x0000000000000001'],
    reason: `S20 and S23: ${STEP}`,
  },
  {
    lines: [
      'init: route vfsd from selftest-client',
      'init: route vfsd lookup svc=selftest-client has_slots=Y',
      'init: route vfsd from selftest-client',
      'init: route vfsd lookup svc=selftest-client has_slots=Y',
    ],
    reason: `S60: ${STEP}`,
  },
];

const SELFTEST: readonly Change[] = [
  { lines: ['SELFTEST: timed coalesce ok'], reason: `S04: ${STEP}` },
  {
    lines: ['SELFTEST: routing vfsd st=0x0000000000000000 send=0x0000000000000003 recv=0x0000000000000004'],
    here: ['SELFTEST: routing vfsd fallback slots'],
    reason: 'init knows no slots of vfsd, which is absent; the step goes on with (3,4) (sheet 80, section 6.7)',
  },
  {
    lines: [
      'SELFTEST: bundlemgrd slots 0000000000000009 000000000000000a',
      'SELFTEST: ipc routing bundlemgrd ok',
      'SELFTEST: updated slots 000000000000000b 000000000000000c',
      'SELFTEST: ipc routing updated ok',
      'SELFTEST: updated probe ok',
      'SELFTEST: bundlemgrd list send',
      'SELFTEST: bundlemgrd list sent',
      'SELFTEST: bundlemgrd list recv',
      'SELFTEST: bundlemgrd list recv ok',
      'SELFTEST: bundlemgrd v1 list ok',
      'SELFTEST: bundlemgrd v1 image ok',
      'SELFTEST: bundlemgrd v1 malformed ok',
      'SELFTEST: updated stage send',
      'SELFTEST: ota stage ok',
      'SELFTEST: ota switch ok',
      'SELFTEST: ota publish b ok',
      'SELFTEST: ota health ok',
      'SELFTEST: updated stage send',
      'SELFTEST: ota rollback ok',
      'SELFTEST: bootctl persist begin',
      'SELFTEST: bootctl persist ok',
      'SELFTEST: bundlemgrd route execd denied ok',
    ],
    reason: `S17 (bundlemgrd, updated) to S23: ${STEP}`,
  },
  {
    lines: ['SELFTEST: logd record count=000000000000000e'],
    here: ['SELFTEST: logd record count=0000000000000007'],
    reason: 'of the 14 records of sheet 40, section 8.3, row 5 is of dsoftbusd and rows 6 to 11 are of updated',
  },
  {
    lines: [
      'SELFTEST: ipc routing execd ok',
      'HELLOHDR',
      '^hello entry=0x0000000000010130 phoff=0x0000000000000040',
      '^hello p_offset=0x0000000000000130 p_vaddr=0x0000000000010130',
      'execd: elf load ok',
      'SELFTEST: e2e exec-elf ok',
      'execd: child exited pid=35 code=0',
      'SELFTEST: child exit ok',
      'execd: child exited pid=36 code=42',
      'SELFTEST: crash report ok',
      'SELFTEST: exec denied ok',
      'SELFTEST: execd malformed ok',
    ],
    reason: `S35 to S39: ${STEP}`,
  },
  { lines: ['SELFTEST: core services log ok'], reason: `S49: ${STEP}` },
  {
    lines: [
      'SELFTEST: ipc routing ok',
      'SELFTEST: ipc routing packagefsd ok',
      'SELFTEST: vfs stat ok',
      'SELFTEST: vfs read ok',
      'SELFTEST: vfs real data ok',
      'SELFTEST: vfs ebadf ok',
      'SELFTEST: icmp ping ok',
      'SELFTEST: dsoftbus os connect ok',
      'SELFTEST: dsoftbus ping ok',
    ],
    reason: `S60 to S63: ${STEP}`,
  },
];

/** init talks to updated for half a second after wiring (sheet 85, section 17.2); without updated it answers routes at once. */
const ROUTED_IN_TIME = 'its route query to itself is answered in time, as init has no updated to talk to after wiring';

/** Changes by task; a task that is not named here must have every line of the reference. */
export const CHANGES: ReadonlyMap<string, readonly Change[]> = new Map([
  ['init', INIT],
  [
    'policyd',
    [
      {
        lines: ['policyd: mmio net allow priv', 'policyd: audit emit FAIL'],
        reason: "no netstackd, so one of init's five questions before wiring is not asked",
      },
    ],
  ],
  [
    'logd',
    [
      { lines: ['logd: route fallback'], reason: ROUTED_IN_TIME },
      {
        lines: ['logd: drop nonself sid=0x7b6096126000c028 op=0x01'],
        reason: "the record is execd's crash report (sheet 40, section 8.2)",
      },
    ],
  ],
  ['samgrd', [{ lines: ['samgrd: route err timeout', 'samgrd: route fallback'], reason: ROUTED_IN_TIME }]],
  ['selftest-client', SELFTEST],
]);
