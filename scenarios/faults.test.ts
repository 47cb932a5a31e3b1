import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { boot, missing, observability, only, withFaults } from '../test/boot.ts';
import type { Booted } from '../test/boot.ts';
import { SparseBlockImage } from '../sim/block-image.ts';
import { diskKeys } from './disk.ts';
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

function under(words: readonly string[], disk?: SparseBlockImage): Booted {
  const scenario = withFaults(observability(), { inject: words.map(fault) });
  return boot(scenario, { trace: true, ...(disk !== undefined && { disk }) });
}

function faultEvents(booted: Booted): readonly string[] {
  return booted.events.flatMap((event) => (event.kind === 'fault' ? [`${event.name}: ${event.detail}`] : []));
}

describe('every kind has its effect, and says so in the trace', () => {
  it('blk: a failing flush costs the persist marker alone', () => {
    const booted = under(['blk:op=flush,do=ioerr']);
    expect(missing(booted)).toContain('SELFTEST: statefs persist ok');
    expect(missing(booted)).not.toContain('SELFTEST: policy allow ok');
    expect(faultEvents(booted)[0]).toMatch(/^blk: flush 1 at sector \d+: status$/);
  });

  it('blk: a slow flush is late, not lost', () => {
    const slow = under(['blk:op=flush,at=1,do=delay,delay=200ms']);
    expect(faultEvents(slow)).toHaveLength(1);
    expect(only(slow).passed).toBe(true);
  });

  it('blk: short, swallowed, unanswered and corrupt requests', () => {
    for (const what of ['short,sectors=0', 'drop', 'no-status']) {
      const booted = under([`blk:op=write,do=${what}`]);
      expect(missing(booted), what).toContain('SELFTEST: statefs put ok');
      expect(faultEvents(booted).length, what).toBeGreaterThan(0);
    }
    const corrupt = under(['blk:op=read,from=2,do=corrupt,offset=1']);
    expect(faultEvents(corrupt)[0]).toMatch(/^blk: read 2 at sector \d+: corrupt$/);
  });

  it('rng: no bytes, no entropy', () => {
    const booted = under(['rng:bytes=0']);
    expect(missing(booted)).toContain('SELFTEST: rng entropy ok');
    expect(faultEvents(booted)[0]).toMatch(/^rng: request 1 of \d+ bytes gets 0$/);
  });

  it('frame: dropped, delayed, duplicated, altered, cut, without a wake', () => {
    const loopback = 'SELFTEST: ipc payload roundtrip ok';
    for (const what of ['drop', 'delay,delay=1s', 'alter,offset=0,bytes=00', 'cut,len=3']) {
      const booted = under([`frame:to=bootstrap,at=1,do=${what}`]);
      expect(missing(booted), what).toContain(loopback);
      expect(faultEvents(booted), what).toHaveLength(1);
    }
    const twice = under(['frame:to=bootstrap,at=1,do=dup']);
    expect(missing(twice)).toContain('SELFTEST: ipc deadline timeout ok');
    expect(missing(twice)).not.toContain(loopback);
    const asleep = under(['frame:to=log_req,prefix=4c4f0201,at=3,do=no-wake']);
    expect(faultEvents(asleep)).toHaveLength(1);
    expect(missing(asleep).length).toBeGreaterThan(0);
  });

  it('syscall: an errno instead of the call', () => {
    const booted = under(['syscall:service=selftest-client,call=task_qos,at=1,errno=EPERM']);
    expect(missing(booted)).toEqual(['SELFTEST: qos ok']);
    expect(faultEvents(booted)).toEqual(['syscall: task_qos 1 of selftest-client fails with errno 1']);
  });

  it('die and stall: a service is gone from its n-th message on', () => {
    for (const kind of ['die', 'stall']) {
      const booted = under([`${kind}:service=samgrd,at=3`]);
      expect(faultEvents(booted), kind).toEqual([`${kind}: samgrd at its message 3`]);
      expect(missing(booted), kind).toContain('SELFTEST: samgrd v1 unknown ok');
      expect(missing(booted), kind).not.toContain('SELFTEST: samgrd v1 register ok');
    }
  });

  it('exec: a damaged file does not start', () => {
    const scenario = withFaults(observability(), { inject: [fault('exec:service=samgrd')] });
    const short = { ...scenario, boots: scenario.boots.map((one) => ({ ...one, maxVirtualNs: 1_000_000_000 })) };
    const booted = boot(short);
    expect(missing(booted)).toContain('init: up samgrd');
    expect(missing(booted)).not.toContain('init: start samgrd');
  });

  it('selftest: a broken part of the kernel shows in its own line', () => {
    expect(missing(under(['selftest:part=cap-table']))).toEqual(['KSELFTEST: resource sentinel ok']);
    expect(missing(under(['selftest:part=spawn-reason']))).toEqual(['KSELFTEST: spawn reasons ok']);
    const router = under(['selftest:part=router']);
    expect(router.uart).not.toContain('KSELFTEST: ipc global bytes budget ok');
  });

  it('power: what was not flushed is lost, what was is kept', () => {
    const disk = new SparseBlockImage();
    const scenario = withFaults(observability(), { inject: [fault('power:write=12')] });
    const booted = boot(scenario, { trace: true, image: disk });
    expect(only(booted).end).toBe('halted');
    expect(faultEvents(booted)).toEqual(['power: cut before block write 12']);
    expect(diskKeys(disk)).not.toBeNull();
    const early = under(['power:time=10us']);
    expect(only(early).virtualNs).toBeLessThan(1_000_000);
  });

  it('is deterministic', () => {
    const words = ['frame:to=log_req,from=5,count=3,do=delay,delay=1ms', 'blk:op=write,at=3,do=delay,delay=2ms'];
    const one = under(words);
    const two = under(words);
    expect(two.uart).toBe(one.uart);
    expect(two.trace).toEqual(one.trace);
  });
});
