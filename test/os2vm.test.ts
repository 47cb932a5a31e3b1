/** Two linked machines (sheet 70, section 12; sheet 85, section 12): ladder, lines, bytes on the wire, and what happens without their cause. */
import { describe, expect, it } from 'vitest';

import { taskOfLine, withoutEntryTokens } from '../markers/tasks.ts';
import type { NodeName, Scenario } from '../scenarios/scenario.ts';
import { parseFault } from '../scenarios/faults.ts';
import type { Fault } from '../scenarios/faults.ts';
import { shipped, withQuirks } from './boot.ts';
import { bootPair, pairBytes, until, withNode, withNodeFaults } from './pair.ts';
import type { PairBooted } from './pair.ts';

const OS2VM = shipped('os2vm');
/** A line after which both nodes have their session. */
const SESSION_ON_B = 'B/dsoftbusd: remote proxy up';

/** Lines of one task, or of those whose text matches, in the task's own order. */
function ofTasks(lines: readonly string[], tasks: readonly string[]): readonly string[] {
  return lines.map(withoutEntryTokens).filter((line) => tasks.includes(taskOfLine(line) ?? ''));
}

/** What sheet 85, section 12.3 is about: dsoftbusd's lines, and netstackd's about connections. */
function session(booted: PairBooted, node: NodeName): readonly string[] {
  return ofTasks(booted.lines[node], ['dsoftbusd', 'netstackd']).filter((line) =>
    /^(dsoftbusd: (discovery|cross|remote)|dbg:dsoftbusd|dbg:netstackd: connect|netstackd: rpc connect)/.test(line),
  );
}

/** Repeats of a line right behind itself are one: an idle node B says over and over that nothing came (quirk Q24). */
function once(lines: readonly string[]): readonly string[] {
  return lines.filter((line, index) => line !== lines[index - 1]);
}

/**
 * A's lines of sheet 85, section 12.3. How often it dials in vain, whether it has heard B's announcement by then, and whether a
 * connection stands within 16 polls (`connect kick ok`) is timing; so are repeats. All else, and the order, is not.
 */
const SESSION_OF_A = new RegExp(
  [
    '^dsoftbusd: discovery cross-vm up',
    'dsoftbusd: discovery announce sent',
    'dbg:dsoftbusd: dial fallback no-discovery',
    'dsoftbusd: cross-vm dial start',
    'dbg:netstackd: connect kick would-block',
    'netstackd: rpc connect ok',
    '(dbg:dsoftbusd: hs sid close',
    'dbg:dsoftbusd: hs retry',
    '(dsoftbusd: discovery peer learned\n)*(dbg:netstackd: connect kick ok\n)?netstackd: rpc connect ok',
    ')+dbg:dsoftbusd: hs transport ready',
    'dsoftbusd: cross-vm session ok node-b$',
  ].join('\n'),
);

interface Packet {
  readonly t: number;
  readonly node: NodeName;
  readonly dir: 'tx' | 'rx';
  readonly bytes: Buffer;
}

/** Payloads of the TCP segments that a node sent, in order, without keep-alives. */
function tcpPayloads(packets: readonly Packet[], node: NodeName): readonly string[] {
  return packets.flatMap(({ node: by, dir, bytes }) => {
    if (by !== node || dir !== 'tx' || bytes.readUInt16BE(12) !== 0x0800 || bytes[23] !== 6) return [];
    const payload = bytes.subarray(14 + 20 + ((bytes[46] ?? 0) >> 4) * 4, 14 + bytes.readUInt16BE(16));
    return payload.length > 1 ? [payload.toString('hex')] : [];
  });
}

function fault(text: string): Fault {
  const parsed = parseFault(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** The same scenario, run for so many seconds of virtual time whatever happens. */
function bounded(scenario: Scenario, seconds: number): Scenario {
  const maxVirtualNs = seconds * 1_000_000_000;
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, until: '0', maxVirtualNs })) };
}

const METRICS_FAILS = ['metrics security rejects', 'metrics counters', 'metrics gauges', 'metrics histograms']
  .concat('tracing spans', 'metrics retention')
  .map((what) => `SELFTEST: ${what} FAIL`);

