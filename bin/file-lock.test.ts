import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LockedError, lockFile, lockPath, unlockFile } from './file-lock.ts';

describe('a lock', () => {
  let folder = '';
  let path = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nexus-sim-lock-'));
    path = join(folder, 'disk.img');
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('names its owner, and goes when it is given back', () => {
    lockFile(path);
    expect(readFileSync(lockPath(path), 'latin1')).toBe(`${process.pid}\n`);
    expect(() => lockFile(path)).toThrow(LockedError);
    unlockFile(path);
    expect(readdirSync(folder)).toEqual([]);
    lockFile(path);
  });

  it('of a living process is respected', () => {
    writeFileSync(lockPath(path), `${process.ppid}\n`);
    expect(() => lockFile(path)).toThrow(
      `in use by process ${process.ppid} (if that is no nexus-sim, remove ${path}.lock)`,
    );
    expect(readFileSync(lockPath(path), 'latin1')).toBe(`${process.ppid}\n`);
    expect(readdirSync(folder)).toEqual(['disk.img.lock']);
  });

  it("that is somebody else's by now is not given back", () => {
    lockFile(path);
    writeFileSync(lockPath(path), `${process.ppid}\n`);
    unlockFile(path);
    expect(readFileSync(lockPath(path), 'latin1')).toBe(`${process.ppid}\n`);
  });

  it.each([
    ['of a process that is gone', () => `${spawnSync('true').pid}\n`],
    ['that was never written to its end', () => '12'],
    ['without a process', () => ''],
    ['of nonsense', () => '-1\n'],
  ])('%s is taken over', (_what, content) => {
    writeFileSync(lockPath(path), content());
    lockFile(path);
    expect(readFileSync(lockPath(path), 'latin1')).toBe(`${process.pid}\n`);
    expect(readdirSync(folder)).toEqual(['disk.img.lock']);
  });

  it('where the host allows none is an error that says why', () => {
    expect(() => lockFile(join(folder, 'nowhere', 'disk.img'))).toThrow('ENOENT');
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });
});
