import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, serviceIdOf } from '../../kernel-model/abi.ts';
import { policyNonce } from '../policyd/wire.ts';
import { checkReplyNonce, DelegatedCheck, encodeCheck } from './delegated-check.ts';
import { Driver } from './fixtures/test-driver.ts';
import { ReplyInbox } from './reply-inbox.ts';
import type { ReplyInboxOptions } from './reply-inbox.ts';

const SELFTEST = serviceIdOf('selftest-client');
const KEYSTORED = serviceIdOf('keystored');
const CONTRACT: ReplyInboxOptions = { stashAuthorises: false, inboxDiscards: false };
const REFERENCE: ReplyInboxOptions = { stashAuthorises: true, inboxDiscards: true };
const INBOX = 5;
const INBOX_SEND = 6;
const POLICYD = 9;
const MS = 1_000_000;

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

function reply(nonce: number, status: number, op = 0x85): Uint8Array {
  const frame = Uint8Array.of(0x50, 0x4f, 2, op, 0, 0, 0, 0, status, 0);
  new DataView(frame.buffer).setUint32(4, nonce, true);
  return frame;
}

/** A caller of checks, with policyd as a function of the question's nonce. */
class Asker extends Driver {
  answers: (nonce: number) => readonly { readonly frame: Uint8Array; readonly after?: number }[] = () => [];
  readonly verdicts: boolean[] = [];
  inbox: ReplyInbox | null = null;

  constructor() {
    super([0, 1, 2, 3, 4, INBOX, INBOX_SEND, 7, 8, POLICYD]);
    this.onSend = ({ frame }) => {
      const nonce = new DataView(frame.buffer).getUint32(4, true);
      for (const { frame: answer, after } of this.answers(nonce)) this.push(INBOX, answer, { after: after ?? 1000 });
    };
  }

  /** Makes `checks` checks; verdicts in order. */
  ask(options: ReplyInboxOptions = CONTRACT, checks = 1, capability = 'device.keygen'): boolean[] {
    this.run((sys) => this.#body(new ReplyInbox(sys, INBOX, [checkReplyNonce], options), checks, capability));
    return this.verdicts;
  }

  *#body(inbox: ReplyInbox, checks: number, capability: string) {
    this.inbox = inbox;
    const check = new DelegatedCheck(inbox);
    const slots = { policyd: POLICYD, inboxSend: INBOX_SEND };
    for (let i = 0; i < checks; i++) this.verdicts.push(yield* check.allows(slots, SELFTEST, capability));
    return 0;
  }
}

describe('the question (sheet 60, sections 2.5 and 9)', () => {
  it('has the bytes of the default run', () => {
    const keygen = `50 4F 02 05 01 00 00 00 69 3F FB 4F A3 C4 C6 52 0D ${Buffer.from('device.keygen').toString('hex')}`;
    expect(encodeCheck(policyNonce(1), SELFTEST, 'device.keygen')).toEqual(hex(keygen));
    const entropy = `50 4F 02 05 02 00 00 00 1B 84 2A B0 F1 EC 6C 86 0B ${Buffer.from('rng.entropy').toString('hex')}`;
    expect(encodeCheck(policyNonce(2), KEYSTORED, 'rng.entropy')).toEqual(hex(entropy));
  });

  it('counts nonces from 1 and moves a clone of the inbox with each', () => {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: reply(nonce, 0) }];
    expect(asker.ask(CONTRACT, 3)).toEqual([true, true, true]);
    expect(asker.sent.map(({ slot, frame, moved }) => [slot, frame[4], moved])).toEqual([
      [POLICYD, 1, 20],
      [POLICYD, 2, 20],
      [POLICYD, 3, 20],
    ]);
    expect(asker.caps.has(20)).toBe(false);
  });

  it.each(['', 'x'.repeat(49)])('a name of %j is denied without asking', (capability) => {
    const asker = new Asker();
    expect(asker.ask(CONTRACT, 1, capability)).toEqual([false]);
    expect(asker.sent).toEqual([]);
  });

  it('a name of 48 bytes is asked', () => {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: reply(nonce, 0) }];
    expect(asker.ask(CONTRACT, 1, 'x'.repeat(48))).toEqual([true]);
  });
});

