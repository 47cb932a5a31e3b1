/** execd's loop by hand: identity, policy, children, crashes, metrics. The kernel's EXEC and WAIT are scripted. */
import { describe, expect, it } from 'vitest';
import { Errno, Nr, serviceIdOf } from '../../kernel-model/abi.ts';
import { decodeExecCheck, encodeExecResponse } from '../init/wire.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import type { Sent } from '../lib/fixtures/test-driver.ts';
import { ascii } from '../lib/text.ts';
import { decodeRequest as decodeLog } from '../logd/wire.ts';
import {
  OP_COUNTER_INC,
  OP_SPAN_END,
  OP_SPAN_START,
  STATUS_OK,
  decodeRequest as decodeMetric,
  encodeResponse,
} from '../metricsd/wire.ts';
import { execdProgram } from './main.ts';
import { execdContract, execdReference } from './options.ts';
import type { ExecdOptions } from './options.ts';
import { claimedPid, decodeReply, encodeRequest, requester } from './wire.ts';

const SELFTEST = serviceIdOf('selftest-client');
const REPLY = 4;
const LOGD = 7;
const METRICSD = 8;

interface ExecCall {
  readonly length: number;
  readonly stackPages: number;
  readonly gp: number;
}

/** execd among an init, a metricsd and a logd that are functions. */
class World {
  readonly driver = new Driver([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  readonly execs: ExecCall[] = [];
  readonly waits: number[] = [];
  /** a0 of the next EXECs, then pids from 34. */
  readonly execResults: number[] = [];
  /** What WAIT gives: pid and status, or an errno. */
  readonly waitResults: (number | readonly [pid: number, status: number])[] = [];
  /** Init's answer to a check; null is silence. */
  verdict: number | null = 0;
  /** False: init answers no route query. */
  routes = true;
  metricsRoute = true;
  #nextPid = 34;

  constructor() {
    this.driver.onSend = (sent) => {
      this.#deliver(sent);
    };
    this.driver.onOther = (call, sys) => {
      switch (call.nr) {
        case Nr.EXEC:
          this.execs.push({ length: call.bytes.length, stackPages: call.a2, gp: call.a3 });
          return this.execResults.shift() ?? this.#nextPid++;
        case Nr.WAIT: {
          this.waits.push(call.a0);
          const result = this.waitResults.shift() ?? -Errno.ECHILD;
          if (typeof result === 'number') return result;
          sys.waitStatus = result[1];
          return result[0];
        }
        case Nr.CAP_QUERY:
          return -Errno.EPERM;
        default:
          throw new Error(`syscall ${call.nr}`);
      }
    };
  }

  #deliver({ slot, frame, moved }: Sent): void {
    const { driver } = this;
    if (slot === 1) {
      const check = decodeExecCheck(frame);
      if (check !== null) {
        if (this.verdict !== null) driver.push(2, encodeExecResponse(check.nonce, this.verdict));
        return;
      }
      if (!this.routes) return;
      const name = String.fromCharCode(...frame.subarray(5));
      const slots: Record<string, readonly [number, number]> = {
        execd: [4, 3],
        logd: [7, 5],
        '@reply': [6, 5],
        ...(this.metricsRoute ? { metricsd: [8, 5] as const } : {}),
      };
      const [send, recv] = slots[name] ?? [0, 0];
      driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, send === 0 ? 1 : 0, send, 0, 0, 0, recv, 0, 0, 0));
    }
    if (slot === METRICSD) {
      const decoded = decodeMetric(frame);
      if (decoded.ok) driver.push(5, encodeResponse(frame[3]!, STATUS_OK, decoded.request.nonce));
    }
    if (slot === LOGD && moved >= 0) driver.push(5, Uint8Array.of(0x4c, 0x4f, 1, 0x81, 0, ...new Uint8Array(16)));
  }

  request(frame: Uint8Array, sender: bigint = SELFTEST): this {
    this.driver.push(3, frame, { sender });
    return this;
  }

  exec(image: number, name = 'selftest-client', sender: bigint = SELFTEST, stackPages = 4): this {
    const frame = encodeRequest({ op: 'exec_image', image, stackPages, requester: requester(ascii(name))! });
    return this.request(frame, sender);
  }

  wait(pid: number): this {
    return this.request(encodeRequest({ op: 'wait_pid', pid: claimedPid(pid) }));
  }

  report(pid: number, code: number): this {
    return this.request(encodeRequest({ op: 'report_exit', pid: claimedPid(pid), code }));
  }

  run(options: Partial<ExecdOptions> = {}, base = execdContract()): this {
    this.driver.run(execdProgram({ ...base, ...options }));
    return this;
  }

  /** Answers on the fixed slot, as op, status, pid, code. */
  get answers(): (readonly [number, number, number, number | null])[] {
    return this.driver.sent
      .filter((sent) => sent.slot === REPLY)
      .map((sent) => {
        const reply = decodeReply(sent.frame);
        if (reply === null) throw new Error('no answer of execd');
        return [reply.opByte, reply.status, reply.pid, reply.code];
      });
  }

  /** Records sent to logd: moved or not, level, message, fields. */
  get records(): (readonly [boolean, number, string, string])[] {
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    return this.driver.sent
      .filter((sent) => sent.slot === LOGD)
      .map(({ frame, moved }) => {
        const decoded = decodeLog(frame);
        if (!decoded.ok || decoded.request.op !== 1) throw new Error('no APPEND');
        return [moved >= 0, decoded.request.level, text(decoded.request.message), text(decoded.request.fields)];
      });
  }

  /** What metricsd was told, as text. */
  get metrics(): string[] {
    const text = (bytes: Uint8Array): string => JSON.stringify(new TextDecoder().decode(bytes));
    return this.driver.sent
      .filter((sent) => sent.slot === METRICSD)
      .map(({ frame }) => {
        const decoded = decodeMetric(frame);
        if (!decoded.ok) throw new Error('no metric');
        const { request } = decoded;
        switch (request.op) {
          case OP_COUNTER_INC:
            return `count ${text(request.name)} ${text(request.labels)} ${request.value}`;
          case OP_SPAN_START: {
            const ids = `${request.spanId.toString(16)} ${request.traceId.toString(16)} ${request.parentSpanId}`;
            return `start ${ids} ${text(request.name)} ${text(request.attrs)}`;
          }
          case OP_SPAN_END:
            return `end ${request.spanId.toString(16)} ${request.status} ${text(request.attrs)}`;
          default:
            throw new Error(`op ${request.op}`);
        }
      });
  }

  get routeQueries(): string[] {
    return this.driver.sent
      .filter((sent) => sent.slot === 1 && sent.frame[0] === 0x52)
      .map((sent) => String.fromCharCode(...sent.frame.subarray(5)));
  }

  /** Lines but the two of the start. */
  get lines(): string[] {
    return this.driver.lines.slice(2);
  }
}

