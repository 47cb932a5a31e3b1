import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import {
  OP_DEL,
  OP_PUT,
  STATUS_ACCESS_DENIED,
  STATUS_NOT_FOUND,
  STATUS_OK,
  decodeRequest as decodeStore,
  encodeStatusReply,
  statefsNonce,
} from '../statefsd/wire.ts';
import { METRICSD_CONTRACT, metricsdProgram } from './main.ts';
import type { MetricsdOptions } from './main.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import {
  OP_COUNTER_INC,
  OP_PING,
  OP_SPAN_END,
  OP_SPAN_START,
  amount,
  attrs,
  encodeRequest,
  labels,
  metricName,
  nonce,
  spanId,
  spanName,
  spanTime,
  traceId,
} from './wire.ts';

const REFERENCE: MetricsdOptions = {
  ...METRICSD_CONTRACT,
  receiveMax: 512,
  segmentMaxBytes: Infinity,
  readyBeforeProof: true,
  walUnacknowledged: true,
  rollupByCount: true,
  errorDropsNonce: true,
  inboxDiscards: true,
  silentSink: true,
  redact: false,
  countRejects: false,
};
const SELFTEST = 0x52c6c4a34ffb3f69n;
const enc = new TextEncoder();
const dec = new TextDecoder();
const MS = 1_000_000;

type Ack = (frame: Uint8Array, nth: number) => { readonly status: number; readonly after: number } | null;
const prompt: Ack = () => ({ status: 0, after: 10_000 });
const never: Ack = () => null;

/** metricsd with init, logd and the store around it. */
class Bench extends Driver {
  logAck: Ack = prompt;
  storeAck: Ack = prompt;
  readonly logged: string[] = [];
  readonly store = new Map<string, string>();
  readonly storeFrames: { version: number; op: number; key: string; length: number; moved: boolean; at: number }[] = [];
  readonly arrivals: number[] = [];
  readonly replies: { at: number; slot: number; frame: number[] }[] = [];

  constructor() {
    super([1, 2, 3, 4, 5, 6, 7, 8]);
    this.onSend = ({ slot, frame, moved, at }) => {
      if (slot === 1) this.route(frame);
      else if (slot === 8) this.takeLog(frame, moved);
      else if (slot === 7) this.takeStore(frame, moved, at);
      else this.replies.push({ at, slot, frame: [...frame] });
    };
  }

  route(frame: Uint8Array): void {
    this.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 4, 0, 0, 0, 3, 0, 0, 0, ...frame.subarray(-4)));
  }

  takeLog(frame: Uint8Array, moved: number): void {
    const scope = frame[5]!;
    this.logged.push(dec.decode(frame.subarray(10 + scope)));
    const ack = this.logAck(frame, this.logged.length);
    if (ack === null || moved < 0) return;
    const reply = new Uint8Array(21);
    reply.set([0x4c, 0x4f, 1, 0x81, ack.status]);
    this.push(5, reply, { after: ack.after });
  }

  takeStore(frame: Uint8Array, moved: number, at: number): void {
    const request = decodeStore(frame);
    if (request.kind !== 'put' && request.kind !== 'del') throw new Error(`store got ${request.kind}`);
    const op = request.kind === 'put' ? OP_PUT : OP_DEL;
    const length = request.kind === 'put' ? request.value.length : 0;
    this.storeFrames.push({ version: frame[2]!, op, key: request.key, length, moved: moved >= 0, at });
    const ack = this.storeAck(frame, this.storeFrames.length);
    if (ack === null) return;
    if (ack.status === STATUS_OK) {
      if (request.kind === 'put') this.store.set(request.key, dec.decode(request.value));
      else this.store.delete(request.key);
    }
    if (moved >= 0) this.push(5, encodeStatusReply(op, ack.status, request.nonce), { after: ack.after });
  }

  request(frame: Uint8Array, options: { cap?: number; after?: number; sender?: bigint } = {}): this {
    this.arrivals.push(this.now + (options.after ?? 0));
    this.push(3, frame, { sender: SELFTEST, ...options });
    return this;
  }

  boot(options: Partial<MetricsdOptions> = {}, base: MetricsdOptions = METRICSD_CONTRACT): this {
    return this.run(metricsdProgram({ ...base, ...options }));
  }

  /** UART lines after the glue's `UB`. */
  get uart(): string[] {
    return this.lines.map((line) => line.replace(/^UB/, ''));
  }
}