describe.each([
  ['the contract', CONTRACT],
  ['the reference', REFERENCE],
])('OBS-23: fails closed, %s', (_, options) => {
  it.each([
    ['ALLOW', reply(1, 0), true],
    ['ALLOW with any last byte', hex('50 4F 02 85 01 00 00 00 00 FF'), true],
    ['DENY', reply(1, 1), false],
    ['MALFORMED', reply(1, 2), false],
    ['UNSUPPORTED', reply(1, 3), false],
    ['status 255', reply(1, 255), false],
    ['another op', reply(1, 0, 0x84), false],
    ['the op without bit 7', reply(1, 0, 5), false],
    ['version 1', hex('50 4F 01 85 00 00'), false],
    ['version 3', hex('50 4F 03 85 01 00 00 00 00 00'), false],
    ['11 bytes', hex('50 4F 02 85 01 00 00 00 00 00 00'), false],
    ['9 bytes', hex('50 4F 02 85 01 00 00 00 00'), false],
    ['4 zero bytes (vector)', hex('00 00 00 00'), false],
    ['another nonce (vector)', reply(2, 0), false],
    ['another protocol', hex('52 47 01 81 00 01 00 00 00 00'), false],
  ])('%s', (_name, frame, allowed) => {
    const asker = new Asker();
    asker.answers = () => [{ frame }];
    expect(asker.ask(options)).toEqual([allowed]);
  });

  it('silence denies after 500 ms (COR-4)', () => {
    const asker = new Asker();
    expect(asker.ask(options)).toEqual([false]);
    expect(asker.now).toBeGreaterThanOrEqual(500 * MS);
    expect(asker.now).toBeLessThan(501 * MS);
    expect(asker.caps.has(20)).toBe(false);
  });

  it('an answer just in time, and one too late', () => {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: reply(nonce, 0), after: nonce === 1 ? 499 * MS : 501 * MS }];
    expect(asker.ask(options, 2)).toEqual([true, false]);
  });

  it('a full queue denies after 500 ms and closes the clone (COR-4)', () => {
    const asker = new Asker();
    asker.refuse = () => -Errno.EAGAIN;
    expect(asker.ask(options)).toEqual([false]);
    expect(asker.now).toBeGreaterThanOrEqual(500 * MS);
    expect(asker.now).toBeLessThan(501 * MS);
    expect(asker.caps.has(20)).toBe(false);
  });

  it('any other send error denies at once and leaks the clone (Q17)', () => {
    const asker = new Asker();
    asker.refuse = () => -Errno.ENOSPC;
    expect(asker.ask(options)).toEqual([false]);
    expect(asker.now).toBeLessThan(MS);
    expect(asker.caps.has(20)).toBe(true);
  });

  it('no inbox, a clock or a receive that fails: denied', () => {
    const unwired = new Asker();
    unwired.caps.delete(INBOX_SEND);
    expect(unwired.ask(options)).toEqual([false]);
    expect(unwired.sent).toEqual([]);
    const timeless = new Asker();
    timeless.clockFails = true;
    timeless.answers = (nonce) => [{ frame: reply(nonce, 0) }];
    expect(timeless.ask(options)).toEqual([false]);
    expect(timeless.sent).toEqual([]);
    const broken = new Asker();
    broken.answers = (nonce) => {
      broken.receiveErrors.set(INBOX, [-Errno.EPERM]);
      return [{ frame: reply(nonce, 0) }];
    };
    expect(broken.ask(options)).toEqual([false]);
  });

  it('any bytes: allowed only by exactly 10 bytes of ALLOW for this nonce', () => {
    const near = fc
      .array(fc.tuple(fc.nat(11), fc.nat(255)), { maxLength: 2 })
      .chain((edits) => fc.integer({ min: 8, max: 12 }).map((length) => ({ edits, length })))
      .map(({ edits, length }) => {
        const frame = new Uint8Array(length);
        frame.set(reply(1, 0).subarray(0, length));
        for (const [at, byte] of edits) if (at < length) frame[at] = byte;
        return frame;
      });
    const closed = fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 64 })), (frame) => {
      const asker = new Asker();
      asker.answers = () => [{ frame }];
      const wanted = frame.length === 10 && Buffer.from(frame).toString('hex').startsWith('504f02850100000000');
      expect(asker.ask(options)).toEqual([wanted]);
    });
    fc.assert(closed, { seed: 20240, numRuns: 200 });
  });
});