describe('execd starts (sheet 60, section 6.1)', () => {
  it('says so before it asks for its slots', () => {
    const world = new World().run();
    expect(world.driver.lines).toEqual(['UBexecd: entry', 'execd: ready']);
    expect(world.routeQueries).toEqual(['execd']);
  });

  it('serves on the pinned slots when init does not answer', () => {
    const world = new World();
    world.routes = false;
    world.request(ascii('bad')).run();
    expect(world.answers).toEqual([[1, 1, 0, null]]);
    expect(world.driver.now).toBeGreaterThan(100_000_000);
  });

  it('a receive error is no end: it yields and tries again', () => {
    const world = new World();
    world.driver.receiveErrors.set(3, [-Errno.EPERM, -Errno.EINVAL]);
    world.request(ascii('bad')).run();
    expect(world.answers).toEqual([[1, 1, 0, null]]);
    expect(world.driver.yields).toBe(2);
    expect(world.driver.exit).toBeNull();
  });

  it('OBS-10: the sink is configured at the start, before any line; not with quirk sink-slots-unused', () => {
    const contract = new World().report(1, 1).exec(3).report(34, 42).run();
    expect(contract.routeQueries).toEqual(['execd', 'metricsd']);
    const quirk = new World().exec(3).report(34, 42).run({ sinkSlotsUnused: true });
    expect(quirk.routeQueries).toEqual(['execd', 'metricsd', 'logd', '@reply']);
  });

  it('OBS-10: or later, when init wires later', () => {
    const world = new World();
    world.driver.caps.delete(7);
    const deliver = world.driver.onSend;
    world.driver.onSend = (sent) => {
      deliver(sent);
      if (sent.slot === REPLY) world.driver.caps.add(7);
    };
    world.exec(3).report(34, 42).run();
    expect(world.routeQueries).toEqual(['execd', 'metricsd']);
    expect(world.records.length).toBe(2);
  });
});

