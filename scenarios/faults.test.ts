import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { endpointNames, isEndpointName } from './endpoint-names.ts';
import { FAULT_KINDS, hits, parseFault } from './faults.ts';
import type { Fault } from './faults.ts';
import { parseScenario } from './scenario.ts';

function fault(text: string): Fault {
  const parsed = parseFault(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function errorOf(text: string): string {
  const parsed = parseFault(text);
  return parsed.ok ? 'no error' : parsed.error;
}

describe('the grammar', () => {
  it('reads kind and fields', () => {
    expect(fault('blk:op=flush,at=2,do=delay,delay=3s')).toEqual({
      kind: 'blk',
      op: 'flush',
      window: { from: 2, count: 1 },
      act: { do: 'delay', ns: 3_000_000_000 },
    });
    expect(fault('frame:to=log_req,by=metricsd,prefix=4c4f0201,text=name=x,from=3,count=2,do=drop')).toEqual({
      kind: 'frame',
      to: 'log_req',
      by: 'metricsd',
      prefix: '4c4f0201',
      text: 'name=x',
      window: { from: 3, count: 2 },
      act: { do: 'drop' },
    });
    expect(fault('syscall:service=init,call=exec_v2,at=1,errno=ENOMEM')).toMatchObject({ nr: 17, errno: 12 });
    expect(fault('packet:dir=tx,has=4e580001,at=2,do=alter,offset=3,bytes=00ff')).toEqual({
      kind: 'packet',
      dir: 'tx',
      has: '4e580001',
      window: { from: 2, count: 1 },
      act: { do: 'alter', offset: 3, bytes: '00ff' },
    });
    expect(fault('power:write=3')).toEqual({ kind: 'power', write: 3, ns: null, lose: 'all' });
    expect(fault('power:write=3,lose=some')).toMatchObject({ lose: 'some' });
    expect(fault('ipi')).toMatchObject({ act: 'drop' });
    expect(fault('hart:cpu=1')).toEqual({ kind: 'hart', cpu: 1 });
    expect(fault('stall:service=logd,at=0')).toEqual({ kind: 'stall', service: 'logd', at: 0 });
    expect(fault('blk:op=read,do=unsupp')).toMatchObject({ window: { from: 1, count: Infinity } });
  });

  it.each([
    ['', /^"": expected one of blk, rng, frame/],
    ['blk', /^op: missing; expected one of read, write, flush/],
    ['blk:op=write', /^do: missing/],
    ['blk:op=write,do=ioerr,to=log_req', /^to: unknown field; expected op/],
    ['blk:op=write,do=ioerr,at=0', /^at=0: expected a whole number from 1/],
    ['blk:op=write,do=ioerr,at=1,from=2', /^at and from: expected one/],
    ['blk:op=write,op=read,do=ioerr', /^op: given twice/],
    ['blk:op=write,,do=ioerr', /^empty field: expected key=value/],
    ['blk:op=write,do=delay,delay=soon', /^delay=soon: expected a duration/],
    ['frame:to=nowhere,do=drop', /^to=nowhere: expected an endpoint/],
    ['frame:to=log_req,prefix=4C,do=drop', /^prefix=4C: expected bytes in lower-case hex/],
    ['die:service=nobody,at=1', /^service=nobody: expected one of init, keystored/],
    ['hart:cpu=4', /^cpu=4: expected a whole number from 1 to 3/],
    ['hart:cpu=0', /^cpu=0: expected a whole number from 1 to 3/],
    ['ipi:do=twice', /^do=twice: expected one of drop, spurious/],
    ['power:write=1,lose=half', /^lose=half: expected one of all, some, none/],
    ['packet:dir=rx,has=4e5,do=drop', /^has=4e5: expected bytes in lower-case hex/],
    ['selftest:part=cpu', /^part=cpu: expected one of router, cap-table, spawn-reason, online-mask/],
    ['power', /^power: expected write=N or time=DURATION/],
    ['power:write=1,time=1s', /^power: expected write=N or time=DURATION/],
    [`frame:to=${'x'.repeat(600)}`, /^expected at most 512 characters/],
  ])('%s: one clear line', (text, expected) => {
    expect(errorOf(text)).toMatch(expected);
    expect(errorOf(text)).not.toContain('\n');
  });

  it('never throws, on any text', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('op', 'do', 'at', 'to', 'write', 'drop', 'log_req', '1', '00', '1s'),
    );
    const like = fc
      .tuple(fc.constantFrom(...FAULT_KINDS), fc.array(fc.tuple(word, word), { maxLength: 6 }))
      .map(([kind, fields]) => `${kind}:${fields.map(([key, value]) => `${key}=${value}`).join(',')}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), like), (text) => {
        const parsed = parseFault(text);
        if (!parsed.ok) expect(parsed.error.length).toBeGreaterThan(0);
      }),
      { seed: 20240, numRuns: 3000 },
    );
  });

  it('knows what a window hits', () => {
    expect([1, 2, 3, 4, 5].filter((number) => hits({ from: 2, count: 3 }, number))).toEqual([2, 3, 4]);
    expect([1, 2, 99].filter((number) => hits({ from: 2, count: Infinity }, number))).toEqual([2, 99]);
  });

  it('names every endpoint that it lists', () => {
    expect(endpointNames().every(isEndpointName)).toBe(true);
    expect(endpointNames()).toContain('inbox.metricsd');
    expect(isEndpointName('inbox.logd')).toBe(false);
    expect(isEndpointName('ctl-req.nobody')).toBe(false);
  });

  it('is the same as tables in a scenario file', () => {
    const table = `
      image = "observability"
      [[fault]]
      kind = "blk"
      op = "flush"
      at = 2
      do = "delay"
      delay = "3s"`;
    const parsed = parseScenario(table, 'x.toml', 'x');
    expect(parsed.ok && parsed.value.boots[0]!.faults.inject).toEqual([fault('blk:op=flush,at=2,do=delay,delay=3s')]);
    const bad = parseScenario(table.replace('"flush"', '"trim"'), 'x.toml', 'x');
    expect(!bad.ok && bad.error).toBe('x.toml: fault[0]: op=trim: expected one of read, write, flush, get-id, other');
  });
});
