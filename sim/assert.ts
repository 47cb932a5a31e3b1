/** Raised when the simulator itself is wrong; the command line maps it to exit code 70. Never caused by guest input. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
}

/** States what must hold at a boundary (style, TigerBeetle). A failure is a bug of the simulator, never of its input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** Marks a branch that the types exclude. */
export function unreachable(value: never): never {
  throw new InternalError(`unreachable: ${String(value)}`);
}
