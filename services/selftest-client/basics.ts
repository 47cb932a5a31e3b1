/** Steps on the kernel and on this task's own slots: S02, S12, S13, S50 to S52, S57 to S59 (sheet 80, sections 5, 6.2, 6.21). */
import { CapKind, Errno, NONBLOCK, Qos, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16, sameBytes } from '../lib/text.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

/** S02: own QoS may be read and kept, not raised (section 6.2). */
export function* qos(state: SelftestState): Call<boolean> {
  yield* state.verdict('qos', yield* qosHolds(state));
  return true;
}

function* qosHolds(state: SelftestState): Call<boolean> {
  const { sys } = state;
  // The wrappers get the own pid anew for every set (sheet 10, section 2.3).
  const pid = yield sys.getpid();
  if ((yield sys.qosGet(pid)) !== Qos.NORMAL) return false;
  if ((yield sys.qosSet(yield sys.getpid(), Qos.NORMAL)) < 0) return false;
  if ((yield sys.qosGet(pid)) !== Qos.NORMAL) return false;
  if ((yield sys.qosSet(yield sys.getpid(), Qos.INTERACTIVE)) !== -Errno.EPERM) return false;
  return (yield sys.qosGet(pid)) === Qos.NORMAL;
}

/** S12. */
export function* replySlots(state: SelftestState): Call<boolean> {
  yield* state.say(`SELFTEST: reply slots ${hex16(Slot.INBOX_SEND)} ${hex16(Slot.INBOX_RECV)}`);
  return true;
}

const LOOPBACK_TRIES = 256;

/** S13: a frame to the own reply inbox comes back. */
export function* replyLoopback(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const ping = Uint8Array.of(0x52, 0x50, 1, 0);
  yield sys.send(Slot.INBOX_SEND, ping, NONBLOCK);
  const poll = sys.beginPoll();
  poll.slots = [Slot.INBOX_RECV];
  poll.maxRounds = LOOPBACK_TRIES;
  let back = false;
  if ((yield sys.runPoll()) >= 0 && (yield sys.recv(Slot.INBOX_RECV, 8, NONBLOCK | TRUNCATE)) >= 0) {
    back = sameBytes(sys.message.payload, ping);
  }
  yield* state.verdict('reply loopback', back);
  return true;
}

const ROUNDTRIP_TYPE = 0x5a5a;
const ROUNDTRIP_TRIES = 32;
const ROUNDTRIP_BUFFER = 64;
const ROUNDTRIP_TEXT: Readonly<Uint8Array> = ascii('nexus-ipc-v1 roundtrip');

/** S50's check, also part of the soak: header type, length and bytes survive a round trip over slot 0. */
export function* payloadRoundtrip(state: SelftestState): Call<boolean> {
  const { sys } = state;
  if ((yield sys.send(Slot.BOOTSTRAP, ROUNDTRIP_TEXT, NONBLOCK, 0, -1, ROUNDTRIP_TYPE)) < 0) return false;
  const poll = sys.beginPoll();
  poll.slots = [Slot.BOOTSTRAP];
  poll.maxRounds = ROUNDTRIP_TRIES;
  if ((yield sys.runPoll()) < 0) return false;
  if ((yield sys.recv(Slot.BOOTSTRAP, ROUNDTRIP_BUFFER, NONBLOCK | TRUNCATE)) < 0) return false;
  const message = sys.message;
  return (
    message.ty === ROUNDTRIP_TYPE && message.len === ROUNDTRIP_TEXT.length && sameBytes(message.payload, ROUNDTRIP_TEXT)
  );
}

/** S50. */
export function* ipcPayload(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc payload roundtrip', yield* payloadRoundtrip(state));
  return true;
}

/** S51's check, also part of the soak: a receive whose deadline passed says TimedOut. */
export function* deadlineTimesOut(state: SelftestState): Call<boolean> {
  return (yield state.sys.recv(Slot.BOOTSTRAP, 8, 0, 1)) === -Errno.ETIMEDOUT;
}

/** S51. */
export function* ipcDeadline(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc deadline timeout', yield* deadlineTimesOut(state));
  return true;
}

const KERNEL_LOOPBACK_TRIES = 128;
const KERNEL_LOOPBACK_TEXT: Readonly<Uint8Array> = ascii('nexus-ipc kernel loopback');

