import { describe, expect, it } from 'vitest';
import { Rights } from './abi.ts';
import { renderStall, stallReport } from './stall.ts';
import type { Sys, Syscall } from './sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from './testing.ts';

type Body = Generator<Syscall, number, number>;

const receiver =
  (slot: number, deadline = 0) =>
  (sys: Sys): Body =>
    (function* (): Body {
      return yield sys.recv(slot, 64, 0, deadline);
    })();

describe('stallReport', () => {
  it('finds two tasks that wait for each other', () => {
    const { kernel } = bareKernel();
    const [x, y] = [newEndpoint(kernel), newEndpoint(kernel)];
    const a = addTask(kernel, receiver(0), { name: 'a' });
    const b = addTask(kernel, receiver(0), { name: 'b' });
    const poller = addTask(
      kernel,
      function* (sys): Body {
        sys.beginPoll().slots = [3];
        return yield sys.runPoll();
      },
      { name: 'p' },
    );
    grant(a, 0, endpointCap(x, Rights.RECV));
    grant(a, 1, endpointCap(y, Rights.SEND));
    grant(b, 0, endpointCap(y, Rights.RECV));
    grant(b, 1, endpointCap(x, Rights.SEND));
    grant(poller, 3, endpointCap(0, Rights.RECV));
    expect(runUntil(kernel)).toBe('dead');
    const report = stallReport(kernel);
    expect(report.tasks.map((t) => [t.name, t.kind, t.stuck])).toEqual([
      ['a', 'recv', true],
      ['b', 'recv', true],
      ['p', 'polling', false],
    ]);
    expect(report.tasks[0]?.endpoints).toEqual([
      {
        endpoint: x,
        alive: true,
        queued: 0,
        depth: 8,
        direction: 'recv',
        holders: [{ pid: 1, name: 'b', slot: 1 }],
        inFlight: [],
      },
    ]);
    expect(renderStall(report)).toBe(
      [
        'at 0.000014 s: who waits for whom',
        '  a (pid 0) waits for a message since 0.000005 s, no deadline, STUCK',
        '    endpoint 8, 0 of 8 queued, SEND held by b (pid 1, slot 1)',
        '  b (pid 1) waits for a message since 0.000009 s, no deadline, STUCK',
        '    endpoint 9, 0 of 8 queued, SEND held by a (pid 0, slot 1)',
        '  p (pid 2) polls since 0.000010 s, no deadline',
        '    endpoint 0, 0 of 8 queued, SEND held by nobody',
        '',
      ].join('\n'),
    );
  });

  it('says names of endpoints, and that nobody will look at a deadline in a dead end', () => {
    const { kernel } = bareKernel();
    const id = newEndpoint(kernel);
    const task = addTask(kernel, receiver(0, 1e12), { name: 'late' });
    grant(task, 0, endpointCap(id, Rights.RECV));
    runUntil(kernel, 100_000);
    const report = stallReport(kernel);
    const words = { endpointName: (endpoint: number) => (endpoint === id ? 'log_req' : null) };
    const [, wait, endpoint] = renderStall(report, { ...words, dead: true }).split('\n');
    expect(wait).toMatch(/until 1000\.000000 s, STUCK \(no task blocks any more, so nobody looks at deadlines\)$/);
    expect(endpoint).toBe(`    endpoint ${id} log_req, 0 of 8 queued, SEND held by nobody`);
    expect(renderStall(report, words)).not.toContain('STUCK');
  });

  it('parents that wait for a child come last', () => {
    const { kernel } = bareKernel();
    const parent = addTask(
      kernel,
      (sys): Body =>
        (function* (): Body {
          return yield sys.wait(-1);
        })(),
      { name: 'parent' },
    );
    const child = addTask(kernel, receiver(0), { name: 'child', parent: parent.pid });
    grant(child, 0, endpointCap(newEndpoint(kernel)));
    runUntil(kernel);
    expect(
      renderStall(stallReport(kernel))
        .split('\n')
        .filter((line) => /pid \d+\) waits/.test(line))
        .map((line) => line.trim().split(' ')[0]),
    ).toEqual(['child', 'parent']);
  });

  it('a waker that can run, a deadline or a travelling capability keeps a wait from being stuck', () => {
    const { kernel } = bareKernel();
    const ids = [newEndpoint(kernel), newEndpoint(kernel), newEndpoint(kernel), newEndpoint(kernel)] as const;
    const names = ['helped', 'timed', 'promised', 'lost'] as const;
    names.forEach((name, i) => {
      const task = addTask(kernel, receiver(0, name === 'timed' ? 1e12 : 0), { name });
      grant(task, 0, endpointCap(ids[i] ?? -1, Rights.RECV));
    });
    const helper = addTask(kernel, function* (sys): Body {
      yield sys.send(1, new Uint8Array(1), 0, 0, 2);
      for (;;) yield sys.yieldCpu();
    });
    grant(helper, 0, endpointCap(ids[0], Rights.SEND));
    grant(helper, 1, endpointCap(0, Rights.SEND));
    grant(helper, 2, endpointCap(ids[2], Rights.SEND));
    runUntil(kernel, 100_000);
    const stuck = stallReport(kernel).tasks.filter((t) => t.stuck);
    expect(stuck.map((t) => t.name)).toEqual(['lost']);
    expect(stallReport(kernel).tasks[2]?.endpoints[0]?.inFlight).toEqual([0]);
  });

  it('shows a lone receiver and a parent in WAIT as blocked', () => {
    const { kernel } = bareKernel();
    const parent = addTask(
      kernel,
      function* (sys): Body {
        return yield sys.wait(-1);
      },
      { name: 'parent' },
    );
    const child = addTask(kernel, receiver(0), { name: 'child', parent: parent.pid });
    grant(child, 0, endpointCap(newEndpoint(kernel)));
    expect(runUntil(kernel)).toBe('dead');
    expect(stallReport(kernel).tasks).toMatchObject([
      { kind: 'wait', children: [1], stuck: true },
      { kind: 'recv', stuck: true, endpoints: [{ holders: [] }] },
    ]);
  });
});
