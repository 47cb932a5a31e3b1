/**
 * Where the reference falls short of the contract, as one table (quirks.md). Names are resolved into plain options when an
 * image is built; services and kernel see options of their own, never this table.
 */

/** One documented difference. */
export interface Quirk {
  readonly name: QuirkName;
  /** The rule the reference breaks; `-` where it is a plain defect. */
  readonly rule: string;
  /** What the reference does. */
  readonly reference: string;
  /** What the contract asks; the default. */
  readonly contract: string;
  /** Where the difference can be seen. */
  readonly shows: string;
}

/** Names as `--quirks` takes them. */
export type QuirkName =
  | 'metrics-unrouted'
  | 'span-requester-id'
  | 'receive-cut'
  | 'wal-unacknowledged'
  | 'rollup-by-count'
  | 'lifetime-budget'
  | 'query-skips'
  | 'error-drops-nonce'
  | 'inbox-discards'
  | 'silent-sink'
  | 'no-reject-counters'
  | 'no-redaction'
  | 'ready-before-proof'
  | 'sink-slots-unused'
  | 'crash-fields'
  | 'audit-decision-byte'
  | 'cap-check-reply'
  | 'cap-check-subject'
  | 'routing-unchecked'
  | 'statefs-audit-lost'
  | 'child-exit-unchecked'
  | 'kselftest-unchecked'
  | 'wait-by-rounds'
  | 'lone-receiver-einval'
  | 'dns-unchecked'
  | 'proxy-unchecked'
  | 'boot-slot-byte'
  | 'route-fail-open'
  | 'statefs-restart'
  | 'statefs-tail'
  | 'blk-status-preset'
  | 'late-reply-denies'
  | 'stash-authorises'
  | 'connect-port-reuse'
  | 'user-exception-fatal'
  | 'fault-no-wake';

