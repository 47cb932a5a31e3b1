/**
 * A resolver that knows a table of names and nothing else: A records of the Internet class (RFC 1035). It stands in for
 * the host's resolver, whose answers depend on the host (sheet 70, section 18).
 */
import type { Ipv4 } from './address.ts';
import type { DnsMessage, DnsRecord } from './dns.ts';
import { decodeDns, DnsClass, DnsRcode, DnsType, dnsAddressRecord, encodeDns, sameDnsName } from './dns.ts';

/** Names without the final dot, and their address. */
export interface ResolverEntry {
  readonly name: string;
  readonly address: Ipv4;
}

/** Seconds that an answer may be kept. */
export const ANSWER_TTL = 60;
const OPCODE_QUERY = 0;

/**
 * Answers a query, transaction id and question echoed; null for what is no query. One question of type A whose name is
 * known gets its record, of another type an empty answer; an unknown name NXDOMAIN; another opcode NOTIMP; anything but
 * one question FORMERR.
 */
export function resolve(query: Uint8Array, table: readonly ResolverEntry[]): Uint8Array | null {
  const message = decodeDns(query);
  if (typeof message === 'string' || message.response) return null;
  if (message.opcode !== OPCODE_QUERY) return answer(message, DnsRcode.NOTIMP, []);
  const question = message.questions[0];
  if (question === undefined || message.questions.length !== 1) return answer(message, DnsRcode.FORMERR, []);
  const entry = table.find(({ name }) => sameDnsName(name.split('.'), question.name));
  if (entry === undefined) return answer(message, DnsRcode.NXDOMAIN, []);
  const asked = question.type === DnsType.A && question.class === DnsClass.IN;
  const records = asked ? [dnsAddressRecord(question.name, entry.address, ANSWER_TTL)] : [];
  return answer(message, DnsRcode.NOERROR, records);
}

function answer(query: DnsMessage, rcode: number, answers: readonly DnsRecord[]): Uint8Array {
  return encodeDns({
    id: query.id,
    response: true,
    opcode: query.opcode,
    authoritative: false,
    truncated: false,
    recursionDesired: query.recursionDesired,
    recursionAvailable: true,
    z: 0,
    rcode,
    questions: query.questions,
    answers,
    authorities: [],
    additionals: [],
  });
}
