/** Synchronous exceptions of the hart (sheet 05, section 18.7). */

/** Exception codes. */
export const Cause = {
  fetchAccess: 1,
  illegal: 2,
  breakpoint: 3,
  loadMisaligned: 4,
  loadAccess: 5,
  storeMisaligned: 6,
  storeAccess: 7,
  ecallFromU: 8,
  fetchPage: 12,
  loadPage: 13,
  storePage: 15,
} as const;
export type Cause = (typeof Cause)[keyof typeof Cause];