describe('EXEC_IMAGE (sheet 60, section 6.3)', () => {
  it('runs the image with the stack that was asked for', () => {
    const world = new World().exec(1).exec(2, 'selftest-client', SELFTEST, 0).run();
    expect(world.answers).toEqual([
      [1, 0, 34, null],
      [1, 0, 35, null],
    ]);
    expect(world.execs).toEqual([
      { length: 409, stackPages: 4, gp: 0 },
      { length: 324, stackPages: 1, gp: 0 },
    ]);
    expect(world.lines).toEqual([]);
  });

  it('OBS-1: the sender must be who it says; the reference’s line', () => {
    const world = new World().exec(1, 'demo.testsvc').run();
    expect(world.answers).toEqual([[1, 4, 0, null]]);
    expect(world.lines).toEqual([
      'execd: spawn id mismatch sender=5964670962199379817 expected=15410752674378784678 requester=demo.testsvc',
      'execd: spawn denied (id mismatch)',
    ]);
    expect(world.execs).toEqual([]);
    expect(world.driver.sent.some((sent) => sent.slot === 1 && sent.frame[0] === 0x50)).toBe(false);
  });

  it('selftest-client has a second id, nobody else has', () => {
    const alias = 0x68c1_66c3_7bcd_7154n;
    expect(new World().exec(1, 'selftest-client', alias).run().answers).toEqual([[1, 0, 34, null]]);
    expect(new World().exec(1, 'other', alias).run().answers).toEqual([[1, 4, 0, null]]);
    expect(new World().exec(1, 'other', serviceIdOf('other')).run().answers).toEqual([[1, 0, 34, null]]);
  });

  it('policy decides, before the image is looked at', () => {
    const world = new World();
    world.verdict = 1;
    world.exec(9).run();
    expect(world.answers).toEqual([[1, 4, 0, null]]);
    expect(world.lines).toEqual(['execd: spawn denied (policy)']);
    expect(new World().exec(9).run().answers).toEqual([[1, 2, 0, null]]);
    expect(new World().exec(0).run().answers).toEqual([[1, 2, 0, null]]);
  });

  it('every status but ALLOW denies', () => {
    for (let status = 0; status < 256; status++) {
      const world = new World();
      world.verdict = status;
      world.exec(1).run();
      expect(world.answers).toEqual([[1, status === 0 ? 0 : 4, status === 0 ? 34 : 0, null]]);
    }
  });

  it('OBS-23: no answer in two seconds is a failure, and nothing runs', () => {
    const world = new World();
    world.verdict = null;
    world.exec(1).run();
    expect(world.answers).toEqual([[1, 3, 0, null]]);
    expect(world.execs).toEqual([]);
    expect(world.driver.now).toBeGreaterThan(2_000_000_000);
    expect(world.driver.now).toBeLessThan(2_200_000_000);
  });

  it('so is a control channel that stays full', () => {
    const world = new World();
    world.driver.refuse = (slot, frame) => (slot === 1 && frame[0] !== 0x52 ? -Errno.EAGAIN : 0);
    world.exec(1).run();
    expect(world.answers).toEqual([[1, 3, 0, null]]);
  });

  it.each([
    [-Errno.EINVAL, 3, 0],
    [-Errno.EPERM, 3, 0],
    [-Errno.ENOSPC, 3, 0],
    [-Errno.ENOMEM, 3, 0],
    [-Errno.EAGAIN, 0, 0xffff_fff5],
  ])('EXEC gives %i: status %i, pid %i (Q23)', (result, status, pid) => {
    const world = new World();
    world.execResults.push(result);
    world.exec(1).run();
    expect(world.answers).toEqual([[1, status, pid, null]]);
  });

  it('checks count from nonce 1', () => {
    const world = new World().exec(1).exec(1).exec(1).run();
    const nonces = world.driver.sent
      .filter((sent) => sent.slot === 1 && sent.frame[0] === 0x50)
      .map((sent) => decodeExecCheck(sent.frame)?.nonce);
    expect(nonces).toEqual([1, 2, 3]);
  });
});