describe('an ALLOW that came before its question (section 13; quirk stash-authorises)', () => {
  /** policyd denies everything, but sends an ALLOW for the next nonce ahead. */
  function forger(): Asker {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: reply(nonce + 1, 0) }, { frame: reply(nonce, 1), after: 2000 }];
    return asker;
  }

  it('the reference stashes it and lets it authorise', () => {
    const asker = forger();
    expect(asker.ask(REFERENCE, 2)).toEqual([false, true]);
  });

  it('OBS-23, COR-2: the contract counts and drops it', () => {
    const asker = forger();
    expect(asker.ask(CONTRACT, 2)).toEqual([false, false]);
    expect(asker.inbox?.drops).toBe(1);
    expect(asker.notes.get('inbox.dropped')).toBe(1);
  });

  it('OBS-23: also when it still waits in the endpoint', () => {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: reply(nonce, 1) }, { frame: reply(nonce + 1, 0) }];
    expect(asker.ask(CONTRACT, 2)).toEqual([false, false]);
    expect(asker.inbox?.drops).toBe(1);
    const reference = new Asker();
    reference.answers = asker.answers;
    expect(reference.ask(REFERENCE, 2)).toEqual([false, true]);
  });

  it.each([
    ['contract', CONTRACT],
    ['reference', REFERENCE],
  ])('a late DENY does not deny the next check (%s)', (_, options) => {
    const asker = new Asker();
    asker.answers = (nonce) => [
      nonce === 1 ? { frame: reply(1, 1), after: 502 * MS } : { frame: reply(2, 0), after: 9 * MS },
    ];
    expect(asker.ask(options, 2)).toEqual([false, true]);
  });
});

describe('COR-3: frames of other protocols on the inbox', () => {
  const foreign = hex('53 46 02 81 00 09 00 00 00 00 00 00 00');

  it.each([
    ['kept', CONTRACT, 0],
    ['kept (stash-authorises alone)', { stashAuthorises: true, inboxDiscards: false }, 0],
    ['dropped and counted (quirk inbox-discards)', REFERENCE, 1],
    ['dropped and counted (inbox-discards alone)', { stashAuthorises: false, inboxDiscards: true }, 1],
  ])('%s', (_, options, drops) => {
    const asker = new Asker();
    asker.answers = (nonce) => [{ frame: foreign }, { frame: reply(nonce, 0), after: 2000 }];
    expect(asker.ask(options)).toEqual([true]);
    expect(asker.inbox?.inbox.takeStashed((frame) => frame[0] === 0x53)).toEqual(drops === 0 ? foreign : null);
    expect(asker.inbox?.inbox.drops).toBe(drops);
  });

  it('the stash is bounded, and its overflow is counted', () => {
    const asker = new Asker();
    asker.answers = (nonce) => [
      ...Array.from({ length: 11 }, () => ({ frame: foreign })),
      { frame: reply(nonce, 0), after: 2000 },
    ];
    expect(asker.ask(CONTRACT)).toEqual([true]);
    expect(asker.inbox?.drops).toBe(3);
  });
});
