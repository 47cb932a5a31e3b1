/** Quirks as a person sees them on whole boots of `observability`: the contract's run beside the reference's. */
import { describe, expect, it } from 'vitest';

import { missing } from '../boot.ts';
import { look, scene, until } from './scenes.ts';
import type { Faulty, Seen, Setting } from './scenes.ts';

const SEGMENT = '/state/observability/metricsd/wal/seg_0';
const FAILS = (seen: Seen): readonly string[] => seen.lines.filter((line) => /^SELFTEST: .*FAIL/.test(line));

/** One boot of the image. */
function run(setting: Setting, faulty: Faulty = {}, heads: readonly string[] = []): Seen {
  return look(scene('observability', setting, faulty), heads);
}

describe('cap-check-reply: policyd is told to allow what S25 and S26 must be denied', () => {
  const allowed: Faulty = { allow: ['selftest-client:crypto.sign', 'selftest-client:device.mmio.blk'] };
  const markers = (seen: Seen): readonly string[] =>
    seen.with('policy deny ').filter((line) => !line.includes('audit'));

  it('quirk cap-check-reply, contract: both markers fail', () => {
    expect(markers(run('none', allowed)).filter((line) => line.startsWith('SELFTEST'))).toEqual([
      'SELFTEST: policy deny FAIL',
      'SELFTEST: mmio policy deny FAIL',
    ]);
  });

  it('quirk cap-check-reply, reference: both pass all the same', () => {
    for (const setting of [['cap-check-reply'], 'reference'] as const)
      expect(markers(run(setting, allowed)).filter((line) => line.startsWith('SELFTEST'))).toEqual([
        'SELFTEST: policy deny ok',
        'SELFTEST: mmio policy deny ok',
      ]);
  });
});

describe('routing-unchecked: policyd is told to refuse the selftest every route', () => {
  const refused: Faulty = { deny: ['selftest-client:ipc.core'] };
  const markers = (setting: Setting): readonly string[] => run(setting, refused).with('ipc routing');

  it('quirk routing-unchecked, contract: no routing marker of a fixed slot', () => {
    expect(markers('none')).toEqual([
      'SELFTEST: ipc routing keystored ok',
      'SELFTEST: ipc routing samgrd FAIL',
      'SELFTEST: ipc routing policyd FAIL',
    ]);
  });

  it('quirk routing-unchecked, reference: they are printed without an exchange', () => {
    expect(markers(['routing-unchecked'])).toEqual([
      'SELFTEST: ipc routing keystored ok',
      'SELFTEST: ipc routing samgrd ok',
      'SELFTEST: ipc routing policyd ok',
    ]);
  });
});

describe('ready-before-proof, silent-sink: an image without logd', () => {
  const alone: Faulty = { without: ['logd'] };

  it('quirk ready-before-proof, contract: metricsd is never ready', () => {
    expect(run('none', alone).with('metricsd: ready')).toEqual([]);
  });

  it('quirk ready-before-proof, reference: it says so without any export', () => {
    const seen = run(['ready-before-proof'], alone);
    expect(seen.with('metricsd: ready')).toEqual(['metricsd: ready']);
    expect(seen.appends).toEqual([]);
  });

  it('quirk silent-sink, contract: each service says it once, and counts by cause', () => {
    const seen = run('none', alone);
    expect(seen.with('log sink degraded')).toEqual([
      'metricsd: log sink degraded',
      'selftest-client: log sink degraded',
    ]);
    expect(seen.notes.get('metricsd.log-sink.send')).toBe(27);
    expect(seen.notes.get('selftest-client.log-sink.send')).toBe(1);
  });

  it('quirk silent-sink, reference: nothing at all', () => {
    const seen = run(['silent-sink'], alone);
    expect(seen.with('degraded')).toEqual([]);
    expect([...seen.notes.keys()].filter((name) => name.includes('log-sink'))).toEqual([]);
  });

  it('quirk silent-sink, contract: a refused line is a loss by its status, in metricsd, that is', () => {
    // The ack of metricsd's second line (v1 APPEND, op 81) comes back RATE_LIMITED.
    const faulty: Faulty = {
      inject: ['frame:to=inbox.metricsd,prefix=4c4f0181,at=2,do=alter,offset=4,bytes=06'],
    };
    const seen = run('none', faulty);
    expect(seen.with('degraded')).toEqual(['metricsd: log sink degraded']);
    expect(seen.notes.get('metricsd.log-sink.status')).toBe(1);
    expect(run('reference', faulty).with('degraded')).toEqual([]);
  });
});

