import { describe, expect, it } from 'vitest';
import { addTask, bareKernel, runUntil } from '../../kernel-model/testing.ts';
import { serviceProgram } from './entry.ts';
import { ascii, hex, hex16, sameBytes } from './text.ts';

describe('service entry (sheet 10, section 9.6)', () => {
  it('NLG-3: prints UB before the first line, and ends with 0', () => {
    const bare = bareKernel();
    const task = addTask(
      bare.kernel,
      serviceProgram('logd', function* (sys) {
        yield sys.println('logd: ready');
        return null;
      }),
    );
    runUntil(bare.kernel);
    expect(bare.uart().replaceAll('\r\n', '\n')).toBe('UBlogd: ready\n');
    expect(task.exitCode).toBe(0);
  });

  it('NLG-4: a service that failed says so on the raw path, and ends with -1', () => {
    const bare = bareKernel();
    const task = addTask(
      bare.kernel,
      serviceProgram('logd', function* () {
        return 'logd::os_lite::ServerError';
      }),
    );
    runUntil(bare.kernel);
    expect(bare.uart().replaceAll('\r\n', '\n')).toBe('UBservice error svc=logd type=logd::os_lite::ServerError\n');
    expect(task.exitCode).toBe(-1);
  });

  it('NLG-3: a raw line costs one DEBUG_PUTC per byte and takes no other task in', () => {
    const bare = bareKernel();
    const text = 'raw line';
    let spent = 0;
    addTask(bare.kernel, function* (sys) {
      const before = bare.clock.now;
      yield sys.println(text);
      spent = bare.clock.now - before;
      return 0;
    });
    addTask(bare.kernel, function* (sys) {
      yield sys.println('other');
      return 0;
    });
    runUntil(bare.kernel);
    expect(spent).toBe((text.length + 1) * bare.kernel.costs.putc);
    expect(bare.uart().replaceAll('\r\n', '\n')).toBe('raw line\nother\n');
  });
});

describe('number formats (sheet 80, section 1)', () => {
  it('pads hex to its width', () => {
    expect([hex(0, 2), hex(0xab, 4), hex16(0xcbf29ce484222325n), hex16(7)]).toEqual([
      '00',
      '00ab',
      'cbf29ce484222325',
      '0000000000000007',
    ]);
  });

  it('compares bytes and spells ASCII', () => {
    expect(ascii('logd')).toEqual(Uint8Array.of(0x6c, 0x6f, 0x67, 0x64));
    expect([
      sameBytes(ascii('a'), ascii('a')),
      sameBytes(ascii('a'), ascii('b')),
      sameBytes(ascii('a'), ascii('ab')),
    ]).toEqual([true, false, false]);
  });
});
