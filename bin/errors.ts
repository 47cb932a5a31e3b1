/** How the command line ends: exit codes, and the error that stands for bad usage or input. */
import { CommanderError } from 'commander';

/** Exit codes of every command. */
export const ExitCode = {
  PASSED: 0,
  FAILED: 1,
  USAGE: 2,
  INTERNAL: 70,
} as const;

/** Bad usage or input: one line that names the place and what was expected. Ends the command with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The system's reason for a failed file operation, in a few words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
      return 'no such file';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'is a directory';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'no space left on device';
    case 'EFBIG':
      return 'file too large';
    case 'EROFS':
      return 'read-only file system';
    case 'ENOTDIR':
      return 'a part of the path is not a directory';
    default:
      return code ?? error.message;
  }
}

/** What a thrown error means for the command: its exit code, and what standard error says (empty where it was said already). */
export interface Failure {
  readonly code: number;
  readonly text: string;
}

/** `words` are the command's own words, for the line that replays an internal error. */
export function failureOf(error: unknown, words: readonly string[]): Failure {
  if (error instanceof CommanderError) {
    return { code: error.exitCode === 0 ? ExitCode.PASSED : ExitCode.USAGE, text: '' };
  }
  if (error instanceof UsageError) return { code: ExitCode.USAGE, text: `nexus-sim: ${error.message}\n` };
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const replay = words.map(shellWord).join(' ');
  return {
    code: ExitCode.INTERNAL,
    text: `nexus-sim: internal error: ${trace}\nnexus-sim: replay with: nexus-sim ${replay}\n`,
  };
}

/** A word as a shell takes it. */
function shellWord(word: string): string {
  return /^[\w./:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
