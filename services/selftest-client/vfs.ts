/** Step S60: the packaged files are read through vfsd (sheet 80, section 6.22). Calls block without deadline. */
import { recv, routeQuery, send } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { ascii, sameBytes } from '../lib/text.ts';
import { concat, le } from './io.ts';
import type { SelftestState } from './state.ts';

const PATH = 'pkg:/system/build.prop';
const WANTED = 'ro.nexus.build=dev\n';
const READ_BYTES = 64;
const OP = { OPEN: 1, READ: 2, CLOSE: 3, STAT: 4 } as const;
const OK = 1;

/** S60. */
export function* vfs(state: SelftestState): Call<boolean> {
  if (!(yield* probe(state))) yield* state.say('SELFTEST: vfs FAIL');
  return true;
}

function* probe(state: SelftestState): Call<boolean> {
  if ((yield* routeQuery(state.sys, 'vfsd')) === null) return false;
  yield* state.say('SELFTEST: ipc routing ok');
  if ((yield* routeQuery(state.sys, 'packagefsd')) === null) return false;
  yield* state.say('SELFTEST: ipc routing packagefsd ok');
  const route = yield* routeQuery(state.sys, 'vfsd');
  if (route === null) return yield* fail(state, 'client new');
  const stat = yield* call(state, route, concat([OP.STAT], ascii(PATH)));
  if (stat === null || stat[0] !== OK || stat.length < 11) return yield* fail(state, 'stat');
  yield* state.say('SELFTEST: vfs stat ok');
  const first = yield* open(state, route);
  if (first === null) return yield* fail(state, 'open');
  if ((yield* read(state, route, first, READ_BYTES)) === null) return yield* fail(state, 'read');
  yield* state.say('SELFTEST: vfs read ok');
  const second = yield* open(state, route);
  if (second === null) return false;
  const data = yield* read(state, route, second, READ_BYTES);
  if (data === null) return false;
  if (!sameBytes(data.subarray(0, WANTED.length), ascii(WANTED))) return yield* fail(state, 'real data');
  yield* state.say('SELFTEST: vfs real data ok');
  const closed = yield* call(state, route, concat([OP.CLOSE], le(second, 4)));
  if (closed === null || closed[0] !== OK) return false;
  if ((yield* read(state, route, second, 1)) !== null) return false;
  yield* state.say('SELFTEST: vfs ebadf ok');
  return true;
}

function* fail(state: SelftestState, what: string): Call<boolean> {
  yield* state.say(`SELFTEST: vfs ${what} FAIL`);
  return false;
}

function* open(state: SelftestState, route: Route): Call<number | null> {
  const answer = yield* call(state, route, concat([OP.OPEN], ascii(PATH)));
  if (answer === null || answer[0] !== OK || answer.length < 5) return null;
  return new DataView(answer.buffer, answer.byteOffset).getUint32(1, true);
}

/** The bytes read, or null when the call fails. */
function* read(state: SelftestState, route: Route, handle: number, bytes: number): Call<Uint8Array | null> {
  const answer = yield* call(state, route, concat([OP.READ], le(handle, 4), le(0, 8), le(bytes, 4)));
  return answer?.[0] === OK ? answer.slice(1) : null;
}

function* call(state: SelftestState, route: Route, frame: Uint8Array): Call<Uint8Array | null> {
  if ((yield* send(state.sys, route.send, frame, 'forever')) < 0) return null;
  return (yield* recv(state.sys, route.recv, 'forever', state.options.receiveMax)) < 0
    ? null
    : state.sys.message.payload;
}
