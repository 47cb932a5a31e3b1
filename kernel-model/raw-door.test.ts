import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CAP_MOVE, Errno, Nr, NONBLOCK, TRUNCATE } from './abi.ts';
import { pointerOk, RECV_DESCRIPTOR_MAGIC } from './raw-door.ts';
import { numberToRegister } from './registers.ts';
import type { Program, Sys, Syscall } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';
import { runToEnd, startRoot, testMachine } from './test-kit.ts';
import type { TestMachine } from './test-kit.ts';

/** User memory of the raw side: header, payload, receive buffers, name, file. */
const BASE = 0x6000_0000;
const HEADER = BASE;
const PAYLOAD = BASE + 0x100;
const NAME = BASE + 0x900;
const ELF = BASE + 0xa00;
const OUT_HEADER = BASE + 0x2000;
const OUT_SENDER = BASE + 0x2020;
const DESCRIPTOR = BASE + 0x2040;
const QUERY = BASE + 0x2100;
const OUT_PAYLOAD = BASE + 0x2ff8;
const PAGES = 8;

const elf = writeElf({ entry: 0x1_0000, segments: [{ vaddr: 0x1_0000, memsz: 0x1000, flags: 5 }], program: 'idle' });

interface Op {
  readonly nr: number;
  readonly a: readonly number[];
  readonly payload: Uint8Array;
  readonly move: number;
  readonly flags: number;
  readonly soon: number;
}

/** The call through the typed door. */
function typed(sys: Sys, op: Op, now: number): Syscall {
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = op.a;
  const deadline = op.soon === 0 ? 0 : now + op.soon;
  switch (op.nr) {
    case Nr.VMO_WRITE:
      return sys.vmoWrite(a0, a1, op.payload);
    case Nr.EXEC:
      return sys.exec(elf, a2 % 3, a3);
    case Nr.EXEC_V2:
      return sys.execV2(elf, a2 % 3, a3, 'svc');
    case Nr.IPC_SEND_V1:
      return sys.send(a0, op.payload, op.flags | (deadline ? 0 : NONBLOCK), deadline, op.move, a1);
    case Nr.IPC_RECV_V1:
      return sys.recv(a0, a1, op.flags | (deadline ? 0 : NONBLOCK), deadline);
    case Nr.IPC_RECV_V2:
      return sys.recvV2(a0, a1, op.flags | (deadline ? 0 : NONBLOCK), deadline);
    default: {
      const r = sys.request;
      Object.assign(r, { nr: op.nr, a0, a1, a2, a3, a4, a5 });
      return r;
    }
  }
}

/** The same call through registers and user memory. */
function raw(sys: Sys, op: Op, now: number): Syscall {
  const regs = op.a.map(numberToRegister);
  const [a0 = 0n, a1 = 0n, a2 = 0n, a3 = 0n, a4 = 0n, a5 = 0n] = regs;
  const nr = BigInt(op.nr);
  const deadline = op.soon === 0 ? 0n : BigInt(now + op.soon);
  const flags = BigInt(op.flags | (op.soon ? 0 : NONBLOCK));
  const len = BigInt(op.payload.length);
  sys.bytes(PAYLOAD, 0x800).set(op.payload);
  switch (op.nr) {
    case Nr.VMO_WRITE:
      return sys.ecall(nr, a0, a1, BigInt(PAYLOAD), len);
    case Nr.EXEC:
    case Nr.EXEC_V2:
      sys.bytes(ELF, elf.length).set(elf);
      sys.bytes(NAME, 3).set([0x73, 0x76, 0x63]);
      return sys.ecall(nr, BigInt(ELF), BigInt(elf.length), a2 % 3n, a3, BigInt(NAME), 3n);
    case Nr.IPC_SEND_V1: {
      const header = view(sys, HEADER, 16);
      header.setUint32(0, op.move < 0 ? 0 : op.move, true);
      header.setUint32(4, 0x55, true);
      header.setUint16(8, Number(a1 & 0xffffn), true);
      header.setUint16(10, op.move < 0 ? 0 : CAP_MOVE, true);
      header.setUint32(12, op.payload.length, true);
      return sys.ecall(nr, a0, BigInt(HEADER), BigInt(PAYLOAD), len, flags, deadline);
    }
    case Nr.IPC_RECV_V1:
      return sys.ecall(nr, a0, BigInt(OUT_HEADER), BigInt(OUT_PAYLOAD), a1, flags, deadline);
    case Nr.IPC_RECV_V2: {
      const d = view(sys, DESCRIPTOR, 64);
      d.setUint32(0, RECV_DESCRIPTOR_MAGIC, true);
      d.setUint32(4, 1, true);
      d.setUint32(8, Number(a0), true);
      d.setBigUint64(16, BigInt(OUT_HEADER), true);
      d.setBigUint64(24, BigInt(OUT_PAYLOAD), true);
      d.setBigUint64(32, a1, true);
      d.setBigUint64(40, BigInt(OUT_SENDER), true);
      d.setUint32(48, Number(flags), true);
      d.setBigUint64(56, deadline, true);
      return sys.ecall(nr, BigInt(DESCRIPTOR));
    }
    case Nr.CAP_QUERY:
      return sys.ecall(nr, a0, BigInt(QUERY));
    default:
      return sys.ecall(nr, a0, a1, a2, a3, a4, a5);
  }
}

