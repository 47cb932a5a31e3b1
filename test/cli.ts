/** Starts the bundled command line, for tests. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The bundle; test/global-setup.ts keeps it fresh. */
export const BUNDLE = fileURLToPath(new URL('../dist/nexus-sim.js', import.meta.url));

/** How a command ended. */
export interface Ran {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and with what surroundings a command runs. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const environment = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => {
  const { NO_COLOR: _noColor, FORCE_COLOR: _forceColor, ...rest } = process.env;
  return { ...rest, ...extra };
};

/** `nexus-sim` with these words. */
export function nexusSim(words: readonly string[], { cwd, env }: Surroundings = {}): Ran {
  return start(process.execPath, [BUNDLE, ...words], cwd, env);
}

/** A line of bash, in which `$SIM` is the command. */
export function bash(line: string, { cwd, env }: Surroundings = {}): Ran {
  return start('bash', ['-c', line], cwd, { ...env, SIM: `${process.execPath} ${BUNDLE}` });
}

function start(
  command: string,
  words: readonly string[],
  cwd: string | undefined,
  env: Readonly<Record<string, string>> | undefined,
): Ran {
  const { status, signal, stdout, stderr } = spawnSync(command, words, {
    ...(cwd === undefined ? {} : { cwd }),
    env: environment(env),
    encoding: 'latin1',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 60_000,
  });
  return { code: status, signal, stdout, stderr };
}

/** A command that a test talks to while it runs. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves when standard output has shown that many bytes, or the command has ended. */
  readonly bytes: (count: number) => Promise<void>;
  readonly ended: Promise<Ran>;
}

export function startSim(words: readonly string[], { cwd, env }: Surroundings = {}): Running {
  const child = spawn(process.execPath, [BUNDLE, ...words], {
    ...(cwd === undefined ? {} : { cwd }),
    env: environment(env),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('latin1').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ran>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const bytes = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (stdout.length < count) return;
        child.stdout.off('data', look);
        resolve();
      };
      child.stdout.on('data', look);
      void ended.then(() => resolve());
      look();
    });
  return { child, bytes, ended };
}

/** A folder of its own for a test, and its removal. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'nexus-sim-cli-'));
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
    },
  };
}
