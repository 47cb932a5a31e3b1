/**
 * The order of checks (sheet 10, section 2.2): for each syscall with more than one, every violation alone gives its errno,
 * and of any two that different arguments can show at once the earlier one does. Through registers and user memory.
 */
import { describe, expect, it } from 'vitest';
import { Errno, NONBLOCK, Nr, Rights } from '../abi.ts';
import { RECV_DESCRIPTOR_MAGIC } from '../raw-door.ts';
import type { Sys, Syscall } from '../sys.ts';
import { writeElf } from '../synthetic-elf.ts';
import { runToEnd, startRoot, testMachine } from '../test-kit.ts';

const { EPERM, EINVAL, EAGAIN, ESRCH } = Errno;
const U64_MAX = 2n ** 64n - 1n;
const NON_CANONICAL = 2n ** 38n;
/** First user address that no pointer may have. */
const LIMIT = 0x8000_0000n;

/** User memory, all of it mapped: message header, payload, receive buffers, descriptor, file and name. */
const BASE = 0x6000_0000;
const HEADER = BASE;
const PAYLOAD = BASE + 0x100;
const OUT_HEADER = BASE + 0x200;
const OUT_SENDER = BASE + 0x220;
const DESCRIPTOR = BASE + 0x240;
const QUERY = BASE + 0x2c0;
const OUT_PAYLOAD = BASE + 0x300;
const NAME = BASE + 0x400;
const ELF = BASE + 0x500;
const PAGES = 2;
/** A page that nothing is mapped at. */
const FREE = 0x7000_0000n;

/** Capability slots that the calls use. */
const ENDPOINT = 0n;
const FACTORY = 1n;
const VMO = 2n;
const WINDOW = 3n;
const VMO_WITHOUT_MAP = 5n;
const WINDOW_WITHOUT_MAP = 6n;
const DEAD = 7n;
const EMPTY = 9n;
const VMO_BYTES = 8192n;
/** The second address space: the first handle that AS_CREATE gives to the root task. */
const SPACE = 2n;

const LEAF = 1n | 2n | 16n;
const elf = writeElf({ entry: 0x1000, segments: [{ vaddr: 0x1000, memsz: 0x1000, flags: 5 }], program: null });

/** A value of one argument that is refused, and with what. */
type Violation = readonly [argument: number, value: bigint, errno: number];

interface Case {
  readonly name: string;
  readonly nr: number;
  /** Arguments that pass. */
  readonly good: readonly bigint[];
  /** What they give: an errno, or 0 for success. */
  readonly gives?: number;
  /** In the sheet's order. */
  readonly violations: readonly Violation[];
  /** Arguments to the call; absent: registers. */
  readonly call?: (sys: Sys, values: readonly bigint[]) => Syscall;
}

