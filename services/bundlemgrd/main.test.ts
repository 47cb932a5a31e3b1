import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { ascii } from '../lib/text.ts';
import { OP_COUNTER_INC, decodeRequest as decodeMetric } from '../metricsd/wire.ts';
import { bundlemgrdProgram } from './main.ts';
import { BUNDLEMGRD_CONTRACT, BUNDLEMGRD_REFERENCE } from './options.ts';
import { encodeRequest, targetName } from './wire.ts';

const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const METRICSD = 0x0a;
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (field: Uint8Array | string): string =>
  typeof field === 'string' ? field : Buffer.from(field).toString('latin1');
const LIST = encodeRequest({ op: 'list' });
const FETCH = encodeRequest({ op: 'fetch_image' });
const SET_B = encodeRequest({ op: 'set_active_slot', slot: 'b' });
const EXECD = encodeRequest({ op: 'route_status', target: targetName(ascii('execd'))! });

/** init answers each query after its nonce-less own-name one as told; null never. */
function bench(
  answer: (query: Uint8Array) => Uint8Array | null = () => null,
  slots: readonly number[] = SLOTS,
): Driver {
  const driver = new Driver(slots);
  driver.onSend = (sent) => {
    if (sent.slot !== 1) return;
    const reply = answer(sent.frame);
    if (reply !== null) driver.push(2, reply);
  };
  return driver;
}

function replies(driver: Driver, requests: readonly Uint8Array[], options = BUNDLEMGRD_CONTRACT): readonly string[] {
  requests.forEach((frame, i) => {
    driver.push(3, frame, { after: 1000 + i });
  });
  driver.run(bundlemgrdProgram(options));
  return driver.sent.filter((sent) => sent.slot === 4).map((sent) => hex(sent.frame));
}

describe('loop (section 10.1)', () => {
  it('falls back to slots 3 and 4, and greets the first request', () => {
    const driver = bench();
    expect(replies(driver, [bytes('626164'), LIST])).toEqual(['424e018101000000', '424e018100010000']);
    expect(driver.lines).toEqual([
      'UBbundlemgrd: ready',
      'bundlemgrd: route err timeout',
      'bundlemgrd: route fallback',
      '[INFO bundlemgrd] core service log probe: bundlemgrd',
    ]);
    expect(driver.now).toBeGreaterThan(100_000_000);
  });

  it('takes the slots it is given', () => {
    const driver = bench(() => bytes('5254014100 04000000 03000000'));
    expect(replies(driver, [LIST])).toEqual(['424e018100010000']);
    expect(driver.lines).toEqual(['UBbundlemgrd: ready', '[INFO bundlemgrd] core service log probe: bundlemgrd']);
  });

  it('a moved capability gets the reply and is closed', () => {
    const driver = bench();
    driver.push(3, LIST, { cap: 0x0c });
    driver.run(bundlemgrdProgram());
    expect(driver.sent.find((sent) => sent.slot === 0x0c)?.frame).toEqual(bytes('424e018100010000'));
    expect(driver.caps.has(0x0c)).toBe(false);
    expect(driver.sent.some((sent) => sent.slot === 4)).toBe(false);
  });

  it('serves the active slot; setting it again says it again', () => {
    const driver = bench();
    const [before, set, again, after, refused] = replies(driver, [FETCH, SET_B, SET_B, FETCH, bytes('424e0104ff')]);
    expect(Buffer.from(before!, 'hex').toString('latin1')).toContain('ro.nexus.slot=a\n');
    expect([set, again, refused]).toEqual(['424e018400020000', '424e018400020000', '424e018401000000']);
    expect(Buffer.from(after!, 'hex').toString('latin1')).toContain('ro.nexus.slot=b\n');
    expect(driver.lines.filter((line) => line === 'bundlemgrd: slot b active')).toHaveLength(2);
  });

  it('receive errors end the service', () => {
    for (const [errno, word] of [
      [Errno.ENOSPC, 'nospace'],
      [Errno.ESRCH, 'disconnected'],
      [Errno.EINVAL, 'unsupported'],
      [Errno.EPERM, 'kernel'],
    ] as const) {
      const driver = bench();
      driver.receiveErrors.set(3, [-Errno.EAGAIN, -errno]);
      driver.run(bundlemgrdProgram());
      expect(driver.exit).toBe(-1);
      expect(driver.lines.at(-2)).toBe(`bundlemgrd: recv ${word}`);
    }
  });

  it('receive-cut: frames are cut to 512 bytes, so a long LIST is refused either way and a long FETCH is not', () => {
    const long = new Uint8Array(600);
    long.set(FETCH);
    for (const options of [BUNDLEMGRD_CONTRACT, BUNDLEMGRD_REFERENCE])
      expect(replies(bench(), [long], options)[0]?.slice(0, 10)).toBe('424e018300');
  });
});

