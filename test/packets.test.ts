/** What crosses the wire: `--pcap`, and the latency of the network behind the card. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { parsePcap } from '../sim/net/pcap.ts';
import type { PcapFrame } from '../sim/net/pcap.ts';
import type { Scenario } from '../scenarios/scenario.ts';
import { boot, shipped } from './boot.ts';
import { nexusSim, temporaryFolder } from './cli.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
const at = (name: string): string => join(folder.path, name);

/** Right after the gateway has answered. */
const PING = 'SELFTEST: net ping ok';

function framesOf(file: string): readonly PcapFrame[] {
  const frames = parsePcap(readFileSync(file));
  if (typeof frames === 'string') throw new Error(`${file}: ${frames}`);
  return frames;
}

interface PacketEvent {
  readonly t: number;
  readonly kind: string;
  readonly bytes: string;
}

describe('--pcap', () => {
  it('holds the packet events of the trace, to the microsecond, and nothing else', () => {
    const words = ['--until-marker', PING, '--pcap', at('ping.pcap'), '--trace', at('ping.jsonl')];
    expect(nexusSim(['run', ...words]).code).toBe(0);
    const events = readFileSync(at('ping.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as PacketEvent)
      .filter((event) => event.kind === 'packet');
    // DISCOVER, OFFER, REQUEST, ACK; who is the gateway, it is; echo, reply (sheet 70, section 4).
    expect(events.map((event) => event.bytes.length / 2)).toEqual([304, 590, 316, 590, 42, 64, 58, 58]);
    expect(framesOf(at('ping.pcap'))).toEqual(
      events.map(({ t, bytes }) => ({
        seconds: 0,
        ns: Math.floor(t / 1000) * 1000,
        bytes: Buffer.from(bytes, 'hex'),
        length: bytes.length / 2,
      })),
    );
  });

  it('has one time over all boots of a run', () => {
    const boots = `[stop]\nuntil-marker = "${PING}"\n[[boot]]\n[[boot]]\n`;
    writeFileSync(at('twice.toml'), `image = "default"\n${boots}[expect]\n`);
    nexusSim(['run', at('twice.toml'), '--until-marker', PING, '--pcap', at('twice.pcap')]);
    const times = framesOf(at('twice.pcap')).map(({ seconds, ns }) => seconds * 1e9 + ns);
    expect(times).toHaveLength(16);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times[8]! - times[7]!).toBeGreaterThan(10_000_000);
  });

  it('is a file without frames where the card has no wire', () => {
    const early = ['--until-marker', 'KSELFTEST: spawn reasons ok'];
    expect(nexusSim(['run', 'observability', ...early, '--pcap', at('none.pcap')]).code).toBe(0);
    expect(framesOf(at('none.pcap'))).toEqual([]);
  });

  it('bad input: one line, exit 2, nothing written', () => {
    const nowhere = nexusSim(['run', '--pcap', at('no/where.pcap')]);
    expect(nowhere).toMatchObject({ code: 2, stdout: '' });
    expect(nowhere.stderr).toMatch(/^nexus-sim: --pcap .*where\.pcap: expected a writable file \(no such file\)\n$/);
    const twice = nexusSim(['run', '--uart-log', at('same'), '--pcap', at('same')]);
    expect(twice.code).toBe(2);
    expect(twice.stderr).toMatch(/^nexus-sim: --pcap .*same: expected another file than that of --uart-log\n$/);
    expect(existsSync(at('same'))).toBe(false);
  });
});

describe('machine.latency', () => {
  const lines = (latency: Scenario['machine']['latency']): readonly string[] => {
    const base = shipped('default');
    const boots = base.boots.map((one) => ({ ...one, until: PING }));
    const booted = boot({ ...base, boots, machine: { ...base.machine, latency } }, { goal: 'text', trace: true });
    expect(booted.outcome.passed).toBe(true);
    return [booted.trace.filter((line) => line.includes('"kind":"packet"')), booted.boots[0] ?? []].flat();
  };
  const packets = (list: readonly string[]): readonly { readonly t: number; readonly dir: string }[] =>
    list.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { t: number; dir: string });

  it('delays each answer by that much virtual time; a lease that takes more than one poll says so (sheet 70, section 4)', () => {
    // Twice this (ARP, echo) is well inside the 3.2 ms that netstackd's 4,000 polls for the ping take.
    const list = lines({ minNs: 1_000_000, maxNs: 1_000_000 });
    const [discover, offer] = packets(list);
    expect([discover?.dir, offer?.dir]).toEqual(['tx', 'rx']);
    expect(offer!.t - discover!.t).toBeGreaterThanOrEqual(1_000_000);
    expect(offer!.t - discover!.t).toBeLessThan(1_100_000);
    expect(list).toContain('net: dhcp event deconfigured');
    expect(lines({ minNs: 0, maxNs: 0 })).not.toContain('net: dhcp event deconfigured');
  });

  it('draws from a range by the seed: the same every time', () => {
    const range = { minNs: 500_000, maxNs: 1_500_000 };
    const first = packets(lines(range));
    const wait = first[1]!.t - first[0]!.t;
    expect(wait).toBeGreaterThanOrEqual(range.minNs);
    expect(wait).toBeLessThan(range.maxNs + 100_000);
    expect(packets(lines(range))).toEqual(first);
  });
});