const CASES: readonly Case[] = [
  {
    name: 'MAP',
    nr: Nr.MAP,
    good: [VMO, FREE, 0n, LEAF],
    violations: [
      [1, FREE + 1n, EINVAL],
      [1, NON_CANONICAL, EINVAL],
      [3, 0x100n, EINVAL],
      [3, 1n | 4n | 8n | 16n, EPERM],
      [0, EMPTY, EPERM],
      [0, VMO_WITHOUT_MAP, EPERM],
      [0, WINDOW, EPERM],
      [2, VMO_BYTES, EPERM],
      [2, U64_MAX - 4095n, EPERM],
      [3, 2n | 16n, EINVAL],
      [3, 1n | 16n, EINVAL],
      [1, BigInt(BASE), EINVAL],
    ],
  },
  {
    name: 'VMO_CREATE',
    nr: Nr.VMO_CREATE,
    good: [U64_MAX, 4096n],
    violations: [
      [1, 0n, EPERM],
      [1, 0x200_0000n, EPERM],
      [1, U64_MAX, EPERM],
      [0, 96n, EPERM],
      [0, 1n << 63n, EPERM],
    ],
  },
  {
    name: 'VMO_WRITE',
    nr: Nr.VMO_WRITE,
    good: [VMO, 0n, BigInt(PAYLOAD), 8n],
    violations: [
      [0, EMPTY, EPERM],
      [0, VMO_WITHOUT_MAP, EPERM],
      [0, WINDOW, EPERM],
      [1, VMO_BYTES, EPERM],
      [1, U64_MAX, EPERM],
      [3, VMO_BYTES + 1n, EPERM],
      [3, U64_MAX, EPERM],
      [2, LIMIT - 4n, EINVAL],
      [2, 0n, EINVAL],
    ],
  },
  {
    name: 'SPAWN',
    nr: Nr.SPAWN,
    good: [0x1000n, 0x2000_8000n, SPACE, ENDPOINT, 0n],
    violations: [
      [0, 0x1001n, EINVAL],
      [0, NON_CANONICAL, EINVAL],
      [1, NON_CANONICAL, EINVAL],
      [1, 0n, EINVAL],
      [3, EMPTY, EPERM],
      [3, FACTORY, EPERM],
      [2, 77n, EINVAL],
    ],
  },
  {
    name: 'AS_MAP',
    nr: Nr.AS_MAP,
    good: [SPACE, VMO, FREE, VMO_BYTES, 1n, 1n],
    violations: [
      [0, 0n, EINVAL],
      [2, FREE + 8n, EINVAL],
      [2, NON_CANONICAL, EINVAL],
      [3, 0n, EINVAL],
      [3, 4097n, EINVAL],
      [4, 2n | 4n, EPERM],
      [2, U64_MAX - 4095n, EINVAL],
      [1, EMPTY, EPERM],
      [1, VMO_WITHOUT_MAP, EPERM],
      [1, WINDOW, EPERM],
      [4, 0n, EINVAL],
      [0, 77n, EINVAL],
    ],
  },
  {
    name: 'EXEC',
    nr: Nr.EXEC_V2,
    good: [BigInt(ELF), BigInt(elf.length), 1n, 0n, BigInt(NAME), 3n],
    violations: [
      [1, 0n, EINVAL],
      [2, 0n, EINVAL],
      [0, LIMIT, EINVAL],
      [0, 0n, EINVAL],
      [5, 65n, EINVAL],
      [5, U64_MAX, EINVAL],
      [4, LIMIT, EINVAL],
    ],
  },
  {
    name: 'IPC_SEND_V1',
    nr: Nr.IPC_SEND_V1,
    good: [ENDPOINT, BigInt(HEADER), BigInt(PAYLOAD), 4n, BigInt(NONBLOCK), 0n],
    violations: [
      [1, LIMIT - 15n, EINVAL],
      [1, 0n, EINVAL],
      [3, 8193n, EINVAL],
      [3, U64_MAX, EINVAL],
      [2, LIMIT, EINVAL],
      [4, 2n, EINVAL],
      [4, 1n << 40n, EINVAL],
      [0, EMPTY, EPERM],
      [0, VMO, EPERM],
      [0, U64_MAX, EPERM],
      [3, 5n, EINVAL],
    ],
  },
  {
    name: 'IPC_RECV_V1',
    nr: Nr.IPC_RECV_V1,
    good: [4n, BigInt(OUT_HEADER), BigInt(OUT_PAYLOAD), 64n, BigInt(NONBLOCK), 0n],
    gives: EAGAIN,
    violations: [
      [1, LIMIT - 15n, EINVAL],
      [2, LIMIT, EINVAL],
      [4, 4n, EINVAL],
      [4, 1n << 32n, EINVAL],
      [0, EMPTY, EPERM],
      [0, VMO, EPERM],
      [0, DEAD, ESRCH],
    ],
  },
  {
    name: 'IPC_RECV_V2',
    nr: Nr.IPC_RECV_V2,
    // Magic, version, slot, header, payload, maximum, sender id, flags, deadline.
    good: [
      BigInt(RECV_DESCRIPTOR_MAGIC),
      1n,
      4n,
      BigInt(OUT_HEADER),
      BigInt(OUT_PAYLOAD),
      64n,
      BigInt(OUT_SENDER),
      1n,
      0n,
    ],
    gives: EAGAIN,
    violations: [
      [0, BigInt(RECV_DESCRIPTOR_MAGIC) ^ 1n, EINVAL],
      [1, 2n, EINVAL],
      [3, LIMIT - 15n, EINVAL],
      [5, 8193n, EINVAL],
      [5, U64_MAX, EINVAL],
      [4, LIMIT - 63n, EINVAL],
      [6, LIMIT - 7n, EINVAL],
      [6, 0n, EINVAL],
      [7, 4n, EINVAL],
      [2, EMPTY, EPERM],
      [2, VMO, EPERM],
      [2, DEAD, ESRCH],
    ],
    call: (sys, values) => {
      const bytes = sys.bytes(DESCRIPTOR, 64);
      const view = new DataView(bytes.buffer, bytes.byteOffset, 64);
      const [magic = 0n, version = 0n, slot = 0n, header = 0n, payload = 0n, max = 0n, sender = 0n, flags = 0n] =
        values;
      bytes.fill(0xff);
      view.setUint32(0, Number(magic), true);
      view.setUint32(4, Number(version), true);
      view.setUint32(8, Number(slot), true);
      view.setBigUint64(16, header, true);
      view.setBigUint64(24, payload, true);
      view.setBigUint64(32, max, true);
      view.setBigUint64(40, sender, true);
      view.setUint32(48, Number(flags), true);
      view.setBigUint64(56, values[8] ?? 0n, true);
      return sys.ecall(BigInt(Nr.IPC_RECV_V2), BigInt(DESCRIPTOR));
    },
  },
  {
    name: 'EP_CREATE v2',
    nr: Nr.EP_CREATE_V2,
    good: [FACTORY, 8n],
    violations: [
      [1, 0n, EINVAL],
      [1, 257n, EINVAL],
      [1, U64_MAX, EINVAL],
      [0, EMPTY, EPERM],
      [0, ENDPOINT, EPERM],
    ],
  },
  {
    name: 'EP_CREATE_FOR',
    nr: Nr.EP_CREATE_FOR,
    good: [FACTORY, 0n, 8n],
    violations: [
      [2, 0n, EINVAL],
      [2, 257n, EINVAL],
      [0, EMPTY, EPERM],
      [0, ENDPOINT, EPERM],
      [1, 77n, EPERM],
    ],
  },
  {
    name: 'MMIO_MAP',
    nr: Nr.MMIO_MAP,
    good: [WINDOW, FREE, 4096n],
    violations: [
      [1, FREE + 1n, EINVAL],
      [1, NON_CANONICAL, EINVAL],
      [0, EMPTY, EPERM],
      [0, WINDOW_WITHOUT_MAP, EPERM],
      [0, VMO, EPERM],
      [2, 8192n, EPERM],
      [2, U64_MAX - 4095n, EPERM],
      [2, 1n, EPERM],
      [1, BigInt(BASE), EINVAL],
    ],
  },
  {
    name: 'CAP_QUERY',
    nr: Nr.CAP_QUERY,
    good: [VMO, BigInt(QUERY)],
    violations: [
      [1, LIMIT - 23n, EINVAL],
      [1, 0n, EINVAL],
      [0, EMPTY, EPERM],
      [0, VMO_WITHOUT_MAP, EPERM],
      [0, ENDPOINT, EPERM],
    ],
  },
  {
    name: 'DEVICE_CAP_CREATE',
    nr: Nr.DEVICE_CAP_CREATE,
    good: [0x1000_6000n, 4096n, U64_MAX],
    violations: [
      [1, 0n, EINVAL],
      [0, 0x1000_6001n, EINVAL],
      [1, 4097n, EINVAL],
      [0, U64_MAX - 4095n, EINVAL],
      [2, 96n, EPERM],
    ],
  },
];

