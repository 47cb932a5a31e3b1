import { describe, expect, it } from 'vitest';
import { Rights, serviceIdOf } from '../../kernel-model/abi.ts';
import { Kernel } from '../../kernel-model/kernel.ts';
import { kernelMemory, memoryOf } from '../../kernel-model/kernel-memory.ts';
import { REFERENCE_ADDRESSES } from '../../kernel-model/layout.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { endpointCap, grant, newEndpoint } from '../../kernel-model/testing.ts';
import type { Task } from '../../kernel-model/task.ts';
import { buildBoard, VIRT_BOARD } from '../../sim/board.ts';
import { DEFAULT_SECTORS, SparseBlockImage } from '../../sim/block-image.ts';
import { WriteLog } from '../../sim/write-log.ts';
import { VirtioBlk } from '../../sim/virtio/blk.ts';
import type { BlkFault, BlkRequest } from '../../sim/virtio/blk.ts';
import { VirtioMmio } from '../../sim/virtio/mmio-transport.ts';
import { Inbox } from '../lib/inbox.ts';
import { movedSlot, recvRequest, replyAndClose, yieldForever } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { StatefsClient } from './client.ts';
import { statefsdProgram } from './main.ts';
import { CONTRACT, REFERENCE } from './options.ts';
import type { StatefsdOptions } from './options.ts';
import { Store } from './store.ts';
import { MemoryBlocks } from './blocks.ts';
import { run, utf8 } from './test-kit.ts';

/** policyd in miniature: allows everything. */
const allowAll: Program = function* (sys) {
  for (;;) {
    yield* recvRequest(sys, 3, 'forever');
    const slot = movedSlot(sys);
    const reply = sys.message.payload.slice(0, 10);
    reply[3] = 0x85;
    reply.fill(0, 8);
    yield* replyAndClose(sys, slot, reply);
  }
};

interface World {
  readonly log: WriteLog;
  readonly lines: readonly string[];
}