describe('contract', () => {
  const packets: Packet[] = [];
  const contract = bootPair(OS2VM, {
    trace: true,
    listen: (event, node) => {
      if (event.kind === 'packet') packets.push({ t: event.t, node, dir: event.dir, bytes: Buffer.from(event.bytes) });
    },
  });

  it('all markers on both nodes, the harness in its own words, and the run ends with the last one', () => {
    expect(contract.outcome.reasons).toEqual([]);
    expect(contract.outcome).toMatchObject({ passed: true, end: 'goal' });
    expect(contract.outcome.verdict.ladder).toMatchObject({ state: 'passed', seen: 6, required: 6, missing: [] });
    expect(contract.outcome.verdict.ladder.messages).toEqual([
      '[info] Waiting for cross-VM discovery markers...',
      '[info] Waiting for cross-VM session markers...',
      '[info] Waiting for remote proxy markers on Node A...',
      '[info] All required markers observed. Stopping VMs.',
    ]);
    expect(contract.merged.at(-1)).toBe('A: SELFTEST: remote query ok');
    expect(contract.uart.A.endsWith('SELFTEST: remote query ok\r\n')).toBe(true);
  });

  it('A: each task prints its lines of sheet 85, section 12.3, in order; how often it dials is timing', () => {
    expect(session(contract, 'A').join('\n')).toMatch(SESSION_OF_A);
    expect(contract.lines.A).toContain('SELFTEST: remote resolve ok');
  });

  it('B: likewise, and samgrd hears of the call', () => {
    const lines = once(session(contract, 'B'));
    expect(lines).toEqual([
      'dsoftbusd: discovery cross-vm up',
      'dsoftbusd: discovery announce sent',
      'dsoftbusd: cross-vm accept wait',
      'dbg:dsoftbusd: hs transport ready',
      'dsoftbusd: cross-vm session ok node-a',
      'dsoftbusd: remote proxy up',
      'dbg:dsoftbusd: stream read timeout',
      'dbg:dsoftbusd: proxy io retry',
      'dbg:dsoftbusd: stream read timeout',
      'dsoftbusd: remote proxy rx',
      'dsoftbusd: remote proxy ok (peer=node-a service=samgrd)',
      'dsoftbusd: remote proxy ok (peer=node-a service=bundlemgrd)',
    ]);
    const { B } = contract.lines;
    expect(B.indexOf('samgrd: capmove seen')).toBeGreaterThan(B.indexOf('dsoftbusd: remote proxy rx'));
  });

  it('addresses follow from the MACs; nothing of the loopback mode is printed', () => {
    expect(contract.lines.A).toContain('net: smoltcp iface up 10.42.0.10');
    expect(contract.lines.B).toContain('net: smoltcp iface up 10.42.0.11');
    for (const node of ['A', 'B'] as const) {
      const lines = contract.lines[node];
      expect(lines.filter((line) => /dsoftbusd: ready|udp loopback|icmp ping|dsoftbus os connect/.test(line))).toEqual(
        [],
      );
    }
  });

  it('without metricsd its steps fail on a node, and no others do', () => {
    const { A } = contract.lines;
    expect(A.filter((line) => /^SELFTEST: .*FAIL/.test(line))).toEqual(METRICS_FAILS);
  });

  it('child pids are one less than in the default image', () => {
    const pids = contract.lines.A.flatMap((line) => /(?:crash report|child exited) pid=(\d+)/.exec(line)?.[1] ?? []);
    expect(pids.length).toBeGreaterThan(0);
    for (const pid of pids) expect(['33', '34', '35']).toContain(pid);
  });

  it('what crosses the wire is the handshake of sheet 70, section 10.2, then sealed records of its sizes', () => {
    const [m1, m3, resolve, query] = tcpPayloads(packets, 'A');
    expect(m1).toBe('5e1fa81af16f52619ad4be177e85db5a96809cea7119262fe7e2929f3d509a2b');
    expect(m3).toBe(
      '2414907f8a3eede300eb554904d6517b00079813cdaa7b100995feb0e31b48749988bc6b96c21277a99f85337ce90de4a1438c13e97f9c860857acd1e6df0574',
    );
    const [m2, ...responses] = tcpPayloads(packets, 'B');
    expect(m2).toBe(
      'd82cb0b240bd827fd5bcab0918a6679e3dbabd5d4026c6639948ac78d7f510426d8c4616643b7dfca32a1838d810d1ce2da7938f4540e88459234a6fa2edb898c13599503ecb6271c8747450e3079a2513da075597fdb107aeee815a92cd4817',
    );
    expect([resolve, query].map((record) => (record?.length ?? 0) / 2)).toEqual([275, 275]);
    expect(responses.join('').length / 2).toBe(2 * 531);
    // The name that is asked for crosses the wire sealed only.
    const plain = Buffer.from('bundlemgrd').toString('hex');
    expect(tcpPayloads(packets, 'A').join('')).not.toContain(plain);
  });

  it('a frame takes 50 us', () => {
    const sent = packets.filter((packet) => packet.dir === 'tx');
    // A receiver in a turn, or without a free buffer, gets a frame later; never sooner.
    const waits = packets
      .filter((packet) => packet.dir === 'rx')
      .map((got) => {
        const from = sent.filter(({ node, t, bytes }) => node !== got.node && t < got.t && bytes.equals(got.bytes));
        return got.t - (from.at(-1)?.t ?? Infinity);
      });
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(50_000);
    expect(waits.filter((ns) => ns < 150_000).length).toBeGreaterThan(waits.length / 2);
  });

  it('the same bytes again, in small slices and with every polling round simulated', () => {
    const unskipped = { ...OS2VM, machine: { ...OS2VM.machine, skipPolls: false } };
    const again = bootPair(unskipped, { trace: true, slice: 9973 });
    expect(pairBytes(again).map((part, i) => part === pairBytes(contract)[i])).toEqual(
      pairBytes(again).map(() => true),
    );
  });
});

