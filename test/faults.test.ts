/** Whole boots under each kind of fault (docs/faults.md): it has its effect, and says so in the trace. */
import { describe, expect, it } from 'vitest';

import { diskKeys } from '../scenarios/disk.ts';
import { parseFault } from '../scenarios/faults.ts';
import type { Fault } from '../scenarios/faults.ts';
import { SparseBlockImage } from '../sim/block-image.ts';
import { boot, missing, observability, only, shipped, withFaults } from './boot.ts';
import type { Booted } from './boot.ts';

function fault(text: string): Fault {
  const parsed = parseFault(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

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

  it('packet: a lost answer costs the ping', () => {
    const scenario = withFaults(shipped('default'), { inject: [fault('packet:dir=rx,at=4,do=drop')] });
    const booted = boot(scenario, { trace: true });
    expect(faultEvents(booted)).toEqual([expect.stringMatching(/^packet-drop: rx packet 4 of \d+ bytes: lost$/)]);
    expect(booted.uart).not.toContain('SELFTEST: net ping ok');
    expect(booted.uart).toContain('netstackd: net ping FAIL');
  });

  it('power: what was not flushed is lost, what was is kept', () => {
    const disk = new SparseBlockImage();
    const scenario = withFaults(observability(), { inject: [fault('power:write=12')] });
    const booted = boot(scenario, { trace: true, image: disk });
    expect(only(booted).end).toBe('halted');
    expect(faultEvents(booted)).toEqual(['power: cut before block write 12']);
    expect(diskKeys(disk)).not.toBeNull();
    // Before the firmware is through, the kernel says nothing; then it says what it got to.
    expect(under(['power:time=10us']).uart).toBe('');
    const early = under(['power:time=110100us']);
    expect(early.uart).toContain('[INFO boot] boot: ok');
    expect(only(early).virtualNs).toBeLessThan(120_000_000);
  });

  it('is deterministic', () => {
    const words = ['frame:to=log_req,from=5,count=3,do=delay,delay=1ms', 'blk:op=write,at=3,do=delay,delay=2ms'];
    const one = under(words);
    const two = under(words);
    expect(two.uart).toBe(one.uart);
    expect(two.trace).toEqual(one.trace);
  });
});
