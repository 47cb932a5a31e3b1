/**
 * One powered-on machine: board, devices, kernel and the programs of its image, built from a scenario's boot (design,
 * "The house"). Nothing here touches files or clocks of the host; the disk and the UART's reader are handed in.
 */
import { bootSequence } from '../kernel-model/boot.ts';
import { firmwareBanner } from '../kernel-model/firmware-banner.ts';
import { hartBodies } from '../kernel-model/hart-task.ts';
import { Kernel } from '../kernel-model/kernel.ts';
import { kernelMemory } from '../kernel-model/kernel-memory.ts';
import { aclintPort } from '../kernel-model/smp.ts';
import { TWO_NODE_BOARD, VIRT_BOARD, buildBoard } from '../sim/board.ts';
import type { Board, VirtioFactory, VirtioKind } from '../sim/board.ts';
import type { BlockImage } from '../sim/block-image.ts';
import type { Clock } from '../sim/clock.ts';
import type { MmioDevice } from '../sim/memory.ts';
import type { BufferSource } from '../sim/ram.ts';
import { Streams } from '../sim/streams.ts';
import type { TraceListener } from '../sim/trace.ts';
import type { EthernetLink, LinkEnd } from '../sim/net/link.ts';
import { connectToLink, createNetwork } from '../sim/net/network.ts';
import { VIRTIO_BLK_S_IOERR, VirtioBlk } from '../sim/virtio/blk.ts';
import type { BlkFaults } from '../sim/virtio/blk.ts';
import { VirtioMmio } from '../sim/virtio/mmio-transport.ts';
import { VirtioNet } from '../sim/virtio/net.ts';
import { VirtioRng } from '../sim/virtio/rng.ts';
import { FaultPlan } from './fault-plan.ts';
import { kernelImageOf, programsOf } from './programs.ts';
import type { Boot, Faults, Grant, Scenario, ScenarioNode } from './scenario.ts';
import { VolatileDisk } from './volatile-disk.ts';

/** What a machine needs from its owner. */
export interface MachineParts {
  readonly scenario: Scenario;
  readonly boot: Boot;
  /** 1 for the first boot of a run; part of every stream's name. */
  readonly bootNumber: number;
  readonly disk: BlockImage;
  /** Every byte that leaves the UART until the machine is stopped. */
  readonly uart: (byte: number) => void;
  readonly traceListeners: readonly TraceListener[];
  /** What the guest's RAM lies in; absent: the engine decides. */
  readonly ramBuffer?: BufferSource | undefined;
  /** One of two linked machines; null: a machine on its own. */
  readonly linked: LinkedParts | null;
}

/** What makes a machine one of two. */
export interface LinkedParts {
  readonly node: ScenarioNode;
  /** Its clock: known to the link before the board is built. */
  readonly clock: Clock;
  readonly link: EthernetLink;
  readonly end: LinkEnd;
}

/** A machine that can be run in slices. */
export interface Machine {
  readonly board: Board;
  readonly kernel: Kernel;
  /** Ends the run before anything else happens; later UART bytes are not handed out. */
  stop(): void;
}

