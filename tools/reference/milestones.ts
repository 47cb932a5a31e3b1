/**
 * The guest times of the real image (sheet 85, section 17.2): milliseconds since reset at which a line of the reference log was
 * seen, sampled a few milliseconds coarse.
 * The first row is the upper end of what was measured for the firmware.
 */

export interface Milestone {
  /** 1-based line of the reference log. */
  readonly line: number;
  /** Guest time in the real image, ms. */
  readonly ms: number;
  readonly what: string;
}

export const MILESTONES: readonly Milestone[] = [
  { line: 62, ms: 55, what: 'first line of the kernel' },
  { line: 376, ms: 67.6, what: 'init is entered' },
  { line: 893, ms: 101, what: 'all services are started' },
  { line: 998, ms: 105, what: 'net up, lease, ping' },
  { line: 1076, ms: 115, what: 'wiring done' },
  { line: 1096, ms: 122, what: 'logd is ready' },
  { line: 1098, ms: 193, what: 'the disk is up: 1000 yields and a read' },
  { line: 1110, ms: 194.7, what: 'updated logs its probe' },
  { line: 1111, ms: 205, what: "samgrd's route query times out" },
  { line: 1115, ms: 205, what: "bundlemgrd's does" },
  { line: 1117, ms: 295, what: "updated's first failed log route ends" },
  { line: 1119, ms: 408, what: 'and the second' },
  { line: 1123, ms: 610, what: 'init gives up on the slot; the responder starts' },
  { line: 1133, ms: 616, what: 'keystored answers the selftest' },
  { line: 1141, ms: 624, what: "netstackd's facade is up" },
  { line: 1203, ms: 681, what: 'dsoftbusd is ready' },
  { line: 1286, ms: 702, what: 'policy steps done' },
  { line: 1419, ms: 763, what: 'logd hardening done' },
  { line: 1420, ms: 1762, what: 'the first wait of 1000 ms is over' },
  { line: 1445, ms: 2785, what: 'the second' },
  { line: 1447, ms: 3786, what: 'the third' },
  { line: 1501, ms: 3881, what: 'the end' },
];
