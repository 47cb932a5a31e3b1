/**
 * netstackd's way to its facade (sheet 70, section 4): driver, DHCP with its poll bounds and fallbacks, gateway ping, DNS
 * proof, TCP listener. Every wait is made of polls of the stack, so that it can be skipped.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { formatIpv4, ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { DNS_PORT, DnsRcode, DnsType, decodeDns } from '../../sim/net/dns.ts';
import { yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { VirtioNetDriver } from '../lib/virtio-net-driver.ts';
import { UdpSocket } from './datagram-sockets.ts';
import type { Datagram } from './datagram-sockets.ts';
import { sameConfig } from './dhcp-client.ts';
import type { DhcpConfig } from './dhcp-client.ts';
import { exhausted, LISTEN_BUFFER, TCP_SOCKET_BYTES, UDP_BUFFER } from './heap.ts';
import type { Heap } from './heap.ts';
import { NETSTACKD } from './facade.ts';
import { MS, Net } from './net.ts';
import type { NetstackdOptions } from './options.ts';

/** Slot of the DeviceMmio window that init grants if policy allows it. */
export const NET_MMIO_SLOT = 48;
/** How long the driver is tried. */
export const DRIVER_WAIT_NS = 20_000 * MS;
/** After that time attempts come once per {@link DRIVER_RETRY_NS}: nobody grants the window that late. */
const DRIVER_EAGER_NS = 250 * MS;
const DRIVER_RETRY_NS = 10 * MS;

/** Bounds of the DHCP loop, in ms of poll time. */
export const DHCP_BOUND_SMOKE = 30_000;
export const DHCP_BOUND = 4000;
const FALLBACK_PREFIX = 24;
const SMOKE_FALLBACK: DhcpConfig = { ip: ipv4(10, 0, 2, 15), prefix: FALLBACK_PREFIX, gateway: ipv4(10, 0, 2, 2) };

const GATEWAY = ipv4(10, 0, 2, 2);
const GATEWAY_IDENT = 0x1234;
export const GATEWAY_POLLS = 4000;
/** Yields between the ping and the DNS proof. */
export const SETTLE_YIELDS = 4096;

const DNS_SERVERS: readonly Ipv4[] = [ipv4(10, 0, 2, 3), ipv4(10, 0, 2, 2)];
const DNS_LOCAL_PORT = 40_000;
const DNS_WARM_UP_POLLS = 256;
/** The reference's window closes before the silence after the ping's ARP request ends (quirk `dns-unchecked`). */
export const DNS_WINDOW_MS_REFERENCE = 250;
export const DNS_WINDOW_MS = 2000;
const DNS_RESEND_MS = 100;
const DNS_ITERATIONS_REFERENCE = 200_000;
/** Iterations between two yields. */
const DNS_ITERATIONS_PER_YIELD = 64;
const DNS_RECEIVES = 4;
/** Instructions of the clock read in each iteration. */
const CLOCK_INSTRUCTIONS = 1000;
/** A question for `localhost`, transaction id 1234. */
const DNS_QUERY: readonly number[] = [
  0x12, 0x34, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0x68,
  0x6f, 0x73, 0x74, 0x00, 0x00, 0x01, 0x00, 0x01,
];

const LISTEN_PORT = 41_000;

/** The network, or null when the service must hang. */
export function* startUp(sys: Sys, heap: Heap, options: NetstackdOptions): Call<Net | null> {
  yield sys.println('netstackd: ready');
  const driver = yield* bringUp(sys);
  if (driver === null) return null;
  yield sys.println('net: virtio-net up');
  yield sys.println('SELFTEST: net iface ok');
  const net = new Net(sys, driver, options.connectPortReuse);
  const bound = yield* configure(sys, net, options);
  const { config } = net.stack;
  if (config !== null) yield sys.println(`net: smoltcp iface up ${formatIpv4(config.ip)}`);
  if (bound) {
    const start = yield* net.ms();
    if ((yield* net.ping(GATEWAY_IDENT, GATEWAY, start, GATEWAY_POLLS)) === null) {
      yield sys.println('netstackd: net ping FAIL');
      return null;
    }
    yield sys.println('SELFTEST: net ping ok');
  }
  yield* yields(sys, SETTLE_YIELDS);
  if (bound) yield* proveDns(sys, net, heap, options);
  const fault = heap.socket(LISTEN_BUFFER, TCP_SOCKET_BYTES);
  if (fault !== null) yield* exhausted(sys, NETSTACKD, heap, fault);
  net.listen(LISTEN_PORT);
  yield sys.println('SELFTEST: net tcp listen ok');
  return net;
}

/** Tries the driver until the window is granted (section 2.5). */
function* bringUp(sys: Sys): Call<VirtioNetDriver | null> {
  const start = yield sys.nsec();
  const driver = new VirtioNetDriver(sys, NET_MMIO_SLOT);
  for (;;) {
    const fault = yield* driver.start();
    if (fault === null) return driver;
    const now = yield sys.nsec();
    if (now >= start + DRIVER_WAIT_NS) {
      const present = (yield sys.capQuery(NET_MMIO_SLOT)) >= 0;
      yield sys.println(`netstackd: mmio cap48 ${present ? 'present' : 'missing'}`);
      yield sys.println(`netstackd: net FAIL ${fault}`);
      return null;
    }
    if (now < start + DRIVER_EAGER_NS) {
      yield sys.yieldCpu();
      continue;
    }
    const poll = sys.beginPoll();
    poll.deadline = now + DRIVER_RETRY_NS;
    poll.clockEvery = 1;
    yield sys.runPoll();
  }
}