/** Builds and powers on. */
export function buildMachine(parts: MachineParts): Machine {
  const { scenario, boot, linked } = parts;
  const streams = new Streams(scenario.seed, parts.bootNumber, linked?.node.name);
  let stopped = false;
  let halt = (): void => undefined;
  const plan = new FaultPlan(boot.faults.inject, (name, detail) => {
    if (board.trace.on) board.trace.emit({ kind: 'fault', name, detail });
  });
  const disk =
    boot.faults.inject.length === 0
      ? parts.disk
      : new VolatileDisk(parts.disk, plan, streams.stream('power-cut'), () => halt());
  const description = { ...(linked === null ? VIRT_BOARD : TWO_NODE_BOARD), harts: scenario.machine.harts };
  const board: Board = buildBoard(description, {
    ...(linked !== null && { clock: linked.clock }),
    ramBuffer: parts.ramBuffer,
    uartSink: (byte) => {
      if (!stopped) parts.uart(byte);
    },
    onFinish: () => halt(),
    virtio: description.virtio.slots.flatMap((kind, slot): readonly VirtioFactory[] =>
      kind === 'empty'
        ? []
        : [{ slot, create: (context) => createDevice(kind, context, { ...parts, disk }, streams, plan) }],
    ),
  });
  for (const listener of parts.traceListeners) board.trace.listen(listener);
  if (board.trace.on) for (const fault of imageFaults(boot.faults)) board.trace.emit({ kind: 'fault', ...fault });
  const image = kernelImageOf(scenario, boot, plan);
  if (board.trace.on) for (const program of programsOf(image)) board.trace.emit({ kind: 'image', ...program });
  const kernel = new Kernel({
    board: { clock: board.clock, trace: board.trace, memory: board.ram },
    uart: { transmit: (byte) => board.uart.write(0, 1, byte), transmitAll: (bytes) => board.uart.transmit(bytes) },
    image,
    memory: kernelMemory({ bus: board.bus, bodyOf: hartBodies(board.bus) }),
    boot: bootSequence({ ipi: plan.interrupts(aclintPort(board.mswi, board.harts)), selftest: plan.selftestParts }),
  });
  kernel.faults = plan.kernelFaults(kernel);
  // The firmware prints before the kernel's first instruction; its time is part of the power-on (sheet 05, section 3.2).
  if (scenario.firmwareBanner) board.uart.transmit(firmwareBanner(scenario.machine.harts));
  const stop = (): void => {
    stopped = true;
    kernel.requestStop();
  };
  halt = stop;
  const { powerNs } = plan;
  if (powerNs !== null && disk instanceof VolatileDisk) {
    board.clock.schedule(powerNs, () => {
      plan.reportTimedCut();
      disk.cut();
    });
  }
  return { board, kernel, stop };
}

/** What is wrong with the image from the start, as the trace's first events. */
function imageFaults(faults: Faults): readonly { readonly name: string; readonly detail: string }[] {
  const grant = ({ subject, capability }: Grant): string => `${subject}:${capability}`;
  return [
    ...faults.without.map((service) => ({ name: 'without', detail: service })),
    ...faults.silent.map((service) => ({ name: 'silent', detail: service })),
    ...faults.dead.map((service) => ({ name: 'dead', detail: service })),
    ...faults.deny.map((entry) => ({ name: 'deny', detail: grant(entry) })),
    ...faults.allow.map((entry) => ({ name: 'allow', detail: grant(entry) })),
    ...(faults.logdDropsAppends
      ? [{ name: 'logd-drops-appends', detail: 'appends are answered OK and not stored' }]
      : []),
  ];
}

type DeviceContext = Parameters<VirtioFactory['create']>[0];

function createDevice(
  kind: Exclude<VirtioKind, 'empty'>,
  context: DeviceContext,
  parts: MachineParts,
  streams: Streams,
  plan: FaultPlan,
): MmioDevice {
  switch (kind) {
    case 'net': {
      const { linked } = parts;
      const card = new VirtioNet(linked?.node.mac);
      if (linked !== null) {
        const { clock, trace } = context;
        connectToLink(linked.link, linked.end, plan.packets, { clock, trace, card });
        return new VirtioMmio(card, context);
      }
      const { quirks, machine } = parts.scenario;
      const dns = quirks.has('dns-unchecked') ? 'foreign-late' : 'answer';
      createNetwork(
        machine.network,
        { dns, latency: machine.latency, faults: plan.packets },
        { clock: context.clock, trace: context.trace, streams, card },
      );
      return new VirtioMmio(card, context);
    }
    case 'rng': {
      const entropy = streams.stream('virtio-rng');
      return new VirtioMmio(
        new VirtioRng({
          fill: (target) => {
            entropy.fill(target);
          },
          available: (wanted) => plan.entropy(wanted),
        }),
        context,
      );
    }
    case 'blk':
      return new VirtioMmio(new VirtioBlk(parts.disk, { faults: diskFaults(parts.boot, context, plan) }), context);
  }
}

/** The boot's disk faults as the device's plan; each hit is a trace event. */
function diskFaults(boot: Boot, context: DeviceContext, plan: FaultPlan): BlkFaults {
  const from = boot.faults.blockWritesFailFrom;
  return {
    onRequest: (request) => {
      const planned = plan.onBlock(request);
      if (planned !== null) return planned;
      if (from === null || request.op !== 'write' || request.index < from) return null;
      if (context.trace.on) {
        context.trace.emit({
          kind: 'fault',
          name: 'block-writes-fail-from',
          detail: `write ${request.index} answered IOERR`,
        });
      }
      return { status: VIRTIO_BLK_S_IOERR };
    },
  };
}