function view(sys: Sys, va: number, len: number): DataView {
  const bytes = sys.bytes(va, len);
  return new DataView(bytes.buffer, bytes.byteOffset, len);
}

type Observed = readonly (number | string | bigint)[];

/** What a call left in the typed side's results. */
function typedResult(sys: Sys, op: Op, a0: number): Observed {
  const { message, query } = sys;
  if (op.nr === Nr.CAP_QUERY && a0 === 0) return [a0, query.kind, query.base, query.len];
  if (op.nr === Nr.WAIT && a0 >= 0) return [a0, sys.waitStatus];
  if (a0 < 0 || (op.nr !== Nr.IPC_RECV_V1 && op.nr !== Nr.IPC_RECV_V2)) return [a0];
  const header = [message.src, message.senderPid, message.ty, message.flags, message.len];
  return [a0, ...header, ...message.payload, ...(op.nr === Nr.IPC_RECV_V2 ? [message.serviceId] : [])];
}

/** The same from registers and user memory. */
function rawResult(sys: Sys, op: Op, a0: number): Observed {
  expect(sys.regs[0]).toBe(numberToRegister(a0));
  if (op.nr === Nr.CAP_QUERY && a0 === 0) {
    const q = view(sys, QUERY, 24);
    expect(q.getUint32(4, true)).toBe(0);
    return [a0, q.getUint32(0, true), Number(q.getBigUint64(8, true)), Number(q.getBigUint64(16, true))];
  }
  if (op.nr === Nr.WAIT && a0 >= 0) return [a0, Number(BigInt.asIntN(64, sys.regs[1] ?? 0n))];
  if (a0 < 0 || (op.nr !== Nr.IPC_RECV_V1 && op.nr !== Nr.IPC_RECV_V2)) return [a0];
  const h = view(sys, OUT_HEADER, 16);
  const header = [0, 4].map((at) => h.getUint32(at, true)).concat([8, 10].map((at) => h.getUint16(at, true)));
  const sender = op.nr === Nr.IPC_RECV_V2 ? [view(sys, OUT_SENDER, 8).getBigUint64(0, true)] : [];
  return [a0, ...header, h.getUint32(12, true), ...sys.bytes(OUT_PAYLOAD, a0), ...sender];
}

const idle: Program = function* (sys) {
  yield sys.getpid();
  return 5;
};

/** Runs the operations through one door and tells what was seen and what is left. */
function run(ops: readonly Op[], door: typeof typed, result: typeof typedResult): readonly unknown[] {
  const machine = testMachine({ programs: { idle } });
  const seen: Observed[] = [];
  startRoot(machine, function* (sys) {
    yield sys.vmoCreate(PAGES * 4096, 90);
    for (let page = 0; page < PAGES; page++) yield sys.map(90, BASE + page * 4096, page * 4096, 1 | 2 | 4 | 16);
    yield sys.endpointCreate(1, 2);
    yield sys.vmoCreate(4096, 3);
    let alive = 0;
    for (const op of ops) {
      if (op.nr === Nr.WAIT && alive === 0) continue;
      const now = yield sys.nsec();
      const a0 = yield door(sys, op, now);
      if ((op.nr === Nr.EXEC || op.nr === Nr.EXEC_V2) && a0 > 0) alive++;
      if (op.nr === Nr.WAIT && a0 > 0) alive--;
      seen.push(result(sys, op, a0));
    }
    return 0;
  });
  return [runToEnd(machine), seen, ...state(machine)];
}