describe('ROUTE_STATUS (sections 10.2 and 18)', () => {
  const status = (answer: (query: Uint8Array) => Uint8Array | null, request = EXECD) => {
    const driver = bench(answer);
    return { reply: replies(driver, [request])[0], driver };
  };
  const nonceOf = (query: Uint8Array): string => hex(query.subarray(query.length - 4));
  const onlyNonced = (make: (nonce: string) => string) => (query: Uint8Array) =>
    query.length === 14 ? bytes(make(nonceOf(query))) : null;

  it('hands on what init says', () => {
    for (const code of ['00', '01', '02', '03'])
      expect(status(onlyNonced((nonce) => `52540141 ${code} 05000000 06000000 ${nonce}`)).reply).toBe(
        `424e018200${code}0000`,
      );
  });

  it('a bad header with the right nonce ends at once; other frames are waited out for two seconds', () => {
    const bad = status(onlyNonced((nonce) => `52540142 00 05000000 06000000 ${nonce}`));
    expect(bad.reply).toBe('424e018200020000');
    expect(bad.driver.now).toBeLessThan(1_000_000_000);
    for (const make of [() => '52540141 00 05000000 06000000', () => '52540141 00 05000000 06000000 99999999']) {
      const waited = status(onlyNonced(make));
      expect(waited.reply).toBe('424e018200020000');
      expect(waited.driver.now).toBeGreaterThan(2_000_000_000);
    }
  });

  it('a name without UTF-8 is never asked for', () => {
    const request = encodeRequest({ op: 'route_status', target: targetName(Uint8Array.of(0xff))! });
    const { reply, driver } = status(() => null, request);
    expect(reply).toBe('424e018200020000');
    expect(driver.sent.filter((sent) => sent.slot === 1)).toHaveLength(1);
  });

  it('COR-2: nonces count from 1', () => {
    const driver = bench(onlyNonced((nonce) => `52540141 03 00000000 00000000 ${nonce}`));
    replies(driver, [EXECD, EXECD]);
    const queries = driver.sent.filter((sent) => sent.slot === 1 && sent.frame.length === 14);
    expect(queries.map((sent) => nonceOf(sent.frame))).toEqual(['01000000', '02000000']);
  });
});

describe('LOG_PROBE', () => {
  const probe = (ack: ((nonce: string) => string) | null): string | undefined => {
    const driver = new Driver(SLOTS);
    driver.onSend = (sent) => {
      if (sent.slot === 1) {
        const name = Buffer.from(sent.frame.subarray(5)).toString('latin1');
        if (name === 'logd') driver.push(2, bytes('5254014100 09000000 07000000'));
        if (name === '@reply') driver.push(2, bytes('5254014100 08000000 07000000'));
      }
      if (sent.slot === 9 && sent.frame[2] === 2 && ack !== null)
        driver.push(7, bytes(ack(hex(sent.frame.subarray(4, 12)))));
    };
    return replies(driver, [bytes('424e017f')])[0];
  };

  it('OK once logd has acknowledged, else 2', () => {
    expect(probe((nonce) => `4c4f028100 ${nonce}`)).toBe('424e01ff00000000');
    expect(probe((nonce) => `4c4f028106 ${nonce}`)).toBe('424e01ff02000000');
    expect(probe(() => '4c4f028100 9999999999999999')).toBe('424e01ff02000000');
    expect(probe(null)).toBe('424e01ff02000000');
  });
});

describe('metrics (sheet 40, section 16)', () => {
  it('contract: each operation counts, before its reply', () => {
    const driver = bench(() => null, [...SLOTS, METRICSD]);
    replies(driver, [LIST, FETCH, SET_B, bytes('424e0101ff')]);
    const sent = driver.sent.filter((each) => each.slot === METRICSD);
    const seen = sent.map((each) => {
      const decoded = decodeMetric(each.frame);
      if (!decoded.ok || !('value' in decoded.request)) throw new Error('no metric');
      const metric = decoded.request;
      const name = text(metric.name);
      expect(text(metric.labels)).toBe('svc=bundlemgrd\n');
      return `${name} ${metric.op === OP_COUNTER_INC ? 'counter' : 'hist'} ${metric.value}`;
    });
    expect(seen).toEqual([
      'bundlemgrd.list.ok counter 1',
      'bundlemgrd.fetch.ok counter 1',
      'bundlemgrd.fetch.image_bytes hist 75',
      'bundlemgrd.slot_switch.ok counter 1',
    ]);
    expect(driver.sent.indexOf(sent[0]!)).toBeLessThan(driver.sent.findIndex((each) => each.slot === 4));
  });

  it.each([
    ['00', 'bundlemgrd.route_status.ok'],
    ['01', 'bundlemgrd.route_status.fail'],
    ['03', 'bundlemgrd.route_status.fail'],
    ['09', 'bundlemgrd.route_status.fail'],
  ])('contract: a route of status %s counts as %s', (code, name) => {
    const driver = bench(
      (query) => (query.length === 14 ? bytes(`52540141 ${code} 05000000 06000000 ${hex(query.subarray(10))}`) : null),
      [...SLOTS, METRICSD],
    );
    replies(driver, [EXECD]);
    const counted = driver.sent.filter((each) => each.slot === METRICSD).map((each) => decodeMetric(each.frame));
    expect(counted.map((each) => (each.ok && 'name' in each.request ? text(each.request.name) : null))).toEqual([name]);
  });

  it('without a metricsd nothing is sent, not even to what stands in its slot later', () => {
    const driver = bench();
    driver.push(3, LIST, { cap: METRICSD, after: 2000 });
    driver.run(bundlemgrdProgram());
    expect(driver.sent.filter((each) => each.slot === METRICSD).map((each) => hex(each.frame))).toEqual([
      '424e018100010000',
    ]);
  });

  it('quirk metrics-unrouted: one route query of 100 ms for each, and nothing more', () => {
    const driver = bench(() => null, [...SLOTS, METRICSD]);
    replies(driver, [FETCH], BUNDLEMGRD_REFERENCE);
    const queries = driver.sent
      .filter((each) => each.slot === 1)
      .map((each) => Buffer.from(each.frame.subarray(5)).toString());
    expect(queries).toEqual(['bundlemgrd', 'logd', 'metricsd', 'metricsd']);
    expect(driver.sent.some((each) => each.slot === METRICSD)).toBe(false);
    expect(driver.now).toBeGreaterThan(400_000_000);
  });
});