/** A root task with every slot filled; `calls` runs in it. */
function inRoot(calls: (sys: Sys, answers: number[]) => Generator<Syscall, void, number>): readonly number[] {
  const machine = testMachine();
  const answers: number[] = [];
  startRoot(machine, function* (sys) {
    const task = machine.kernel.tasks[sys.pid];
    const caps = task?.caps;
    yield sys.vmoCreate(PAGES * 4096, 90);
    for (let page = 0; page < PAGES; page++) yield sys.map(90, BASE + page * 4096, page * 4096, 1 | 2 | 4 | 16);
    yield sys.vmoCreate(Number(VMO_BYTES), Number(VMO));
    caps?.set(Number(WINDOW), { kind: 'mmio', base: 0x1000_6000, len: 8192, rights: Rights.MAP });
    caps?.set(Number(VMO_WITHOUT_MAP), { kind: 'vmo', base: 0x8100_0000, len: 8192, rights: 0 });
    caps?.set(Number(WINDOW_WITHOUT_MAP), { kind: 'mmio', base: 0x1000_6000, len: 8192, rights: 0 });
    for (const slot of [4, Number(DEAD)]) {
      const endpoint = machine.kernel.router.create(8, 0);
      caps?.set(slot, { kind: 'endpoint', endpoint, rights: Rights.SEND | Rights.RECV });
      if (slot === Number(DEAD)) machine.kernel.router.close(endpoint, []);
    }
    yield sys.asCreate();
    new DataView(sys.bytes(HEADER, 16).buffer, sys.bytes(HEADER, 16).byteOffset).setUint32(12, 4, true);
    sys.bytes(ELF, elf.length).set(elf);
    sys.bytes(NAME, 3).set([0x73, 0x76, 0x63]);
    yield* calls(sys, answers);
    return 0;
  });
  runToEnd(machine, 50_000);
  return answers;
}

