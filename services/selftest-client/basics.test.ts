/** S02, S12, S13, S50 to S52, S57 to S59: what the kernel must say, and each failure line (sheet 80, sections 5, 6.2, 6.21). */
import { describe, expect, it } from 'vitest';
import { CapKind, Errno, Nr, Qos } from '../../kernel-model/abi.ts';
import type { Sys, Syscall } from '../../kernel-model/sys.ts';
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
import { chars, h, play } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';
import { Slot } from './state.ts';
import type { Step } from './state.ts';

const OWN = 33;
const lines = (step: Step, stage: Stage): readonly string[] => play(step, stage).lines;

describe('S02', () => {
  /** Results of the five TASK_QOS calls. */
  const answers = (results: readonly number[]): Stage => {
    let nth = 0;
    return { other: (call: Syscall) => (call.nr === Nr.GETPID ? OWN : (results[nth++] ?? -Errno.ENOSYS)) };
  };
  const GOOD = [Qos.NORMAL, 0, Qos.NORMAL, -Errno.EPERM, Qos.NORMAL];

  it('Normal may be kept and not raised', () => {
    expect(lines(qos, answers(GOOD))).toEqual(['SELFTEST: qos ok']);
  });

  it.each([
    [0, Qos.IDLE],
    [1, -Errno.EPERM],
    [2, Qos.INTERACTIVE],
    [3, 0],
    [3, -Errno.EINVAL],
    [4, Qos.INTERACTIVE],
  ])('call %i answers %i: FAIL', (at, result) => {
    expect(lines(qos, answers(GOOD.map((good, i) => (i === at ? result : good))))).toEqual(['SELFTEST: qos FAIL']);
  });
});

describe('S12 and S13', () => {
  const INBOX_SEND = 0x18;
  /** What stands in the inbox when the step looks. */
  const back = (...frames: readonly (readonly number[])[]): readonly string[] => {
    const fill: Step = function* (state) {
      yield state.sys.send(Slot.SAMGRD, Uint8Array.of(1), 0, 0, Slot.INBOX_SEND);
      return true;
    };
    return play([fill, replyLoopback], { peers: { [Slot.SAMGRD]: () => frames } }).lines;
  };

  it('names the slots', () => {
    expect(lines(replySlots, {})).toEqual([`SELFTEST: reply slots ${h(0x18)} ${h(0x17)}`]);
  });

  it('the frame must come back; nothing, or another one first, fails', () => {
    const silent = play(replyLoopback);
    expect(silent.lines).toEqual(['SELFTEST: reply loopback FAIL']);
    const PING = [0x52, 0x50, 1, 0];
    expect(back(PING)).toEqual(['SELFTEST: reply loopback ok']);
    for (const frame of [[0x52, 0x50, 1, 1], PING.slice(1), [...PING, 0]])
      expect(back(frame, PING)).toEqual(['SELFTEST: reply loopback FAIL']);
    expect(silent.driver.yields).toBe(256);
    expect([...silent.sent(INBOX_SEND)[0]!]).toEqual([0x52, 0x50, 1, 0]);
  });
});

describe('S50 to S52', () => {
  const loop = (change: (frame: Uint8Array) => Answers): Stage => ({ peers: { 0: change } });
  /** The stand-in's messages have no type of their own; this one is what a send on slot 0 carried. */
  const typed = (ty: number, stage: Stage): Stage => ({
    ...stage,
    before: ({ sys }) => {
      sys.message.ty = ty;
    },
  });

  it('S50: type, length and bytes come back', () => {
    const same = loop((frame) => frame);
    const played = play(ipcPayload, typed(0x5a5a, same));
    expect(played.lines).toEqual(['SELFTEST: ipc payload roundtrip ok']);
    expect([...played.sent(0)[0]!]).toEqual(chars('nexus-ipc-v1 roundtrip'));
    const FAIL = ['SELFTEST: ipc payload roundtrip FAIL'];
    expect(lines(ipcPayload, typed(0x5a5b, same))).toEqual(FAIL);
    expect(
      lines(
        ipcPayload,
        typed(
          0x5a5a,
          loop((frame) => frame.subarray(1)),
        ),
      ),
    ).toEqual(FAIL);
    expect(
      lines(
        ipcPayload,
        typed(
          0x5a5a,
          loop((frame) => frame.map((b, i) => (i === 9 ? 0 : b))),
        ),
      ),
    ).toEqual(FAIL);
    expect(
      lines(
        ipcPayload,
        typed(
          0x5a5a,
          loop(() => null),
        ),
      ),
    ).toEqual(FAIL);
    expect(lines(ipcPayload, { refuse: { 0: -11 } })).toEqual(FAIL);
  });

  it('S51: a receive whose time is over says so', () => {
    expect(lines(ipcDeadline, {})).toEqual(['SELFTEST: ipc deadline timeout ok']);
    const other = (errno: number): Stage => ({ receiveErrors: { 0: [-errno] } });
    expect(lines(ipcDeadline, other(Errno.EAGAIN))).toEqual(['SELFTEST: ipc deadline timeout FAIL']);
    expect(lines(ipcDeadline, other(Errno.EPERM))).toEqual(['SELFTEST: ipc deadline timeout FAIL']);
  });

  it('S52: the library client gets its frame back', () => {
    const played = play(
      kernelLoopback,
      loop((frame) => frame),
    );
    expect(played.lines).toEqual(['SELFTEST: nexus-ipc kernel loopback ok']);
    expect([...played.sent(0)[0]!]).toEqual(chars('nexus-ipc kernel loopback'));
    for (const stage of [loop(() => chars('x')), loop(() => null), { refuse: { 0: -28 } }])
      expect(lines(kernelLoopback, stage)).toEqual(['SELFTEST: nexus-ipc kernel loopback FAIL']);
  });
});