function counter(n: number, name = 'selftest.cap', text = ''): Uint8Array {
  return encodeRequest({
    op: OP_COUNTER_INC,
    nonce: nonce(n),
    name: metricName(enc.encode(name))!,
    labels: labels(enc.encode(text))!,
    value: amount(1n),
  });
}
const ID = spanId(((SELFTEST & 0xffff_ffffn) << 32n) | 1n);
function start(n: number): Uint8Array {
  return encodeRequest({
    op: OP_SPAN_START,
    nonce: nonce(n),
    spanId: ID,
    traceId: traceId(1n),
    parentSpanId: spanId(0n),
    startNs: spanTime(10n),
    name: spanName(enc.encode('selftest.sanity'))!,
    attrs: attrs(new Uint8Array(0))!,
  });
}
function end(n: number): Uint8Array {
  return encodeRequest({
    op: OP_SPAN_END,
    nonce: nonce(n),
    spanId: ID,
    endNs: spanTime(20n),
    status: 0,
    attrs: attrs(new Uint8Array(0))!,
  });
}
const ping = (n: number): Uint8Array => encodeRequest({ op: OP_PING, nonce: nonce(n) });
const SEG0 = '/state/observability/metricsd/wal/seg_0';

describe('start-up (sheet 40, 12.1)', () => {
  it('OBS-16: says ready once logd has acknowledged a record', () => {
    const bench = new Bench().boot();
    expect(bench.uart).toEqual(['[INFO metricsd] core service log probe: metricsd', 'metricsd: ready']);
    expect(bench.logged).toEqual(['core service log probe: metricsd']);
  });

  it('OBS-16: never says ready while logd is mute, but serves', () => {
    const bench = new Bench();
    bench.logAck = never;
    bench
      .request(counter(4), { after: 2500 * MS })
      .request(ping(5), { after: 3000 * MS })
      .boot();
    expect(bench.uart).not.toContain('metricsd: ready');
    expect(bench.replies.at(-1)?.frame).toEqual([0x4d, 0x54, 1, 0x86, 0, 5, 0, 0, 0]);
  });

  it('OBS-16: a refused record is no proof; the first acknowledged one later is', () => {
    const bench = new Bench();
    bench.logAck = (_, nth) => ({ status: nth === 1 ? 6 : 0, after: 10_000 });
    bench.request(counter(1), { after: MS }).request(counter(2), { after: 2 * MS });
    bench.request(counter(3), { after: 3 * MS }).boot();
    expect(bench.uart.filter((line) => line === 'metricsd: ready')).toHaveLength(1);
    expect(bench.uart.indexOf('metricsd: ready')).toBeGreaterThan(
      bench.uart.indexOf('[INFO metricsd] metrics snapshot counter name=selftest.cap value=1'),
    );
  });

  it('OBS-16: the proof counts when the line itself already read the acknowledgement', () => {
    const bench = new Bench();
    bench.logAck = () => ({ status: 0, after: 0 });
    expect(bench.boot().uart.at(-1)).toBe('metricsd: ready');
    expect(bench.now).toBeLessThan(MS);
  });

  it('quirk ready-before-proof, reference: says ready before anything was logged', () => {
    const bench = new Bench();
    bench.logAck = never;
    bench.boot({ readyBeforeProof: true });
    expect(bench.uart).toEqual(['metricsd: ready']);
    expect(bench.logged).toEqual([]);
  });

  it('asks for its route until the answer is OK, with one nonce, and ignores other frames', () => {
    const bench = new Bench();
    const asked: number[][] = [];
    bench.route = (frame) => {
      asked.push([...frame]);
      const tail = [...frame.subarray(-4)];
      if (asked.length === 1) bench.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 1, 0, 0, 0, 0, 0, 0, 0, 0, ...tail));
      else {
        bench.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 9, 0, 0, 0, 9, 0, 0, 0));
        bench.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 9, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0));
        bench.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 4, 0, 0, 0, 3, 0, 0, 0, ...tail));
      }
    };
    bench.request(ping(1), { after: MS }).boot();
    const query = [0x52, 0x54, 1, 0x40, 8, ...enc.encode('metricsd'), 1, 0, 0, 0];
    expect(asked).toEqual([query, query]);
    expect(bench.replies.map((r) => r.slot)).toEqual([4]);
  });

  it('ends with the error line when the control channel fails', () => {
    const bench = new Bench();
    bench.refuse = (slot) => (slot === 1 ? -Errno.EPERM : 0);
    bench.boot();
    expect(bench.uart).toEqual(['service error svc=metricsd type=metricsd::os_lite::MetricsError']);
    expect(bench.exit).toBe(-1);
  });

  it('OBS-14: a bad recipe falls back to the bounded defaults, and says so after ready', () => {
    const bench = new Bench();
    for (let i = 0; i < 17; i++) bench.request(counter(i, 'm', `id=${String(i)}\n`), { after: (i + 1) * MS });
    bench.boot({ recipe: '[metrics]\nmax_series_total=x' });
    expect(bench.uart.slice(0, 3)).toEqual([
      '[INFO metricsd] core service log probe: metricsd',
      'metricsd: ready',
      'metricsd: config fallback defaults',
    ]);
    expect(bench.replies.map((r) => r.frame[4])).toEqual([...Array<number>(16).fill(0), 2]);
  });

  it('OBS-22: limits come from the recipe', () => {
    const bench = new Bench().request(counter(1, 'a'), { after: MS }).request(counter(2, 'b'), { after: 2 * MS });
    bench.boot({ recipe: '[metrics]\nmax_series_total=1' });
    expect(bench.replies.map((r) => r.frame.slice(4))).toEqual([
      [0, 1, 0, 0, 0],
      [2, 2, 0, 0, 0],
    ]);
  });
});

