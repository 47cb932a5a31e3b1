import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { decodeRequest } from '../logd/wire.ts';
import { crashAppend, crashFields, crashLogLine, crashReportLine, crashText, sendFailure } from './crash.ts';
import type { Crash } from './crash.ts';

const exit42: Crash = { pid: 36, code: 42, name: 'demo.exit42' };
const fault: Crash = { pid: 7, code: -22, name: 'demo.hello' };

describe('the texts of a crash (sheet 60, section 6.7)', () => {
  it('are the sheet’s', () => {
    expect(crashReportLine(exit42)).toBe('execd: crash report pid=36 code=42 name=demo.exit42');
    expect(crashText(fault)).toBe('crash pid=7 code=-22 name=demo.hello');
  });

  it('only demo.exit42 with 42 is information', () => {
    expect(crashLogLine(exit42)).toEqual({ level: 'INFO', text: 'crash pid=36 code=42 name=demo.exit42' });
    expect(crashLogLine({ ...exit42, code: 41 }).level).toBe('WARN');
    expect(crashLogLine({ ...exit42, name: 'demo.exit0' }).level).toBe('WARN');
    expect(crashLogLine(fault)).toEqual({ level: 'WARN', text: 'crash pid=7 code=-22 name=demo.hello' });
  });

  it('the least code is rendered wrongly by the facade alone (Q21)', () => {
    const worst: Crash = { pid: 1, code: -0x8000_0000, name: 'unknown' };
    expect(crashLogLine(worst).text).toBe('crash pid=1 code=-18446744071562067968 name=unknown');
    expect(crashReportLine(worst)).toBe('execd: crash report pid=1 code=-2147483648 name=unknown');
    expect(crashText(worst)).toBe('crash pid=1 code=-2147483648 name=unknown');
  });
});

describe('the record (sheet 40, section 8.2; quirk crash-fields)', () => {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const record = (crash: Crash, fields: boolean): readonly [number, number, string, string, string] => {
    const decoded = decodeRequest(crashAppend(crash, fields));
    if (!decoded.ok || decoded.request.op !== 1) throw new Error('no APPEND');
    const { version, level, scope, message, fields: got } = decoded.request;
    return [version, level, text(scope), text(message), text(got)];
  };

  it('LOG-12: a warning of scope execd with the sorted fields of RFC-0011', () => {
    expect(record(exit42, true)).toEqual([
      1,
      1,
      'execd',
      'crash pid=36 code=42 name=demo.exit42',
      'code=42\nevent=crash.v1\nname=demo.exit42\npid=36\n',
    ]);
    const keys = crashFields(exit42)
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('=')[0]);
    expect(keys).toEqual([...keys].sort());
  });

  it('quirk crash-fields: the same without fields', () => {
    expect(record(exit42, false)).toEqual([1, 1, 'execd', 'crash pid=36 code=42 name=demo.exit42', '']);
  });

  it('is a legal record for every pid and code', () => {
    const i32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), i32, fc.boolean(), (pid, code, fields) => {
        expect(record({ pid, code, name: 'demo.exit42' }, fields)[3]).toBe(
          `crash pid=${pid} code=${code} name=demo.exit42`,
        );
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});

describe('a failed send', () => {
  it('is named by its errno', () => {
    const { EPERM, ESRCH, EAGAIN, ENOSPC, ETIMEDOUT, EINVAL } = Errno;
    expect([EPERM, ESRCH, EAGAIN, ENOSPC, ETIMEDOUT, EINVAL].map((errno) => sendFailure(-errno))).toEqual([
      'kernel=PermissionDenied',
      'kernel=NoSuchEndpoint',
      'kernel=QueueFull',
      'kernel=NoSpace',
      'timeout',
      'kernel=Unsupported',
    ]);
  });
});