function state({ kernel, memory, text }: TestMachine): readonly unknown[] {
  return [
    kernel.tasks.map((task) => [
      task.pid,
      task.state,
      task.exitCode,
      task.serviceId,
      task.qos,
      [...task.caps.entries()],
    ]),
    kernel.router.endpoints.map((endpoint) => [endpoint.alive, endpoint.count, endpoint.bytes, endpoint.owner]),
    memory.arena.cursor,
    memory.tables.count,
    text(),
  ];
}

const slot = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0, 1, 2, 2, 3, 90, 95, 96, -1));
const va = fc.constantFrom(0x1000, 0x7000_0000, 0x7000_1000, 0x1001, BASE, 2 ** 38, -4096, 0x8100_0000);
const size = fc.constantFrom(0, 1, 4096, 8192, 100, -4096, -1, 0x200_0000);
const small = fc.integer({ min: 0, max: 9 });
const args: Readonly<Record<number, fc.Arbitrary<readonly number[]>>> = {
  [Nr.YIELD]: fc.constant([]),
  [Nr.NSEC]: fc.constant([]),
  [Nr.SEND]: fc.tuple(slot, small, small, small),
  [Nr.RECV]: fc.tuple(slot),
  [Nr.MAP]: fc.tuple(slot, va, size, fc.integer({ min: 0, max: 0x101 })),
  [Nr.VMO_CREATE]: fc.tuple(slot, size),
  [Nr.VMO_WRITE]: fc.tuple(slot, size),
  [Nr.SPAWN]: fc.tuple(va, fc.constantFrom(0, 0x2000, 2 ** 40), small, slot, small),
  [Nr.CAP_TRANSFER]: fc.tuple(fc.integer({ min: 0, max: 3 }), slot, fc.integer({ min: 0, max: 16 })),
  [Nr.AS_CREATE]: fc.constant([]),
  [Nr.AS_MAP]: fc.tuple(small, slot, va, size, fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 1 })),
  [Nr.WAIT]: fc.tuple(fc.constantFrom(-1, -1, 1, 2, 77)),
  [Nr.EXEC]: fc.tuple(small, small, small, small),
  [Nr.IPC_SEND_V1]: fc.tuple(slot, small),
  [Nr.TASK_QOS]: fc.tuple(
    fc.integer({ min: 0, max: 2 }),
    fc.constantFrom(0, 1, 9, -1, 2 ** 32),
    fc.integer({ min: -1, max: 4 }),
  ),
  [Nr.DEBUG_PUTC]: fc.tuple(fc.constantFrom(65, 10, 0x80, 0x141, -1)),
  [Nr.EXEC_V2]: fc.tuple(small, small, small, small),
  [Nr.IPC_RECV_V1]: fc.tuple(slot, fc.constantFrom(0, 3, 64)),
  [Nr.EP_CREATE]: fc.constant([]),
  [Nr.CAP_CLOSE]: fc.tuple(fc.integer({ min: 4, max: 9 })),
  [Nr.EP_CLOSE]: fc.tuple(fc.integer({ min: 4, max: 9 })),
  [Nr.EP_CREATE_V2]: fc.tuple(slot, fc.constantFrom(0, 1, 256, 257, -1)),
  [Nr.EP_CREATE_FOR]: fc.tuple(slot, small, fc.constantFrom(0, 1, 256)),
  [Nr.CAP_CLONE]: fc.tuple(slot),
  [Nr.GETPID]: fc.constant([]),
  [Nr.IPC_RECV_V2]: fc.tuple(fc.integer({ min: 0, max: 97 }), fc.constantFrom(0, 3, 64, 8193)),
  [Nr.MMIO_MAP]: fc.tuple(slot, va, size),
  [Nr.CAP_QUERY]: fc.tuple(slot),
  [Nr.SPAWN_LAST_ERROR]: fc.constant([]),
  [Nr.DEVICE_CAP_CREATE]: fc.tuple(fc.constantFrom(0x1000_6000, 0x1001, -4096), size, slot),
  [Nr.CAP_TRANSFER_TO]: fc.tuple(fc.integer({ min: 0, max: 3 }), slot, fc.integer({ min: 0, max: 16 }), slot),
};
const weighted = [
  ...Array.from({ length: 32 }, (_, nr) => nr),
  Nr.IPC_SEND_V1,
  Nr.IPC_SEND_V1,
  Nr.IPC_RECV_V1,
  Nr.IPC_RECV_V2,
  33,
];
const op: fc.Arbitrary<Op> = fc.constantFrom(...weighted.filter((nr) => nr !== Nr.EXIT)).chain((nr) =>
  fc.record({
    nr: fc.constant(nr),
    a: args[nr] ?? fc.constant([]),
    payload: fc.uint8Array({ maxLength: 40 }),
    move: fc.constantFrom(-1, -1, -1, 3, 4, 5),
    flags: fc.constantFrom(0, TRUNCATE, 0),
    soon: fc.constantFrom(0, 0, 0, 200_000),
  }),
);