describe('loop (sheet 40, 12.2)', () => {
  it('OBS-3: prints each marker once, before the reply; NOT_FOUND has none; counters in notes', () => {
    const bench = new Bench();
    const frames = [ping(1).subarray(0, 7), ping(1).subarray(0, 7), counter(2, 'n', '').fill(49, 8, 9), end(3)];
    frames.forEach((frame, i) => bench.request(frame, { after: (i + 1) * MS }));
    const order: string[] = [];
    const onSend = bench.onSend;
    bench.onSend = (sent) => {
      onSend(sent);
      order.push(`${bench.lines.at(-1) ?? ''} / ${String(sent.frame[4])}`);
    };
    bench.boot({ recipe: '[retention]\nenabled=0' });
    expect(order.slice(-4)).toEqual([
      'metricsd: reject invalid_args / 1',
      'metricsd: reject invalid_args / 1',
      'metricsd: reject over_limit / 2',
      'metricsd: reject over_limit / 4',
    ]);
    expect(bench.uart.filter((line) => line === 'metricsd: reject invalid_args')).toHaveLength(1);
    expect([...bench.notes]).toEqual([
      ['reject.invalid_args', 2],
      ['reject.over_limit', 1],
      ['reject.not_found', 1],
    ]);
    expect(bench.uart.filter((line) => line.startsWith('[INFO'))).toHaveLength(1);
  });

  it('quirk no-reject-counters, reference: only the markers', () => {
    const bench = new Bench().request(ping(1).subarray(0, 7)).boot({ countRejects: false });
    expect(bench.uart).toContain('metricsd: reject invalid_args');
    expect(bench.notes.size).toBe(0);
  });

  it('COR-1: quirk error-drops-nonce, both: an undecodable request gets its own nonce back, or 0', () => {
    const bad = ping(7).fill(9, 3, 4);
    expect(new Bench().request(bad).boot().replies.at(-1)?.frame).toEqual([0x4d, 0x54, 1, 0x89, 1, 7, 0, 0, 0]);
    const quirky = new Bench().request(bad).boot({ errorDropsNonce: true });
    expect(quirky.replies.at(-1)?.frame).toEqual([0x4d, 0x54, 1, 0x89, 1, 0, 0, 0, 0]);
  });

  it('replies on a moved capability and closes it, unless the reply fails', () => {
    const bench = new Bench().request(ping(1), { cap: 30 }).request(ping(2), { cap: 31 });
    bench.refuse = (slot) => (slot === 31 ? -Errno.EAGAIN : 0);
    bench.boot();
    expect(bench.replies.map((r) => r.slot)).toEqual([30]);
    expect([bench.caps.has(30), bench.caps.has(31)]).toEqual([false, true]);
  });

  it('goes on after would-block and timeout, ends on any other receive error', () => {
    const bench = new Bench().request(ping(1));
    bench.receiveErrors.set(3, [-Errno.EAGAIN, -Errno.ETIMEDOUT]);
    expect(bench.boot().replies).toHaveLength(1);
    const full = new Bench().request(ping(1));
    full.receiveErrors.set(3, [-Errno.ENOSPC]);
    full.boot();
    expect(full.uart.at(-1)).toBe('service error svc=metricsd type=metricsd::os_lite::MetricsError');
    expect(full.exit).toBe(-1);
  });

  it('OBS-2: a frame beyond every legal length is malformed, cut (quirk receive-cut) or whole', () => {
    const long = new Uint8Array(600);
    long.set(counter(9, 'n', ''));
    const both = [METRICSD_CONTRACT, REFERENCE].map((base) => new Bench().request(long).boot({}, base).replies.at(-1));
    expect(both.map((r) => r?.frame[4])).toEqual([1, 1]);
  });

  it('uses a private clock when the kernel has none', () => {
    const bench = new Bench();
    for (let i = 0; i < 66; i++) bench.request(end(i), { after: i * 100 * MS });
    bench.clockFails = true;
    bench.boot({ readyBeforeProof: true });
    // The private clock counts frames, so all 66 fall into one window.
    expect(bench.replies.map((r) => r.frame[4]).slice(-3)).toEqual([4, 3, 3]);
  });

  it('OBS-1: the sender is the kernel id, not the reply path', () => {
    const bench = new Bench().request(start(1), { sender: 0x1234n }).request(start(2));
    bench.boot();
    expect(bench.replies.map((r) => r.frame[4])).toEqual([1, 0]);
  });
});

