/** Quirks as a person sees them on whole boots of `default`: the contract's run beside the reference's. */
import { describe, expect, it } from 'vitest';

import { serviceIdOf } from '../../kernel-model/abi.ts';
import { SERVICE_ENDPOINTS } from '../../services/init/endpoints.ts';
import { encodeRecord, RECORD_PUT } from '../../services/statefsd/record.ts';
import { BOOTCTL_KEY } from '../../services/updated/slots.ts';
import { SparseBlockImage } from '../../sim/block-image.ts';
import { look, scene, until } from './scenes.ts';
import type { Seen, Setting } from './scenes.ts';

const HEADS = ['LO', 'MT'];
const METRICSD = serviceIdOf('metricsd');
const PRODUCERS = ['execd', 'bundlemgrd', 'timed'] as const;

/** Booted once each: three tests of this file look at them. */
const CONTRACT = look(scene('default', 'none'), HEADS);
const REFERENCE = look(scene('default', 'reference'), HEADS);

/** What metricsd told logd about a service's metrics, durations hidden. */
function exported(seen: Seen, service: string): readonly string[] {
  return seen.appends
    .filter(({ sender, message }) => sender === METRICSD && message.includes(` name=${service}.`))
    .map(({ message }) => message.replace(/duration_ns=\d+/, 'duration_ns=#').replace(/ sum=\d{5,}/, ' sum=#'));
}

/** Requests to metricsd, by who sent them. */
function requests(seen: Seen, service: string) {
  return seen.messages.filter(
    ({ frame, serviceId }) => frame[0] === 0x4d && (frame[3] ?? 0) < 0x80 && serviceId === serviceIdOf(service),
  );
}

describe('metrics-unrouted', () => {
  const span = 'tracing span end name=execd.exec parent_span_id=0 duration_ns=# status=0';
  const attrs = String.raw`start_attrs=svc=execd\n end_attrs=result=ok\n`;

  it('quirk metrics-unrouted, contract: the values of sheet 40, section 16 arrive in logd', () => {
    expect(exported(CONTRACT, 'execd')).toEqual([
      'metrics snapshot counter name=execd.spawn.ok value=1',
      `${span} ${attrs}`,
      'metrics snapshot counter name=execd.spawn.ok value=2',
      `${span} ${attrs}`,
      'metrics snapshot counter name=execd.spawn.ok value=3',
      `${span} ${attrs}`,
      'metrics snapshot counter name=execd.spawn.deny value=1',
    ]);
    const bundle = (what: string, value: number): string =>
      `metrics snapshot counter name=bundlemgrd.${what} value=${value}`;
    const bytes = (count: number): string =>
      `metrics snapshot histogram name=bundlemgrd.fetch.image_bytes count=${count} sum=${75 * count}`;
    expect(exported(CONTRACT, 'bundlemgrd')).toEqual([
      bundle('list.ok', 1),
      bundle('fetch.ok', 1),
      bytes(1),
      bundle('list.ok', 2),
      bundle('fetch.ok', 2),
      bytes(2),
      bundle('slot_switch.ok', 1),
      bundle('slot_switch.ok', 2),
      bundle('fetch.ok', 3),
      bytes(3),
      bundle('slot_switch.ok', 3),
    ]);
    expect(exported(CONTRACT, 'timed')).toHaveLength(8);
    // Nobody's sink lost a line, so each of these was acknowledged.
    expect(CONTRACT.with('log sink degraded')).toEqual([]);
    expect([...CONTRACT.notes.keys()].filter((name) => name.includes('log-sink'))).toEqual([]);
  });

  it('quirk metrics-unrouted, contract: eight events in a second and no more; the others are counted', () => {
    // 66 registrations of S04; and bundlemgrd's ninth event of its second second, S23's route_status.fail.
    expect(CONTRACT.notes.get('timed.metrics.budget')).toBe(58);
    expect(CONTRACT.notes.get('bundlemgrd.metrics.budget')).toBe(1);
    expect(CONTRACT.notes.has('execd.metrics.budget')).toBe(false);
  });

  it('quirk metrics-unrouted, contract: each call moves a capability for its own inbox, with one nonce sequence', () => {
    for (const service of PRODUCERS) {
      const sent = requests(CONTRACT, service);
      expect(sent.length).toBeGreaterThan(0);
      const nonces = sent.map(({ frame }) => new DataView(frame.buffer, frame.byteOffset).getUint32(4, true));
      expect(nonces).toEqual(nonces.map((_, i) => i + 1));
      const inboxes = new Set(sent.map(({ moved }) => moved?.endpoint));
      expect(inboxes.size).toBe(1);
      expect(inboxes.has(undefined)).toBe(false);
    }
    // metricsd answers the selftest on its queue, and nobody else there.
    const own = requests(CONTRACT, 'selftest-client');
    expect(own.every(({ moved }) => moved === null)).toBe(true);
    const answers = CONTRACT.messages.filter(({ frame }) => frame[0] === 0x4d && (frame[3] ?? 0) >= 0x80);
    const queues = new Map<number, number>();
    for (const { endpoint } of answers) queues.set(endpoint, (queues.get(endpoint) ?? 0) + 1);
    expect([...queues.values()]).toContain(own.length);
  });

  it('quirk metrics-unrouted, contract: the inbox of timed is made after every documented endpoint', () => {
    // Inboxes of the documented wiring: keystored, rngd, policyd, metricsd, samgrd, bundlemgrd, statefsd, updated.
    const documented = SERVICE_ENDPOINTS.length;
    expect(documented).toBe(0x4f - 0x26);
    const timed = requests(CONTRACT, 'timed')[0]!.moved!.endpoint!;
    for (const service of ['execd', 'bundlemgrd'])
      expect(timed).toBeGreaterThan(requests(CONTRACT, service)[0]!.moved!.endpoint!);
    const endpoints = CONTRACT.messages.map(({ endpoint }) => endpoint);
    expect(timed).toBe(Math.max(...endpoints));
  });

  it('quirk metrics-unrouted, reference: nobody but the selftest reaches metricsd', () => {
    for (const service of PRODUCERS) {
      expect(requests(REFERENCE, service)).toEqual([]);
      expect(exported(REFERENCE, service)).toEqual([]);
    }
    expect(requests(REFERENCE, 'selftest-client').length).toBeGreaterThan(60);
  });
});

