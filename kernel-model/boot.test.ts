import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from './abi.ts';
import { bootSequence } from './boot.ts';
import type { BootParts } from './boot.ts';
import { firmwareBanner } from './firmware-banner.ts';
import { writeElf } from './synthetic-elf.ts';
import { REFERENCE, testInitElf, testMachine } from './test-kit.ts';
import type { TestMachine, TestSetup } from './test-kit.ts';

const LOG = new URL('../markers/fixtures/uart-default.log', import.meta.url);
const reference = readFileSync(LOG, 'latin1');
const byteOffset = reference.indexOf('[INFO boot] boot: ok');

function boot(setup: TestSetup & { parts?: BootParts } = {}): TestMachine {
  const machine = testMachine({
    programs: {
      'init-lite': function* (sys) {
        yield sys.print('UB!init-lite entry\n');
        for (;;) yield sys.getpid();
      },
    },
    ...setup,
    boot: bootSequence(setup.parts),
  });
  machine.kernel.run({ untilNs: Infinity, maxSteps: 2000 });
  return machine;
}

/** One service of the reference log: its lines between `init: start` and `init: up`, and what they tell of its file. */
interface LoggedService {
  readonly name: string;
  readonly lines: readonly string[];
  readonly entry: number;
  readonly gp: number;
  readonly meta: number;
}

const loggedServices: readonly LoggedService[] = [
  ...reference.matchAll(/^init: start (\S+)\r\n([^]*?)^init: (?:updated ctrl|up) /gm),
].map(([, name = '', block = '']) => ({
  name,
  lines: block.trimEnd().split('\r\n'),
  entry: Number(/sepc=(\S+)/.exec(block)?.[1]),
  gp: Number(/gp\(x3\)=(\S+)/.exec(block)?.[1]),
  meta: Number(/pa=(\S+)/.exec(block)?.[1]),
}));
const STACK_PAGES = 8;

/** A file that takes the same pages as the logged one: a page of text, the rest data up to gp's segment. */
function sameShape(service: LoggedService, arena: number): Uint8Array {
  const pages = (service.meta - arena) / 4096 - STACK_PAGES - 11;
  const data = service.gp - 0x800;
  return writeElf({
    entry: service.entry,
    segments: [
      { vaddr: service.entry - (service.entry % 4096), memsz: 4096, flags: 5 },
      { vaddr: data, memsz: (pages - 1) * 4096 - (data % 4096), flags: 6 },
    ],
    program: 'service',
  });
}

