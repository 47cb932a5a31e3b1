/** execd, its children and logd under the real kernel: pages, instructions, frames. Init is a small stand-in. */
import { describe, expect, it } from 'vitest';
import { NONBLOCK, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import { hartBodies } from '../../kernel-model/hart-task.ts';
import type { KernelOptions } from '../../kernel-model/image.ts';
import { Kernel } from '../../kernel-model/kernel.ts';
import { kernelMemory } from '../../kernel-model/kernel-memory.ts';
import { REFERENCE_ADDRESSES } from '../../kernel-model/layout.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { CONTRACT } from '../../kernel-model/test-kit.ts';
import { addTask, endpointCap, grant, newEndpoint } from '../../kernel-model/testing.ts';
import { assemble } from '../../sim/hart/asm.ts';
import { Bus } from '../../sim/bus.ts';
import { Clock } from '../../sim/clock.ts';
import { Ram } from '../../sim/ram.ts';
import { Trace } from '../../sim/trace.ts';
import { decodeExecCheck, encodeExecResponse } from '../init/wire.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';
import { LOGD_CONTRACT, logdProgram } from '../logd/main.ts';
import { METRICSD_CONTRACT, metricsdProgram } from '../metricsd/main.ts';
import { execdProgram } from './main.ts';
import { execdContract, execdReference } from './options.ts';
import type { ExecdOptions } from './options.ts';
import { payloadImages } from './images.ts';
import { writeStaticElf } from './payloads/static-elf.ts';
import { claimedPid, decodeReply, encodeRequest, requester } from './wire.ts';
import type { ExecdReply } from './wire.ts';

const S = 1_000_000_000;

/** What the client does with execd; it yields where it waits. */
type Client = (ask: Ask, sys: Sys) => Call<void>;
type Ask = (frame: Uint8Array) => Call<ExecdReply>;

const exec = (image: number): Uint8Array =>
  encodeRequest({ op: 'exec_image', image, stackPages: 4, requester: requester(ascii('selftest-client'))! });
const wait = (pid: number): Uint8Array => encodeRequest({ op: 'wait_pid', pid: claimedPid(pid) });

interface Outcome {
  readonly kernel: Kernel;
  /** Lines of the UART. */
  readonly lines: readonly string[];
}

const ROUTES: Readonly<Record<string, readonly [number, number]>> = {
  execd: [4, 3],
  logd: [7, 5],
  metricsd: [8, 5],
  '@reply': [6, 5],
};

function boot(
  client: Client,
  options: Partial<ExecdOptions> = {},
  kernelOptions: Partial<KernelOptions> = {},
): Outcome {
  const ram = new Ram(0x8000_0000, 0x1090_0000);
  const clock = new Clock();
  const bytes: number[] = [];
  const kernel: Kernel = new Kernel({
    board: { clock, trace: new Trace(clock), memory: ram },
    uart: { transmit: (byte) => void bytes.push(byte) },
    image: {
      initElf: new Uint8Array(0),
      initName: 'init',
      qosAdministrators: [],
      programs: new Map(),
      addresses: REFERENCE_ADDRESSES,
      options: { ...CONTRACT, ...kernelOptions },
      harts: 1,
      icount: 1,
      skipPolls: true,
    },
    memory: kernelMemory({ bus: null, bodyOf: hartBodies(new Bus(ram, [])) }),
    boot: null,
  });
  kernel.scheduler.linesLeft = 0;

  const init: Program = function* (sys) {
    for (;;) {
      yield sys.recv(3, 64, TRUNCATE);
      const frame = sys.message.payload;
      const check = decodeExecCheck(frame);
      if (check !== null) {
        yield sys.send(4, encodeExecResponse(check.nonce, 0));
        continue;
      }
      const name = String.fromCharCode(...frame.subarray(5));
      const known = name === 'metricsd' && options.metricsUnrouted === true ? undefined : ROUTES[name];
      const [send, recv] = known ?? [0, 0];
      yield sys.send(4, Uint8Array.of(0x52, 0x54, 1, 0x41, send === 0 ? 1 : 0, send, 0, 0, 0, recv, 0, 0, 0));
    }
  };
  const selftest: Program = function* (sys) {
    yield* client(function* (frame) {
      yield sys.send(0xf, frame);
      yield sys.recv(0x10, 64, TRUNCATE);
      const reply = decodeReply(sys.message.payload);
      if (reply === null) throw new Error('no answer of execd');
      return reply;
    }, sys);
    for (;;) yield sys.recv(0x40, 8);
  };
  const peer: Program = function* (sys) {
    // Answers logd's and metricsd's own route queries, and the store's writes not at all.
    for (;;) {
      yield sys.recv(3, 64, TRUNCATE);
      yield sys.send(
        4,
        Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 4, 0, 0, 0, 3, 0, 0, 0, ...sys.message.payload.subarray(13)),
      );
    }
  };

  const cap = (depth = 8): ReturnType<typeof endpointCap> => endpointCap(newEndpoint(kernel, depth));
  const [boot0, control, controlReply, otherControl, otherReply] = [cap(), cap(), cap(), cap(), cap()];
  const [request, reply, inbox, logRequest, logReply] = [cap(), cap(), cap(), cap(64), cap()];
  const [metricsRequest, metricsReply, metricsInbox, store, nobody] = [cap(), cap(), cap(), cap(), cap()];
  const wire = (
    name: string,
    program: Program,
    slots: Readonly<Record<number, ReturnType<typeof endpointCap>>>,
  ): void => {
    const task = addTask(kernel, program, { name });
    for (const [slot, one] of Object.entries(slots)) grant(task, Number(slot), one);
  };
  wire('init', init, { 3: control, 4: controlReply });
  wire('peer', peer, { 3: otherControl, 4: otherReply });
  wire('logd', logdProgram(LOGD_CONTRACT), { 1: otherControl, 2: otherReply, 3: logRequest, 4: logReply });
  wire('metricsd', metricsdProgram(METRICSD_CONTRACT), {
    1: otherControl,
    2: otherReply,
    3: metricsRequest,
    4: metricsReply,
    5: metricsInbox,
    6: metricsInbox,
    7: store,
    8: logRequest,
  });
  wire('execd', execdProgram({ ...execdContract(), ...options }), {
    0: boot0,
    1: control,
    2: controlReply,
    3: request,
    4: reply,
    5: inbox,
    6: inbox,
    7: logRequest,
    8: metricsRequest,
  });
  wire('selftest-client', selftest, { 0xf: request, 0x10: reply, 0x15: logRequest, 0x16: logReply, 0x40: nobody });
  kernel.start();
  kernel.run({ untilNs: 20 * S, maxSteps: 120_000 });
  return { kernel, lines: String.fromCharCode(...bytes).split(/\r?\n/) };
}