describe('the raw door', () => {
  it('gives what the typed door gives: results, deliveries, tables, time and output', () => {
    fc.assert(
      fc.property(fc.array(op, { minLength: 1, maxLength: 25 }), (ops) => {
        expect(run(ops, raw, rawResult)).toEqual(run(ops, typed, typedResult));
      }),
      { seed: 20240, numRuns: 80 },
    );
  });

  it('takes any registers: an errno, a result, or the panic of an unmapped pointer, and nothing throws', () => {
    const values = [
      ...[0n, 1n, 2n, 3n, 4n, 8n, 90n, 95n, 96n, 0xfffn, 0x1000n, 0x1001n, 8192n, 8193n, 0x5000_0000n],
      ...[BASE, BASE + 8, BASE + 0x40, BASE + PAGES * 4096 - 8].map(BigInt),
      ...[0x7fff_ffffn, 0x8000_0000n, 0x8020_0000n, 0x8100_0000n, 1n << 31n, 1n << 32n, 1n << 38n, 1n << 53n],
      ...[1n << 63n, (1n << 64n) - 0x1000n, (1n << 64n) - 1n, (1n << 64n) - 2n, 0xffff_ffc0_0000_0000n],
    ];
    const register = fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom(...values) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
    );
    const number = fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 31 }).map(BigInt) },
      { weight: 1, arbitrary: register },
    );
    const call = fc.tuple(number, fc.tuple(register, register, register, register, register, register));
    const errnos = new Set<number>(Object.values(Errno));
    const seen = new Set<number>();
    let done = 0;
    fc.assert(
      fc.property(fc.array(call, { minLength: 5, maxLength: 40 }), (calls) => {
        const machine = testMachine();
        startRoot(machine, function* (sys) {
          yield sys.vmoCreate(PAGES * 4096, 90);
          for (let page = 0; page < PAGES; page++) yield sys.map(90, BASE + page * 4096, page * 4096, 1 | 2 | 4 | 16);
          const d = view(sys, BASE + 0x40, 64);
          d.setUint32(0, RECV_DESCRIPTOR_MAGIC, true);
          d.setUint32(4, 1, true);
          for (const at of [16, 24, 40]) d.setBigUint64(at, BigInt(BASE + 0x200), true);
          d.setBigUint64(32, 64n, true);
          for (const [nr, args] of calls) {
            if (nr === BigInt(Nr.EXIT)) continue;
            const a0 = yield sys.ecall(nr, ...args);
            if (a0 < 0) {
              expect(errnos, `${nr} ${args.join()}`).toContain(-a0);
              seen.add(-a0);
            }
            done++;
          }
          return 0;
        });
        machine.kernel.run({ untilNs: machine.kernel.clock.now + 1e9, maxSteps: 5000 });
      }),
      { seed: 20240, numRuns: 150 },
    );
    for (const errno of [Errno.EPERM, Errno.EINVAL, Errno.ENOSYS, Errno.ECHILD]) expect(seen).toContain(errno);
    expect(done).toBeGreaterThan(1000);
  });

  it('checks pointers by range only', () => {
    expect(pointerOk(0n, 0n)).toBe(true);
    expect(pointerOk(2n ** 63n, 0n)).toBe(true);
    expect(pointerOk(0n, 1n)).toBe(false);
    expect(pointerOk(0x7fff_ffffn, 1n)).toBe(true);
    expect(pointerOk(0x7fff_ffffn, 2n)).toBe(false);
    expect(pointerOk(0x8000_0000n, 1n)).toBe(false);
    expect(pointerOk(1n, 2n ** 64n - 1n)).toBe(false);
  });

  const calls = (call: (sys: Sys) => Syscall): { machine: TestMachine; a0: number[] } => {
    const machine = testMachine();
    const a0: number[] = [];
    startRoot(machine, function* (sys) {
      yield sys.vmoCreate(4096, 90);
      yield sys.map(90, BASE, 0, 1 | 2 | 4 | 16);
      a0.push(yield call(sys));
      return 0;
    });
    runToEnd(machine, 50);
    return { machine, a0 };
  };

  it('refuses bad pointers with EINVAL, without a panic', () => {
    const bad: ((sys: Sys) => Syscall)[] = [
      (sys) => sys.ecall(14n, 0n, 0x8000_0000n, 0n, 0n),
      (sys) => sys.ecall(14n, 0n, BigInt(BASE), 0x7fff_ffffn, 2n),
      (sys) => sys.ecall(14n, 0n, BigInt(BASE), BigInt(BASE), 8193n),
      (sys) => sys.ecall(14n, 0n, BigInt(BASE), BigInt(BASE), 0n, 2n),
      (sys) => sys.ecall(18n, 0n, 0n, BigInt(BASE), 0n, 1n),
      (sys) => sys.ecall(26n, 0n),
      (sys) => sys.ecall(26n, BigInt(BASE)),
      (sys) => sys.ecall(28n, 90n, 0n),
      (sys) => sys.ecall(13n, 0n, 100n, 1n),
      (sys) => sys.ecall(17n, BigInt(BASE), 100n, 1n, 0n, BigInt(BASE), 65n),
      (sys) => sys.ecall(6n, 90n, 0n, 0x8000_0000n, 1n),
      (sys) => sys.ecall(30n, 2n ** 63n + 1n, 4096n, 2n ** 64n - 1n),
    ];
    for (const call of bad) {
      const { machine, a0 } = calls(call);
      expect(a0).toEqual([-Errno.EINVAL]);
      expect(machine.text()).not.toContain('PANIC');
    }
    expect(calls((sys) => sys.ecall(32n)).a0).toEqual([-Errno.ENOSYS]);
    expect(calls((sys) => sys.ecall(2n ** 63n)).a0).toEqual([-Errno.ENOSYS]);
  });

  it('panics on an unmapped pointer in range (Q7)', () => {
    const unmapped: ((sys: Sys) => Syscall)[] = [
      (sys) => sys.ecall(14n, 0n, 0x5000_0000n, 0n, 0n),
      (sys) => sys.ecall(6n, 90n, 0n, BigInt(BASE + 4090), 10n),
      (sys) => sys.ecall(28n, 90n, 0x5000_0000n),
      (sys) => sys.ecall(13n, 0x1000n, 0x7000_0000n, 1n),
    ];
    for (const call of unmapped) {
      const { machine } = calls(call);
      expect(machine.text()).toMatch(
        /\nKPGF sepc=0x[0-9a-f]{16} stval=0x[0-9a-f]{16} scause=0x0{15}[df] .* pid=0x0000 /,
      );
      expect(machine.text()).toMatch(/PANIC: .*: KPGF\r\nPANIC ra=0x[0-9a-f]{16}\r\n$/);
      expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 5 })).toBe('dead');
    }
  });
});
