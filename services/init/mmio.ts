/**
 * init's phase F: proof that policyd denies, device probe, MMIO grants (sheet 20, section 6). Fail closed: no answer in time
 * is fatal, a denial skips the grant. Without a policyd in the image nobody can allow a grant, so each is denied.
 */
import { Errno, Rights, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { abiLabel } from './errors.ts';
import type { FatalText } from './errors.ts';
import { InitSlot } from './state.ts';
import type { Child, InitState } from './state.ts';
import { decodeCheckCapReply, encodeCheckCap } from './wire.ts';

/** The virtio-mmio windows (sheet 20, section 1). */
const VIRTIO_BASE = 0x1000_1000;
const VIRTIO_STRIDE = 0x1000;
const VIRTIO_SLOTS = 8;
/** Where init maps the windows to look at them; never unmapped. */
const PROBE_VA = 0x2000_e000;
/** Slot of a service's device window. */
const MMIO_SLOT = 0x30;
/** Deadlines of one query, of the deny proof and of one grant, ns. */
const QUERY_NS = 1_000_000_000;
const OVERALL_NS = 1_000_000_000;
const REPLY_BUFFER = 16;

const VIRTIO_MAGIC = 0x7472_6976;
const REG_DEVICE_ID = 8;
const DEVICE_KINDS: Readonly<Record<number, DeviceKind>> = { 1: 'net', 4: 'rng', 2: 'blk' };
type DeviceKind = 'net' | 'rng' | 'blk';

/** Section 6.4, in order. */
const GRANTS: readonly { readonly service: string; readonly capability: string; readonly device: DeviceKind }[] = [
  { service: 'netstackd', capability: 'device.mmio.net', device: 'net' },
  { service: 'rngd', capability: 'device.mmio.rng', device: 'rng' },
  { service: 'selftest-client', capability: 'device.mmio.net', device: 'net' },
  { service: 'virtioblkd', capability: 'device.mmio.blk', device: 'blk' },
  { service: 'statefsd', capability: 'device.mmio.blk', device: 'blk' },
];

type Outcome = Call<FatalText | null>;

/** Runs the whole phase. */
export function* grantDevices(init: InitState): Outcome {
  if (init.has('policyd')) {
    const failed = yield* proveDenial(init);
    if (failed !== null) return failed;
  }
  const bases = yield* probeDevices(init);
  for (const kind of ['net', 'rng'] as const) {
    if (bases[kind] === undefined) return `map:virtio-${kind} slot not found`;
  }
  for (const grant of GRANTS) {
    const child = init.child(grant.service);
    if (child === undefined) continue;
    const base = bases[grant.device];
    if (base === undefined) return `map:virtio-${grant.device} slot not found`;
    const failed = yield* grantWindow(init, child, base, grant.capability);
    if (failed !== null) return failed;
  }
  return null;
}

/** One CHECK_CAP round trip (section 6.1); null = no answer. */
function* queryCapability(init: InitState, subject: string, capability: string): Call<'allowed' | 'denied' | null> {
  const { sys } = init;
  const deadline = (yield sys.nsec()) + QUERY_NS;
  const frame = encodeCheckCap(serviceIdOf(subject), capability);
  if ((yield sys.send(init.endpoint('pol_ctl_route_req'), frame, 0, deadline)) < 0) return null;
  if ((yield sys.recv(InitSlot.POL_ROUTE_RSP, REPLY_BUFFER, TRUNCATE, deadline)) < 0) return null;
  return decodeCheckCapReply(sys.message.payload);
}

/** Section 6.2. */
function* proveDenial(init: InitState): Outcome {
  const { sys } = init;
  const deadline = (yield sys.nsec()) + OVERALL_NS;
  for (;;) {
    const verdict = yield* queryCapability(init, 'netstackd', 'device.mmio.blk');
    if (verdict === 'allowed') return 'map:mmio policy deny unexpectedly allowed';
    if (verdict === 'denied') break;
    if ((yield sys.nsec()) >= deadline) return 'map:mmio policy deny timeout';
    yield sys.yieldCpu();
  }
  yield sys.println('init: mmio policy deny ok');
  return null;
}

/** Section 6.3: reads magic and device id of each window until all three kinds are known. Prints nothing. */
function* probeDevices(init: InitState): Call<Partial<Record<DeviceKind, number>>> {
  const { sys } = init;
  const bases: Partial<Record<DeviceKind, number>> = {};
  const cap = yield sys.deviceCapCreate(VIRTIO_BASE, VIRTIO_STRIDE * VIRTIO_SLOTS);
  if (cap < 0) return bases;
  for (let slot = 0; slot < VIRTIO_SLOTS; slot++) {
    const va = PROBE_VA + slot * VIRTIO_STRIDE;
    const mapped = yield sys.mmioMap(cap, va, slot * VIRTIO_STRIDE);
    if (mapped < 0 && mapped !== -Errno.EINVAL) continue;
    if (sys.load32(va) !== VIRTIO_MAGIC) continue;
    const kind = DEVICE_KINDS[sys.load32(va + REG_DEVICE_ID)];
    if (kind !== undefined) bases[kind] = VIRTIO_BASE + slot * VIRTIO_STRIDE;
    if (bases.net !== undefined && bases.rng !== undefined && bases.blk !== undefined) break;
  }
  yield sys.capClose(cap);
  return bases;
}

/** Section 6.4: attempts until policyd answers, at most one second. */
function* grantWindow(init: InitState, child: Child, base: number, capability: string): Outcome {
  const { sys } = init;
  const svc = child.name;
  const deadline = (yield sys.nsec()) + OVERALL_NS;
  for (;;) {
    yield sys.println(
      `init: mmio grant begin svc=${svc} pid=0x${hex16(child.pid)} slot=0x${hex16(MMIO_SLOT)} ` +
        `base=0x${hex16(base)} len=0x${hex16(VIRTIO_STRIDE)} cap=${capability}`,
    );
    const verdict = init.has('policyd') ? yield* queryCapability(init, svc, capability) : 'denied';
    if (verdict === 'allowed') return yield* transferWindow(init, child, base);
    if (verdict === 'denied') {
      yield sys.println(`init: mmio grant DENIED svc=${svc} cap=${capability}`);
      return null;
    }
    if ((yield sys.nsec()) >= deadline) return 'map:mmio policy timeout';
    yield sys.yieldCpu();
  }
}

/** Steps 4 to 7 of an allowed attempt. */
function* transferWindow(init: InitState, child: Child, base: number): Outcome {
  const { sys } = init;
  const svc = child.name;
  yield sys.println(`init: mmio cap_create svc=${svc}`);
  const cap = yield sys.deviceCapCreate(base, VIRTIO_STRIDE);
  if (cap < 0) {
    yield sys.println(`init: mmio cap_create err svc=${svc} err=abi:${abiLabel(cap)}`);
    return `abi:${abiLabel(cap)}`;
  }
  yield sys.println(`init: mmio cap_create ok svc=${svc} cap_slot=0x${hex16(cap)}`);
  yield sys.println(`init: mmio xfer_to_slot svc=${svc} dst_slot=0x${hex16(MMIO_SLOT)}`);
  const got = yield sys.capTransferTo(child.pid, cap, Rights.MAP, MMIO_SLOT);
  if (got < 0) {
    yield sys.println(`init: mmio xfer_to_slot err svc=${svc} err=abi:${abiLabel(got)}`);
    yield sys.capClose(cap);
    return `abi:${abiLabel(got)}`;
  }
  yield sys.println(`init: mmio xfer_to_slot ok svc=${svc} got=0x${hex16(got)}`);
  yield sys.capClose(cap);
  if (got !== MMIO_SLOT) {
    yield sys.println(`init: mmio grant slot mismatch svc=${svc} got=0x${hex16(got)}`);
    return 'map:mmio slot mismatch';
  }
  yield sys.println(`init: mmio grant svc=${svc} slot=0x${hex16(MMIO_SLOT)}`);
  return null;
}
