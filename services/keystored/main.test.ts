import { describe, expect, it } from 'vitest';
import { Errno, serviceIdOf } from '../../kernel-model/abi.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import type { Sent } from '../lib/fixtures/test-driver.ts';
import { encodeResponse as encodeEntropy, entropyNonce, Status as RngStatus } from '../rngd/wire.ts';
import {
  decodeRequest as decodeState,
  encodeGetReply,
  encodeStatusReply,
  OP_DEL,
  OP_PUT,
  statefsNonce,
  STATUS_ACCESS_DENIED,
  STATUS_IO_ERROR,
  STATUS_NOT_FOUND,
  STATUS_OK,
} from '../statefsd/wire.ts';
import { keystoredProgram } from './main.ts';
import { KEYSTORED_CONTRACT, KEYSTORED_REFERENCE } from './options.ts';
import type { KeystoredOptions } from './options.ts';

const SELFTEST = serviceIdOf('selftest-client');
const MS = 1_000_000;
const SEED = new Uint8Array(32).fill(0x5a);
const PUBLIC = '0d7550754e0800a5d237eef5826035766b9b3e5a15868a940ab289958788e3b0';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const u32 = (frame: Uint8Array, at: number): number => new DataView(frame.buffer).getUint32(at, true);

function checkReply(nonce: number, status: number): Uint8Array {
  const frame = hex('50 4F 02 85 00000000 00 00');
  new DataView(frame.buffer).setUint32(4, nonce, true);
  frame[8] = status;
  return frame;
}

/** keystored with statefsd, policyd and rngd as functions; each may be replaced, and answers after a delay. */
class Bench extends Driver {
  readonly files = new Map<string, Uint8Array>();
  stateStatus = STATUS_OK;
  policy: (nonce: number, frame: Uint8Array) => readonly Uint8Array[] = (nonce) => [checkReply(nonce, 0)];
  rngd: (nonce: number) => readonly Uint8Array[] = (nonce) => [encodeEntropy(RngStatus.OK, entropyNonce(nonce), SEED)];
  delay = 1000;