describe('answers that nobody asked for (quirk stash-authorises; sheet 60, section 13)', () => {
  /** An ALLOW for nonce 2 lies in the channel while nonce 1 is asked; then init says nothing more. */
  const early = (options: Partial<ExecdOptions>): World => {
    const world = new World();
    const deliver = world.driver.onSend;
    world.driver.onSend = (sent) => {
      const check = sent.slot === 1 ? decodeExecCheck(sent.frame) : null;
      if (check?.nonce === 1) world.driver.push(2, encodeExecResponse(2, 0));
      deliver(sent);
      if (check !== null) world.verdict = 1;
    };
    return world.exec(1).exec(1).run(options);
  };

  it('OBS-23: contract: counted and dropped, the question in flight decides', () => {
    const world = early({});
    expect(world.answers.map(([, status]) => status)).toEqual([0, 4]);
    expect(world.driver.notes.get('exec-check-drops')).toBe(1);
  });

  it('quirk: they decide', () => {
    const world = early({ stashAuthorises: true });
    expect(world.answers.map(([, status]) => status)).toEqual([0, 0]);
  });

  it('OBS-23: not even the right nonce counts before its question', () => {
    for (const stashAuthorises of [false, true]) {
      const world = new World();
      world.verdict = 1;
      world.driver.push(2, encodeExecResponse(1, 0), { after: 150_000_000 });
      world.driver.push(3, encodeRequest({ op: 'wait_pid', pid: claimedPid(1) }), {
        sender: SELFTEST,
        after: 200_000_000,
      });
      world.driver.push(
        3,
        encodeRequest({ op: 'exec_image', image: 1, stackPages: 1, requester: requester(ascii('selftest-client'))! }),
        { sender: SELFTEST, after: 300_000_000 },
      );
      world.run({ stashAuthorises });
      expect(world.answers.at(-1)?.[1]).toBe(stashAuthorises ? 0 : 4);
    }
  });
});