describe('no-reject-counters', () => {
  const counters = (setting: Setting): readonly string[] =>
    [...run(setting).notes.keys()].filter((name) => name.includes('.reject.'));

  it('quirk no-reject-counters, contract: rejects are counted per class in logd and metricsd', () => {
    const { notes } = run('none');
    const classes = ['invalid_args', 'over_limit', 'rate_limited'];
    for (const service of ['logd', 'metricsd'])
      expect(classes.map((name) => notes.get(`${service}.reject.${name}`))).toEqual([1, 1, 1]);
    expect(notes.get('metricsd.reject.not_found')).toBe(46);
  });

  it('quirk no-reject-counters, reference: only the markers', () => {
    expect(counters(['no-reject-counters'])).toEqual([]);
    expect(run(['no-reject-counters']).with(': reject ')).toHaveLength(6);
  });
});

describe('what is left of the metrics on the disk', () => {
  const records = (seen: Seen): number => (seen.value(SEGMENT) ?? '').split('\n').length - 1;

  it('quirk wal-unacknowledged, contract: all 24 events, each acknowledged', () => {
    const seen = run('none', {}, ['SF']);
    expect(records(seen)).toBe(24);
    const puts = seen.messages.filter(
      ({ frame }) => frame[3] === 1 && new TextDecoder().decode(frame).includes(SEGMENT),
    );
    expect(puts).toHaveLength(24);
    for (const { frame, moved } of puts) {
      expect(frame[2]).toBe(2);
      expect(moved).not.toBeNull();
    }
    expect([...seen.notes.keys()].filter((name) => name.includes('.retention.'))).toEqual([]);
  });

  it('quirk wal-unacknowledged, reference: nine, then the store hangs on an inbox that nobody reads', () => {
    const seen = run(['wal-unacknowledged'], {}, ['SF']);
    expect(records(seen)).toBe(9);
    expect(seen.value(SEGMENT)).toHaveLength(369);
    const puts = seen.messages.filter(
      ({ frame }) => frame[3] === 1 && new TextDecoder().decode(frame).includes(SEGMENT),
    );
    expect(puts.filter(({ moved }) => moved === null).every(({ frame }) => frame[2] === 1)).toBe(true);
    expect(puts.filter(({ moved }) => moved !== null)).toHaveLength(1);
  });

  it('quirk receive-cut, contract: a segment of any length is stored', () => {
    expect(run('none').value(SEGMENT)!.length).toBeGreaterThan(512);
  });

  it('quirk receive-cut, reference: what does not fit 512 bytes is refused, and the store keeps the last that did', () => {
    const seen = run(['receive-cut']);
    expect(records(seen)).toBe(11);
    expect(seen.value(SEGMENT)).toHaveLength(451);
    expect(seen.notes.get('metricsd.retention.refused')).toBeGreaterThan(0);
  });

  it('quirk rollup-by-count, contract: three seconds close no window', () => {
    const seen = run('none');
    expect(seen.keys!.filter((key) => key.includes('/rollup/'))).toEqual([]);
    expect(seen.with('retention rollup')).toEqual([]);
  });

  it('quirk rollup-by-count, reference: the 16th event closes the first "10s" window', () => {
    const seen = run(['rollup-by-count']);
    expect(seen.value('/state/observability/metricsd/rollup/10s/w_1')).toBe(
      'kind=10s\nwindow_id=1\nmetrics_total=16\nspans_total=0\n',
    );
    expect(seen.with('retention rollup')).toEqual(['[INFO metricsd] retention rollup 10s active']);
  });
});

describe('route-fail-open: an image without policyd', () => {
  const open = (setting: Setting): Seen => look(scene('observability', setting, { without: ['policyd'] }, 2));

  it('quirk route-fail-open, contract: init refuses what nobody allowed', () => {
    const seen = open('none');
    expect(seen.lines).toContain('init: route vfsd DENIED by policy');
    expect(seen.lines).toContain('SELFTEST: device key pubkey FAIL (no route)');
    expect(seen.with('pol_send')).toEqual([]);
  });

  it('quirk route-fail-open, reference: it names every route', () => {
    const seen = open(['route-fail-open']);
    expect(seen.with('DENIED by policy')).toEqual([]);
    expect(seen.lines).not.toContain('SELFTEST: device key pubkey FAIL (no route)');
    expect(seen.with('init: route policyd from rngd').length).toBeGreaterThan(0);
  });
});