describe('boot', () => {
  it('prints rows 1 to 57 of the reference log, byte for byte', () => {
    const text = boot().text();
    const expected = reference.slice(byteOffset, byteOffset + text.length);
    expect(text.split('\n')).toEqual(expected.split('\n'));
    expect(text.endsWith('UB!init-lite entry\r\n')).toBe(true);
    expect(text.split('\n')).toHaveLength(314 + 1 + 1);
  });

  it('prints the same with every quirk of the reference', () => {
    const text = boot({ options: { ...REFERENCE, loneReceiverEinval: false } }).text();
    expect(text).toBe(reference.slice(byteOffset, byteOffset + text.length));
  });

  it('starts the 16 services with the lines of the reference log, and activates them with its satp values', () => {
    expect(loggedServices.map((service) => service.name)).toHaveLength(16);
    const started: (readonly string[])[] = [];
    const holder: { machine: TestMachine | null } = { machine: null };
    const machine = testMachine({
      programs: {
        'init-lite': function* (sys) {
          for (const service of loggedServices) {
            holder.machine?.clear();
            const elf = sameShape(service, holder.machine?.memory.arena.cursor ?? 0);
            yield sys.execV2(elf, STACK_PAGES, 0, service.name);
            started.push(holder.machine?.lines() ?? []);
          }
          holder.machine?.clear();
          for (;;) yield sys.yieldCpu();
        },
        service: function* (sys) {
          for (;;) yield sys.yieldCpu();
        },
      },
      boot: bootSequence(),
    });
    holder.machine = machine;
    machine.kernel.run({ untilNs: Infinity, maxSteps: 2000 });
    expect(started).toEqual(loggedServices.map((service) => service.lines));
    const after = reference.slice(reference.indexOf('init: probe key_req self-xfer RECV'));
    const activations = [...after.matchAll(/AS: activating satp=(\S+)/g)].map((match) => match[1]);
    const seen = [...machine.text().matchAll(/AS: activating satp=(\S+)/g)].map((match) => match[1]);
    expect(seen).toEqual(activations);
    expect(machine.kernel.tasks.slice(18).map((task) => task.name)).toEqual(loggedServices.map(({ name }) => name));
  });

  it('leaves the state of sheet 10, section 1.5', () => {
    const { kernel, memory } = boot();
    const { router, tasks } = kernel;
    expect(router.endpoints).toHaveLength(15);
    expect(router.endpoints.map((endpoint) => endpoint.count)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]);
    expect(router.endpoints.filter((endpoint) => !endpoint.alive).map((endpoint) => endpoint.id)).toEqual([13, 14]);
    expect(memory.arena.cursor).toBe(0x8100_1000);
    expect(tasks).toHaveLength(18);
    expect(tasks.slice(0, 17).every((task) => task.state !== 'ready')).toBe(true);
    expect(tasks[0]?.blockKind).toBe('wait');
    expect(tasks.slice(14).map((task) => task.addressSpace)).toEqual([3, 4, 5, 6]);
    expect(kernel.scheduler.linesLeft).toBe(32 - 6);
    const init = tasks[17]!;
    expect(init.serviceId).toBe(serviceIdOf('init-lite'));
    expect([...init.caps.entries()]).toEqual([
      [0, { kind: 'endpoint', endpoint: 0, rights: 3 }],
      [1, { kind: 'factory', rights: 8 }],
    ]);
    expect([...tasks[0]!.caps.entries()].map(([slot, cap]) => [slot, cap.kind])).toEqual([
      [0, 'endpoint'],
      [1, 'vmo'],
      [2, 'factory'],
      [3, 'vmo'],
      [4, 'vmo'],
    ]);
  });

  it('stops exactly between two lines', () => {
    const machine = testMachine({ boot: bootSequence() });
    // The firmware's time is a step of its own.
    machine.kernel.run({ untilNs: Infinity, maxSteps: 1 });
    expect(machine.text()).toBe('');
    expect(machine.kernel.clock.now).toBe(machine.kernel.costs.firmware);
    machine.kernel.run({ untilNs: Infinity, maxSteps: 3 });
    expect(machine.text()).toBe(
      '[INFO boot] boot: ok\r\n[INFO boot] traps: ok\r\n[INFO boot] boot: returning to wrapper\r\n',
    );
  });

  it('continues into an empty idle loop when init does not load', () => {
    const cases: readonly (readonly [Uint8Array, string])[] = [
      [new Uint8Array(10), 'elf too short'],
      [new Uint8Array(100), 'bad elf magic'],
    ];
    for (const [initElf, error] of cases) {
      const machine = boot({ image: { initElf } });
      expect(machine.text()).toContain(`[INFO selftest] KSELFTEST: init load failed: ${error}\r\n`);
      expect(machine.lines().at(-1)).toBe('[INFO kmain] KMAIN: skip S-mode task pid=16 (SPP=1)');
      expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 10 })).toBe('dead');
    }
  });

  it('panics when init needs more pages than the mapped window of its pool', () => {
    const initElf = writeElf({
      entry: 0x1040_0000,
      segments: [{ vaddr: 0x1040_0000, memsz: 513 * 4096, flags: 6 }],
      program: 'init-lite',
    });
    const machine = boot({ image: { initElf } });
    expect(machine.text()).toMatch(
      /KPGF sepc=\S+ stval=0x0000000080800000 .*\n\r\nPANIC: .*: KPGF\r\nPANIC ra=\S+\r\n$/,
    );
    expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 10 })).toBe('dead');
  });

  it('never throws on a hostile init', () => {
    const valid = testInitElf('init-lite');
    const edit = fc.record({
      at: fc.nat({ max: valid.length - 8 }),
      value: fc.oneof(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.constantFrom(0n, 1n, 0xfffn, 0x8000_0000n, 2n ** 63n, 2n ** 64n - 4096n),
      ),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const initElf = valid.slice();
        const view = new DataView(initElf.buffer);
        for (const { at, value } of edits) view.setBigUint64(at, value, true);
        const text = boot({ image: { initElf }, options: { kselftestUnchecked: true } }).text();
        expect(text).toMatch(/KSELFTEST: (init loaded|init load failed: )|: KPGF/);
      }),
      { seed: 20240, numRuns: 40 },
    );
  });

  it('has the firmware banner of the reference log as data', () => {
    expect(firmwareBanner(1)).toBe(reference.slice(0, byteOffset));
    expect(firmwareBanner(2)).toContain(
      'Firmware Heap Size        : 37 KB (total), 2 KB (reserved), 11 KB (used), 23 KB (free)\r\n',
    );
    expect(firmwareBanner(2)).toContain('Domain0 HARTs             : 0*,1*\r\n');
  });
});
