/**
 * A lock on a file that one process at a time may write: a file beside it that holds the owner's process id. One that a killed
 * process left is taken over. Owners on other hosts, or in other process namespaces, cannot be seen.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Who holds the lock of a file. */
export class LockedError extends Error {
  constructor(path: string, owner: string) {
    super(`in use by process ${owner} (if that is no nexus-sim, remove ${lockPath(path)})`);
  }
}

/** Path of a file's lock. */
export function lockPath(path: string): string {
  return `${path}.lock`;
}

/** Takes the lock; throws {@link LockedError} where somebody has it, and what the host says where there can be none. */
export function lockFile(path: string): void {
  const lock = lockPath(path);
  if (created(lock)) return;
  const owner = ownerOf(lock);
  if (isAlive(owner)) throw new LockedError(path, owner);
  // Moved away before it goes: somebody may have taken it over meanwhile, and then it is put back.
  const moved = `${lock}.${process.pid}`;
  try {
    renameSync(lock, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const now = ownerOf(moved);
  if (now !== owner && isAlive(now)) {
    renameSync(moved, lock);
    throw new LockedError(path, now);
  }
  rmSync(moved, { force: true });
  if (!created(lock)) throw new LockedError(path, ownerOf(lock));
}

/** Gives the lock back; one that is somebody else's by now stays. */
export function unlockFile(path: string): void {
  const lock = lockPath(path);
  if (ownerOf(lock) === String(process.pid)) rmSync(lock, { force: true });
}

/** The lock with its owner in it, at once: nobody may see an empty one, which belongs to nobody. */
function created(lock: string): boolean {
  const draft = `${lock}.${process.pid}.new`;
  try {
    writeFileSync(draft, `${process.pid}\n`);
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The process id in a lock; what is none, also nothing, belongs to nobody. */
function ownerOf(lock: string): string {
  try {
    return /^[1-9][0-9]{0,9}(?=\n$)/.exec(readFileSync(lock, 'latin1').slice(0, 16))?.[0] ?? '';
  } catch {
    return '';
  }
}

function isAlive(owner: string): boolean {
  if (owner === '') return false;
  try {
    process.kill(Number(owner), 0);
    return true;
  } catch (error) {
    // Somebody else's process.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
