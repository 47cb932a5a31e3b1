/** Results of a syscall handler that are not a0. Below every negative errno, so that one comparison tells them apart. */

/** The task is blocked; the same request is executed again from the start when it runs next. */
export const BLOCKED = -4096;
/** The task gave up the hart (or ended); its result, if any, stands in `task.result`. */
export const SWITCHED = -4097;
/** The macro is not finished; it goes on in the task's next turn, which may be at once. */
export const CONTINUED = -4098;