/** The DHCP loop: poll times 0, 1, ... up to the bound, a yield between them. True when a lease was got. */
function* configure(sys: Sys, net: Net, options: NetstackdOptions): Call<boolean> {
  const bound = options.smoke ? DHCP_BOUND_SMOKE : DHCP_BOUND;
  let saidDeconfigured = false;
  for (let t = 0; ;) {
    net.poll(t);
    yield* net.news();
    const event = net.dhcp.event();
    if (event === 'deconfigured') {
      if (!saidDeconfigured) yield sys.println('net: dhcp event deconfigured');
      saidDeconfigured = true;
    } else if (event !== null) {
      yield sys.println('net: dhcp event configured');
      const old = net.stack.config;
      if (old === null || !sameConfig(old, event)) {
        net.stack.configure(event);
        const gateway = event.gateway === null ? 'none' : formatIpv4(event.gateway);
        yield sys.println(`net: dhcp bound ${formatIpv4(event.ip)}/${event.prefix} gw=${gateway}`);
        return true;
      }
    }
    if (t >= bound) break;
    t += 1;
    yield sys.yieldCpu();
    const idle = Math.min(net.stack.pollAt, bound) - t;
    if (idle > 0) t += yield* net.idle({ rounds: idle });
  }
  yield sys.println('net: dhcp timeout (fallback static)');
  // A MAC address that ends in 0 would name the network itself.
  const static42 = { ip: ipv4(10, 42, 0, net.host === 0 ? 1 : net.host), prefix: FALLBACK_PREFIX, gateway: null };
  const fallback = options.smoke ? SMOKE_FALLBACK : static42;
  net.stack.configure(fallback);
  yield sys.println(`net: dhcp unavailable (fallback static ${formatIpv4(fallback.ip)}/${FALLBACK_PREFIX})`);
  return false;
}

/** Asks for `localhost` and waits for an answer. */
function* proveDns(sys: Sys, net: Net, heap: Heap, options: NetstackdOptions): Call<void> {
  const fault = heap.socket(UDP_BUFFER);
  if (fault !== null) yield* exhausted(sys, NETSTACKD, heap, fault);
  const socket = new UdpSocket(net.ownIp, DNS_LOCAL_PORT);
  net.stack.add(socket);
  for (let i = 0; i < DNS_WARM_UP_POLLS;) {
    const now = yield* net.ms();
    net.poll(now);
    yield sys.yieldCpu();
    i += 1;
    const rounds = DNS_WARM_UP_POLLS - i;
    if (rounds > 0 && net.stack.pollAt > now) i += yield* net.idle({ rounds, untilMs: net.stack.pollAt });
  }
  const answered = yield* awaitDns(sys, net, socket, options.dnsUnchecked);
  if (!answered) yield sys.println('netstackd: udp dns unavailable (fallback dhcp proof)');
  if (answered || options.dnsUnchecked) yield sys.println('SELFTEST: net udp dns ok');
}

function* awaitDns(sys: Sys, net: Net, socket: UdpSocket, reference: boolean): Call<boolean> {
  const iterations = reference ? DNS_ITERATIONS_REFERENCE : Infinity;
  const start = yield* net.ms();
  const deadline = start + (reference ? DNS_WINDOW_MS_REFERENCE : DNS_WINDOW_MS);
  let saidOther = false;
  let sentAt = -Infinity;
  for (let i = 0; i < iterations;) {
    const now = yield* net.ms();
    net.poll(now);
    yield* net.news();
    if (now >= deadline) return false;
    if (now - sentAt >= DNS_RESEND_MS) {
      sentAt = now;
      const payload = Uint8Array.from(DNS_QUERY);
      for (const ip of DNS_SERVERS) socket.send({ ip, port: DNS_PORT, payload });
    }
    for (let r = 0; r < DNS_RECEIVES; r++) {
      const datagram = socket.recv();
      if (datagram === null) break;
      if (reference ? carriesId(datagram) : resolves(datagram)) return true;
      if (!saidOther) yield sys.println('netstackd: udp dns rx other');
      saidOther = true;
    }
    if (i % DNS_ITERATIONS_PER_YIELD === 0) yield sys.yieldCpu();
    i += 1;
    const untilMs = Math.min(deadline, sentAt + DNS_RESEND_MS, net.stack.pollAt);
    const rounds = Math.ceil((iterations - i) / DNS_ITERATIONS_PER_YIELD);
    if (untilMs <= now || rounds <= 0) continue;
    const pollsPerRound = DNS_ITERATIONS_PER_YIELD;
    // One of the round's clock reads is the poll's own.
    const extraInstructions = (pollsPerRound - 1) * CLOCK_INSTRUCTIONS;
    i += pollsPerRound * (yield* net.idle({ rounds, untilMs, pollsPerRound, extraInstructions }));
  }
  return false;
}

/** What the reference takes for an answer: a server's address and the transaction id, whatever else it says. */
export function carriesId({ ip, payload }: Datagram): boolean {
  return DNS_SERVERS.includes(ip) && payload[0] === DNS_QUERY[0] && payload[1] === DNS_QUERY[1];
}

/** The contract (quirks.md, dns-unchecked): a server's own answer to the question, with an address in it. */
export function resolves(datagram: Datagram): boolean {
  if (!carriesId(datagram) || datagram.port !== DNS_PORT) return false;
  const message = decodeDns(datagram.payload);
  if (typeof message === 'string' || !message.response || message.rcode !== DnsRcode.NOERROR) return false;
  return message.answers.some(({ type }) => type === DnsType.A);
}