/** The table, in the order of quirks.md. */
export const QUIRKS: readonly Quirk[] = [
  {
    name: 'metrics-unrouted',
    rule: 'RFC-0024 producer instrumentation; OBS-9, COR-2',
    reference: 'only selftest-client and metricsd get a route to metricsd; all producer metrics vanish',
    contract:
      "init gives execd, bundlemgrd, timed, dsoftbusd a SEND to metricsd and its route (timed: a policy entry `ipc.core`, and 5/6/7 = inbox RECV, inbox SEND, metricsd SEND; execd 8, bundlemgrd 0xa, dsoftbusd 0xc); endpoints are created after all documented ones; calls use CAP_MOVE and a process-wide nonce on the caller's own inbox, never the selftest's queue; a producer exports at most 8 events per second and counts the rest; the values of 40 section 16 arrive in logd",
    shows: 'sheet 40 Q-1',
  },
  {
    name: 'span-requester-id',
    rule: 'OBS-1, OBS-8',
    reference: "execd's span ids carry the requester's id half",
    contract: "the sender's own",
    shows: 'sheet 40 Q-7',
  },
  {
    name: 'receive-cut',
    rule: 'OBS-5, LOG-4',
    reference: 'servers receive into 512 bytes and cut, so legal frames are refused',
    contract:
      "servers, and the clients of vfsd and packagefsd, receive 8,192 bytes (the protocols' own limits, READ 480 and UDP 460, stay). A WAL segment also rotates before a record that would take its value over 8,000 bytes, so every PUT fits a frame",
    shows: 'sheet 40 section 1.3, Q-2; 50 quirk 5',
  },
  {
    name: 'wal-unacknowledged',
    rule: 'OBS-15, OBS-20, COR-7',
    reference: "metricsd's PUT/DEL replies fill selftest's inbox until statefsd blocks",
    contract:
      "v2 with a moved reply capability to metricsd's inbox, one write outstanding, its ack awaited at most 400 ms (below the client's 500); the ack is the proof (no second PUT); one reader of that inbox tells log acks from store acks; a missing ack is counted and tried again within the configured retries",
    shows: 'sheet 40 Q-3',
  },
  {
    name: 'rollup-by-count',
    rule: 'OBS-20',
    reference: '"10s" and "60s" windows count events',
    contract:
      "windows of virtual time, id = floor(t / 10 s) and floor(t / 60 s), closed by the next event's clock; empty windows are not written; `rollup_every` is accepted and unused",
    shows: 'sheet 40 Q-16',
  },
  {
    name: 'lifetime-budget',
    rule: 'LOG-1',
    reference: 'after 262,144 accounted bytes every APPEND is OVER_LIMIT for ever',
    contract: 'the budget bounds live bytes; eviction makes room',
    shows: 'sheet 40 Q-11',
  },
  {
    name: 'query-skips',
    rule: 'LOG-8',
    reference: 'a record that does not fit is skipped and never seen again by a pager',
    contract: 'the page ends before it',
    shows: 'sheet 40 Q-5',
  },
  {
    name: 'error-drops-nonce',
    rule: 'COR-1',
    reference: "error replies of metricsd (nonce 0), statefsd (v1 form) and netstackd lose the request's nonce",
    contract:
      "where magic and version are valid and the nonce bytes are there (netstackd: length = base + 8), it is echoed, in the request's version and the op's own reply shape (GET with length 0, LIST with count 0); otherwise as the reference",
    shows: 'sheet 40 Q-9, 50 quirk 4, 70 Q6',
  },
  {
    name: 'inbox-discards',
    rule: 'COR-3',
    reference: "nexus-log's drain, policyd, keystored and metricsd drop foreign frames on a shared inbox",
    contract: 'one bounded stash per inbox, matched by protocol and nonce; overflow is counted',
    shows: 'sheet 40 section 9.3, 30 section 6.3, 60 Q13',
  },
  {
    name: 'silent-sink',
    rule: 'OBS-15',
    reference: 'a log line that logd did not take leaves no trace',
    contract:
      'counters per service and cause (clone, route, queue full, status not OK (RATE_LIMITED too), ack not seen; acks are read) in the event trace and `--summary`; one line `<service>: log sink degraded` the first time',
    shows: '`--summary`, the trace',
  },
  {
    name: 'no-reject-counters',
    rule: 'RFC-0024 mitigations',
    reference: 'only one-shot markers',
    contract: 'counters per reject class in logd and metricsd, in the event trace and `--summary`',
    shows: '`--summary`, the trace',
  },
  {
    name: 'no-redaction',
    rule: 'OBS-18',
    reference: 'span attributes are exported as they come',
    contract:
      'per line `key=value` (before LF escaping): where a word of the key (split at `_ . -`, any case) is on the documented list (token, secret, password, passwd, credential, authorization, cookie, session, apikey, and the pairs private key, api key) the value becomes `[redacted]`; the same in WAL records; negative tests',
    shows: 'sheet 40, section 12.4',
  },
  {
    name: 'ready-before-proof',
    rule: 'OBS-16, "no fake success"',
    reference: '`metricsd: ready` before any export',
    contract: 'printed once logd has acknowledged one record of metricsd',
    shows: 'sheet 40 section 12.1',
  },
  {
    name: 'sink-slots-unused',
    rule: 'OBS-10',
    reference: 'only metricsd and selftest-client configure the sink slots that init gave them',
    contract:
      "each service built with the sink configures it once, as soon as its three slots exist and before its first log line; ready lines do not move; policyd's audit path is direct",
    shows: 'the UART log',
  },
  {
    name: 'crash-fields',
    rule: 'LOG-12',
    reference: 'crash records have empty fields',
    contract:
      '`code=..\\nevent=crash.v1\\nname=..\\npid=..\\n`, sorted, in the direct record (the facade has no fields)',
    shows: 'sheet 40, section 8.2',
  },
  {
    name: 'audit-decision-byte',
    rule: 'policy audit',
    reference: 'the audited decision is read from response byte 4: the nonce in v2/v3 replies',
    contract:
      "from the status field of that version. Appended: every DENY, every ALLOW of CHECK, CHECK_CAP and EXEC, the first ALLOW per (subject, capability) of CHECK_CAP_DELEGATED; ROUTE and repeated allows are counted only, and nothing above 16 appends per second, so that logd's budget holds; requests before wiring print FAIL as now; the cap of 128 stands",
    shows: 'sheet 30 Q1, 40 Q-20',
  },
  {
    name: 'cap-check-reply',
    rule: 'no fake success',
    reference:
      'selftest expects 5 bytes, gets 6, and takes the error for a denial: `policy deny ok`, `mmio policy deny ok` cannot fail',
    contract: 'decodes the 6-byte reply; the marker needs a real DENY, an error is a FAIL',
    shows: 'sheet 80 Q1',
  },
  {
    name: 'cap-check-subject',
    rule: 'OBS-1',
    reference: 'an unprivileged CHECK_CAP about somebody else is silently evaluated for the sender',
    contract:
      "denied as spoof, as ops 1..3 do; selftest's S26 asks about its own id, so that policy can change the answer",
    shows: 'sheet 30 Q3',
  },
  {
    name: 'routing-unchecked',
    rule: 'no fake success',
    reference: '`SELFTEST: ipc routing samgrd/policyd/bundlemgrd/updated/execd ok` without any exchange',
    contract: 'needs an OK route answer from init that names the slots used',
    shows: 'sheet 80 S16, S17, S35',
  },
  {
    name: 'statefs-audit-lost',
    rule: 'policy audit',
    reference: "statefsd's denials never reach logd: slot 8 unwired",
    contract: 'init wires slot 8, route `logd` = (8, 5); the record of 40 section 8.1 arrives',
    shows: 'sheet 40 Q-14',
  },
  {
    name: 'child-exit-unchecked',
    rule: 'no fake success',
    reference: '`SELFTEST: child exit ok` is unconditional',
    contract: 'needs the exit code that was asked for',
    shows: 'sheet 80 Q3',
  },
  {
    name: 'kselftest-unchecked',
    rule: 'no fake success',
    reference: "the kernel's exit and wait checks never run their children",
    contract:
      "the same check also runs on a scratch kernel built by the same code: children exit 0 and 7, wait returns pid and code; only then the line; the boot kernel's tables and lines stay as in the reference",
    shows: 'sheet 10 Q11',
  },
  {
    name: 'wait-by-rounds',
    rule: 'COR-4',
    reference: 'the waits for a rate window count yields: with fewer pollers they end too early',
    contract: 'they end when the window has passed, bounded by a 2 s deadline',
    shows: 'sheet 80 section 8',
  },
  {
    name: 'lone-receiver-einval',
    rule: '-',
    reference: 'a task blocked alone in receive gets EINVAL after about 42 ms',
    contract: 'it waits; the guard stays for ecalls that are really executed again and again',
    shows: 'sheet 10 Q14',
  },
  {
    name: 'dns-unchecked',
    rule: 'no fake success',
    reference:
      '`SELFTEST: net udp dns ok` without an answer; under icount the query never even leaves inside its window',
    contract:
      "the window outlasts one ARP silence (2 s); the backend's resolver (board key `dns = answer`; the reference setting is `foreign-late`) answers from the address that was asked, at the next poll, transaction id echoed, one A record; the marker needs that answer, else only the `unavailable` line",
    shows: 'sheet 70 section 4, Q5',
  },
  {
    name: 'proxy-unchecked',
    rule: 'no fake success',
    reference: '`dsoftbusd: remote proxy ok` without an answer',
    contract: 'needs it: magic, op and nonce match',
    shows: 'sheet 70 Q25, Q19',
  },
  {
    name: 'boot-slot-byte',
    rule: 'updates',
    reference: 'init reads the length byte as the slot: always a, and `init: rollback fail` on every boot',
    contract:
      'reads byte 7, the rollback target; 0 = nothing to publish (so a normal boot has neither line at that place); shows when a pending boot runs out of tries (bootctl `01 01 01 ff 01 00`: `bundlemgrd: slot b active`)',
    shows: 'sheet 55 quirk 1, 80 Q11',
  },
  {
    name: 'route-fail-open',
    rule: 'OBS-19, OBS-23 in spirit',
    reference: "init's route and exec checks allow when policyd does not answer in time",
    contract:
      "deny; policyd's own start is not gated; foreign frames on init's slot 2 are stashed and skipped, so that a late answer of another service denies nobody (20 Q3)",
    shows: 'sheet 20 Q2',
  },
  {
    name: 'statefs-restart',
    rule: 'OBS-14',
    reference:
      'a failed driver start can never succeed again, and a first write then turns the store into RAM for ever',
    contract:
      'restart reuses mapping and VMO, at most one attempt per second; until the journal is open every op gets IoError; nothing is kept in RAM as if it were safe',
    shows: 'sheet 50 quirks 2, 3',
  },
  {
    name: 'statefs-tail',
    rule: 'OBS-20',
    reference: 'no end mark: bytes of an older journal can come alive; after a failed replay the head is overwritten',
    contract:
      'a zero header follows each record (where they cross a block, the last block is written first; the reference mounts it); after a failed replay the store is read-only and prints `statefsd: store read-only`',
    shows: 'sheet 50 quirks 9, 11',
  },
  {
    name: 'blk-status-preset',
    rule: 'no fake success',
    reference: 'a completion without a status byte reads as success; RNG bytes beyond used.len are stale',
    contract: 'preset 0xff, data after status; used.len obeyed (fewer bytes than asked: UNAVAILABLE)',
    shows: 'sheet 50 quirk 12; sheet 60 Q18',
  },
  {
    name: 'late-reply-denies',
    rule: 'OBS-23, COR-3',
    reference: 'one late policyd reply denies the next two checks of statefsd',
    contract:
      'replies with another nonce are stashed or skipped until the deadline; only silence and mismatching answers to this nonce deny',
    shows: 'sheet 50 quirk 7',
  },
  {
    name: 'stash-authorises',
    rule: 'OBS-23, COR-2',
    reference:
      "a stashed ALLOW for a nonce that was not sent yet authorises the next exec check; keystored's rngd replies likewise",
    contract: 'a reply whose nonce is not in flight is counted and dropped',
    shows: 'sheet 60 section 13',
  },
  {
    name: 'connect-port-reuse',
    rule: '-',
    reference: 'every TCP CONNECT uses the same local port, so an old dial eats the answers of the new one',
    contract: 'an own port per connection',
    shows: 'sheet 70 Q11',
  },
  {
    name: 'user-exception-fatal',
    rule: 'isolation',
    reference: 'an illegal instruction in a user task panics the system, other exceptions repeat for ever',
    contract: 'the task ends with -22 after its dump lines; the others live',
    shows: 'sheet 10 Q25',
  },
  {
    name: 'fault-no-wake',
    rule: 'isolation',
    reference: 'a parent blocked in WAIT is not woken when its child faults',
    contract: 'it is, with -22',
    shows: 'sheet 10 Q12',
  },
];

/** A set of quirks that are switched on. */
export type QuirkSet = ReadonlySet<QuirkName>;

/** `none`, `reference`, or a comma-separated list; an error is one line that names the unknown word. */
export function parseQuirks(
  text: string,
): { readonly ok: true; readonly quirks: QuirkSet } | { readonly ok: false; readonly error: string } {
  if (text === 'none') return { ok: true, quirks: new Set() };
  if (text === 'reference') return { ok: true, quirks: new Set(QUIRKS.map((quirk) => quirk.name)) };
  const quirks = new Set<QuirkName>();
  for (const word of text.split(',')) {
    const quirk = QUIRKS.find((entry) => entry.name === word.trim());
    if (quirk === undefined) {
      return {
        ok: false,
        error: `unknown quirk "${word.trim()}": expected none, reference, or names from "nexus-sim quirks"`,
      };
    }
    quirks.add(quirk.name);
  }
  return { ok: true, quirks };
}