describe('span-requester-id', () => {
  const spans = (seen: Seen): readonly string[] =>
    exported(seen, 'execd').filter((message) => message.startsWith('tracing'));

  it('quirk span-requester-id, contract: spans of execd are its own', () => {
    expect(spans(CONTRACT)).toHaveLength(3);
  });

  it('quirk span-requester-id, reference: metricsd refuses them, and takes the counters', () => {
    const seen = look(until(scene('default', ['span-requester-id']), 'SELFTEST: execd malformed ok'), HEADS);
    expect(spans(seen)).toEqual([]);
    expect(exported(seen, 'execd')).toHaveLength(4);
    expect(seen.notes.get('metricsd.reject.invalid_args')).toBe(3);
  });
});

describe('sink-slots-unused', () => {
  const early = (seen: Seen): readonly string[] =>
    seen.appends
      .map(({ message }) => message)
      .filter((message) => /boot_attempt status=ok|probe: updated$/.test(message));
  const bundlemgrd = (seen: Seen): number =>
    seen.appends.filter(({ message }) => message === 'core service log probe: bundlemgrd').length;

  it('quirk sink-slots-unused, contract: what a service says before init answers arrives, and nobody asks for a route', () => {
    expect(early(CONTRACT)).toEqual(['core service log probe: updated', 'audit op=boot_attempt status=ok']);
    expect(CONTRACT.with('init: ctrl req from updated')).toEqual([]);
    expect(bundlemgrd(CONTRACT)).toBe(2);
  });

  it('quirk sink-slots-unused, reference: it is lost, and updated asks four times', () => {
    expect(early(REFERENCE)).toEqual([]);
    expect(REFERENCE.with('init: ctrl req from updated')).toHaveLength(4);
    expect(bundlemgrd(REFERENCE)).toBe(1);
  });
});

