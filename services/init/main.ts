/**
 * init-lite, the first task (sheet 20): starts the services of its image, wires their capabilities, grants devices under
 * policyd's word, then answers routing for ever. Phases A to J in the order of section 3.
 */
import type { Program, Sys } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { publishBootSlot } from './boot-slots.ts';
import {
  createPolicyChannels,
  createServiceEndpoints,
  fatal,
  pinPolicyd,
  spawnServices,
  wireServices,
} from './bringup.ts';
import type { FatalText } from './errors.ts';
import { grantDevices } from './mmio.ts';
import { respond } from './responder.ts';
import { InitState } from './state.ts';
import type { InitOptions } from './state.ts';

/** Topic mask of an image built without log topics (sheet 20, section 10). */
const TOPIC_MASK = 1;

/** The program of the first task. */
export function initProgram(options: InitOptions): Program {
  return function* program(sys: Sys) {
    yield sys.print('UB');
    const init = new InitState(sys, options);
    const failed = yield* bringUp(init);
    if (failed !== null) return yield* fatal(init, failed);
    // Phase H: the one yield between wiring and the conversations.
    yield sys.yieldCpu();
    yield* publishBootSlot(init);
    return yield* respond(init);
  };
}

function* bringUp(init: InitState): Call<FatalText | null> {
  const { sys, options } = init;
  yield sys.println('!init-lite entry');
  yield sys.println('init: entry');
  yield sys.println(`log topics mask=0x${hex16(TOPIC_MASK)}`);
  yield sys.println('init: start');
  if (options.services.length === 0) yield sys.println('init: warn no services configured');
  const channels = (yield* createPolicyChannels(init)) ?? (yield* spawnServices(init));
  if (channels !== null) return channels;
  yield sys.println('init: ready');
  yield sys.println('!init-lite ready');
  for (const name of options.required) {
    if (!init.has(name)) return 'missing-elf';
  }
  return (
    (yield* createServiceEndpoints(init)) ??
    (yield* pinPolicyd(init)) ??
    (yield* grantDevices(init)) ??
    (yield* wireServices(init))
  );
}