describe('a disk with faults', () => {
  it('quirk statefs-restart, contract: while the disk is away nothing is stored, and nothing says so', () => {
    const seen = run('none', { inject: ['blk:op=read,at=1,do=ioerr'] });
    expect(seen.lines).toContain('service error svc=selftest-client type=()');
    expect(seen.with('SELFTEST: statefs')).toEqual([]);
    expect(seen.keys).toEqual([]);
  });

  it('quirk statefs-restart, reference: memory passes for a disk that stays empty', () => {
    const seen = run(['statefs-restart'], { inject: ['blk:op=read,at=1,do=ioerr'] });
    expect(seen.lines).toContain('SELFTEST: statefs persist ok');
    expect(seen.lines).toContain('SELFTEST: device key persist ok');
    expect(seen.keys).toEqual([]);
  });

  // The eighth read is the one of S10's REOPEN.
  const reopen: Faulty = { inject: ['blk:op=read,at=8,do=ioerr'] };

  it('quirk statefs-tail, contract: after a failed replay the store is read-only, and loses nothing', () => {
    const seen = run('none', reopen);
    expect(seen.with('statefsd: store read-only')).toHaveLength(1);
    expect(seen.keys).toEqual(['/state/keystore/device.signing', '/state/selftest/persist', '/state/selftest/ping']);
  });

  it('quirk statefs-tail, reference: the next write goes over the head of the journal', () => {
    const seen = run(['statefs-tail'], reopen);
    expect(seen.with('read-only')).toEqual([]);
    expect(seen.keys).toEqual([SEGMENT]);
  });

  const mute: Faulty = { inject: ['blk:op=write,do=no-status'] };

  it('quirk blk-status-preset, contract: a completion without a status is an error', () => {
    const seen = run('none', mute);
    expect(seen.with('virtio-blk: status err=000000ff').length).toBeGreaterThan(0);
    expect(seen.lines).not.toContain('SELFTEST: statefs put ok');
    expect(seen.keys).toEqual([]);
  });

  it('quirk blk-status-preset, reference: it is a success, of which nothing is on the disk', () => {
    const seen = run(['blk-status-preset'], mute);
    expect(seen.with('virtio-blk: status err')).toEqual([]);
    expect(seen.lines).toContain('SELFTEST: statefs put ok');
    expect(seen.keys).toEqual([]);
  });
});

describe('answers that come late, early or broken', () => {
  // The seventh answer to statefsd belongs to S08's PUT; it comes just after the two seconds of its check.
  const late: Faulty = {
    inject: ['frame:to=inbox.statefsd,prefix=504f0285,at=7,do=delay,delay=2050ms'],
  };

  it('quirk late-reply-denies, contract: it costs its own request alone', () => {
    const seen = run('none', late);
    expect(FAILS(seen)).toEqual(['SELFTEST: statefs put FAIL']);
    expect(seen.notes.get('statefsd.policy-inbox-skipped-late')).toBeGreaterThan(0);
    expect(seen.keys).toContain(SEGMENT);
  });

  it('quirk late-reply-denies, reference: it poisons the checks that follow, to the end of the run', () => {
    const seen = run(['late-reply-denies'], late);
    expect(FAILS(seen)).toContain('SELFTEST: metrics retention FAIL');
    expect(seen.with(`statefsd: access denied path=${SEGMENT}`).length).toBeGreaterThan(20);
    expect(seen.keys).not.toContain(SEGMENT);
  });

  // policyd's fourth answer to keystored, an ALLOW, takes the nonce of the next question, which policy denies (S32).
  const early: Faulty = {
    inject: ['frame:to=inbox.keystored,prefix=504f0285,at=4,do=alter,offset=4,bytes=05'],
  };

  it('quirk stash-authorises, contract: an ALLOW that came before its question allows nothing', () => {
    const seen = run('none', early);
    expect(seen.lines).toContain('SELFTEST: keystored sign denied ok');
    expect(seen.notes.get('keystored.inbox.dropped')).toBe(1);
  });

  it('quirk stash-authorises, reference: it authorises what policy denies', () => {
    expect(run(['stash-authorises'], early).lines).toContain('SELFTEST: keystored sign denied FAIL');
  });

  // S09's GET arrives with a key of no bytes: MALFORMED.
  const broken: Faulty = {
    inject: ['frame:to=state_req,text=/state/keystore/deny,at=1,do=alter,offset=12,bytes=0000'],
  };

  it('quirk error-drops-nonce, contract: statefsd refuses with the nonce of the request, so its client hears of it', () => {
    const seen = run('none', broken);
    expect(seen.lines).toContain('SELFTEST: statefs unauthorized status=0000000000000006)');
    expect(seen.with('recv timeout')).toEqual([]);
  });

  it('quirk error-drops-nonce, reference: its client waits out two seconds', () => {
    const seen = run(['error-drops-nonce'], broken);
    expect(seen.lines).toContain('SELFTEST: statefs recv timeout');
    expect(seen.with('unauthorized status')).toEqual([]);
  });
});

