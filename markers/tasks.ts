/**
 * Which task printed a UART line, from its beginning alone. No sheet has this table; it follows the emitters that the
 * sheets name (sheet 85, section 3.2 and quirk H7; sheet 80, sections 5 and 11; sheet 10, section 1) and is tested on the whole
 * reference log.
 */

/**
 * The two bytes that every program prints at its entry, without a newline (sheet 10, section 9.6): they join whatever is
 * printed next, which may be another task's line.
 */
export const ENTRY_TOKEN = 'UB';

export const FIRMWARE = 'firmware';
export const KERNEL = 'kernel';

/** Payloads that execd starts, by the line they print. */
const PAYLOADS: readonly (readonly [prefix: string, task: string])[] = [
  ['child: hello-elf', 'payload hello'],
  ['child: exit0 ', 'payload exit0'],
  ['child: exit42 ', 'payload exit42'],
];

/** Lines that do not begin with the name of the task that prints them. The first fitting prefix decides. */
const PREFIXES: readonly (readonly [prefix: string, task: string])[] = [
  ...PAYLOADS,
  ['SELFTEST: net ', 'netstackd'],
  ['SELFTEST: ', 'selftest-client'],
  ['execd: elf load ok', 'selftest-client'],
  ['execd: child exited', 'selftest-client'],
  ['HELLOHDR', 'selftest-client'],
  ['^hello ', 'selftest-client'],
  ['net: ', 'netstackd'],
  ['dbg:netstackd: ', 'netstackd'],
  ['dbg:dsoftbusd: ', 'dsoftbusd'],
  ['virtio-blk: ', 'statefsd'],
  ['blk: ', 'statefsd'],
  ['!init-lite ', 'init'],
  ['!fatal init-lite', 'init'],
  ['log topics mask=', 'init'],
  ['OpenSBI ', FIRMWARE],
  ['Platform ', FIRMWARE],
  ['Firmware ', FIRMWARE],
  ['Runtime SBI Version', FIRMWARE],
  ['Domain0 ', FIRMWARE],
  ['Boot HART ', FIRMWARE],
  ['W0: ', KERNEL],
  ['PT: ', KERNEL],
  ['AS: ', KERNEL],
  ['CAP: ', KERNEL],
  ['CAP-E: ', KERNEL],
  ['SCHED: ', KERNEL],
  ['SYSCALL ', KERNEL],
  ['ACTIVATE_AND_SWITCH: ', KERNEL],
  ['KSELFTEST: ', KERNEL],
  ['KINIT: ', KERNEL],
  ['  sepc=0x', KERNEL],
  ['  gp=0x', KERNEL],
  ['  sp=0x', KERNEL],
  ['  sstatus=0x', KERNEL],
  ['  SPP=', KERNEL],
  ['EXC: ', KERNEL],
  ['[USER-PF] ', KERNEL],
  ['[USER-FAULT] ', KERNEL],
  ['ILLEGAL-D: ', KERNEL],
  ['KPGF ', KERNEL],
  ['PANIC: ', KERNEL],
  ['PANIC ra=', KERNEL],
  ['!!! KERNEL HEAP OOM !!!', KERNEL],
  ['req_size=', KERNEL],
  ['heap_budget_used=', KERNEL],
  ['heap_start=', KERNEL],
  ['satp=', KERNEL],
];

/** Whole lines of OpenSBI's logo. */
const FIRMWARE_LOGO: ReadonlySet<string> = new Set([
  '   ____                    _____ ____ _____',
  '  / __ \\                  / ____|  _ \\_   _|',
  ' | |  | |_ __   ___ _ __ | (___ | |_) || |',
  " | |  | | '_ \\ / _ \\ '_ \\ \\___ \\|  _ < | |",
  ' | |__| | |_) |  __/ | | |____) | |_) || |_',
  '  \\____/| .__/ \\___|_| |_|_____/|____/_____|',
  '        | |',
  '        |_|',
]);

/** Targets of the kernel's own log lines, `[LEVEL target] text`; any other target is the task that logs. */
const KERNEL_TARGETS: ReadonlySet<string> = new Set([
  'as',
  'boot',
  'exec',
  'kmain',
  'mm',
  'qos',
  'sched',
  'selftest',
  'smp',
  'sys',
  'task',
  'trap',
  'watchdog',
]);

/** Tasks whose lines begin with their own name and a colon, and whose log lines carry it as target. */
const TASKS: ReadonlySet<string> = new Set([
  'init',
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
  'virtioblkd',
  'selftest-client',
]);

const LOG_LINE = /^\[[A-Z]+ ([a-z0-9-]+)\] /;
const OWN_LINE = /^([a-z][a-z0-9-]*): /;
/** Lines of the glue that every program is linked with (sheet 10, sections 3 and 9.6). */
const GLUE_LINE = /^(?:service error svc=|slot-check: |SLOT MISSING: )([a-z][a-z0-9-]*) /;

/** The line without the entry tokens that joined it. */
export function withoutEntryTokens(line: string): string {
  let text = line;
  while (text.startsWith(ENTRY_TOKEN)) text = text.slice(ENTRY_TOKEN.length);
  return text;
}

/**
 * The task that printed a line, entry tokens aside: a service's name, `init`, `kernel`, `firmware`, or `payload` and the
 * payload's name; `undefined` for a line that no rule covers, such as an empty one.
 */
export function taskOfLine(line: string): string | undefined {
  const text = withoutEntryTokens(line);
  const level = LOG_LINE.exec(text)?.[1];
  if (level !== undefined) {
    if (KERNEL_TARGETS.has(level)) return KERNEL;
    return TASKS.has(level) ? level : undefined;
  }
  for (const [prefix, task] of PREFIXES) {
    if (text.startsWith(prefix)) return task;
  }
  const own = (GLUE_LINE.exec(text) ?? OWN_LINE.exec(text))?.[1];
  if (own !== undefined && TASKS.has(own)) return own;
  return FIRMWARE_LOGO.has(text) ? FIRMWARE : undefined;
}

/** A line of one task. */
export interface TaskLine {
  /** 1-based number in the log. */
  readonly line: number;
  /** Without entry tokens. */
  readonly text: string;
}

export interface TaskSplit {
  /** Each task's lines in their order, tasks in the order of their first line. */
  readonly tasks: ReadonlyMap<string, readonly TaskLine[]>;
  /** Lines that no rule covers. */
  readonly unassigned: readonly TaskLine[];
  /** Entry tokens in the whole log: programs that were entered. */
  readonly entryTokens: number;
}

/** Takes a log apart by task, so that two logs can be compared where only the interleaving differs. */
export function splitByTask(lines: readonly string[]): TaskSplit {
  const tasks = new Map<string, TaskLine[]>();
  const unassigned: TaskLine[] = [];
  let entryTokens = 0;
  lines.forEach((line, index) => {
    const text = withoutEntryTokens(line);
    entryTokens += (line.length - text.length) / ENTRY_TOKEN.length;
    // Nothing but a token: no task printed a line here.
    if (text === '' && line !== '') return;
    const entry: TaskLine = { line: index + 1, text };
    const task = taskOfLine(text);
    if (task === undefined) {
      unassigned.push(entry);
      return;
    }
    const list = tasks.get(task);
    if (list === undefined) tasks.set(task, [entry]);
    else list.push(entry);
  });
  return { tasks, unassigned, entryTokens };
}
