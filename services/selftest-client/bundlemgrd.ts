/** Steps on bundlemgrd: its part of S17, S19 and S23, and what the update steps ask of it (sheet 80, sections 5 and 6.10). */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { decodeImage } from '../bundlemgrd/image.ts';
import type { Image } from '../bundlemgrd/image.ts';
import {
  BUNDLE_COUNT,
  BundleOp,
  BundleStatus,
  RouteStatus,
  decodeImageReply,
  decodeReply,
  encodeRequest,
  targetName,
} from '../bundlemgrd/wire.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16 } from '../lib/text.ts';
import type { SlotId } from '../updated/wire.ts';
import { MS, exchangeBg, exchangeKc, exchangeNb, startsWith } from './io.ts';
import { routesTo } from './policy.ts';
import type { SelftestState } from './state.ts';

/** The fixed slots of bundlemgrd (section 3). */
const BUNDLEMGRD = { send: 9, recv: 0x0a } as const;
const HEAD: readonly number[] = [0x42, 0x4e, 1];

const LIST_SENDS = 256;
const LIST_RECEIVES = 512;
const LIST_RECV_NS = 10 * MS;
const LIST_BUFFER = 512;
const FETCH_NS = 1_000 * MS;
const MALFORMED_NS = 100 * MS;
const ROUTE_NS = 2_000 * MS;
const ROUTE_BUFFER = 16;
const SET_ACTIVE_NS = 200 * MS;
const REPLY_LENGTH = 8;

/** S17, the part on bundlemgrd. */
export function* routingBundlemgrd(state: SelftestState): Call<boolean> {
  yield* state.say(`SELFTEST: bundlemgrd slots ${hex16(BUNDLEMGRD.send)} ${hex16(BUNDLEMGRD.recv)}`);
  yield* state.verdict('ipc routing bundlemgrd', yield* routesTo(state, 'bundlemgrd', BUNDLEMGRD));
  return true;
}

/** S19: list, image, nonsense. */
export function* bundlemgrd(state: SelftestState): Call<boolean> {
  const count = yield* list(state);
  if (count === null) return false;
  yield* state.verdict('bundlemgrd v1 list', count === BUNDLE_COUNT);
  const image = yield* fetchImage(state);
  yield* state.verdict('bundlemgrd v1 image', image !== null && image.entries.length >= 1);
  const got = yield* exchangeKc(state, BUNDLEMGRD, ascii('bad'), MALFORMED_NS, MALFORMED_NS);
  if ('failed' in got) return false;
  const { frame } = got;
  const refused = frame.length === REPLY_LENGTH && startsWith(frame, HEAD) && frame[4] !== BundleStatus.OK;
  yield* state.verdict('bundlemgrd v1 malformed', refused);
  return true;
}

/** LIST: the count of an OK answer, -1 of another, null where the step is fatal. */
function* list(state: SelftestState): Call<number | null> {
  yield* state.say('SELFTEST: bundlemgrd list send');
  if (!(yield* sendList(state))) {
    yield* state.say('SELFTEST: bundlemgrd list send fail');
    return null;
  }
  yield* state.say('SELFTEST: bundlemgrd list sent');
  yield* state.say('SELFTEST: bundlemgrd list recv');
  const { sys } = state;
  for (let i = 0; i < LIST_RECEIVES; i++) {
    const deadline = (yield sys.nsec()) + LIST_RECV_NS;
    const received = yield sys.recv(BUNDLEMGRD.recv, LIST_BUFFER, TRUNCATE, deadline);
    if (received < 0 && received !== -Errno.ETIMEDOUT && received !== -Errno.EAGAIN) {
      yield* state.say(`SELFTEST: bundlemgrd list recv err ${receiveFault(received)}`);
      return null;
    }
    const reply = received < 0 ? null : decodeReply(sys.message.payload, BundleOp.LIST);
    if (reply !== null) {
      yield* state.say('SELFTEST: bundlemgrd list recv ok');
      return reply.status === BundleStatus.OK ? reply.value : -1;
    }
    yield sys.yieldCpu();
  }
  return null;
}

function* sendList(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const frame = encodeRequest({ op: 'list' });
  for (let i = 0; i < LIST_SENDS; i++) {
    const sent = yield sys.send(BUNDLEMGRD.send, frame, NONBLOCK);
    if (sent >= 0) return true;
    if (i === 0) yield* state.say(`SELFTEST: bundlemgrd list send err ${sendFault(sent)}`);
    yield sys.yieldCpu();
  }
  return false;
}

function sendFault(result: number): string {
  switch (-result) {
    case Errno.EAGAIN:
      return 'wouldblock';
    case Errno.ETIMEDOUT:
      return 'timeout';
    case Errno.ENOSPC:
      return 'nospace';
    case Errno.EPERM:
      return 'kernel:denied';
    case Errno.ESRCH:
      return 'kernel:nosuch';
    case Errno.EINVAL:
      return 'unsupported';
    default:
      return 'other';
  }
}

function receiveFault(result: number): string {
  switch (-result) {
    case Errno.ENOSPC:
      return 'nospace';
    case Errno.EINVAL:
      return 'unsupported';
    case Errno.EPERM:
    case Errno.ESRCH:
      return 'kernel';
    default:
      return 'other';
  }
}

/** FETCH_IMAGE; null when there is no OK answer with a whole image. */
export function* fetchImage(state: SelftestState): Call<Image | null> {
  const answer = yield* exchangeBg(state, BUNDLEMGRD, encodeRequest({ op: 'fetch_image' }), FETCH_NS, FETCH_NS);
  const bytes = answer === null ? null : decodeImageReply(answer);
  const image = bytes === null ? null : decodeImage(bytes);
  return typeof image === 'string' ? null : image;
}

/** SET_ACTIVE_SLOT; its outcome is nobody's business. */
export function* setActiveSlot(state: SelftestState, slot: SlotId): Call<void> {
  const frame = encodeRequest({ op: 'set_active_slot', slot });
  yield* exchangeBg(state, BUNDLEMGRD, frame, SET_ACTIVE_NS, SET_ACTIVE_NS);
}

/** S23: bundlemgrd is denied the route to execd. */
export function* routeExecdDenied(state: SelftestState): Call<boolean> {
  const target = targetName(ascii('execd'));
  if (target === null) return false;
  const frame = encodeRequest({ op: 'route_status', target });
  const reply = yield* exchangeNb(
    state,
    BUNDLEMGRD,
    frame,
    ROUTE_NS,
    ROUTE_BUFFER,
    (answer) => decodeReply(answer, BundleOp.ROUTE_STATUS) ?? undefined,
  );
  if (reply === null) return false;
  const route = reply.value & 0xff;
  const denied = reply.status === BundleStatus.OK && route === RouteStatus.DENIED;
  const marker = 'bundlemgrd route execd denied';
  if (!denied) yield* state.say(`SELFTEST: ${marker} st=0x${hex16(reply.status)} route=0x${hex16(route)}`);
  yield* state.verdict(marker, denied);
  return true;
}
