import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { TestMachine } from '../lib/fixtures/task-machine.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { stagedSet } from '../selftest-client/staged-set.ts';
import { encodeGetReply, encodeStatusReply } from '../statefsd/wire.ts';
import type { StatefsNonce } from '../statefsd/wire.ts';
import { updatedProgram } from './main.ts';
import { UPDATED_CONTRACT, UPDATED_REFERENCE } from './options.ts';
import { archiveOf, encodeRequest, triesOf } from './wire.ts';

const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c];
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const STAGE = encodeRequest({ op: 'stage', archive: archiveOf(stagedSet())! });
const SWITCH = encodeRequest({ op: 'switch', tries: triesOf(2)! });
const HEALTH = encodeRequest({ op: 'health_ok' });
const BOOT = encodeRequest({ op: 'boot_attempt' });
const STATUS = encodeRequest({ op: 'get_status' });

/** Peers by their status bytes; null never answers. */
interface Peers {
  readonly get?: number | Uint8Array | null;
  readonly put?: (index: number) => number | null;
  readonly sync?: (index: number) => number | null;
  readonly publish?: number | null;
  readonly verify?: readonly number[] | null;
}

function bench(peers: Peers = {}): Driver {
  const driver = new Driver(SLOTS);
  let puts = 0;
  let syncs = 0;
  driver.onSend = ({ slot, frame }) => {
    if (slot === 9) {
      const nonce = new DataView(frame.buffer, frame.byteOffset).getBigUint64(4, true) as StatefsNonce;
      if (frame[3] === 2) {
        const get = peers.get === undefined ? 1 : peers.get;
        if (get === null) return;
        const value = typeof get === 'number' ? new Uint8Array(0) : get;
        driver.push(0x0a, encodeGetReply(typeof get === 'number' ? get : 0, nonce, value));
        return;
      }
      const status = frame[3] === 1 ? (peers.put?.(puts++) ?? 0) : (peers.sync?.(syncs++) ?? 0);
      driver.push(0x0a, encodeStatusReply(frame[3] ?? 0, status, nonce));
    } else if (slot === 5 && peers.publish !== null) {
      driver.push(0x0a, Uint8Array.of(0x42, 0x4e, 1, 0x84, peers.publish ?? 0, frame[4] ?? 0, 0, 0));
    } else if (slot === 7 && peers.verify !== null) {
      driver.push(8, Uint8Array.of(0x4b, 0x53, 1, 0x84, ...(peers.verify ?? [0, 1, 0, 1])));
    }
  };
  return driver;
}

/** Replies on slot 4 after the requests were served one after the other. */
function replies(driver: Driver, requests: readonly Uint8Array[], options = UPDATED_CONTRACT): readonly string[] {
  requests.forEach((frame, i) => {
    driver.push(3, frame, { after: i });
  });
  driver.run(updatedProgram(options));
  return driver.sent.filter((sent) => sent.slot === 4).map((sent) => hex(sent.frame));
}

const audits = (driver: Driver): readonly string[] =>
  driver.lines.filter((line) => line.startsWith('updated: audit')).map((line) => line.slice('updated: audit '.length));

describe('start-up (section 2)', () => {
  it('says each step', () => {
    const driver = bench();
    expect(replies(driver, [])).toEqual([]);
    expect(driver.lines).toEqual([
      'UBupdated: entry',
      'updated: slots 0003 0004',
      'updated: statefs init',
      'updated: statefs slot fallback',
      'updated: statefs available',
      'updated: bootctl load miss',
      'updated: ready (statefs)',
    ]);
  });

  it('load: ok, miss, err', () => {
    const line = (get: number | Uint8Array | null): string | undefined => {
      const driver = bench({ get });
      driver.run(updatedProgram());
      return driver.lines.find((each) => each.includes('bootctl load'));
    };
    expect(line(Uint8Array.of(1, 2, 0xff, 0xff, 0, 1))).toBe('updated: bootctl load ok');
    expect(line(1)).toBe('updated: bootctl load miss');
    expect(line(Uint8Array.of(2, 2, 0xff, 0xff, 0, 1))).toBe('updated: bootctl load err');
    expect(line(7)).toBe('updated: bootctl load err');
    expect(line(null)).toBe('updated: bootctl load err');
  });

  it('gives up after ten seconds without its endpoints', () => {
    const machine = new TestMachine();
    expect(machine.start(updatedProgram())).toBe(-1);
    expect(machine.now).toBeGreaterThanOrEqual(10_000_000_000);
    expect(machine.text).toBe('UBupdated: entry\nservice error svc=updated type=updated::os_lite::ServerError\n');
  });

  it('a pending boot that runs out of tries rolls back to the other slot', () => {
    const driver = bench({ get: Uint8Array.of(1, 1, 1, 0xff, 1, 0) });
    expect(replies(driver, [BOOT, STATUS])).toEqual(['5544018500010002', '55440184000400' + '02000000']);
    expect(audits(driver)).toEqual(['(op=boot_attempt status=rollback detail=slot=b)']);
  });
});