describe('S57', () => {
  const registers = (values: Readonly<Record<number, readonly number[]>>, mapped = 0): Stage => {
    const reads = new Map<number, number>();
    return {
      other: (call: Syscall) => (call.nr === Nr.MMIO_MAP ? mapped : -Errno.ENOSYS),
      before: ({ sys }) => {
        sys.load32 = (va) => {
          const nth = reads.get(va) ?? 0;
          reads.set(va, nth + 1);
          const list = values[va - 0x2000_e000] ?? [0];
          return list[Math.min(nth, list.length - 1)] ?? 0;
        };
      },
    };
  };
  const NET = { 0: [0x7472_6976], 4: [2], 8: [1], 12: [0x554d_4551] };

  it('a virtio-net window is read twice and named', () => {
    for (const version of [1, 2])
      expect(lines(mmioMap, registers({ ...NET, 4: [version] }))).toEqual([
        `SELFTEST: virtio-net mmio ver=${version}`,
        'SELFTEST: mmio map ok',
      ]);
  });

  it('another device or version is no failure, and is not named', () => {
    for (const other of [{ 8: [2] }, { 8: [0] }, { 4: [3] }, { 4: [0] }])
      expect(lines(mmioMap, registers({ ...NET, ...other }))).toEqual(['SELFTEST: mmio map ok']);
  });

  it.each([0, 4, 8, 12] as const)('register %i that changes between the reads fails', (register) => {
    const first = NET[register][0]!;
    expect(lines(mmioMap, registers({ ...NET, [register]: [first, first + 1] }))).toEqual([
      'SELFTEST: virtio-net probe FAIL',
      'SELFTEST: mmio map FAIL',
    ]);
  });

  it('another magic is told', () => {
    expect(lines(mmioMap, registers({ ...NET, 0: [7] }))).toEqual([
      `SELFTEST: mmio magic0=0x${h(7)}`,
      'SELFTEST: mmio map FAIL',
    ]);
  });

  it.each([
    [Errno.ENOSYS, 'InvalidSyscall'],
    [Errno.EPERM, 'CapabilityDenied'],
    [Errno.EINVAL, 'InvalidArgument'],
    [Errno.ECHILD, 'ChildUnavailable'],
    [Errno.ESRCH, 'NoSuchPid'],
    [Errno.ENOMEM, 'SpawnFailed'],
    [Errno.EAGAIN, 'Unsupported'],
  ])('a map that fails with %i names it', (errno, name) => {
    expect(lines(mmioMap, registers(NET, -errno))).toEqual([
      `SELFTEST: mmio map0 err=${name}`,
      'SELFTEST: mmio map FAIL',
    ]);
  });
});

describe('S58 and S59', () => {
  const query = (kind: number, base: number, len: number, result = 0): Stage => ({
    other: (call: Syscall, sys: Sys) => {
      if (call.nr === Nr.VMO_CREATE) return 0x23;
      sys.query.kind = kind;
      sys.query.base = base;
      sys.query.len = len;
      return result;
    },
  });

  it('a device window has a kind, a base and a length', () => {
    expect(lines(capQueryMmio, query(CapKind.DEVICE_MMIO, 1, 1))).toEqual(['SELFTEST: cap query mmio ok']);
    for (const stage of [
      query(CapKind.VMO, 1, 1),
      query(CapKind.DEVICE_MMIO, 0, 1),
      query(CapKind.DEVICE_MMIO, 1, 0),
      query(CapKind.DEVICE_MMIO, 1, 1, -1),
    ])
      expect(lines(capQueryMmio, stage)).toEqual(['SELFTEST: cap query mmio FAIL']);
  });

  it('a VMO has at least the bytes asked for', () => {
    for (const len of [4096, 8192])
      expect(lines(capQueryVmo, query(CapKind.VMO, 1, len))).toEqual(['SELFTEST: cap query vmo ok']);
    for (const stage of [
      query(CapKind.DEVICE_MMIO, 1, 4096),
      query(CapKind.VMO, 0, 4096),
      query(CapKind.VMO, 1, 4095),
      query(CapKind.VMO, 1, 4096, -1),
      { other: () => -Errno.ENOMEM },
    ])
      expect(lines(capQueryVmo, stage)).toEqual(['SELFTEST: cap query vmo FAIL']);
  });
});