/** Bytes of every record in logd, as one text. */
function* journal(sys: Sys): Call<string> {
  const query = new Uint8Array(14);
  query.set([0x4c, 0x4f, 1, 2]);
  new DataView(query.buffer).setUint16(12, 64, true);
  yield sys.send(0x15, query, NONBLOCK);
  yield sys.recv(0x16, 8192, TRUNCATE);
  return String.fromCharCode(...sys.message.payload);
}

describe('execd under the kernel', () => {
  it('the three payloads run by their own instructions; the kernel’s lines are those of the reference', () => {
    const answers: ExecdReply[] = [];
    const { lines } = boot(function* (ask, sys) {
      answers.push(yield* ask(exec(1)));
      for (let i = 0; i < 64; i++) yield sys.yieldCpu();
      const zero = yield* ask(exec(2));
      answers.push(yield* ask(wait(zero.pid)));
      const crashing = yield* ask(exec(3));
      answers.push(yield* ask(wait(crashing.pid)));
    });
    const first = answers[0]!.pid;
    expect(answers.map(({ opByte, status, pid, code }) => [opByte, status, pid - first, code])).toEqual([
      [1, 0, 0, null],
      [3, 0, 1, 0],
      [3, 0, 2, 42],
    ]);
    const from = lines.indexOf('[INFO exec] EXEC-ELF hdr entry=0x10130 phoff=0x40 phentsz=56 phnum=1');
    expect(from).toBeGreaterThan(0);
    const shown = lines.slice(from).filter((line) => /^\[INFO (exec|task)\]|child:|execd:|\[INFO execd\]/.test(line));
    expect(
      shown.map((line) => line.replace(/0xSome\([0-9a-f]+\)|pa=0x[0-9a-f]+/g, '?').replace(/pid=\d+/, 'pid=?')),
    ).toEqual([
      '[INFO exec] EXEC-ELF hdr entry=0x10130 phoff=0x40 phentsz=56 phnum=1',
      '[INFO exec] EXEC-ELF phdr load off=0x130 vaddr=0x10130 filesz=0x69 memsz=0x69 first4=0x00000417',
      '[INFO exec] EXEC-ELF gp=0x10930 src=entry+0x800',
      '[INFO exec] STACK-MAP: va=0x1fffb000-0x20009fff ? pages=15 sp=0x20000000',
      '[INFO exec] STACK-CHECK: base=0x1fffb000 top=0x2000a000 top-1->? top->0xNone sp->?',
      '[INFO task] SPAWN-FRAME: sepc=0x10130 sp(x2)=0x20008000 gp(x3)=0x10930',
      'child: hello-elf',
      '[INFO exec] EXEC-ELF hdr entry=0x1000 phoff=0x40 phentsz=56 phnum=1',
      '[INFO exec] EXEC-ELF phdr load off=0x100 vaddr=0x1000 filesz=0x44 memsz=0x44 first4=0x00000417',
      '[INFO exec] EXEC-ELF gp=0x1800 src=entry+0x800',
      '[INFO exec] STACK-MAP: va=0x1fffb000-0x20009fff ? pages=15 sp=0x20000000',
      '[INFO exec] STACK-CHECK: base=0x1fffb000 top=0x2000a000 top-1->? top->0xNone sp->?',
      '[INFO task] SPAWN-FRAME: sepc=0x1000 sp(x2)=0x20008000 gp(x3)=0x1800',
      'child: exit0 start',
      '[INFO exec] EXEC-ELF hdr entry=0x1000 phoff=0x40 phentsz=56 phnum=1',
      '[INFO exec] EXEC-ELF phdr load off=0x100 vaddr=0x1000 filesz=0x45 memsz=0x45 first4=0x00000417',
      '[INFO exec] EXEC-ELF gp=0x1800 src=entry+0x800',
      '[INFO exec] STACK-MAP: va=0x1fffb000-0x20009fff ? pages=15 sp=0x20000000',
      '[INFO exec] STACK-CHECK: base=0x1fffb000 top=0x2000a000 top-1->? top->0xNone sp->?',
      '[INFO task] SPAWN-FRAME: sepc=0x1000 sp(x2)=0x20008000 gp(x3)=0x1800',
      'child: exit42 start',
      'execd: crash report pid=? code=42 name=demo.exit42',
      '[INFO execd] crash pid=? code=42 name=demo.exit42',
      'execd: crash logd append ok',
    ]);
  });

  it('a child has service id 0, execd as its parent, and slot 0 alone', () => {
    let pid = 0;
    const { kernel } = boot(function* (ask) {
      pid = (yield* ask(exec(1))).pid;
    });
    const child = kernel.tasks[pid]!;
    const execd = kernel.tasks.find((task) => task.name === 'execd')!;
    expect(child.serviceId).toBe(0n);
    expect(child.parent).toBe(execd.pid);
    expect([...child.caps.entries()].map(([slot]) => slot)).toEqual([0]);
    expect(child.state).toBe('ready');
  });

  it('LOG-12: quirk crash-fields, contract: the crash stands in logd, under execd’s id, with its fields', () => {
    let text = '';
    let pid = 0;
    const { lines } = boot(function* (ask, sys) {
      pid = (yield* ask(exec(3))).pid;
      yield* ask(wait(pid));
      text = yield* journal(sys);
    });
    const message = `crash pid=${pid} code=42 name=demo.exit42`;
    expect(text.split(message).length - 1).toBe(2);
    expect(text).toContain(`execd${message}code=42\nevent=crash.v1\nname=demo.exit42\npid=${pid}\n`);
    expect(lines).toContain('logd: drop nonself sid=0x7b6096126000c028 op=0x01');
  });

  it('LOG-12: quirk crash-fields, reference: the record has no fields', () => {
    let text = '';
    boot(
      function* (ask, sys) {
        const { pid } = yield* ask(exec(3));
        yield* ask(wait(pid));
        text = yield* journal(sys);
      },
      { crashFieldsEmpty: true },
    );
    expect(text.split('name=demo.exit42').length - 1).toBe(2);
    expect(text).not.toContain('event=crash.v1');
  });

  it('OBS-9: metricsd takes execd’s counters and spans, and they arrive in logd', () => {
    const told = (options: Partial<ExecdOptions>): string[] => {
      const { lines } = boot(function* (ask, sys) {
        yield* ask(exec(2));
        yield* ask(
          encodeRequest({ op: 'exec_image', image: 1, stackPages: 1, requester: requester(ascii('nobody'))! }),
        );
        yield sys.recv(0x40, 8, 0, 5 * S);
      }, options);
      return lines.filter((line) => line.startsWith('[INFO metricsd]') && line.includes('execd.'));
    };
    const contract = told({});
    expect(contract.some((line) => line.includes('name=execd.spawn.ok value=1'))).toBe(true);
    expect(contract.some((line) => line.includes('name=execd.spawn.deny value=1'))).toBe(true);
    expect(contract.some((line) => line.includes('execd.exec'))).toBe(true);
    // With the requester's half metricsd refuses the span and takes the counters.
    const quirk = told({ spanRequesterId: true });
    expect(quirk.some((line) => line.includes('name=execd.spawn.ok value=1'))).toBe(true);
    expect(quirk.some((line) => line.includes('execd.exec'))).toBe(false);
    expect(told({ ...execdReference() })).toEqual([]);
  });
});

