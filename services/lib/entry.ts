/**
 * Service entry glue, "nexus-service-entry" (sheet 10, section 9.6): the two raw bytes `UB` before a service's first line,
 * exit 0 on success, the error line and exit -1 on failure.
 */
import type { Program, Sys } from '../../kernel-model/sys.ts';
import type { Call } from './ipc.ts';

/** How a service's run function ends: null = Ok, else the Rust type path of its error. */
export type ServiceEnd = string | null;

/** Name of the note that a program was entered. */
export const ENTRY_NOTE = 'entry';

/** Wraps a service's run function into a task program. */
export function serviceProgram(name: string, run: (sys: Sys) => Call<ServiceEnd>): Program {
  return function* program(sys: Sys) {
    sys.note(ENTRY_NOTE, 1);
    yield sys.print('UB');
    const error = yield* run(sys);
    if (error === null) return 0;
    yield sys.println(`service error svc=${name} type=${error}`);
    return -1;
  };
}
