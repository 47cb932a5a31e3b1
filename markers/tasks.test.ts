import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { splitByTask, taskOfLine, withoutEntryTokens } from './tasks.ts';

const { lines: REFERENCE_LINES, ladder } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

const SPLIT = splitByTask(REFERENCE_LINES);

function textsOf(task: string): readonly string[] {
  return SPLIT.tasks.get(task)?.map((entry) => entry.text) ?? [];
}

describe('the reference log', () => {
  it('has no line without a task but the four empty ones of the firmware', () => {
    expect(SPLIT.unassigned).toEqual([1, 11, 32, 49].map((line) => ({ line, text: '' })));
  });

  it('entered init and the sixteen services', () => {
    expect(SPLIT.entryTokens).toBe(17);
  });

  it('holds lines of all of them, of kernel, firmware and the three payloads', () => {
    expect([...SPLIT.tasks.keys()].sort()).toEqual(
      [
        'firmware',
        'kernel',
        'init',
        'keystored',
        'rngd',
        'policyd',
        'logd',
        'metricsd',
        'samgrd',
        'bundlemgrd',
        'statefsd',
        'updated',
        'timed',
        'packagefsd',
        'vfsd',
        'execd',
        'netstackd',
        'dsoftbusd',
        'selftest-client',
        'payload hello',
        'payload exit0',
        'payload exit42',
      ].sort(),
    );
  });

  it('firmware prints lines 1 to 61, the kernel from 62 to init', () => {
    expect(SPLIT.tasks.get('firmware')?.every((entry) => entry.line <= 61)).toBe(true);
    expect(SPLIT.tasks.get('kernel')?.filter((entry) => entry.line <= 375)).toHaveLength(375 - 61);
    expect(SPLIT.tasks.get('init')?.[0]).toEqual({ line: 376, text: '!init-lite entry' });
  });

  it('sheet 80, section 7: the transcript of selftest-client, netstackd and payloads left out', () => {
    const own = textsOf('selftest-client');
    expect(own.slice(0, 3)).toEqual([
      'SELFTEST: ipc routing keystored ok',
      'SELFTEST: keystored v1 ok',
      'SELFTEST: qos ok',
    ]);
    const exec = own.indexOf('SELFTEST: ipc routing execd ok');
    expect(own.slice(exec + 1, exec + 9)).toEqual([
      'HELLOHDR',
      '^hello entry=0x0000000000010130 phoff=0x0000000000000040',
      '^hello p_offset=0x0000000000000130 p_vaddr=0x0000000000010130',
      'execd: elf load ok',
      'SELFTEST: e2e exec-elf ok',
      'execd: child exited pid=35 code=0',
      'SELFTEST: child exit ok',
      'execd: child exited pid=36 code=42',
    ]);
    expect(own.at(-1)).toBe('SELFTEST: end');
    expect(own.filter((text) => text.startsWith('SELFTEST: net '))).toEqual([]);
    expect(own.filter((text) => text.startsWith('[INFO'))).toEqual([
      '[INFO selftest-client] nexus-log sink-logd probe',
    ]);
  });

  it('nobody prints another one’s lines', () => {
    expect(textsOf('netstackd').slice(0, 8)).toEqual([
      'netstackd: ready',
      'net: virtio-net up',
      'SELFTEST: net iface ok',
      'net: virtio tx reclaim',
      'net: dhcp event configured',
      'net: dhcp bound 10.0.2.15/24 gw=10.0.2.2',
      'net: smoltcp iface up 10.0.2.15',
      'SELFTEST: net ping ok',
    ]);
    expect(textsOf('timed')).toEqual([
      'timed: ready',
      'timed: audit register decision=allow reason=applied',
      'timed: audit register decision=deny reason=over_limit',
      'timed: audit register decision=deny reason=invalid_args',
    ]);
    expect(textsOf('rngd').slice(0, 2)).toEqual(['rngd: ready', 'rngd: policy check']);
    expect(textsOf('payload hello')).toEqual(['child: hello-elf']);
    expect(textsOf('vfsd')).toEqual(['vfsd: ready']);
  });

  it('every line is in exactly one place', () => {
    const numbers = [...SPLIT.tasks.values(), SPLIT.unassigned].flat().map((entry) => entry.line);
    expect(numbers.sort((a, b) => a - b)).toEqual(REFERENCE_LINES.map((_, index) => index + 1));
  });
});

describe('emitters of the ladder, sheet 85, section 3.2', () => {
  it.each([
    ['init: up logd', 'init'],
    ['SELFTEST: net tcp listen ok', 'netstackd'],
    ['net: smoltcp iface up', 'netstackd'],
    ['blk: virtio-blk up', 'statefsd'],
    ['execd: elf load ok', 'selftest-client'],
    ['execd: child exited', 'selftest-client'],
    ['execd: crash report pid=', 'execd'],
    ['child: exit42 start', 'payload exit42'],
    ['KSELFTEST: spawn reasons ok', 'kernel'],
    ['metricsd: reject over_limit', 'metricsd'],
  ])('%s is printed by %s', (marker, task) => {
    expect(ladder('default').markers).toContain(marker);
    expect(taskOfLine(marker)).toBe(task);
  });

  it('every marker but the banner, which is a part of its line, has one', () => {
    const without = ladder('default').markers.filter((marker) => taskOfLine(marker) === undefined);
    expect(without).toEqual(['neuron vers.']);
  });
});

describe('single lines', () => {
  it.each([
    ['UBkeystored: ready', 'keystored'],
    ['UB[DEBUG sched] enqueue: pid=21 qos=Normal', 'kernel'],
    ['UBUBAS: activating satp=0x1', 'kernel'],
    ['service error svc=metricsd type=metricsd::os_lite::MetricsError', 'metricsd'],
    ['slot-check: logd all 3 slots ok', 'logd'],
    ['SLOT MISSING: rngd needs x at slot 0x03', 'rngd'],
    ['req_size=0000000000000010 req_align=0000000000000008', 'kernel'],
    ['[WARN execd] crash pid=1 code=2 name=x', 'execd'],
    ['[ERROR init] fatal err=x', 'init'],
    ['dbg:dsoftbusd: hs retry', 'dsoftbusd'],
    ['PANIC ra=0x0000000080200750', 'kernel'],
    ['selftest-client: route dsoftbusd FAIL', 'selftest-client'],
  ])('%s', (line, task) => {
    expect(taskOfLine(line)).toBe(task);
  });

  it.each(['', 'UB', 'hello', 'nobody: ready', '[INFO nobody] x', 'logd:'])('nobody printed "%s"', (line) => {
    expect(taskOfLine(line)).toBeUndefined();
  });

  it('entry tokens go, the rest stays', () => {
    expect(withoutEntryTokens('UBUBx UB')).toBe('x UB');
    expect(splitByTask(['UB', 'UBlogd: ready'])).toEqual({
      tasks: new Map([['logd', [{ line: 2, text: 'logd: ready' }]]]),
      unassigned: [],
      entryTokens: 2,
    });
  });
});
