import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ipv4, Mac } from './address.ts';
import { formatIpv4, ipv4, IPV4_ANY, writeMac } from './address.ts';
import type { DhcpMessage } from './dhcp.ts';
import { decodeDhcp, DhcpCode, DhcpType, dhcpType, dhcpU32 } from './dhcp.ts';
import { DHCP_REPLY_SIZE, DhcpServer } from './dhcp-server.ts';

function request(type: number | null, mac: number, wanted: Ipv4 | null, ciaddr: Ipv4 = IPV4_ANY): DhcpMessage {
  const chaddr = new Uint8Array(16);
  writeMac(chaddr, 0, mac as Mac);
  return {
    op: 1,
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 1,
    secs: 9,
    flags: 0,
    ciaddr,
    yiaddr: IPV4_ANY,
    siaddr: IPV4_ANY,
    giaddr: IPV4_ANY,
    chaddr,
    sname: new Uint8Array(64),
    file: new Uint8Array(128),
    options: [
      ...(type === null ? [] : [{ code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) }]),
      ...(wanted === null ? [] : [dhcpU32(DhcpCode.REQUESTED_IP, wanted)]),
    ],
  };
}

/** What was answered, as text. */
function ask(server: DhcpServer, message: DhcpMessage): string {
  const reply = server.answer(message);
  if (reply === null) return 'nothing';
  expect(reply.payload).toHaveLength(DHCP_REPLY_SIZE);
  const decoded = decodeDhcp(reply.payload);
  if (typeof decoded === 'string') throw new Error(decoded);
  expect(decoded).toMatchObject({ op: 2, xid: 1, secs: 0, flags: 0, siaddr: ipv4(10, 0, 2, 2) });
  if (dhcpType(decoded) === DhcpType.NAK) return 'nak';
  expect(reply.address).toBe(decoded.yiaddr);
  return `${dhcpType(decoded) === DhcpType.OFFER ? 'offer' : 'ack'} ${formatIpv4(decoded.yiaddr)}`;
}

/** The rules as one list of who has what. */
class Model {
  readonly leases: { host: number; mac: number }[] = [];

  ask(type: number | null, mac: number, wanted: Ipv4 | null, ciaddr: Ipv4): string {
    const rest = (type === DhcpType.REQUEST || type === null ? (wanted ?? ciaddr) : wanted) ?? IPV4_ANY;
    const claim = (host: number): number | null => {
      const holder = this.leases.find((lease) => lease.host === host);
      if (host < 15 || host > 30 || (holder !== undefined && holder.mac !== mac)) return null;
      if (holder === undefined) this.leases.push({ host, mac });
      return host;
    };
    const first = (): number | null => {
      for (let host = 15; host <= 30; host += 1) if (claim(host) !== null) return host;
      return null;
    };
    const host = rest >= ipv4(10, 0, 2, 0) && rest <= ipv4(10, 0, 2, 255) ? rest & 0xff : -1;
    switch (type) {
      case DhcpType.DISCOVER: {
        const got = claim(host) ?? first();
        return got === null ? 'nothing' : `offer 10.0.2.${got}`;
      }
      case null:
      case DhcpType.REQUEST: {
        const got = rest === IPV4_ANY ? first() : claim(host);
        if (got !== null) return `ack 10.0.2.${got}`;
        return rest === IPV4_ANY ? 'nothing' : 'nak';
      }
      default:
        return 'nothing';
    }
  }
}

describe('leases', () => {
  const type = fc.constantFrom(null, 1, 1, 3, 3, 3, 4, 7, 8, 99);
  const address = fc.oneof(
    fc.integer({ min: 13, max: 32 }).map((host) => ipv4(10, 0, 2, host)),
    fc.constantFrom(ipv4(192, 168, 1, 15), IPV4_ANY, ipv4(255, 255, 255, 255)),
  );
  const step = fc.tuple(
    type,
    fc.integer({ min: 1, max: 20 }),
    fc.option(address),
    fc.oneof(fc.constant(IPV4_ANY), address),
  );

  it('agree with a naive model', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const server = new DhcpServer();
        const model = new Model();
        for (const [kind, mac, wanted, ciaddr] of steps) {
          const asked = wanted === IPV4_ANY ? null : wanted;
          expect(ask(server, request(kind, mac, wanted, ciaddr))).toBe(model.ask(kind, mac, asked, ciaddr));
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('the first client gets .15 and keeps it; another client asking for it gets a NAK', () => {
    const server = new DhcpServer();
    expect(ask(server, request(DhcpType.DISCOVER, 1, null))).toBe('offer 10.0.2.15');
    expect(ask(server, request(DhcpType.REQUEST, 1, ipv4(10, 0, 2, 15)))).toBe('ack 10.0.2.15');
    expect(ask(server, request(DhcpType.REQUEST, 2, ipv4(10, 0, 2, 15)))).toBe('nak');
    expect(ask(server, request(DhcpType.DISCOVER, 2, null))).toBe('offer 10.0.2.16');
  });
});