describe('reference', () => {
  const reference = bootPair(withQuirks(OS2VM, 'reference'));

  it("passes, with the lines of sheet 85, section 12.3 in each task's order", () => {
    expect(reference.outcome.reasons).toEqual([]);
    expect(session(reference, 'A').join('\n')).toMatch(SESSION_OF_A);
    expect(once(session(reference, 'B'))).toEqual([
      'dsoftbusd: discovery cross-vm up',
      'dsoftbusd: discovery announce sent',
      'dsoftbusd: cross-vm accept wait',
      'dbg:dsoftbusd: hs transport ready',
      'dsoftbusd: cross-vm session ok node-a',
      'dsoftbusd: remote proxy up',
      'dbg:dsoftbusd: stream read timeout',
      'dbg:dsoftbusd: proxy io retry',
      'dbg:dsoftbusd: stream read timeout',
      'dsoftbusd: remote proxy rx',
      'dsoftbusd: remote proxy ok (peer=node-a service=samgrd)',
      'dsoftbusd: remote proxy ok (peer=node-a service=bundlemgrd)',
    ]);
  });
});

describe('metrics of a session', () => {
  /** Names of dsoftbusd's metrics in the records that logd takes, by node. */
  function metricsIn(scenario: Scenario): readonly string[] {
    const found: string[] = [];
    let kernels: readonly (() => { readonly tasks: readonly { readonly name: string }[] } | null)[] = [];
    const nodes = ['A', 'B'] as const;
    bootPair(scenario, {
      begin: (run) => {
        kernels = nodes.map((node) => () => run.kernelOf(node));
      },
      listen: (event, node) => {
        if (event.kind !== 'ipc-recv') return;
        const tasks = kernels[nodes.indexOf(node)]?.()?.tasks;
        if (tasks?.[event.pid]?.name !== 'logd' || tasks[event.from]?.name !== 'metricsd') return;
        const text = Buffer.from(event.frame).toString('latin1');
        for (const [name] of text.matchAll(/dsoftbusd\.[a-z_.]+/g)) found.push(`${node}: ${name}`);
      },
    });
    return [...new Set(found)].sort();
  }

  const metrics = bounded(shipped('os2vm-metrics'), 2);

  it('arrive in logd under the contract, of both nodes', () => {
    expect(metricsIn(metrics)).toEqual([
      'A: dsoftbusd.handshake.duration_ns',
      'A: dsoftbusd.session.fail',
      'A: dsoftbusd.session.ok',
      'B: dsoftbusd.handshake.duration_ns',
      'B: dsoftbusd.session.ok',
    ]);
  });

  it('vanish in the reference (quirk metrics-unrouted)', () => {
    expect(metricsIn(withQuirks(metrics, 'reference'))).toEqual([]);
  });
});