function call({ nr, good, call: special }: Case, sys: Sys, violations: readonly Violation[]): Syscall {
  const values = [...good];
  for (const [argument, value] of violations) values[argument] = value;
  const [a0 = 0n, a1 = 0n, a2 = 0n, a3 = 0n, a4 = 0n, a5 = 0n] = values;
  return special?.(sys, values) ?? sys.ecall(BigInt(nr), a0, a1, a2, a3, a4, a5);
}

describe('the first failing check answers', () => {
  it.each(CASES.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const { violations, gives } = one;
    /** What was tried, as text, with the errno it must give. */
    const tried: [text: string, errno: number][] = [];
    const answers = inRoot(function* (sys, out) {
      for (const [i, first] of violations.entries()) {
        tried.push([`a${first[0]}=0x${first[1].toString(16)}`, first[2]]);
        out.push(-(yield call(one, sys, [first])));
        for (const second of violations.slice(i + 1)) {
          if (second[0] === first[0]) continue;
          tried.push([`a${first[0]}=0x${first[1].toString(16)} a${second[0]}=0x${second[1].toString(16)}`, first[2]]);
          out.push(-(yield call(one, sys, [first, second])));
        }
      }
      out.push(yield call(one, sys, []));
    });
    const good = answers.at(-1) ?? NaN;
    expect(tried.map(([text], i) => [text, answers[i]])).toEqual(tried);
    if (gives === undefined) expect(good).toBeGreaterThanOrEqual(0);
    else expect(good).toBe(-gives);
  });

  it('EXEC: every argument before SEND in slot 0, and that before the file', () => {
    const one = CASES.find(({ nr }) => nr === Nr.EXEC_V2);
    if (one === undefined) throw new Error('no EXEC');
    const answers = inRoot(function* (sys, out) {
      yield sys.capClose(Number(ENDPOINT));
      for (const violation of one.violations) out.push(yield call(one, sys, [violation]));
      out.push(yield call(one, sys, []));
      sys.bytes(ELF, 1)[0] = 0;
      out.push(yield call(one, sys, []));
    });
    expect(answers).toEqual([...one.violations.map(() => -EINVAL), -EPERM, -EPERM]);
  });

  it('DEVICE_CAP_CREATE: every argument before the factory in slot 1, and that before the target slot', () => {
    const one = CASES.find(({ nr }) => nr === Nr.DEVICE_CAP_CREATE);
    if (one === undefined) throw new Error('no DEVICE_CAP_CREATE');
    const answers = inRoot(function* (sys, out) {
      yield sys.capClose(Number(FACTORY));
      for (const violation of one.violations) out.push(yield call(one, sys, [violation]));
      out.push(yield call(one, sys, []));
    });
    expect(answers).toEqual([...one.violations.map(([, , errno]) => -errno), -EPERM]);
  });

  it('every transfer refusal is EPERM', () => {
    const good = [0n, VMO, BigInt(Rights.MAP)] as const;
    const refused: readonly (readonly bigint[])[] = [
      [0n, VMO, 1n << 31n],
      [0n, ENDPOINT, BigInt(Rights.SEND | Rights.MANAGE)],
      [1n, FACTORY, BigInt(Rights.MANAGE)],
      [0n, FACTORY, 0n],
      [0n, VMO, BigInt(Rights.MAP | Rights.SEND)],
      [0n, EMPTY, 0n],
      [77n, VMO, 0n],
    ];
    const answers = inRoot(function* (sys, out) {
      for (const [pid = 0n, slot = 0n, rights = 0n] of refused) {
        out.push(yield sys.ecall(BigInt(Nr.CAP_TRANSFER), pid, slot, rights));
        out.push(yield sys.ecall(BigInt(Nr.CAP_TRANSFER_TO), pid, slot, rights, 50n));
      }
      for (const target of [VMO, 96n, U64_MAX]) out.push(yield sys.ecall(BigInt(Nr.CAP_TRANSFER_TO), ...good, target));
      out.push(yield sys.ecall(BigInt(Nr.CAP_TRANSFER), ...good));
      out.push(yield sys.ecall(BigInt(Nr.CAP_TRANSFER_TO), ...good, 50n));
    });
    expect(answers).toEqual([...Array<number>(2 * refused.length + 3).fill(-EPERM), 8, 50]);
  });
});
