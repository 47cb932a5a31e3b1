/** A part's share of a sweep's cases (vitest.proof.config.ts): every `parts`-th case, so that long ones are spread. */
import { inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    part: number;
    parts: number;
  }
}

/** The cases of the list that this worker runs. */
export function share<T>(cases: readonly T[]): readonly T[] {
  const [part, parts] = [inject('part'), inject('parts')];
  return cases.filter((_, index) => index % parts === part);
}