describe('what logd is told', () => {
  const statefs = (seen: Seen): readonly string[] =>
    seen.appends.filter(({ scope }) => scope === 'statefsd.audit').map(({ message }) => message);
  const DENIAL = 'statefsd: access denied path=/state/keystore/deny sender=0x52c6c4a34ffb3f69';

  it('quirk statefs-audit-lost, contract: the denial of S09 is acknowledged by logd', () => {
    const seen = run('none', {}, ['LO']);
    expect(statefs(seen)).toEqual([DENIAL]);
    // The acknowledgement is a frame on statefsd's inbox, which its next check skips.
    expect(seen.notes.get('statefsd.policy-inbox-skipped-foreign')).toBe(1);
    const index = seen.messages.findIndex(({ frame }) => new TextDecoder().decode(frame).includes('statefsd.audit'));
    const ack = seen.messages.slice(index + 1).find(({ frame }) => frame[3] === 0x81);
    expect([...ack!.frame.subarray(0, 5)]).toEqual([0x4c, 0x4f, 1, 0x81, 0]);
  });

  it('quirk statefs-audit-lost, reference: it goes to statefsd itself', () => {
    const seen = run(['statefs-audit-lost'], {}, ['LO']);
    const sent = seen.messages.filter(({ frame }) => new TextDecoder().decode(frame).includes('statefsd.audit'));
    const logd = seen.messages.find(({ frame }) => new TextDecoder().decode(frame).includes('logd hello'));
    for (const message of sent) expect(message.endpoint).not.toBe(logd!.endpoint);
    expect(seen.with(DENIAL)).toHaveLength(1);
  });

  const policy = (seen: Seen): readonly string[] =>
    seen.appends
      .filter(({ scope }) => scope === 'policyd.audit')
      .map(({ message }) => message.replace(/^audit v1 op=(\S+) decision=(\S+) .*$/, '$1 $2'));

  it('quirk audit-decision-byte, contract: what was decided, first allows of delegates once', () => {
    const texts = policy(run('none', {}, ['LO']));
    expect(texts.filter((text) => text === 'check allow')).toHaveLength(1);
    expect(texts.filter((text) => text === 'check_cap deny')).toHaveLength(2);
    // keystore/deny of S09 and crypto.sign of S32.
    expect(texts.filter((text) => text === 'check_cap_delegated deny')).toHaveLength(2);
    expect(texts.filter((text) => text === 'route deny')).toHaveLength(1);
    expect(texts.filter((text) => text === 'check_cap_delegated allow')).toHaveLength(10);
  });

  it('quirk audit-decision-byte, reference: what the lowest byte of a nonce says', () => {
    const texts = policy(run(['audit-decision-byte'], {}, ['LO']));
    // In this image init's first route comes before statefsd's first check.
    expect(texts).toEqual([
      'route deny',
      'check_cap_delegated deny',
      'check_cap_delegated deny',
      'check_cap_delegated deny',
      'check allow',
      'check_cap deny',
      'check_cap deny',
    ]);
  });

  it('quirk audit-decision-byte, contract: never more than 16 records in a second, a denied route among them once', () => {
    // rngd is refused its routes, and asks again and again.
    const seen = look(until(scene('observability', 'none', { deny: ['rngd:ipc.core'] }), 'SELFTEST: end'), ['LO']);
    const times = seen.messages
      .filter(({ frame }) => frame[3] === 1 && new TextDecoder('latin1').decode(frame).includes('policyd.audit'))
      .map(({ t }) => t);
    expect(times.length).toBeLessThanOrEqual(128);
    for (const [i, t] of times.entries()) {
      const sixteenth = times[i + 16];
      if (sixteenth !== undefined) expect(sixteenth - t).toBeGreaterThanOrEqual(1_000_000_000);
    }
    const denied = policy(seen).filter((text) => text === 'route deny').length;
    // It asks for two targets.
    expect(denied).toBe(2);
  });
});

describe('settings', () => {
  it('the disk faults of this file hit what they are meant to: undisturbed, the ladder is whole', () => {
    expect(missing(run('none').booted)).toEqual([]);
    expect(missing(run('reference').booted)).toEqual([]);
  });
});