describe('replies', () => {
  it('go to the moved capability, which is closed, or to slot 4', () => {
    const driver = bench();
    driver.push(3, BOOT, { cap: 0x0d });
    driver.run(updatedProgram());
    expect(driver.lines.slice(7)).toEqual([
      'updated: rx',
      'updated: rx head 55 44 01',
      'updated: rx op 05',
      '[INFO updated] core service log probe: updated',
      'updated: capmove',
      '[INFO updated] audit op=boot_attempt status=ok',
      'updated: audit (op=boot_attempt status=ok)',
      'updated: tx op 85',
      'updated: replycap slot=0x0000000d',
    ]);
    expect(driver.sent.filter((sent) => sent.slot === 0x0d).map((sent) => hex(sent.frame))).toEqual([
      '5544018500010000',
    ]);
    expect(driver.caps.has(0x0d)).toBe(false);
  });

  it('a full queue is waited for one second', () => {
    const driver = bench();
    driver.refuse = (slot) => (slot === 4 || slot === 0x0d ? -Errno.EAGAIN : 0);
    driver.push(3, STATUS);
    driver.push(3, STATUS, { cap: 0x0d, after: 1 });
    const before = driver.now;
    driver.run(updatedProgram());
    expect(driver.lines.slice(-2)).toEqual(['updated: replycap slot=0x0000000d', 'updated: send cap fail']);
    expect(driver.lines).toContain('updated: send fail');
    expect(driver.now - before).toBeGreaterThanOrEqual(2_000_000_000);
    expect(driver.caps.has(0x0d)).toBe(false);
  });

  it('short and foreign frames', () => {
    const driver = bench();
    expect(replies(driver, [Uint8Array.of(0x62), Uint8Array.of(0x55, 0x44, 1, 9)])).toEqual([
      '55440181010000',
      '55440189020000',
    ]);
    expect(driver.lines.slice(7)).toEqual([
      'updated: rx',
      '[INFO updated] core service log probe: updated',
      'updated: rx op 09',
    ]);
    expect(audits(driver)).toEqual([]);
  });

  it('receive errors are said once', () => {
    const driver = bench();
    driver.receiveErrors.set(3, [-Errno.ENOSPC, -Errno.EAGAIN, -Errno.ESRCH]);
    expect(replies(driver, [STATUS])).toEqual(['55440184000400' + '01000000']);
    expect(driver.lines.filter((line) => line.includes('recv err'))).toEqual(['updated: recv err kernel=NoSpace']);
  });
});

