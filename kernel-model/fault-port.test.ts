import { describe, expect, it } from 'vitest';

import { Errno, NONBLOCK, Nr } from './abi.ts';
import type { FrameAction, KernelFaults } from './fault-port.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from './testing.ts';

/** Sends 1 2 3 to itself under a fault and receives for at most 10 us; what came, in order. */
function loopback(action: FrameAction): { readonly sent: number; readonly got: readonly string[] } {
  const { kernel } = bareKernel();
  const got: string[] = [];
  let sent = NaN;
  const task = addTask(
    kernel,
    function* (sys) {
      sent = yield sys.send(0, Uint8Array.of(1, 2, 3), NONBLOCK);
      const until = (yield sys.nsec()) + 10_000;
      while ((yield sys.nsec()) < until) {
        if ((yield sys.recv(0, 64, NONBLOCK)) >= 0) got.push(sys.message.payload.join(' '));
        yield sys.yieldCpu();
      }
      return 0;
    },
    { name: 'tester' },
  );
  grant(task, 0, endpointCap(newEndpoint(kernel, 1)));
  kernel.faults = { onSend: () => action, onSyscall: () => 0 };
  runUntil(kernel);
  return { sent, got };
}

describe('a message under a fault', () => {
  it('is sent as far as the sender can tell', () => {
    expect(loopback({ kind: 'drop' })).toEqual({ sent: 3, got: [] });
    expect(loopback({ kind: 'alter', bytes: Uint8Array.of(9) })).toEqual({ sent: 3, got: ['9'] });
    expect(loopback({ kind: 'no-wake' })).toEqual({ sent: 3, got: ['1 2 3'] });
  });

  it('comes later, or never within the time', () => {
    expect(loopback({ kind: 'delay', ns: 2_000 }).got).toEqual(['1 2 3']);
    expect(loopback({ kind: 'delay', ns: 1_000_000 }).got).toEqual([]);
  });

  it('comes twice only where there is room', () => {
    expect(loopback({ kind: 'duplicate' }).got).toEqual(['1 2 3']);
  });
});

describe('a syscall under a fault', () => {
  it('fails without being executed, once per call', () => {
    const { kernel } = bareKernel();
    const asked: number[] = [];
    const results: number[] = [];
    addTask(
      kernel,
      function* (sys) {
        results.push(yield sys.getpid());
        results.push(yield sys.getpid());
        return 0;
      },
      { name: 'tester' },
    );
    const faults: KernelFaults = {
      onSend: () => null,
      onSyscall: (_task, nr) => {
        asked.push(nr);
        return nr === Nr.GETPID && asked.length === 1 ? Errno.EPERM : 0;
      },
    };
    kernel.faults = faults;
    runUntil(kernel);
    expect(results[0]).toBe(-Errno.EPERM);
    expect(results[1]).toBeGreaterThanOrEqual(0);
    expect(asked.filter((nr) => nr === Nr.GETPID)).toHaveLength(2);
  });
});