/** Boots a board with a disk, statefsd, policyd and one client that runs `body`, and runs it to its end. */
function world(
  options: StatefsdOptions,
  image: SparseBlockImage,
  onRequest: (request: BlkRequest) => BlkFault | null,
  body: (client: StatefsClient, sys: Sys) => Call<void>,
): World {
  const log = new WriteLog(image);
  const disk = new VirtioBlk(log, { faults: { onRequest } });
  const board = buildBoard(VIRT_BOARD, {
    virtio: [{ slot: 5, create: (context) => new VirtioMmio(disk, context) }],
  });
  const bytes: number[] = [];
  const kernel = new Kernel({
    board: { clock: board.clock, trace: board.trace, memory: board.ram },
    uart: { transmit: (byte) => void bytes.push(byte) },
    image: {
      initElf: new Uint8Array(0),
      initName: 'init-lite',
      qosAdministrators: [],
      programs: new Map(),
      addresses: REFERENCE_ADDRESSES,
      options: {
        loneReceiverEinval: false,
        kselftestUnchecked: false,
        userExceptionFatal: false,
        faultNoWake: false,
      },
      harts: 1,
      icount: 1,
      skipPolls: true,
    },
    memory: kernelMemory({ bus: board.bus }),
    boot: null,
  });
  const add = (name: string, program: Program): Task => {
    const space = memoryOf(kernel).spaces.create();
    if (typeof space === 'string') throw new Error(space);
    space.tasks = 1;
    const task = kernel.createTask({
      parent: -1,
      name,
      serviceId: serviceIdOf(name),
      program,
      addressSpace: space.handle,
      frame: { pc: 0x1000, sp: 0, gp: 0, ra: 0, sstatus: 0 },
      guard: null,
    });
    kernel.admitTask(task);
    return task;
  };
  const endpoint = (): number => newEndpoint(kernel);
  const [requests, responses, inbox, checks, own] = [endpoint(), endpoint(), endpoint(), endpoint(), endpoint()];

  const statefsd = add('statefsd', statefsdProgram(options));
  for (const slot of [0, 1, 2]) grant(statefsd, slot, endpointCap(endpoint(), 0));
  grant(statefsd, 3, endpointCap(requests, Rights.RECV));
  grant(statefsd, 4, endpointCap(responses, Rights.SEND));
  grant(statefsd, 5, endpointCap(inbox, Rights.RECV));
  grant(statefsd, 6, endpointCap(inbox, Rights.SEND));
  grant(statefsd, 7, endpointCap(checks, Rights.SEND));
  grant(statefsd, 0x30, { kind: 'mmio', base: 0x1000_6000, len: 0x1000, rights: Rights.MAP });
  grant(add('policyd', allowAll), 3, endpointCap(checks, Rights.RECV));
  let finished = false;
  const client = add('updated', function* (sys) {
    yield* body(new StatefsClient(sys, 7, 6, new Inbox(5, false)), sys);
    finished = true;
    return yield* yieldForever(sys);
  });
  grant(client, 5, endpointCap(own, Rights.RECV));
  grant(client, 6, endpointCap(own, Rights.SEND));
  grant(client, 7, endpointCap(requests, Rights.SEND));
  kernel.scheduler.linesLeft = 0;
  kernel.start();
  kernel.run({ untilNs: 60_000_000_000, maxSteps: 3_000_000 });
  expect(finished).toBe(true);
  const text = String.fromCharCode(...bytes);
  return { log, lines: text.split(/\r?\n/).filter((line) => !/^\[|^AS:|^ACT/.test(line)) };
}

const noFault = (): null => null;

/** Keys and values that a mount of `image` finds. */
function mounted(image: SparseBlockImage): Readonly<Record<string, string>> {
  const device = new MemoryBlocks(512, 64);
  image.read(0, device.bytes);
  const store = run(Store.open(device));
  if (typeof store === 'string') throw new Error(store);
  const keys = store.list('/state/', 99) as readonly string[];
  return Object.fromEntries(keys.map((key) => [key, Buffer.from(store.get(key) as Uint8Array).toString()]));
}

describe.each([
  ['contract', CONTRACT],
  ['reference', REFERENCE],
])('statefsd on the virtio-blk device, %s', (_name, options) => {
  it('OBS-26: brings the disk up over the modern transport with the lines of the reference and serves from it', () => {
    const results: unknown[] = [];
    const { lines, log } = world(options, new SparseBlockImage(DEFAULT_SECTORS), noFault, function* (client) {
      results.push(yield* client.put('/state/boot/a', utf8('1')));
      results.push(yield* client.sync());
      results.push(yield* client.get('/state/boot/a'));
    });
    expect(results).toEqual([null, null, utf8('1')]);
    const from = lines.indexOf('virtio-blk: mmio modern');
    expect(lines.slice(from, from + 13)).toEqual([
      'virtio-blk: mmio modern',
      expect.stringMatching(/^virtio-blk: q_pa=0x00000000810[0-9a-f]{5} pfn=0x000810[0-9a-f]{2}$/),
      'virtio-blk: q_max=00000400',
      'virtio-blk: status=0000000b',
      'virtio-blk: pfn_rb=00000000',
      'virtio-blk: q_layout desc=20080000 avail=20080080 used=20080098',
      'virtio-blk: status_ok=0000000f',
      expect.stringMatching(/^virtio-blk: buf_pa=0x00000000810[0-9a-f]{5}$/),
      'virtio-blk: cap=0000000000020000 sectors',
      'virtio-blk: warmup ok',
      'blk: virtio-blk up',
      'blk: virtio-blk up (ss=512 nsec=131072)',
      'statefsd: virtio upgrade ok',
    ]);
    expect(log.entries.map((entry) => (entry.kind === 'write' ? `write ${entry.sector}` : 'flush'))).toEqual([
      'write 0',
      'flush',
    ]);
  });

  it('OBS-20: what was synced is on the disk after a power cut, and served by the next boot', () => {
    const first = world(options, new SparseBlockImage(64), noFault, function* (client) {
      yield* client.put('/state/boot/a', utf8('kept'));
      yield* client.sync();
      yield* client.put('/state/boot/b', utf8('lost'));
    });
    const after = first.log.cut(first.log.entries.length);
    expect(mounted(after)).toEqual({ '/state/boot/a': 'kept' });
    const results: unknown[] = [];
    world(options, after, noFault, function* (client) {
      results.push(yield* client.get('/state/boot/a'));
      results.push(yield* client.list('/state/', 9));
    });
    expect(results).toEqual([utf8('kept'), ['/state/boot/a']]);
  });
});

describe('faults of the device', () => {
  const putTwice = function* (results: unknown[], client: StatefsClient, sys: Sys): Call<void> {
    results.push(yield* client.put('/state/boot/a', utf8('1')));
    const until = (yield sys.nsec()) + 3_000_000_000;
    const poll = sys.beginPoll();
    poll.deadline = until;
    poll.clockEvery = 1;
    yield sys.runPoll();
    results.push(yield* client.put('/state/boot/b', utf8('2')));
    results.push(yield* client.list('/state/', 9));
  };
  const firstWrite =
    (fault: BlkFault) =>
    (request: BlkRequest): BlkFault | null =>
      request.op === 'write' && request.index === 0 ? fault : null;

  it.each([
    ['an I/O error', { status: 1 }],
    ['a completion without a status byte', { withholdStatus: true }],
    ['a swallowed request', { drop: true }],
    ['a late completion', { delayNs: 2_500_000_000 }],
  ] satisfies readonly (readonly [string, BlkFault])[])(
    '%s fails the put, and the next one succeeds',
    (_name, fault) => {
      const results: unknown[] = [];
      const { log } = world(CONTRACT, new SparseBlockImage(64), firstWrite(fault), function* (client, sys) {
        yield* putTwice(results, client, sys);
      });
      expect(results).toEqual(['io', null, ['/state/boot/b']]);
      expect(mounted(log.cut(log.entries.length, () => true))).toEqual({ '/state/boot/b': '2' });
    },
  );

  it('blk-status-preset: in the reference a write that never happened is acknowledged', () => {
    const results: unknown[] = [];
    const { log } = world(
      REFERENCE,
      new SparseBlockImage(64),
      firstWrite({ withholdStatus: true }),
      function* (c, sys) {
        yield* putTwice(results, c, sys);
      },
    );
    expect(results).toEqual([null, null, ['/state/boot/a', '/state/boot/b']]);
    expect(mounted(log.cut(log.entries.length, () => true))).toEqual({});
  });

  it('OBS-14: a disk that fails at first is started again', () => {
    const results: unknown[] = [];
    const failFirstRead = (request: BlkRequest): BlkFault | null =>
      request.op === 'read' && request.index === 0 ? { status: 1 } : null;
    const { lines } = world(CONTRACT, new SparseBlockImage(64), failFirstRead, function* (client, sys) {
      yield* putTwice(results, client, sys);
    });
    expect(results).toEqual(['io', null, ['/state/boot/b']]);
    expect(lines.filter((line) => line === 'virtio-blk: warmup failed')).toHaveLength(1);
    expect(lines).toContain('statefsd: virtio upgrade ok');

    const reference: unknown[] = [];
    world(REFERENCE, new SparseBlockImage(64), failFirstRead, function* (client, sys) {
      yield* putTwice(reference, client, sys);
    });
    expect(reference).toEqual([null, null, ['/state/boot/a', '/state/boot/b']]);
  });
});