describe('WAIT_PID and REPORT_EXIT (sheet 60, sections 6.5 and 6.6)', () => {
  it('passes the pid as signed and gives the kernel’s answer back', () => {
    const world = new World();
    world.waitResults.push([35, 0], -Errno.ESRCH, -Errno.ECHILD);
    world.wait(35).wait(99).wait(0xffff_fffe).run();
    expect(world.waits).toEqual([35, 99, -2]);
    expect(world.answers).toEqual([
      [3, 0, 35, 0],
      [3, 3, 99, -1],
      [3, 3, 0xffff_fffe, -1],
    ]);
    expect(world.lines).toEqual([]);
  });

  it('a report is believed for any tracked pid, also twice and after the end (Q6)', () => {
    const world = new World();
    world.waitResults.push([34, 0]);
    world.exec(1).wait(34).report(34, 0).report(34, 3).report(34, 3).report(77, 3).run();
    expect(world.answers.slice(2)).toEqual([
      [2, 0, 34, null],
      [2, 0, 34, null],
      [2, 0, 34, null],
      [2, 3, 77, null],
    ]);
    const reports = world.lines.filter((line) => line === 'execd: crash report pid=34 code=3 name=demo.hello');
    expect(reports.length).toBe(2);
  });

  it('what did not start is nobody: a report for the errno as a pid fails', () => {
    const world = new World();
    world.execResults.push(-Errno.ENOMEM);
    world
      .exec(1)
      .report(0x1_0000_0000 - Errno.ENOMEM, 3)
      .run();
    expect(world.answers).toEqual([
      [1, 3, 0, null],
      [2, 3, 0x1_0000_0000 - Errno.ENOMEM, null],
    ]);
    expect(world.lines).toEqual([]);
  });

  it('a child that is not remembered is unknown', () => {
    const world = new World();
    world.waitResults.push([8, -22]);
    world.wait(0).run();
    expect(world.lines[0]).toBe('execd: crash report pid=8 code=-22 name=unknown');
    expect(world.answers).toEqual([[3, 0, 8, -22]]);
  });

  it('a moved capability is neither answered nor closed (Q7)', () => {
    const world = new World();
    world.driver.push(3, ascii('bad'), { sender: SELFTEST, cap: 40 });
    world.run();
    expect(world.answers).toEqual([[1, 1, 0, null]]);
    expect(world.driver.caps.has(40)).toBe(true);
  });
});

describe('crashes (sheet 60, section 6.7)', () => {
  const crashed = (options: Partial<ExecdOptions> = {}, base = execdContract()): World => {
    const world = new World();
    world.waitResults.push([34, 42]);
    return world.exec(3).wait(34).run(options, base);
  };

  it('LOG-12: a line, the log’s line, and one record with the fields, before the answer', () => {
    const world = crashed();
    expect(world.lines).toEqual([
      'execd: crash report pid=34 code=42 name=demo.exit42',
      '[INFO execd] crash pid=34 code=42 name=demo.exit42',
      'execd: crash logd append ok',
    ]);
    expect(world.records).toEqual([
      [true, 2, 'crash pid=34 code=42 name=demo.exit42', ''],
      [false, 1, 'crash pid=34 code=42 name=demo.exit42', 'code=42\nevent=crash.v1\nname=demo.exit42\npid=34\n'],
    ]);
    expect(world.answers[1]).toEqual([3, 0, 34, 42]);
    expect(world.driver.sent.at(-1)?.slot).toBe(REPLY);
  });

  it('quirk crash-fields, reference: the record has none', () => {
    expect(crashed({ crashFieldsEmpty: true }).records.map(([, , , fields]) => fields)).toEqual(['', '']);
    expect(crashed({}, execdReference()).records.map(([, , , fields]) => fields)).toEqual(['', '']);
  });

  it('tries eight times, each with its reason', () => {
    const world = new World();
    world.waitResults.push([34, 42]);
    const errors = [-Errno.EPERM, -Errno.ESRCH, -Errno.ENOSPC, -Errno.EINVAL];
    world.driver.refuse = (slot) => (slot === LOGD ? (errors.shift() ?? -Errno.EPERM) : 0);
    world.exec(3).wait(34).run({ silentSink: true });
    expect(world.lines.slice(2)).toEqual([
      'execd: crash logd send kernel=NoSuchEndpoint',
      'execd: crash logd slot query err',
      'execd: crash logd send kernel=NoSpace',
      'execd: crash logd send kernel=Unsupported',
      ...Array.from({ length: 5 }, () => 'execd: crash logd send kernel=PermissionDenied'),
      'execd: crash logd append fail',
    ]);
    expect(world.answers[1]).toEqual([3, 0, 34, 42]);
  });

  it('a full queue costs two seconds per attempt', () => {
    const world = new World();
    world.waitResults.push([34, 42]);
    world.driver.refuse = (slot) => (slot === LOGD ? -Errno.EAGAIN : 0);
    world.exec(3).wait(34).run({ silentSink: true });
    expect(world.lines.filter((line) => line === 'execd: crash logd send timeout').length).toBe(8);
    expect(world.driver.now).toBeGreaterThan(16_000_000_000);
  });

  it('OBS-15: a line that logd does not take is told once; quirk silent-sink: never', () => {
    const lost = (silentSink: boolean): World => {
      const world = new World();
      world.waitResults.push([34, 42], [34, 42]);
      world.driver.refuse = (slot, frame) => (slot === LOGD && frame[4] === 2 ? -Errno.EAGAIN : 0);
      return world.exec(3).wait(34).wait(34).run({ silentSink });
    };
    expect(lost(false).lines.filter((line) => line === 'execd: log sink degraded').length).toBe(1);
    expect(lost(false).driver.notes.get('log-sink.queue-full')).toBe(2);
    expect(lost(true).lines.some((line) => line.includes('degraded'))).toBe(false);
  });
});