describe('without its cause a marker does not come', () => {
  const missing = (booted: PairBooted): readonly string[] =>
    booted.outcome.verdict.ladder.missing.map(({ node, marker }) => `${node}/${marker}`);
  const lastMessage = (booted: PairBooted): string => booted.outcome.verdict.ladder.messages.at(-1) ?? '';
  const SESSION = 'dsoftbusd: cross-vm session ok';
  const REMOTE = ['A/SELFTEST: remote resolve ok', 'A/SELFTEST: remote query ok'];

  it('B is never switched on: A discovers nobody, and nothing of B is printed', () => {
    const booted = bootPair(bounded(withNode(OS2VM, 'B', { powerOnNs: null }), 2));
    expect(booted.uart.B).toBe('');
    expect(booted.outcome.nodes[1]).toMatchObject({ name: 'B', virtualNs: null, lines: 0 });
    expect(missing(booted)).toEqual(['B/dsoftbusd: discovery cross-vm up', `A/${SESSION}`, `B/${SESSION}`, ...REMOTE]);
    expect(booted.outcome).toMatchObject({ passed: false, end: 'time', virtualNs: 2_000_000_000 });
    // B's log is empty for ever: the harness can only wait until its time is over.
    expect(lastMessage(booted)).toBe('[error] Missing discovery marker (timeout)');
  });

  it('the cable is cut one way: no session', () => {
    const booted = bootPair(withNodeFaults(OS2VM, 'B', { inject: [fault('packet:dir=rx,do=drop')] }));
    expect(missing(booted)).toEqual([`A/${SESSION}`, `B/${SESSION}`, ...REMOTE]);
    expect(lastMessage(booted)).toBe('[error] Node B ended before session marker');
  });

  it('a key on the wire is another one: the handshake fails on both sides, each time', () => {
    // dsoftbusd of A writes message 1 with one bit of its ephemeral key changed (netstackd's WRITE, data at byte 10).
    const alter = fault('frame:to=net_req,by=dsoftbusd,prefix=4e530105,do=alter,offset=20,bytes=ff');
    const booted = bootPair(bounded(withNodeFaults(OS2VM, 'A', { inject: [alter] }), 2));
    expect(missing(booted)).toEqual([`A/${SESSION}`, `B/${SESSION}`, ...REMOTE]);
    expect(booted.lines.A.filter((line) => line === 'dbg:dsoftbusd: hs retry').length).toBeGreaterThan(3);
  });

  it('both nodes wait for ever: the run is dead at once, and says who waits for whom on each', () => {
    // Without netstackd no timer is left: its DHCP client would ask again every 10 s.
    const faults = { silent: ['selftest-client', 'dsoftbusd', 'netstackd'] };
    const booted = bootPair(withNodeFaults(withNodeFaults(OS2VM, 'A', faults), 'B', faults));
    expect(booted.outcome.end).toBe('dead');
    expect(lastMessage(booted)).toBe('[error] Missing discovery marker (timeout)');
    for (const node of booted.outcome.nodes) expect(node.stall.join('\n')).toContain('who waits for whom');
  });
});

describe('a run of two', () => {
  it('loses what is sent to a machine that is not on yet, and the sender notes it', () => {
    const seen: string[] = [];
    bootPair(bounded(withNode(OS2VM, 'B', { powerOnNs: 300_000_000 }), 0.31), {
      listen: (event, node) => {
        if (event.kind === 'packet') seen.push(`${node} ${event.dir} ${event.bytes.length}`);
        if (event.kind === 'note' && event.service === 'network') seen.push(`${node} ${event.name}: ${event.value}`);
      },
    });
    expect(seen).toEqual(['A tx 304', 'A frame-lost: the other board is off']);
  });

  it('can be stopped by a text on one node: not a byte more, on either', () => {
    const booted = bootPair(until(OS2VM, SESSION_ON_B), { goal: 'text' });
    expect(booted.outcome).toMatchObject({ passed: true, end: 'goal' });
    expect(booted.merged.at(-1)).toBe('B: dsoftbusd: remote proxy up');
    expect(booted.lines.A).toContain('dsoftbusd: cross-vm session ok node-b');
  });

  it('with another seed passes the same ladder', () => {
    const booted = bootPair({ ...until(OS2VM, SESSION_ON_B), seed: '7' }, { goal: 'text' });
    expect(booted.outcome.passed).toBe(true);
  });

  it('passes with other latencies, power-on times and addresses', () => {
    const slow = { ...OS2VM, machine: { ...OS2VM.machine, latency: { minNs: 1_000_000, maxNs: 3_000_000 } } };
    const early = withNode(slow, 'B', { powerOnNs: 0 });
    expect(bootPair(until(early, SESSION_ON_B), { goal: 'text' }).outcome.passed).toBe(true);
    const late = withNode(OS2VM, 'A', { powerOnNs: 300_000_000 });
    expect(bootPair(until(late, SESSION_ON_B), { goal: 'text' }).outcome.passed).toBe(true);
    // B has any other address of the network (quirk Q2), but A looks for it at its own.
    const elsewhere = withNode(OS2VM, 'B', { mac: [0x52, 0x54, 0, 0x12, 0x34, 0x0c] });
    const booted = bootPair(until(elsewhere, 'B/dsoftbusd: cross-vm accept wait'), { goal: 'text' });
    expect(booted.lines.B).toContain('net: smoltcp iface up 10.42.0.12');
  });

  it('a node whose power goes loses what is on its way, and the other goes on', () => {
    const cut = withNodeFaults(OS2VM, 'A', { inject: [fault('power:time=700ms')] });
    const booted = bootPair(bounded(cut, 2));
    expect(booted.outcome.nodes[0]).toMatchObject({ name: 'A', halted: true });
    expect(booted.outcome.nodes[0]!.virtualNs).toBeGreaterThanOrEqual(700_000_000);
    expect(booted.outcome.nodes[0]!.virtualNs).toBeLessThan(701_000_000);
    expect(booted.outcome.end).toBe('time');
    expect(booted.lines.B).toContain('dsoftbusd: cross-vm accept wait');
    expect(booted.lines.B).not.toContain('dsoftbusd: cross-vm session ok node-a');
  });
});