describe('handlers (section 4)', () => {
  it('refusals of the state machine', () => {
    const driver = bench();
    expect(replies(driver, [SWITCH, HEALTH, STAGE, SWITCH, STAGE, SWITCH])).toEqual([
      '55440182030000',
      '55440183030000',
      '55440181000000',
      '55440182000000',
      '55440181000000',
      '55440182030000',
    ]);
    expect(audits(driver)).toEqual([
      '(op=switch status=fail detail=not-staged)',
      '(op=health_ok status=fail detail=not-pending)',
      '(op=stage status=ok)',
      '(op=switch status=ok detail=slot=b)',
      '(op=stage status=ok)',
      '(op=switch status=fail detail=already-pending)',
    ]);
  });

  it('rejected archives', () => {
    const flipped = STAGE.slice();
    flipped[8 + 4096] = (flipped[8 + 4096] ?? 0) ^ 1;
    const unsigned = STAGE.slice();
    unsigned[8 + 1024 + 512] = 0xff;
    const tiny = encodeRequest({ op: 'stage', archive: archiveOf(Uint8Array.of(1))! });
    const driver = bench({ verify: [0, 1, 0, 0] });
    expect(replies(driver, [flipped, unsigned, tiny])).toEqual(Array(3).fill('55440181030000'));
    expect(driver.lines.filter((line) => /rejected|audit \(/.test(line))).toEqual([
      'updated: stage rejected (digest)',
      'updated: audit (op=stage status=fail detail=digest)',
      'updated: stage rejected (signature)',
      'updated: audit (op=stage status=fail detail=signature)',
      'updated: audit (op=stage status=fail detail=missing system entries)',
    ]);
  });

  it("keystored's word is taken for valid, and for nothing else (section 6)", () => {
    const forged = STAGE.slice();
    forged[8 + 1024 + 512] = 0xff;
    const verdict = (verify: readonly number[] | null, frame: Uint8Array): string => {
      const driver = bench({ verify });
      const [reply] = replies(driver, [frame]);
      expect(driver.sent.find((sent) => sent.slot === 7)?.frame.length).toBe(336);
      return reply ?? '';
    };
    expect(verdict([0, 1, 0, 1], forged)).toBe('55440181000000');
    for (const verify of [[0, 1, 0, 0], [1, 0, 0], [0, 2, 0, 1, 1], null]) {
      expect(verdict(verify, STAGE)).toBe('55440181000000');
      expect(verdict(verify, forged)).toBe('55440181030000');
    }
  });

  it('waits 512 rounds for keystored, no longer', () => {
    const driver = bench({ verify: null });
    replies(driver, [STAGE]);
    expect(driver.yields).toBe(512);
  });

  it('a failed publication rolls back and loses the staged slot', () => {
    const reason = (peers: Peers, refuse = 0): string => {
      const driver = bench(peers);
      if (refuse < 0) driver.refuse = (slot) => (slot === 5 ? refuse : 0);
      expect(replies(driver, [STAGE, SWITCH, STATUS]).slice(1)).toEqual([
        '55440182030000',
        '55440184000400' + '01000000',
      ]);
      return audits(driver).at(-1) ?? '';
    };
    expect(reason({ publish: 1 })).toBe('(op=switch status=fail detail=status)');
    expect(reason({ publish: null })).toBe('(op=switch status=fail detail=reply-timeout)');
    expect(reason({}, -Errno.ETIMEDOUT)).toBe('(op=switch status=fail detail=send)');
  });

  it('COR-3: an answer of bundlemgrd that came too late is not the next one', () => {
    const driver = bench();
    const answer = driver.onSend;
    let published = 0;
    driver.onSend = (sent) => {
      if (sent.slot === 5) {
        published += 1;
        // The first switch waits in vain; the second is refused.
        if (published === 2) driver.push(0x0a, Uint8Array.of(0x42, 0x4e, 1, 0x84, 1, 0, 0, 0));
        return;
      }
      // The late OK stands in front of what statefsd answers to the second STAGE.
      if (sent.slot === 9 && published === 1 && sent.frame[3] === 1)
        driver.push(0x0a, Uint8Array.of(0x42, 0x4e, 1, 0x84, 0, 2, 0, 0));
      answer(sent);
    };
    expect(replies(driver, [STAGE, SWITCH, STAGE, SWITCH, STATUS]).slice(1)).toEqual([
      '55440182030000',
      '55440181000000',
      '55440182030000',
      '55440184000400' + '01000000',
    ]);
    expect(audits(driver).at(-1)).toBe('(op=switch status=fail detail=status)');
  });

  it('errors of the reply inbox have their own reasons', () => {
    for (const [errno, reason] of [
      [Errno.ESRCH, 'reply-nosuch'],
      [Errno.EPERM, 'reply-denied'],
      [Errno.ENOSPC, 'reply-nospace'],
      [Errno.EINVAL, 'reply-unsupported'],
    ] as const) {
      const driver = bench();
      const answer = driver.onSend;
      driver.onSend = (sent) => {
        if (sent.slot === 5) driver.receiveErrors.set(0x0a, [-errno]);
        answer(sent);
      };
      replies(driver, [STAGE, SWITCH]);
      expect(audits(driver).at(-1)).toBe(`(op=switch status=fail detail=${reason})`);
    }
  });

  it('quirk inbox-discards, both: frames of others in front of the reply are kept, or dropped', () => {
    for (const options of [UPDATED_CONTRACT, UPDATED_REFERENCE]) {
      const driver = bench();
      const answer = driver.onSend;
      driver.onSend = (sent) => {
        if (sent.slot === 5) driver.push(0x0a, Uint8Array.of(0x4c, 0x4f, 1, 0x81, 0));
        answer(sent);
      };
      expect(replies(driver, [STAGE, SWITCH], options).at(-1)).toBe('55440182000000');
    }
  });

  it('persist: stage stays staged, switch goes back and tells bundlemgrd, the line comes once (quirk 7)', () => {
    const stage = bench({ put: () => 7 });
    expect(replies(stage, [STAGE, STAGE, SWITCH]).map((reply) => reply.slice(8, 10))).toEqual(['03', '03', '03']);
    expect(stage.lines.filter((line) => line.includes('persist'))).toEqual([
      'updated: bootctl persist put err=IoError',
      '[INFO updated] audit op=stage status=fail detail=persist',
      'updated: audit (op=stage status=fail detail=persist)',
      '[INFO updated] audit op=stage status=fail detail=persist',
      'updated: audit (op=stage status=fail detail=persist)',
      '[INFO updated] audit op=switch status=fail detail=persist',
      'updated: audit (op=switch status=fail detail=persist)',
    ]);
    expect(stage.sent.filter((sent) => sent.slot === 5).map((sent) => hex(sent.frame))).toEqual([
      '424e010402',
      '424e010401',
    ]);
    const sync = bench({ sync: (index) => (index === 0 ? 0 : 2) });
    replies(sync, [STAGE, SWITCH, STATUS]);
    expect(sync.lines).toContain('updated: bootctl persist sync err=AccessDenied');
    const puts = sync.sent
      .filter((sent) => sent.slot === 9 && sent.frame[3] === 1)
      .map((sent) => hex(sent.frame).slice(-12));
    // The device keeps the switched record although memory went back (section 18).
    expect(puts).toEqual(['0101ff020000', '010202ff0200']);
  });
});

describe('sink-slots-unused', () => {
  it('contract: no route is asked; reference: logd is routed for each line until init answers', () => {
    const asked = (reference: boolean): number => {
      const driver = bench();
      replies(driver, [STATUS], reference ? UPDATED_REFERENCE : UPDATED_CONTRACT);
      return driver.sent.filter((sent) => sent.slot === 1).length;
    };
    expect([asked(false), asked(true)]).toEqual([0, 1]);
  });
});