describe('metrics and spans (sheet 40, section 16; quirks metrics-unrouted, span-requester-id)', () => {
  it('OBS-8, OBS-9: a span of execd’s own around each exec, and a count of its outcome', () => {
    const world = new World();
    world.execResults.push(34, -Errno.EINVAL);
    world.exec(1).exec(2).run();
    expect(world.metrics).toEqual([
      'start 6000c02800000001 325f896c00000001 0 "execd.exec" "svc=execd\\n"',
      'count "execd.spawn.ok" "svc=execd\\n" 1',
      'end 6000c02800000001 0 "result=ok\\n"',
      'start 6000c02800000002 325f896c00000001 0 "execd.exec" "svc=execd\\n"',
      'count "execd.spawn.fail" "svc=execd\\n" 1',
      'end 6000c02800000002 1 "result=fail\\n"',
    ]);
  });

  it('OBS-1: quirk span-requester-id, reference: the requester’s half', () => {
    const world = new World().exec(1).run({ spanRequesterId: true });
    expect(world.metrics[0]).toBe('start 4ffb3f6900000001 1da4762d00000001 0 "execd.exec" "svc=execd\\n"');
    expect(world.metrics[2]).toBe('end 4ffb3f6900000001 0 "result=ok\\n"');
  });

  it('denials are counted, unknown images and timeouts are not', () => {
    const world = new World().exec(1, 'demo.testsvc').exec(9).run();
    expect(world.metrics).toEqual(['count "execd.spawn.deny" "svc=execd\\n" 1']);
    const denied = new World();
    denied.verdict = 1;
    expect(denied.exec(1).run().metrics).toEqual(['count "execd.spawn.deny" "svc=execd\\n" 1']);
    const silent = new World();
    silent.verdict = null;
    expect(silent.exec(1).run().metrics).toEqual([]);
  });

  it('quirk metrics-unrouted, reference: a route query for each, and nothing is sent', () => {
    const world = new World();
    world.metricsRoute = false;
    world.exec(1).exec(1, 'demo.testsvc').run({}, execdReference());
    expect(world.metrics).toEqual([]);
    expect(world.routeQueries).toEqual(['execd', 'metricsd', 'metricsd', 'metricsd', 'metricsd']);
    expect(world.answers.map(([, status]) => status)).toEqual([0, 4]);
  });

  it('without a metricsd in the image an exec succeeds all the same', () => {
    const world = new World();
    world.metricsRoute = false;
    world.driver.caps.delete(8);
    expect(world.exec(1).run().answers).toEqual([[1, 0, 34, null]]);
    expect(world.metrics).toEqual([]);
  });
});
