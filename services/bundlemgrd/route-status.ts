/** The route question bundlemgrd puts to init for its clients (sheet 55, sections 10.2 and 18). */
import type { Sys } from '../../kernel-model/sys.ts';
import { routeWithin } from '../lib/bounded-route.ts';
import type { Call } from '../lib/ipc.ts';
import { utf8Text } from '../lib/utf8.ts';
import { RouteStatus } from './wire.ts';
import type { TargetName } from './wire.ts';

/** Time for question and answer. */
export const ROUTE_STATUS_NS = 2_000_000_000;

/** Asks init and hands on the status byte; MALFORMED for any failure, and for a name that is no text. */
export function* routeStatus(sys: Sys, target: TargetName, nonce: number): Call<number> {
  if (utf8Text(target) === null) return RouteStatus.MALFORMED;
  const answer = yield* routeWithin(sys, String.fromCharCode(...target), nonce, ROUTE_STATUS_NS);
  return answer?.status ?? RouteStatus.MALFORMED;
}
