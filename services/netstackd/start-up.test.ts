import { describe, expect, it } from 'vitest';
import { ipv4 } from '../../sim/net/address.ts';
import { DnsClass, DnsRcode, DnsType, dnsAddressRecord, encodeDns } from '../../sim/net/dns.ts';
import type { DnsMessage } from '../../sim/net/dns.ts';
import type { Datagram } from './datagram-sockets.ts';
import { carriesId, resolves } from './start-up.ts';

const NAME = ['localhost'];
const SERVER = ipv4(10, 0, 2, 3);
const ANSWER: DnsMessage = {
  id: 0x1234,
  response: true,
  opcode: 0,
  authoritative: false,
  truncated: false,
  recursionDesired: true,
  recursionAvailable: true,
  z: 0,
  rcode: DnsRcode.NOERROR,
  questions: [{ name: NAME, type: DnsType.A, class: DnsClass.IN }],
  answers: [dnsAddressRecord(NAME, 0x7f00_0001, 60)],
  authorities: [],
  additionals: [],
};

const datagram = (message: Partial<DnsMessage> = {}, from: Partial<Datagram> = {}): Datagram => ({
  ip: SERVER,
  port: 53,
  payload: encodeDns({ ...ANSWER, ...message }),
  ...from,
});

describe('the DNS proof (sheet 70, section 4)', () => {
  it('quirk dns-unchecked, both: what is an answer of a server, and what only carries its id', () => {
    const other: readonly (readonly [string, Datagram, boolean])[] = [
      ['another port', datagram({}, { port: 5353 }), true],
      ['the question itself', datagram({ response: false, answers: [] }), true],
      ['an address in a question', datagram({ response: false }), true],
      ['a refusal', datagram({ rcode: DnsRcode.NXDOMAIN }), true],
      ['no answer', datagram({ answers: [] }), true],
      ['no address', datagram({ answers: [{ ...ANSWER.answers[0]!, type: 28 }] }), true],
      ['the id alone', datagram({}, { payload: Uint8Array.of(0x12, 0x34) }), true],
      ['another id', datagram({ id: 0x1235 }), false],
      ['another host', datagram({}, { ip: ipv4(10, 0, 2, 9) }), false],
    ];
    for (const [what, received, reference] of other) {
      expect(resolves(received), what).toBe(false);
      expect(carriesId(received), what).toBe(reference);
    }
    for (const ip of [SERVER, ipv4(10, 0, 2, 2)]) {
      expect(resolves(datagram({}, { ip }))).toBe(true);
      expect(carriesId(datagram({}, { ip }))).toBe(true);
    }
  });
});