describe('crash-fields', () => {
  const crashes = (seen: Seen): readonly string[] =>
    seen.appends.filter(({ scope }) => scope === 'execd').map(({ fields }) => fields);

  it('quirk crash-fields, contract: the direct record has the sorted fields of a crash, the facade has none', () => {
    expect(crashes(CONTRACT)).toEqual(['', 'code=42\nevent=crash.v1\nname=demo.exit42\npid=36\n']);
  });

  it('quirk crash-fields, reference: both are empty', () => {
    expect(crashes(REFERENCE)).toEqual(['', '']);
  });
});

describe('dns-unchecked', () => {
  const dns = (seen: Seen): readonly string[] => seen.with('udp dns');

  it('quirk dns-unchecked, contract: the marker comes with an answer alone', () => {
    expect(dns(CONTRACT)).toEqual(['SELFTEST: net udp dns ok']);
  });

  it('quirk dns-unchecked, reference: it comes without one', () => {
    expect(dns(REFERENCE)).toEqual([
      'netstackd: udp dns unavailable (fallback dhcp proof)',
      'SELFTEST: net udp dns ok',
    ]);
  });
});

describe('child-exit-unchecked: execd says that demo.exit0 ended with 7', () => {
  const exits = (setting: Setting): readonly string[] => {
    const faulty = { inject: ['frame:to=exe_rsp,prefix=45580183,at=1,do=alter,offset=9,bytes=07000000'] };
    const seen = look(until(scene('default', setting, faulty), 'SELFTEST: crash report ok'));
    return seen.lines.filter((line) => /^(execd: child exited|SELFTEST: child exit)/.test(line)).slice(0, 2);
  };

  it('quirk child-exit-unchecked, contract: the marker fails', () => {
    expect(exits('none')).toEqual(['execd: child exited pid=35 code=7', 'SELFTEST: child exit FAIL']);
  });

  it('quirk child-exit-unchecked, reference: it is printed all the same', () => {
    expect(exits(['child-exit-unchecked'])).toEqual(['execd: child exited pid=35 code=7', 'SELFTEST: child exit ok']);
  });
});

describe('boot-slot-byte', () => {
  /** A disk as an update left it: slot a on probation, one try left. */
  function pending(): SparseBlockImage {
    const disk = new SparseBlockImage();
    const sector = new Uint8Array(512);
    const record = Uint8Array.of(1, 1, 1, 0xff, 1, 0);
    sector.set(encodeRecord(RECORD_PUT, new TextEncoder().encode(BOOTCTL_KEY), record));
    disk.write(0, sector);
    return disk;
  }
  const published = (setting: Setting, disk: SparseBlockImage): readonly string[] => {
    const scenario = until(scene('default', setting), 'SELFTEST: keystored v1 ok');
    const seen = look(scenario, [], { disk });
    return seen.lines.filter((line) => /bundlemgrd: slot|init: rollback|boot attempt|op=boot_attempt/.test(line));
  };
  const attempt = (text: string): string[] => [
    `[INFO updated] audit op=boot_attempt status=${text}`,
    `updated: audit (op=boot_attempt status=${text})`,
  ];

  it('quirk boot-slot-byte, contract: the slot rolled back to is published, and init is answered', () => {
    const lines = published('none', pending());
    expect(lines).toEqual([...attempt('rollback detail=slot=b'), 'bundlemgrd: slot b active']);
  });

  it('quirk boot-slot-byte, contract: a normal boot publishes nothing', () => {
    expect(published('none', new SparseBlockImage())).toEqual(attempt('ok'));
  });

  it('quirk boot-slot-byte, reference: always slot a, and never answered in time', () => {
    for (const setting of ['reference'] as const) {
      expect(published(setting, pending())).toEqual([
        ...attempt('rollback detail=slot=b'),
        'init: rollback fail',
        'bundlemgrd: slot a active',
      ]);
      expect(published(setting, new SparseBlockImage())).toEqual([
        ...attempt('ok'),
        'init: rollback fail',
        'bundlemgrd: slot a active',
      ]);
    }
  });

  it('quirk boot-slot-byte, reference: alone it publishes slot a as well', () => {
    expect(published(['boot-slot-byte'], pending())).toContain('bundlemgrd: slot a active');
    expect(published(['boot-slot-byte'], pending())).not.toContain('bundlemgrd: slot b active');
  });
});