describe('retention, acknowledged (contract)', () => {
  it('OBS-21: export, write with a moved reply capability, acknowledgement, verified, reply', () => {
    const bench = new Bench().request(counter(1)).request(start(2)).request(end(3)).boot();
    expect(bench.uart.slice(2)).toEqual([
      '[INFO metricsd] metrics snapshot counter name=selftest.cap value=1',
      '[INFO metricsd] retention wal active',
      '[INFO metricsd] retention wal verified',
      '[INFO metricsd] tracing span end name=selftest.sanity parent_span_id=0 duration_ns=10 status=0 start_attrs= end_attrs=',
    ]);
    expect(bench.storeFrames.map(({ version, op, key, moved }) => [version, op, key, moved])).toEqual([
      [2, OP_PUT, SEG0, true],
      [2, OP_PUT, SEG0, true],
    ]);
    expect(bench.store.get(SEG0)).toBe(
      'metric counter name=selftest.cap value=1\n' +
        'span end name=selftest.sanity parent_span_id=0 duration_ns=10 status=0 start_attrs= end_attrs=\n',
    );
    expect(bench.replies.map((r) => r.frame[4])).toEqual([0, 0, 0]);
  });

  it('OBS-15: without an acknowledgement nothing is claimed, the event is accepted within 400 ms', () => {
    const bench = new Bench();
    bench.storeAck = never;
    bench.request(counter(1)).boot();
    expect(bench.uart.filter((line) => line.includes('retention'))).toEqual([]);
    const sent = bench.storeFrames[0]!.at;
    expect(bench.replies[0]!.at - sent).toBeGreaterThan(395 * MS);
    expect(bench.replies[0]!.at - sent).toBeLessThan(405 * MS);
    expect([bench.notes.get('retention.ack-missing'), bench.notes.get('retention.record')]).toEqual([1, 1]);
  });

  it('tries a span twice within the same 400 ms, with a new nonce each time', () => {
    const bench = new Bench();
    bench.storeAck = (_, nth) => (nth === 1 ? null : prompt(_, nth));
    const nonces: bigint[] = [];
    const onSend = bench.onSend;
    bench.onSend = (sent) => {
      if (sent.slot === 7) nonces.push(new DataView(sent.frame.buffer).getBigUint64(4, true));
      onSend(sent);
    };
    bench.request(start(1)).request(end(2)).boot();
    expect(nonces).toEqual([1n, 2n]);
    expect(bench.uart.at(-1)).toBe('[INFO metricsd] retention wal verified');
    expect(bench.storeFrames[1]!.at - bench.storeFrames[0]!.at).toBeGreaterThan(199 * MS);
    expect(bench.replies[1]!.at - bench.storeFrames[0]!.at).toBeLessThan(205 * MS);
    expect(bench.notes.get('retention.ack-missing')).toBe(1);
  });

  it('COR-3: an acknowledgement that comes too late is counted and proves nothing', () => {
    const bench = new Bench();
    bench.storeAck = (_, nth) => (nth === 1 ? { status: 0, after: 450 * MS } : null);
    bench
      .request(counter(1))
      .request(counter(2), { after: 500 * MS })
      .boot();
    expect(bench.uart.filter((line) => line.includes('retention'))).toEqual([]);
    expect([bench.notes.get('retention.ack-late'), bench.notes.get('retention.ack-missing')]).toEqual([1, 2]);
  });

  it('OBS-15: a refusal of the store is counted and proves nothing', () => {
    const bench = new Bench();
    bench.storeAck = () => ({ status: STATUS_ACCESS_DENIED, after: 1000 });
    bench.request(counter(1)).boot();
    expect(bench.uart.filter((line) => line.includes('retention'))).toEqual([]);
    expect(bench.notes.get('retention.refused')).toBe(1);
    expect(bench.replies[0]!.frame[4]).toBe(0);
  });

  it('COR-3: log and store acknowledgements share the inbox in any order; none is lost', () => {
    for (const [log, store] of [
      [50_000, 1_000],
      [1_000, 50_000],
    ] as const) {
      const bench = new Bench();
      bench.logAck = () => ({ status: 0, after: log });
      bench.storeAck = () => ({ status: 0, after: store });
      for (let i = 0; i < 40; i++) bench.request(counter(i), { after: i * 50 * MS });
      bench.boot();
      expect(bench.storeFrames).toHaveLength(40);
      expect([...bench.notes]).toEqual([]);
      expect(bench.uart.join('\n')).not.toContain('degraded');
    }
  });

  it('keeps one write outstanding and leaks no capability', () => {
    const bench = new Bench();
    let outstanding = 0;
    const onSend = bench.onSend;
    bench.onSend = (sent) => {
      if (sent.slot === 7) expect(++outstanding).toBe(1);
      onSend(sent);
    };
    const push = bench.push.bind(bench);
    bench.push = (slot, frame, options) => {
      if (slot === 5 && frame[0] === 0x53) outstanding -= 1;
      push(slot, frame, options);
    };
    for (let i = 0; i < 30; i++) bench.request(counter(i), { after: i * MS });
    const before = bench.caps.size;
    bench.boot();
    expect(bench.caps.size).toBe(before);
    expect(bench.storeFrames).toHaveLength(30);
  });

  it('closes the clone when the store takes no frame', () => {
    const bench = new Bench();
    bench.refuse = (slot) => (slot === 7 ? -Errno.EPERM : 0);
    bench.request(counter(1)).boot();
    expect([...bench.caps].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([bench.notes.get('retention.send'), bench.replies[0]!.frame[4]]).toEqual([1, 0]);
  });

  it('OBS-20: rolls up by virtual time, says so once, and deletes what is past its time', () => {
    const bench = new Bench();
    for (let i = 0; i < 8; i++) bench.request(counter(i), { after: i * 10_000 * MS });
    bench.boot({ recipe: '[retention]\nttl_windows=2\ngc_batch=1' });
    const windows = [...bench.store.keys()].filter((key) => key.includes('rollup'));
    expect(windows.map((key) => key.slice('/state/observability/metricsd/rollup/'.length))).toEqual([
      '10s/w_5',
      '60s/w_0',
      '10s/w_6',
    ]);
    expect(bench.uart.filter((line) => line.includes('rollup'))).toEqual([
      '[INFO metricsd] retention rollup 10s active',
      '[INFO metricsd] retention rollup 60s active',
    ]);
  });

  it('OBS-20: a delete without acknowledgement is owed and done with the next event', () => {
    const bench = new Bench();
    bench.storeAck = (frame, nth) => (frame[3] === OP_DEL && bench.now < 35_000 * MS ? null : prompt(frame, nth));
    for (let i = 0; i < 5; i++) bench.request(counter(i), { after: i * 10_000 * MS });
    bench.boot({ recipe: '[retention]\nttl_windows=2\ngc_batch=1' });
    const windows = [...bench.store.keys()].filter((key) => key.includes('/10s/'));
    expect(windows.map((key) => key.slice(-3))).toEqual(['w_2', 'w_3']);
  });

  it('OBS-20: a window that the store does not know is as good as deleted; any other refusal is counted', () => {
    for (const [status, lost] of [
      [STATUS_NOT_FOUND, undefined],
      [STATUS_ACCESS_DENIED, 2],
    ] as const) {
      const bench = new Bench();
      bench.storeAck = (frame) => ({ status: frame[3] === OP_DEL ? status : 0, after: 1000 });
      for (let i = 0; i < 5; i++) bench.request(counter(i), { after: i * 10_000 * MS });
      bench.boot({ recipe: '[retention]\nttl_windows=2\ngc_batch=1' });
      expect(bench.storeFrames.filter((f) => f.op === OP_DEL)).toHaveLength(2);
      expect(bench.notes.get('retention.delete')).toBe(lost);
    }
  });

  it('OBS-15, OBS-20: what a dead store costs is counted and bounded', () => {
    const bench = new Bench();
    bench.storeAck = never;
    for (let i = 0; i < 40; i++) bench.request(counter(i), { after: i * 10_000 * MS });
    bench.boot({ recipe: '[retention]\nttl_windows=1\ngc_batch=1' });
    expect(bench.notes.get('retention.record')).toBe(40);
    expect(bench.notes.get('retention.rollup')).toBe(39 + 6);
    // 38 short and 5 long windows went past their time, 32 deletes are still owed.
    expect(bench.notes.get('retention.delete')).toBe(38 + 5 - 32);
  });

  it('OBS-20: retention that is switched off neither writes nor speaks', () => {
    const bench = new Bench().request(counter(1)).boot({ recipe: '[retention]\nenabled=0' });
    expect(bench.storeFrames).toEqual([]);
    expect(bench.uart.at(-1)).toBe('[INFO metricsd] metrics snapshot counter name=selftest.cap value=1');
  });

  it('OBS-18: redacts log line and record', () => {
    const bench = new Bench().request(start(1)).request(
      encodeRequest({
        op: OP_SPAN_END,
        nonce: nonce(2),
        spanId: ID,
        endNs: spanTime(20n),
        status: 0,
        attrs: attrs(enc.encode('session_cookie=hunter2\n'))!,
      }),
    );
    bench.boot();
    expect(bench.uart.join() + bench.logged.join() + [...bench.store.values()].join()).not.toContain('hunter2');
    expect(bench.logged[1]).toContain('end_attrs=session_cookie=[redacted]\\n');
    expect(bench.store.get(SEG0)).toContain('end_attrs=session_cookie=[redacted]\\n');
  });
});

describe('retention, unacknowledged (quirk wal-unacknowledged)', () => {
  it('writes plainly, proves once with the same value, and goes on plainly (sheet 50, section 13)', () => {
    const bench = new Bench();
    for (let i = 0; i < 9; i++) bench.request(counter(i), { after: i * MS });
    bench.boot({}, REFERENCE);
    expect(bench.storeFrames.map(({ version, length, moved }) => [version, length, moved])).toEqual([
      [1, 41, false],
      [2, 41, true],
      ...[82, 123, 164, 205, 246, 287, 328, 369].map((length) => [1, length, false]),
    ]);
    expect(bench.uart.slice(0, 5)).toEqual([
      'metricsd: ready',
      '[INFO metricsd] metrics snapshot counter name=selftest.cap value=1',
      '[INFO metricsd] retention wal active',
      '[INFO metricsd] retention wal verified',
      '[INFO metricsd] metrics snapshot counter name=selftest.cap value=2',
    ]);
  });

  it('rolls up at event 16, also when the store takes nothing for the window', () => {
    const bench = new Bench();
    bench.refuse = (slot, frame) => (slot === 7 && dec.decode(frame).includes('rollup') ? -Errno.EAGAIN : 0);
    for (let i = 0; i < 16; i++) bench.request(counter(i), { after: i * MS });
    bench.boot({}, REFERENCE);
    expect(bench.uart.at(-1)).toBe('[INFO metricsd] retention rollup 10s active');
    expect([...bench.store.keys()]).toEqual([SEG0]);
  });

  it('a write that is refused in all attempts loses the rollup of its event', () => {
    const bench = new Bench();
    let refusals = 0;
    bench.refuse = (slot, frame) => {
      if (slot !== 7 || !dec.decode(frame).includes('span end')) return 0;
      refusals += 1;
      return -Errno.EAGAIN;
    };
    for (let i = 0; i < 15; i++) bench.request(counter(i), { after: i * MS });
    bench.request(start(20), { after: 16 * MS }).request(end(21), { after: 17 * MS });
    bench.boot({}, REFERENCE);
    expect(refusals).toBe(2);
    expect(bench.yields).toBeGreaterThanOrEqual(2);
    expect(bench.uart.join()).not.toContain('rollup');
    expect(bench.replies.at(-1)?.frame[4]).toBe(0);
  });

  it('OBS-21: active is said after a send, verified only after an acknowledgement, tried with every event', () => {
    const bench = new Bench();
    bench.storeAck = (_, nth) => (nth <= 2 ? null : prompt(_, nth));
    bench.request(counter(1)).request(counter(2)).boot({}, REFERENCE);
    expect(bench.uart.filter((line) => line.includes('retention'))).toEqual([
      '[INFO metricsd] retention wal active',
      '[INFO metricsd] retention wal verified',
    ]);
    expect(bench.storeFrames.map((f) => f.version)).toEqual([1, 2, 1, 2]);
    expect(bench.replies[0]!.at - bench.storeFrames[1]!.at).toBeGreaterThan(1990 * MS);
  });

  it('section 24: when the time call fails the proof sends nothing and leaves its clone open', () => {
    const bench = new Bench();
    bench.clockFails = true;
    bench.request(counter(1)).boot({}, REFERENCE);
    expect(bench.storeFrames.map((f) => f.version)).toEqual([1]);
    expect(bench.caps.has(20)).toBe(true);
  });

  it('section 14.6: writes fit a frame of 8,192 bytes or fail at once, plainly and as proof', () => {
    const bench = new Bench();
    bench.storeAck = never;
    bench.refuse = (_, frame) => (frame.length > 8192 ? -Errno.EINVAL : 0);
    const big = encodeRequest({
      op: OP_SPAN_END,
      nonce: nonce(2),
      spanId: ID,
      endNs: spanTime(20n),
      status: 0,
      attrs: attrs(enc.encode('\n'.repeat(192)))!,
    });
    for (let i = 0; i < 20; i++) bench.request(start(1), { after: i * MS }).request(big, { after: i * MS });
    bench.boot({}, REFERENCE);
    const lengths = (version: number): number[] =>
      bench.storeFrames.filter((f) => f.version === version && f.key === SEG0).map((f) => f.length);
    // The 17th value fills a plain frame to the last byte, which leaves no room for the proof's nonce.
    expect(10 + SEG0.length + lengths(1).at(-1)!).toBe(8192);
    expect([lengths(1).length, lengths(2).length]).toEqual([17, 16]);
    expect(bench.replies).toHaveLength(40);
  });

  it('quirk inbox-discards, reference: keeps nothing that it does not know on the inbox', () => {
    const bench = new Bench();
    bench.push(5, encodeStatusReply(OP_PUT, STATUS_OK, statefsNonce(99n)));
    bench.request(counter(1)).boot({}, REFERENCE);
    expect(bench.waiting(5)).toBe(1);
    expect(bench.uart).toContain('[INFO metricsd] retention wal verified');
  });
});

describe('under faults', () => {
  const ack = fc.oneof(
    { weight: 4, arbitrary: fc.record({ status: fc.constant(0), after: fc.nat(2 * MS) }) },
    { weight: 1, arbitrary: fc.record({ status: fc.nat(8), after: fc.nat(700 * MS) }) },
    { weight: 1, arbitrary: fc.constant(null) },
  );
  const traffic = fc.array(fc.record({ kind: fc.nat(3), gap: fc.nat(900 * MS) }), { maxLength: 25 });
  const acks = fc.array(ack, { minLength: 1, maxLength: 40 });
  const refusals = fc.array(fc.boolean(), { minLength: 7, maxLength: 7 });

  it('OBS-15, OBS-21, COR-3: every request is answered in time, no capability leaks, nothing false is claimed', () => {
    fc.assert(
      fc.property(traffic, acks, acks, refusals, (requests, logAcks, storeAcks, full) => {
        const bench = new Bench();
        const at = <T>(list: readonly T[], nth: number): T => list[(nth - 1) % list.length]!;
        const statuses: (number | undefined)[] = [];
        bench.logAck = (_, nth) => at(logAcks, nth);
        bench.storeAck = (_, nth) => {
          const answer = at(storeAcks, nth);
          statuses.push(answer?.status);
          return answer;
        };
        let sends = 0;
        bench.refuse = (slot, frame) => {
          const busy = (slot === 7 || slot === 8) && frame.length > 0 && full[sends++ % full.length] === true;
          return busy ? -Errno.EAGAIN : 0;
        };
        let t = 3000 * MS;
        requests.forEach(({ kind, gap }, i) => {
          t += gap;
          bench.request([counter(i), start(i), end(i), ping(i)][kind]!, { after: t });
        });
        bench.boot();
        expect(bench.exit).toBeNull();
        expect(bench.replies.map((r) => r.frame[5])).toEqual(requests.map((_, i) => i));
        expect([...bench.caps].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
        if (!statuses.includes(STATUS_OK)) expect(bench.uart.join()).not.toContain('retention');
        const acked = logAcks.some((a) => a?.status === 0);
        if (!acked) expect(bench.uart).not.toContain('metricsd: ready');
        const busyNs = bench.replies.map((r, i) => r.at - Math.max(bench.arrivals[i]!, bench.replies[i - 1]?.at ?? 0));
        for (const ns of busyNs) expect(ns).toBeLessThan(410 * MS);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