  constructor() {
    super([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    this.onSend = (sent) => {
      for (const frame of this.#answers(sent)) this.push(5, frame, { after: this.delay });
    };
  }

  ask(frame: string, options: { cap?: number; after?: number } = {}): this {
    this.push(3, hex(frame), { sender: SELFTEST, ...options });
    return this;
  }

  boot(options: KeystoredOptions = KEYSTORED_CONTRACT): this {
    return this.run(keystoredProgram(options));
  }

  /** Responses, as `slot:hex`. */
  get replies(): string[] {
    return this.sent
      .filter(({ frame }) => frame[0] === 0x4b && (frame[3]! & 0x80) !== 0)
      .map(({ slot, frame }) => `${slot}:${text(frame)}`);
  }

  #answers({ slot, frame }: Sent): readonly Uint8Array[] {
    if (slot === 9) return this.policy(u32(frame, 4), frame);
    if (slot === 10) return this.rngd(u32(frame, 4));
    if (slot !== 7) return [];
    const request = decodeState(frame);
    const status = this.stateStatus;
    switch (request.kind) {
      case 'put':
        if (status === STATUS_OK) this.files.set(request.key, request.value.slice());
        return [encodeStatusReply(OP_PUT, status, request.nonce)];
      case 'get': {
        const value = this.files.get(request.key);
        const found = value === undefined ? STATUS_NOT_FOUND : STATUS_OK;
        return [encodeGetReply(status || found, request.nonce, value ?? new Uint8Array(0))];
      }
      case 'del':
        return [encodeStatusReply(OP_DEL, status || (this.files.delete(request.key) ? 0 : 1), request.nonce)];
      default:
        throw new Error(`statefs got ${request.kind}`);
    }
  }
}

const START = ['UBkeystored: ready', 'keystored: statefs backend ok'];

describe('start (sheet 60, section 3.1)', () => {
  it('reads the device key with the bytes of the default run', () => {
    const bench = new Bench().boot();
    expect(bench.lines).toEqual(START);
    const path = Buffer.from('/state/keystore/device.signing').toString('hex');
    expect(bench.sent.map(({ slot, frame }) => [slot, text(frame)])).toEqual([
      [7, `5346020201000000000000001e00${path}`],
    ]);
    expect(bench.sent[0]!.moved).toBeGreaterThan(0);
  });

  it('a persisted key is there without keygen', () => {
    const bench = new Bench();
    bench.files.set('/state/keystore/device.signing', SEED);
    bench.ask('4B 53 01 0A').ask('4B 53 01 0B').boot();
    expect(bench.replies).toEqual(['4:4b53018a0a0000', `4:4b53018b002000${PUBLIC}`]);
  });

  it('a statefs that is silent or refuses costs two seconds at most and no line', () => {
    const bench = new Bench();
    bench.delay = 3_000 * MS;
    bench.ask('4B 53 01 0D').boot();
    expect(bench.lines).toEqual(START);
    expect(bench.sent.at(-1)!.at).toBeGreaterThanOrEqual(2_000 * MS);
    expect(bench.sent.at(-1)!.at).toBeLessThan(2_010 * MS);
    const denied = new Bench();
    denied.stateStatus = STATUS_ACCESS_DENIED;
    expect(denied.boot().lines).toEqual(START);
  });

  it.each([3, 4])('COR-4: gives up after ten seconds without slot %i', (slot) => {
    const bench = new Bench();
    bench.caps.delete(slot);
    // Others run for a tenth of a millisecond whenever keystored yields.
    Object.defineProperty(bench, 'yields', { get: () => 0, set: () => (bench.now += MS / 10) });
    bench.boot();
    expect(bench.lines).toEqual([
      'UBkeystored: ready',
      'service error svc=keystored type=keystored::os_stub::ServerError',
    ]);
    expect(bench.exit).toBe(-1);
    expect(bench.now).toBeGreaterThanOrEqual(10_000 * MS);
    expect(bench.now).toBeLessThan(10_020 * MS);
  });
});

describe('the loop (sections 2.1, 3.1 and 9)', () => {
  it('the default run, byte for byte', () => {
    const bench = new Bench();
    bench.ask('4B 53 01 01 02 02 00 6B 31 76 31').ask('4B 53 01 02 02 00 00 6B 31').ask('4B 53 01 03 02 00 00 6B 31');
    bench.ask('4B 53 01 02 02 00 00 6B 31').ask('62 61 64').ask('4B 53 01 0A').ask('4B 53 01 0B').ask('4B 53 01 0D');
    bench.ask('4B 53 01 0E').ask('4B 53 01 0B');
    bench.ask(`4B 53 01 02 0C 00 00 ${Buffer.from('capmove.miss').toString('hex')}`, { cap: 30 });
    bench.ask('4B 53 01 05 08000000 0000000000000000');
    bench.policy = (nonce, frame) => [checkReply(nonce, Buffer.from(frame).includes('crypto.sign') ? 1 : 0)];
    bench.boot();
    expect(bench.lines).toEqual([
      ...START,
      'keystored: device key generated',
      'keystored: rx reload',
      'keystored: reload policy ok',
      'keystored: reload from statefs ok',
      'keystored: capmove seen',
      'keystored: capmove req',
    ]);
    expect(bench.replies).toEqual([
      '4:4b530181000000',
      '4:4b5301820002007631',
      '4:4b530183000000',
      '4:4b530182010000',
      '4:4b530182020000',
      '4:4b53018a000000',
      `4:4b53018b002000${PUBLIC}`,
      '4:4b53018d0c0000',
      '4:4b53018e000000',
      `4:4b53018b002000${PUBLIC}`,
      '30:4b530182010000',
      '4:4b530185050000',
    ]);
    const asked = bench.sent.filter(({ slot }) => slot === 9).map(({ frame }) => text(frame));
    expect(asked[0]).toBe(`504f020501000000693ffb4fa3c4c6520d${Buffer.from('device.keygen').toString('hex')}`);
    expect(asked.map((frame) => frame.slice(8, 10))).toEqual(['01', '02', '03', '04', '05']);
    expect(bench.sent.filter(({ slot }) => slot === 10).map(({ frame }) => text(frame))).toEqual([
      '52470101001000002000',
    ]);
    expect(bench.caps.has(30)).toBe(false);
  });

  it('says each capmove line once; the probe counts with and without a capability', () => {
    const probe = `4B 53 01 02 0C 00 00 ${Buffer.from('capmove.miss').toString('hex')}`;
    const bench = new Bench();
    bench.ask(probe).ask('62 61 64', { cap: 30 }).ask(probe, { cap: 31 }).boot();
    expect(bench.lines.slice(2)).toEqual(['keystored: capmove req', 'keystored: capmove seen']);
  });

  it('a PUT of the probe key, or a longer key, says nothing', () => {
    const name = Buffer.from('capmove.miss').toString('hex');
    const bench = new Bench();
    bench.ask(`4B 53 01 01 0C 00 00 ${name}`).ask(`4B 53 01 02 0D 00 00 ${name}61`).boot();
    expect(bench.lines).toEqual(START);
  });

  it('a reply that fails leaves the moved capability open', () => {
    const bench = new Bench();
    bench.refuse = (slot) => (slot === 30 ? -Errno.EAGAIN : 0);
    bench.ask('62 61 64', { cap: 30 }).boot();
    expect([bench.replies, bench.caps.has(30)]).toEqual([[], true]);
  });

  it.each([
    [Errno.ENOSPC, 'nospace'],
    [Errno.EPERM, 'kernel'],
    [Errno.ESRCH, 'kernel'],
    [Errno.EINVAL, 'kernel'],
  ])('receive error %i ends it: recv %s', (errno, name) => {
    const bench = new Bench();
    bench.receiveErrors.set(3, [-errno]);
    bench.boot();
    expect(bench.lines.slice(2)).toEqual([
      `keystored: recv ${name}`,
      'service error svc=keystored type=keystored::os_stub::ServerError',
    ]);
    expect(bench.exit).toBe(-1);
  });

  it('goes on after a receive that timed out', () => {
    const bench = new Bench();
    bench.receiveErrors.set(3, [-Errno.EAGAIN, -Errno.ETIMEDOUT]);
    bench.ask('62 61 64').boot();
    expect(bench.replies).toHaveLength(1);
  });

  it('OBS-5: frames above 512 bytes (quirk receive-cut)', () => {
    const verify = `4B 53 01 04 99010000 ${PUBLIC} ${'00'.repeat(64)} ${'00'.repeat(409)}`;
    expect(new Bench().ask(verify).boot().replies).toEqual(['4:4b53018400010000']);
    expect(new Bench().ask(verify).boot(KEYSTORED_REFERENCE).replies).toEqual(['4:4b530184020000']);
    const fits = `4B 53 01 04 98010000 ${PUBLIC} ${'00'.repeat(64)} ${'00'.repeat(408)}`;
    expect(new Bench().ask(fits).boot(KEYSTORED_REFERENCE).replies).toEqual(['4:4b53018400010000']);
  });

  it('falls back to memory at the first denial', () => {
    const bench = new Bench();
    bench.stateStatus = STATUS_ACCESS_DENIED;
    bench.ask('4B 53 01 01 01 01 00 61 62').ask('4B 53 01 02 01 00 00 61').boot();
    expect(bench.lines.slice(2)).toEqual(['keystored: statefs access denied fallback']);
    expect(bench.replies).toEqual(['4:4b530181000000', '4:4b53018200010062']);
    expect(bench.sent.filter(({ slot }) => slot === 7)).toHaveLength(2);
  });

  it('statefs errors are statuses', () => {
    const bench = new Bench();
    bench.stateStatus = STATUS_IO_ERROR;
    bench.ask('4B 53 01 01 01 01 00 61 62').boot();
    expect(bench.replies).toEqual(['4:4b530181040000']);
  });
});

describe('policyd and rngd on one inbox (sections 3.6, 11 Q12, Q13, and 13)', () => {
  const noEntropy = 'keystored: entropy request failed';

  it.each([
    ['no answer', () => []],
    ['a refusal', (nonce: number) => [encodeEntropy(RngStatus.UNAVAILABLE, entropyNonce(nonce))]],
    ['31 bytes', (nonce: number) => [encodeEntropy(RngStatus.OK, entropyNonce(nonce), SEED.subarray(1))]],
    ['another nonce', (nonce: number) => [encodeEntropy(RngStatus.OK, entropyNonce(nonce + 1), SEED)]],
    ['another op', (nonce: number) => [Uint8Array.of(0x52, 0x47, 1, 0x82, 0, nonce & 255, nonce >> 8, 0, 0, ...SEED)]],
  ])('rngd with %s: no key', (_, rngd) => {
    for (const options of [KEYSTORED_CONTRACT, KEYSTORED_REFERENCE]) {
      const bench = new Bench();
      bench.rngd = rngd;
      bench.ask('4B 53 01 0A').ask('4B 53 01 0B').boot(options);
      expect(bench.lines.slice(2)).toEqual([noEntropy]);
      expect(bench.replies).toEqual(['4:4b53018a040000', '4:4b53018b0b0000']);
    }
  });

  it('OBS-23: a silent policyd denies after 500 ms', () => {
    const bench = new Bench();
    bench.policy = () => [];
    bench.ask('4B 53 01 0A').boot();
    expect(bench.replies).toEqual(['4:4b53018a050000']);
    expect(bench.sent.some(({ slot }) => slot === 10)).toBe(false);
  });

  /** policyd denies, and sends along what rngd would answer next. */
  function forged(): Bench {
    const bench = new Bench();
    bench.policy = (nonce) => [
      encodeEntropy(RngStatus.OK, entropyNonce(0x1000), new Uint8Array(32).fill(0x11)),
      checkReply(nonce, 0),
    ];
    return bench.ask('4B 53 01 0A').ask('4B 53 01 0B');
  }

  it('a stashed rngd answer becomes the key in the reference (quirk stash-authorises)', () => {
    expect(forged().boot(KEYSTORED_REFERENCE).replies[1]).toContain('d04ab232742bb4ab');
  });

  it('OBS-23, COR-2: the contract waits for the answer to its own request', () => {
    const bench = forged().boot();
    expect(bench.replies[1]).toContain(PUBLIC);
    expect(bench.notes.get('inbox.dropped')).toBe(1);
  });

  it('an ALLOW that statefs work meets on the inbox authorises nothing afterwards, in either setting', () => {
    for (const options of [KEYSTORED_CONTRACT, KEYSTORED_REFERENCE]) {
      const bench = new Bench();
      bench.push(5, checkReply(1, 0));
      bench.policy = (nonce) => [checkReply(nonce, 1)];
      bench.ask('4B 53 01 0A').boot(options);
      expect(bench.replies).toEqual(['4:4b53018a050000']);
    }
  });

  it('with stash-authorises alone it does: then nothing discards it (quirk inbox-discards)', () => {
    const bench = new Bench();
    bench.push(5, checkReply(1, 0));
    bench.policy = (nonce) => [checkReply(nonce, 1)];
    bench.ask('4B 53 01 0A').boot({ ...KEYSTORED_CONTRACT, stashAuthorises: true });
    expect(bench.replies).toEqual(['4:4b53018a000000']);
  });

  it('Q12: numbers overlap, the op check denies (reference)', () => {
    const bench = new Bench();
    bench.policy = (nonce) => [encodeEntropy(RngStatus.OK, entropyNonce(nonce), SEED)];
    bench.ask('4B 53 01 0A').boot(KEYSTORED_REFERENCE);
    expect(bench.replies).toEqual(['4:4b53018a050000']);
    expect(bench.now).toBeLessThan(100 * MS);
  });

  it('COR-3: a statefs reply that is late for its two seconds is skipped, not taken for the next one', () => {
    for (const options of [KEYSTORED_CONTRACT, KEYSTORED_REFERENCE]) {
      const bench = new Bench();
      bench.push(5, encodeGetReply(STATUS_OK, statefsNonce(99n), Uint8Array.of(1)));
      bench.ask('4B 53 01 01 01 01 00 61 62').ask('4B 53 01 02 01 00 00 61').boot(options);
      expect(bench.replies).toEqual(['4:4b530181000000', '4:4b53018200010062']);
    }
  });
});
