import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';

import { ExitCode, UsageError, failureOf, reasonOf } from './errors.ts';

describe('exit codes', () => {
  it('help and version end well, other usage errors with 2; commander has said why', () => {
    expect(failureOf(new CommanderError(0, 'commander.helpDisplayed', ''), [])).toEqual({ code: 0, text: '' });
    expect(failureOf(new CommanderError(1, 'commander.unknownOption', 'x'), [])).toEqual({ code: 2, text: '' });
  });

  it('bad input is one line and 2', () => {
    expect(failureOf(new UsageError('--seed x: expected a number'), ['run'])).toEqual({
      code: ExitCode.USAGE,
      text: 'nexus-sim: --seed x: expected a number\n',
    });
  });

  it('anything else is ours: 70, the trace, and the command that replays it', () => {
    const error = new Error('assertion failed: queue is empty');
    const failure = failureOf(error, ['run', '--until-marker', "it's end", '--seed', '7', '--disk', 'a b.img']);
    expect(failure.code).toBe(70);
    expect(failure.text).toContain('nexus-sim: internal error: Error: assertion failed: queue is empty\n');
    expect(failure.text).toContain('errors.test.ts');
    expect(failure.text).toMatch(
      /nexus-sim: replay with: nexus-sim run --until-marker 'it'\\''s end' --seed 7 --disk 'a b\.img'\n$/,
    );
    expect(failureOf('a string', []).code).toBe(70);
  });
});

describe('reasonOf', () => {
  it.each([
    ['ENOENT', 'no such file'],
    ['EACCES', 'permission denied'],
    ['EPERM', 'permission denied'],
    ['EISDIR', 'is a directory'],
    ['ENOSPC', 'no space left on device'],
    ['EDQUOT', 'no space left on device'],
    ['EFBIG', 'file too large'],
    ['EROFS', 'read-only file system'],
    ['ENOTDIR', 'a part of the path is not a directory'],
    ['EMFILE', 'EMFILE'],
  ])('%s', (code, reason) => {
    expect(reasonOf(Object.assign(new Error('long text'), { code }))).toBe(reason);
  });

  it('falls back to the message', () => {
    expect(reasonOf(new Error('odd'))).toBe('odd');
    expect(reasonOf(7)).toBe('7');
  });
});