describe('payloads that go wrong', () => {
  const bad = (source: string): ExecdOptions['images'] =>
    new Map([
      ...payloadImages(),
      [
        7,
        {
          name: 'demo.bad',
          elf: writeStaticElf({ vaddr: 0x1000, offset: 0x100, bytes: assemble(source, 0x1000).bytes, padTo: 4 }),
        },
      ],
    ]);
  const codeOf = (source: string, kernelOptions: Partial<KernelOptions> = {}): (number | null)[] => {
    const codes: (number | null)[] = [];
    boot(
      function* (ask) {
        const { pid } = yield* ask(exec(7));
        codes.push((yield* ask(wait(pid))).code);
        const next = yield* ask(exec(2));
        codes.push((yield* ask(wait(next.pid))).code);
      },
      { images: bad(source) },
      kernelOptions,
    );
    return codes;
  };

  it.each([
    ['reads nothing', 'lw a0, 0(zero)'],
    ['writes its own code', 'auipc s0, 0\nsw s0, 0(s0)'],
    ['runs off its end', 'li s0, 0x2000a000\njr s0'],
    ['has an instruction that is none', '.word 0'],
    ['breaks', 'ebreak'],
  ])('quirk user-exception-fatal, contract: one that %s is a crash with -22, and execd lives', (_what, source) => {
    expect(codeOf(source)).toEqual([-22, 0]);
  });

  it('quirk fault-no-wake, both: execd waits for ever by quirk alone', () => {
    // It faults only when execd waits already.
    const late = 'li s0, 50\nl: li a7, 0\necall\naddi s0, s0, -1\nbnez s0, l\nlw a0, 0(zero)';
    expect(codeOf(late)).toEqual([-22, 0]);
    expect(codeOf(late, { faultNoWake: true })).toEqual([]);
  });

  it('quirk user-exception-fatal, reference: an illegal instruction ends the system', () => {
    expect(codeOf('.word 0', { userExceptionFatal: true })).toEqual([]);
  });

  it('a file that is no ELF fails, and is counted so', () => {
    let reply: ExecdReply | null = null;
    boot(
      function* (ask) {
        reply = yield* ask(exec(7));
      },
      { images: new Map([[7, { name: 'demo.bad', elf: new Uint8Array(70) }]]) },
    );
    expect(reply).toMatchObject({ status: 3, pid: 0 });
  });
});

describe('the ids', () => {
  it('execd’s is the sheet’s', () => {
    expect(serviceIdOf('execd')).toBe(0x7b60_9612_6000_c028n);
  });
});