/** S52: the library client on slots (0,0). */
export function* kernelLoopback(state: SelftestState): Call<boolean> {
  const { sys } = state;
  let back = false;
  if ((yield sys.send(Slot.BOOTSTRAP, KERNEL_LOOPBACK_TEXT, NONBLOCK)) >= 0) {
    const poll = sys.beginPoll();
    poll.slots = [Slot.BOOTSTRAP];
    poll.maxRounds = KERNEL_LOOPBACK_TRIES;
    if ((yield sys.runPoll()) >= 0 && (yield sys.recv(Slot.BOOTSTRAP, 512, NONBLOCK | TRUNCATE)) >= 0) {
      back = sameBytes(sys.message.payload, KERNEL_LOOPBACK_TEXT);
    }
  }
  yield* state.verdict('nexus-ipc kernel loopback', back);
  return true;
}

const MMIO_VA = 0x2000_e000;
const VIRTIO_MAGIC = 0x7472_6976;
const VIRTIO_NET = 1;
const REG = { MAGIC: 0, VERSION: 4, DEVICE_ID: 8, VENDOR_ID: 0xc } as const;

/** S57: the device window is visible and holds a virtio transport (section 6.21). */
export function* mmioMap(state: SelftestState): Call<boolean> {
  yield* state.verdict('mmio map', yield* readWindow(state));
  return true;
}

function* readWindow(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const mapped = yield sys.mmioMap(Slot.MMIO, MMIO_VA, 0);
  if (mapped < 0) {
    yield* state.say(`SELFTEST: mmio map0 err=${abiErrorName(mapped)}`);
    return false;
  }
  const magic = sys.load32(MMIO_VA + REG.MAGIC);
  if (magic !== VIRTIO_MAGIC) {
    yield* state.say(`SELFTEST: mmio magic0=0x${hex16(magic)}`);
    return false;
  }
  const version = sys.load32(MMIO_VA + REG.VERSION);
  const device = sys.load32(MMIO_VA + REG.DEVICE_ID);
  const vendor = sys.load32(MMIO_VA + REG.VENDOR_ID);
  if ((version !== 1 && version !== 2) || device !== VIRTIO_NET) return true;
  const stable =
    sys.load32(MMIO_VA + REG.MAGIC) === VIRTIO_MAGIC &&
    sys.load32(MMIO_VA + REG.VERSION) === version &&
    sys.load32(MMIO_VA + REG.DEVICE_ID) === device &&
    sys.load32(MMIO_VA + REG.VENDOR_ID) === vendor;
  if (!stable) {
    yield* state.say('SELFTEST: virtio-net probe FAIL');
    return false;
  }
  yield* state.say(`SELFTEST: virtio-net mmio ver=${version}`);
  return true;
}

/** Debug name of a generic syscall error (sheet 80, section 6.21; decoding as sheet 10, section 2.3). */
function abiErrorName(result: number): string {
  switch (-result) {
    case Errno.ENOSYS:
      return 'InvalidSyscall';
    case Errno.EPERM:
      return 'CapabilityDenied';
    case Errno.EINVAL:
      return 'InvalidArgument';
    case Errno.ECHILD:
      return 'ChildUnavailable';
    case Errno.ESRCH:
      return 'NoSuchPid';
    case Errno.ENOMEM:
    case Errno.ENOSPC:
      return 'SpawnFailed';
    default:
      return 'Unsupported';
  }
}

/** S58. */
export function* capQueryMmio(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const ok =
    (yield sys.capQuery(Slot.MMIO)) >= 0 &&
    sys.query.kind === CapKind.DEVICE_MMIO &&
    sys.query.base !== 0 &&
    sys.query.len !== 0;
  yield* state.verdict('cap query mmio', ok);
  return true;
}

const VMO_BYTES = 4096;

/** S59; the VMO is leaked, as in the reference. */
export function* capQueryVmo(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const slot = yield sys.vmoCreate(VMO_BYTES);
  const ok =
    slot >= 0 &&
    (yield sys.capQuery(slot)) >= 0 &&
    sys.query.kind === CapKind.VMO &&
    sys.query.base !== 0 &&
    sys.query.len >= VMO_BYTES;
  yield* state.verdict('cap query vmo', ok);
  return true;
}
