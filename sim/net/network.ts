/** Puts a network behind a virtio-net card: which one is plain data, chance and time come from the board. */
import type { Clock } from '../clock.ts';
import type { Streams } from '../streams.ts';
import type { Trace } from '../trace.ts';
import type { NetBackend, VirtioNet } from '../virtio/net.ts';
import { ipv4 } from './address.ts';
import type { PacketFault } from './faults.ts';
import { PacketFaultGate } from './faults.ts';
import type { Latency } from './latency.ts';
import { DelayLine, NO_LATENCY } from './latency.ts';
import type { EthernetLink, LinkEnd } from './link.ts';
import type { ResolverEntry } from './resolver.ts';
import type { DnsMode } from './user-network.ts';
import { UserNetwork } from './user-network.ts';

/**
 * `user`: QEMU's user-mode network. `silent`: a wire on which nobody answers, so that DHCP fails. `unplugged`: no wire;
 * the card swallows what the guest sends.
 */
export type NetworkKind = 'user' | 'silent' | 'unplugged';

/** Plain data; {@link DEFAULT_NETWORK} is the reference's machine with a resolver that keeps the contract. */
export interface NetworkOptions {
  readonly dns: DnsMode;
  readonly names: readonly ResolverEntry[];
  /** Time an answer takes, from the stream `network`. */
  readonly latency: Latency;
  readonly faults: readonly PacketFault[];
}

export const DEFAULT_NETWORK: NetworkOptions = {
  dns: 'answer',
  names: [{ name: 'localhost', address: ipv4(127, 0, 0, 1) }],
  latency: NO_LATENCY,
  faults: [],
};

/** What a network needs from the board. */
export interface NetworkContext {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly streams: Streams;
  readonly card: Pick<VirtioNet, 'plug' | 'deliver'>;
}

/** Builds a network and plugs the card into it. `options` override {@link DEFAULT_NETWORK}. */
export function createNetwork(kind: NetworkKind, options: Partial<NetworkOptions>, context: NetworkContext): void {
  const { dns, names, latency, faults } = { ...DEFAULT_NETWORK, ...options };
  switch (kind) {
    case 'unplugged':
      context.card.plug(null);
      return;
    case 'silent':
      plugCard(faults, context, () => ({ transmit: () => undefined }));
      return;
    case 'user':
      plugCard(faults, context, (deliver) => {
        const line = new DelayLine(latency, context.clock, context.streams.stream('network'));
        return new UserNetwork(
          { dns, names },
          {
            clock: context.clock,
            trace: context.trace,
            deliver: line.immediate ? deliver : (frame) => void line.send(() => deliver(frame)),
          },
        );
      });
  }
}

/** Plugs a card into one end of a cable, with faults of its own between the two. */
export function connectToLink(
  link: EthernetLink,
  end: LinkEnd,
  faults: readonly PacketFault[],
  context: Pick<NetworkContext, 'clock' | 'trace' | 'card'>,
): void {
  const { trace } = context;
  const lost = (value: string): void => {
    if (trace.on) trace.emit({ kind: 'note', service: 'network', name: 'frame-lost', value });
  };
  plugCard(faults, context, (deliver) => link.connect(end, { deliver, lost }));
}

function plugCard(
  faults: readonly PacketFault[],
  context: Pick<NetworkContext, 'clock' | 'trace' | 'card'>,
  wire: (deliver: (frame: Uint8Array) => void) => NetBackend,
): void {
  const { card } = context;
  const rx = new PacketFaultGate(faults, 'rx', context, (frame) => card.deliver(frame));
  const backend = wire((frame) => rx.pass(frame));
  const tx = new PacketFaultGate(faults, 'tx', context, (frame) => backend.transmit(frame));
  card.plug({ transmit: (frame) => tx.pass(frame) });
}
