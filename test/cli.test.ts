/** The command line as its users meet it: the bundle in a process of its own. */
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { DiskFile } from '../bin/disk-file.ts';
import { diskKeys } from '../scenarios/disk.ts';
import { QUIRKS } from '../scenarios/quirks.ts';
import { StagedBlockImage } from '../sim/block-image.ts';
import { parsePcap } from '../sim/net/pcap.ts';
import { boot, observability, shipped } from './boot.ts';
import { bash, nexusSim, startSim, temporaryFolder } from './cli.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
const at = (name: string): string => join(folder.path, name);
/** A marker of the kernel's first lines: a run to it is over at once. */
const EARLY = 'KSELFTEST: spawn reasons ok';

describe('run', () => {
  it('boots the default scenario: UART on stdout, the verdict on stderr, exit 0; files hold what they are named for', () => {
    const words = [
      '--uart-log',
      at('uart.log'),
      '--trace',
      at('trace.jsonl'),
      '--report',
      at('report.json'),
      '--summary',
    ];
    const ran = nexusSim(['run', 'observability', ...words]);
    expect(ran.code).toBe(0);
    const inMemory = boot(observability(), { trace: true });
    expect(ran.stdout).toBe(inMemory.uart);
    expect(readFileSync(at('uart.log'), 'latin1')).toBe(inMemory.uart);
    expect(readFileSync(at('trace.jsonl'), 'utf8')).toBe(`${inMemory.trace.join('\n')}\n`);
    const report = JSON.parse(readFileSync(at('report.json'), 'utf8')) as Record<string, unknown>;
    expect(report).toMatchObject({
      scenario: 'observability',
      passed: true,
      boots: [{ number: 1, end: 'goal', reasons: [] }],
    });
    expect(ran.stderr).toContain('passed: 85 of 85 markers of ladder observability, 3.393 s of virtual time\n');
    expect(ran.stderr).toMatch(/^ {2}ipc-send +\d+$/m);
  });

  it('stops right after the line of --until-marker: not a byte more', () => {
    const marker = 'SELFTEST: metrics counters ok';
    const ran = nexusSim(['run', 'observability', '--until-marker', marker]);
    expect(ran.code).toBe(0);
    expect(ran.stdout.endsWith(`\n${marker}\r\n`)).toBe(true);
    expect(boot(observability()).uart.startsWith(ran.stdout)).toBe(true);
    expect(ran.stdout.match(/SELFTEST: metrics counters ok/g)).toHaveLength(1);
  });

  it('stops after the line even where the marker is only a part of it', () => {
    const ran = nexusSim(['run', 'observability', '--until-marker', 'spawn reasons']);
    expect(ran.code).toBe(0);
    expect(ran.stdout.split('\r\n').at(-2)).toContain('KSELFTEST: spawn reasons ok');
    expect(ran.stdout.endsWith('\r\n')).toBe(true);
  });

  it('looks for a text that is in no ladder all the same, and names the nearest markers', () => {
    const found = nexusSim(['run', 'observability', '--until-marker', '[INFO boot] traps: ok']);
    expect(found.code).toBe(0);
    expect(found.stdout.endsWith('[INFO boot] traps: ok\r\n')).toBe(true);
    const typo = nexusSim(['run', 'observability', '--until-marker', 'SELFTEST: metrics countres ok']);
    expect(typo.code).toBe(1);
    expect(typo.stderr).toContain('SELFTEST: metrics counters ok');
    expect(typo.stderr).toContain('the marker did not come: SELFTEST: metrics countres ok');
  });

  it('a marker that comes after an unexpected failure line is no success', () => {
    const ran = nexusSim(['run', 'observability', '--without', 'metricsd', '--until-marker', 'SELFTEST: ipc soak ok']);
    expect(ran.code).toBe(1);
    expect(ran.stdout.endsWith('SELFTEST: ipc soak ok\r\n')).toBe(true);
    expect(ran.stderr).toContain('6 FAIL line(s) came before');
  });

  it('--phase stops when the ladder is complete up to there', () => {
    const ran = nexusSim(['run', 'observability', '--phase', 'bring-up']);
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('metricsd: ready');
    expect(ran.stdout).not.toContain('SELFTEST: qos ok');
  });

  it('--phase beside --until-marker: stops at the line, judged by the ladder up to the phase', () => {
    const words = ['run', 'observability', '--phase', 'storage'];
    const whole = nexusSim([...words, '--until-marker', '1']);
    expect(whole.code).toBe(0);
    const early = nexusSim([...words, '--until-marker', EARLY]);
    expect(early.stdout.trimEnd().endsWith(EARLY)).toBe(true);
    expect(early.code).toBe(1);
    expect(early.stderr).toContain('missing marker (storage): ');
  });

  it('--until-marker 1 and 0 are no text: the run is judged by its ladder', () => {
    for (const until of ['0', '1']) {
      const ran = nexusSim(['run', 'observability', '--until-marker', until]);
      expect(ran.stderr).toMatch(/^passed: 85 of 85 markers of ladder observability/);
      expect(ran.code).toBe(0);
    }
  });

  it('exits 1 and says why where a cause is missing, and 0 where the scenario expects that', () => {
    const denied = nexusSim(['run', 'observability', '--deny', 'metricsd:statefs.write']);
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain('missing marker (metrics): SELFTEST: metrics retention ok');
    expect(nexusSim(['run', 'metricsd-no-store']).code).toBe(0);
  });

  it('--seed and --quirks change what they name', () => {
    const seeded = nexusSim([
      'run',
      'observability',
      '--seed',
      '5',
      '--quirks',
      'ready-before-proof',
      '--until-marker',
      EARLY,
    ]);
    expect(seeded.code).toBe(0);
  });

  it('--no-poll-skipping gives the same bytes', () => {
    const words = ['run', 'observability', '--until-marker', 'SELFTEST: keystored v1 ok'];
    expect(nexusSim([...words, '--no-poll-skipping']).stdout).toBe(nexusSim(words).stdout);
  });

  it('runs a scenario file of the user, from any folder', () => {
    writeFileSync(
      at('mine.toml'),
      `image = "observability"\n[stop]\nuntil-marker = "${EARLY}"\n[expect]\nmissing = []\n`,
    );
    const ran = nexusSim(['run', 'mine.toml', '--until-marker', EARLY], { cwd: folder.path });
    expect(ran.code).toBe(0);
  });

  it('ends a dead end at once and says who waits for whom', () => {
    writeFileSync(at('dead.toml'), 'image = "observability"\n[machine]\nicount = 2\n[faults]\nsilent = ["metricsd"]\n');
    const ran = nexusSim(['run', at('dead.toml')]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain('failed after 1.318 s of virtual time (dead)');
    expect(ran.stderr).toMatch(/at 1\.31\d+ s: who waits for whom/);
    expect(ran.stderr).toContain('selftest-client (pid 25) waits for a message');
  });
});

describe('two machines', () => {
  const words = ['--until-marker', 'B/dsoftbusd: remote proxy up'];

  it("stdout has the lines of both in the order of time, each with its node; files hold each node's own bytes", () => {
    const files = ['--uart-log', at('pair.log'), '--pcap', at('pair.pcap'), '--trace', at('pair.jsonl')];
    const report = ['--report', at('pair.json'), '--disk', at('pair.img'), '--summary'];
    const ran = nexusSim(['run', 'os2vm', ...words, ...files, ...report]);
    expect(ran.code).toBe(0);
    expect(ran.stdout.endsWith('\nB: dsoftbusd: remote proxy up\r\n')).toBe(true);
    for (const node of ['A', 'B']) {
      const own = ran.stdout.match(new RegExp(`^${node}: .*\\r?\\n`, 'gm')) ?? [];
      expect(readFileSync(at(`pair-${node}.log`), 'latin1')).toBe(own.map((line) => line.slice(3)).join(''));
      expect(statSync(at(`pair-${node}.img`)).size).toBe(67_108_864);
    }
    expect(
      ran.stdout
        .split('\n')
        .slice(0, -1)
        .every((line) => /^[AB]: /.test(line)),
    ).toBe(true);
    const events = readFileSync(at('pair.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { t: number; node: string; kind: string; bytes: string });
    expect(Object.keys(events[0]!).slice(0, 4)).toEqual(['t', 'pid', 'kind', 'node']);
    expect(events.every((event, index) => index === 0 || event.t >= events[index - 1]!.t)).toBe(true);
    for (const node of ['A', 'B']) {
      const frames = parsePcap(readFileSync(at(`pair-${node}.pcap`)));
      const packets = events.filter((event) => event.kind === 'packet' && event.node === node);
      expect(packets.length).toBeGreaterThan(10);
      expect(frames).toEqual(
        packets.map(({ t, bytes }) => ({
          seconds: 0,
          ns: Math.floor(t / 1000) * 1000,
          bytes: Buffer.from(bytes, 'hex'),
          length: bytes.length / 2,
        })),
      );
    }
    expect(JSON.parse(readFileSync(at('pair.json'), 'utf8'))).toMatchObject({
      scenario: 'os2vm',
      passed: true,
      end: 'goal',
    });
    expect(ran.stderr).toContain('passed: "B/dsoftbusd: remote proxy up" was printed, ');
    expect(ran.stderr).toMatch(/^node B: \d+ lines, .* of virtual time since its power-on$/m);
  });

  it('--variant os2vm is the same run; --seed changes nothing in it but chance', () => {
    const ran = nexusSim(['run', '--variant', 'os2vm', '--seed', '3', ...words]);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('passed: ');
  });

  it('a verdict in the words of the harness, exit 1; what is meant for one node changes that one', () => {
    const cut = ['--fault', 'B/packet:dir=rx,do=drop', '--without', 'A/metricsd'];
    const ran = nexusSim(['run', 'os2vm-metrics', ...cut, '--max-virtual-time', '1s']);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain(
      '[info] Waiting for cross-VM session markers...\n[error] Missing session marker (timeout)\n',
    );
    expect(ran.stderr).toContain('missing marker: B/dsoftbusd: cross-vm session ok\n');
    expect(ran.stderr).toMatch(/^ {2}node B, at 0\.\d+ s: who waits for whom$/m);
    expect([ran.stdout.includes('A: init: start metricsd'), ran.stdout.includes('B: init: start metricsd')]).toEqual([
      false,
      true,
    ]);
  });

  it('ladder --variant os2vm prints its steps, or JSON', () => {
    const text = nexusSim(['ladder', '--variant', 'os2vm']).stdout.split('\n');
    expect(text[0]).toBe('ladder os2vm: 4 steps, in order');
    expect(text[1]).toBe('   1   A and B   dsoftbusd: discovery cross-vm up');
    expect(JSON.parse(nexusSim(['ladder', '--variant', 'os2vm', '--json']).stdout)).toMatchObject({
      nodes: ['A', 'B'],
    });
  });
});

describe('disk', () => {
  it('two processes on one --disk: the second finds the keys of the first', () => {
    const disk = at('blk.img');
    const first = nexusSim(['run', 'observability', '--disk', disk]);
    const second = nexusSim(['run', 'observability', '--disk', disk]);
    expect([first.code, second.code]).toEqual([0, 0]);
    const generated = [first, second].map((ran) => ran.stdout.includes('keystored: device key generated'));
    expect(generated).toEqual([true, false]);
    expect(statSync(disk).size).toBe(67_108_864);
    expect(statSync(disk).blocks).toBeLessThan(256);
    expect(existsSync(`${disk}.redo`)).toBe(false);
    expect(nexusSim(['run', 'reboot', '--disk', at('both.img')]).code).toBe(0);
  });

  it('a process killed at any moment leaves a disk that boots, with whole values', async () => {
    const disk = at('killed.img');
    for (const count of [1, 20_000, 28_000, 33_000, 45_000]) {
      const running = startSim(['run', 'reboot', '--disk', disk, '--max-virtual-time', '30s']);
      await running.bytes(count);
      running.child.kill('SIGKILL');
      await running.ended;
      const file = DiskFile.open(disk);
      expect(diskKeys(new StagedBlockImage(file))).not.toBeNull();
      file.close();
    }
    const after = nexusSim(['run', 'observability', '--disk', disk]);
    expect(after.stderr).toContain('passed: 85 of 85');
    expect(after.code).toBe(0);
  });

  it('a host disk that is full: IOERR to the guest, exit 2, the last flush intact', () => {
    const disk = at('full.img');
    expect(nexusSim(['run', 'observability', '--disk', disk]).code).toBe(0);
    const before = readFileSync(disk);
    // Files of this process may not grow past 2 KiB: the redo log, which comes first, does not fit.
    const ran = bash('ulimit -f 2; $SIM run --disk full.img', { cwd: folder.path });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/nexus-sim: --disk full\.img\.redo: (file too large|no space left on device)\n$/);
    expect(ran.stdout).toContain('SELFTEST: statefs persist FAIL');
    expect(readFileSync(disk).equals(before)).toBe(true);
    expect(readdirSync(folder.path).filter((name) => name.startsWith('full.img'))).toEqual(['full.img']);
    expect(nexusSim(['run', 'observability', '--disk', disk]).code).toBe(0);
  });
});

/** Netstackd polls for ever, and every round of a hundred hours is executed: it is not over before a signal comes. */
const ENDLESS = ['run', '--no-poll-skipping', '--until-marker', 'no such line', '--max-virtual-time', '100h'];

/** An endless run with these words, and what became of it after Ctrl-C. */
async function interrupted(words: readonly string[]): Promise<Awaited<ReturnType<typeof startSim>['ended']>> {
  const running = startSim([...ENDLESS, ...words]);
  await running.bytes(30_000);
  running.child.kill('SIGINT');
  const ran = await running.ended;
  expect(ran.signal).toBeNull();
  expect(ran.code).toBe(1);
  return ran;
}

describe('interruption', () => {
  it('SIGINT: exit 1, what was printed is in the files, the disk is whole', async () => {
    const words = [
      '--uart-log',
      at('int.log'),
      '--trace',
      at('int.jsonl'),
      '--report',
      at('int.json'),
      '--disk',
      at('int.img'),
    ];
    const ran = await interrupted(words);
    expect(ran.stderr).toContain('(interrupted)');
    expect(readFileSync(at('int.log'), 'latin1')).toBe(ran.stdout);
    const trace = readFileSync(at('int.jsonl'), 'utf8');
    expect(trace.endsWith('\n')).toBe(true);
    for (const line of trace.trimEnd().split('\n').slice(-50)) expect(() => JSON.parse(line) as unknown).not.toThrow();
    expect(JSON.parse(readFileSync(at('int.json'), 'utf8'))).toMatchObject({
      passed: false,
      boots: [{ end: 'interrupted' }],
    });
    expect(nexusSim(['run', '--disk', at('int.img')]).code).toBe(0);
  });

  it('SIGINT with two machines: exit 1, each node has what it printed', async () => {
    const words = ['--uart-log', at('pair.log'), '--report', at('pair.json'), '--color', 'never'];
    const ran = await interrupted(['os2vm', ...words]);
    expect(ran.stderr).toContain('interrupted');
    for (const node of ['A', 'B']) {
      const shown = ran.stdout.split('\n').flatMap((line) => (line.startsWith(`${node}: `) ? [line.slice(3)] : []));
      expect(readFileSync(at(`pair-${node}.log`), 'latin1').trimEnd()).toBe(shown.join('\n').trimEnd());
    }
    expect(JSON.parse(readFileSync(at('pair.json'), 'utf8'))).toMatchObject({ passed: false, end: 'interrupted' });
  });

  it('a disk is one run at a time; a killed one leaves it to the next', async () => {
    const running = startSim([...ENDLESS, '--disk', at('one.img')]);
    await running.bytes(20_000);
    const second = nexusSim(['run', '--disk', at('one.img')]);
    expect(second).toMatchObject({ code: 2, stdout: '' });
    const place = `--disk ${at('one.img')}: in use by process ${running.child.pid} `;
    expect(second.stderr).toBe(`nexus-sim: ${place}(if that is no nexus-sim, remove ${at('one.img')}.lock)\n`);
    running.child.kill('SIGKILL');
    await running.ended;
    expect(nexusSim(['run', '--disk', at('one.img')]).code).toBe(0);
    expect(readdirSync(folder.path).filter((name) => name.startsWith('one.img'))).toEqual(['one.img']);
  });

  it('a reader that closes the pipe is no error', () => {
    const ran = bash('$SIM run 2>err.txt | head -1; echo "${PIPESTATUS[0]}"', { cwd: folder.path });
    expect(ran.stdout).toBe('[INFO boot] boot: ok\r\n0\n');
    expect(readFileSync(at('err.txt'), 'utf8')).not.toContain('internal error');
  });
});

describe('help and tables', () => {
  it('--version prints the version of the package', () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(nexusSim(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('--help has examples and exit codes, for each command', () => {
    const help = nexusSim(['--help']);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('Exit codes: 0 passed, 1 verdict failed, 2 bad usage or input, 70 internal error.');
    for (const command of ['run', 'ladder', 'quirks']) {
      const own = nexusSim([command, '--help']);
      expect(own.code).toBe(0);
      expect(own.stdout).toMatch(/\nExamples?:\n {2}\$ nexus-sim /);
      expect(help.stdout).toContain(`  ${command} `);
    }
  });

  it('the examples of the help run', () => {
    const examples = ['--help', 'run --help', 'ladder --help', 'quirks --help']
      .flatMap((words) => nexusSim(words.split(' ')).stdout.split('\n'))
      .flatMap((line) => /^ {2}\$ (nexus-sim .*?)(?: {3,}|$)/.exec(line)?.[1] ?? []);
    expect(examples.length).toBeGreaterThanOrEqual(10);
    // Those that take a cause away fail by intention.
    const failing = examples.filter((line) => /--without|--deny/.test(line));
    expect(failing).toHaveLength(2);
    for (const line of examples) {
      const ran = bash(line.replaceAll('nexus-sim', '$SIM'), { cwd: folder.path });
      expect(ran.code, line).toBe(failing.includes(line) ? 1 : 0);
    }
  }, 240_000);

  it('ladder prints markers with order and phase, or JSON', () => {
    const text = nexusSim(['ladder', '--variant', 'observability']).stdout.split('\n');
    expect(text[0]).toBe('ladder observability: 85 markers (o = order-enforced)');
    expect(text[1]).toMatch(/^ {3}0 {3}bring-up {2}neuron vers\.$/);
    expect(nexusSim(['ladder']).stdout).toContain('ladder default: 128 markers');
    const json = JSON.parse(nexusSim(['ladder', '--variant', 'observability', '--json']).stdout) as {
      markers: string[];
    };
    expect(json.markers).toHaveLength(85);
  });

  it('quirks prints the table, or JSON', () => {
    const text = nexusSim(['quirks']).stdout;
    for (const quirk of QUIRKS) expect(text).toContain(quirk.name);
    expect(JSON.parse(nexusSim(['quirks', '--json']).stdout)).toEqual(QUIRKS);
  });

  it('colours only where asked for', () => {
    const red = '\x1b[';
    expect(nexusSim(['ladder']).stdout).not.toContain(red);
    expect(nexusSim(['--color', 'always', 'ladder']).stdout).toContain(red);
    expect(nexusSim(['--color', 'always', 'ladder'], { env: { NO_COLOR: '1' } }).stdout).toContain(red);
    expect(nexusSim(['--color', 'never', 'ladder'], { env: { FORCE_COLOR: '1' } }).stdout).not.toContain(red);
    expect(nexusSim(['ladder'], { env: { NO_COLOR: '1' } }).stdout).not.toContain(red);
  });
});

describe('bad input: one line that names the place and what was expected, exit 2, nothing written', () => {
  const FILES: Readonly<Record<string, string | Buffer>> = {
    'unknown-key.toml': 'image = "observability"\n[stop]\nuntil_marker = "x"\n',
    'wrong-type.toml': 'image = "observability"\nseed = "one"\n',
    'no-toml.toml': 'image = \n',
    'no-image.toml': 'seed = 1\n',
    'other-image.toml': 'image = "windows"\n',
    'harts.toml': 'image = "observability"\n[machine]\nharts = 5\n',
    'icount.toml': 'image = "observability"\n[machine]\nicount = -1\n',
    'time.toml': 'image = "observability"\n[stop]\nmax-virtual-time = "5 parsecs"\n',
    'service.toml': 'image = "observability"\n[[boot]]\n[[boot]]\nfaults = { silent = ["logd", "printerd"] }\n',
    'grant.toml': 'image = "observability"\n[faults]\ndeny = ["metricsd"]\n',
    'boots.toml': `image = "observability"\n${'[[boot]]\n'.repeat(17)}`,
    'binary.toml': Buffer.from([0xff, 0xfe, 0x00]),
    'odd.img': Buffer.alloc(1000),
  };
  const other = temporaryFolder();
  afterAll(other.remove);
  for (const [name, content] of Object.entries(FILES)) writeFileSync(join(other.path, name), content);
  const contents = (): readonly string[] => readdirSync(other.path).sort();

  it.each<readonly [string, RegExp]>([
    ['run nosuch', /^nexus-sim: scenario nosuch: expected one of default, dhcp, .*, or the path of a \.toml file\n$/],
    ['run ./nosuch.toml', /^nexus-sim: \.\/nosuch\.toml: expected a readable scenario file \(no such file\)\n$/],
    [
      'run unknown-key.toml',
      /^nexus-sim: unknown-key\.toml: stop\.until_marker: unknown key; expected one of until-marker, phase, max-virtual-time\n$/,
    ],
    [
      'run wrong-type.toml',
      /^nexus-sim: wrong-type\.toml: seed: expected a whole number from 0 to 9007199254740991\n$/,
    ],
    ['run no-toml.toml', /^nexus-sim: no-toml\.toml:1: .*; expected a TOML document\n$/],
    ['run no-image.toml', /^nexus-sim: no-image\.toml: image: expected a string .*\n$/],
    [
      'run other-image.toml',
      /^nexus-sim: other-image\.toml: image: expected one of default, observability, os2vm, os2vm-metrics\n$/,
    ],
    ['run harts.toml', /^nexus-sim: harts\.toml: machine\.harts: expected a whole number from 1 to 4\n$/],
    ['run icount.toml', /^nexus-sim: icount\.toml: machine\.icount: expected a whole number from 0 to 10\n$/],
    ['run time.toml', /^nexus-sim: time\.toml: stop\.max-virtual-time: expected a duration such as .*\n$/],
    ['run service.toml', /^nexus-sim: service\.toml: boot\[1\]\.faults\.silent\[1\]: expected one of keystored, .*\n$/],
    ['run grant.toml', /^nexus-sim: grant\.toml: faults\.deny\[0\]: expected SUBJECT:CAPABILITY, .*\n$/],
    ['run boots.toml', /^nexus-sim: boots\.toml: boot: expected at most 16 boots\n$/],
    ['run binary.toml', /^nexus-sim: binary\.toml: expected UTF-8 text\n$/],
    [
      'run --disk odd.img',
      /^nexus-sim: --disk odd\.img: expected a size that is a multiple of 512 bytes, found 1000\n$/,
    ],
    ['run --disk .', /^nexus-sim: --disk \.: expected a regular file\n$/],
    ['run --disk odd.img/x', /^nexus-sim: --disk odd\.img\/x: .*a part of the path is not a directory.*\n$/],
    ['run --seed minus', /^nexus-sim: --seed minus: expected a whole number from 0 to 9007199254740991\n$/],
    ['run --seed 1.5', /^nexus-sim: --seed 1\.5: expected a whole number/],
    ['run --smp 5', /^nexus-sim: --smp 5: expected a whole number from 1 to 4\n$/],
    ['run --smp 0', /^nexus-sim: --smp 0: expected a whole number from 1 to 4\n$/],
    ['run --max-virtual-time 5', /^nexus-sim: --max-virtual-time 5: expected a duration such as .*\n$/],
    ['run --max-virtual-time 0s', /^nexus-sim: --max-virtual-time 0s: expected a duration such as .*\n$/],
    [
      'run --quirks reverence',
      /^nexus-sim: --quirks: unknown quirk "reverence": expected none, reference, or names .*\n$/,
    ],
    ['run --without printerd', /^nexus-sim: --without printerd: expected one of keystored, .*\n$/],
    ['run --deny metricsd', /^nexus-sim: --deny metricsd: expected SUBJECT:CAPABILITY, .*\n$/],
    ['run --allow :x', /^nexus-sim: --allow :x: expected SUBJECT:CAPABILITY, .*\n$/],
    [
      'run --phase dinner',
      /^nexus-sim: --phase dinner: expected one of bring-up, mmio, routing, ota, policy, logd, vfs, end\n$/,
    ],
    [
      'run --uart-log no/where.log',
      /^nexus-sim: --uart-log no\/where\.log: expected a writable file \(no such file\)\n$/,
    ],
    [
      'run --uart-log new.log --trace new.jsonl --report no/x.json',
      /^nexus-sim: --report no\/x\.json: expected a writable file/,
    ],
    [
      'run --uart-log new.log --disk no/blk.img',
      /^nexus-sim: --disk no\/blk\.img: expected a readable and writable file/,
    ],
    ['run --disk new.img --uart-log no/where.log', /^nexus-sim: --uart-log no\/where\.log: expected a writable file/],
    [
      'run --uart-log same --trace ./same',
      /^nexus-sim: --trace \.\/same: expected another file than that of --uart-log\n$/,
    ],
    ['run os2vm --phase mmio', /^nexus-sim: --phase mmio: expected none: ladder os2vm has no phases\n$/],
    ['run os2vm --without B/printerd', /^nexus-sim: --without B\/printerd: expected one of logd, updated, .*\n$/],
    ['run os2vm --without C/logd', /^nexus-sim: --without C\/logd: expected one of logd, updated, .*\n$/],
    ['run --without A/logd', /^nexus-sim: --without A\/logd: expected one of keystored, .*\n$/],
    ['run os2vm --variant dhcp', /^nexus-sim: --variant dhcp: expected os2vm, or none with image os2vm\n$/],
    [
      'run observability --variant os2vm',
      /^nexus-sim: --variant os2vm: expected another variant, or scenario os2vm with image observability\n$/,
    ],
    [
      'run os2vm --uart-log x.log --pcap x.log',
      /^nexus-sim: --pcap x-A\.log: expected another file than that of --uart-log\n$/,
    ],
    ['run --frobnicate', /^nexus-sim: unknown option '--frobnicate'\n$/],
    ['run one two', /^nexus-sim: too many arguments for 'run'\. Expected 1 argument but got 2\.\n$/],
    ['run --until-marker', /^nexus-sim: option '--until-marker <text>' argument missing\n$/],
    [`run --until-marker ${'x'.repeat(241)}`, /^nexus-sim: --until-marker: expected a text of 1 to 240 characters\n$/],
    ['dance', /^nexus-sim: unknown command 'dance'\n$/],
    [
      'ladder --variant os3vm',
      /^nexus-sim: --variant os3vm: expected one of default, dhcp, dhcp-strict, dsoftbus, observability, os2vm, smp\n$/,
    ],
    [
      '--color sometimes ladder',
      /^nexus-sim: option '--color <when>' argument 'sometimes' is invalid\. Allowed choices are auto, always, never\.\n$/,
    ],
  ])('%s', (line, message) => {
    const before = contents();
    const ran = nexusSim(line.split(' '), { cwd: other.path });
    expect(ran.stderr).toMatch(message);
    expect(ran.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(ran.stdout).toBe('');
    expect(ran.code).toBe(2);
    expect(contents()).toEqual(before);
  });

  it('an existing log is not emptied by a run that never starts', () => {
    writeFileSync(at('kept.log'), 'kept\n');
    expect(nexusSim(['run', 'observability', '--uart-log', at('kept.log'), '--trace', at('no/x')]).code).toBe(2);
    expect(readFileSync(at('kept.log'), 'utf8')).toBe('kept\n');
    expect(nexusSim(['run', 'observability', '--uart-log', at('kept.log'), '--until-marker', EARLY]).code).toBe(0);
    expect(readFileSync(at('kept.log'), 'utf8')).not.toContain('kept');
  });

  it('a log that cannot grow ends the run with exit 2', () => {
    const ran = bash('ulimit -f 1; $SIM run --uart-log small.log', { cwd: folder.path });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/nexus-sim: --uart-log small\.log: cannot write \(file too large\)\n$/);
  });

  it('a marker that every line contains is none', () => {
    const ran = nexusSim(['run', '--until-marker', '']);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toBe('nexus-sim: --until-marker: expected a text of 1 to 240 characters\n');
  });

  it('no command at all prints the help', () => {
    const ran = nexusSim([]);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('Usage: nexus-sim [options] [command]');
  });
});

describe('shipped scenarios on the command line', () => {
  it('every name that an error lists can be run', () => {
    const listed = /expected one of (.*), or the path/.exec(nexusSim(['run', 'nosuch']).stderr)?.[1]?.split(', ') ?? [];
    expect(listed).toContain('observability');
    expect(listed).toContain('reboot');
    for (const name of listed) expect(shipped(name).name).toBe(name);
  });
});
