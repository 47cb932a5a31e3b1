/** What counts as the answer to a forwarded frame (quirks.md, proxy-unchecked). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRequest, encodePong, encodeSenderPid, encodeTableReply, entryName } from '../samgrd/wire.ts';
import { bundlemgrdAnswers, isSamgrdFrame, samgrdAnswers } from './proxy-match.ts';

const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

describe('proxy-unchecked', () => {
  it('samgrd: magic and op', () => {
    const answers = samgrdAnswers(encodeRequest({ op: 'resolve_status', name: entryName('vfsd') }));
    expect(answers(encodeTableReply(6, 0))).toBe(true);
    expect(answers(encodeTableReply(2, 0))).toBe(false);
    expect(answers(of(0x53, 0x4e, 1, 0x86, 0))).toBe(false);
    expect(answers(of(0x53, 0x4d, 1))).toBe(false);
  });

  it('samgrd: the nonce, where the frame has one', () => {
    const pid = samgrdAnswers(encodeRequest({ op: 'sender_pid', nonce: 7n }));
    expect([7n, 8n].map((nonce) => pid(encodeSenderPid(1, nonce)))).toEqual([true, false]);
    const ping = samgrdAnswers(encodeRequest({ op: 'ping', nonce: 9n }));
    expect([9n, 8n, null].map((nonce) => ping(encodePong(nonce)))).toEqual([true, false, false]);
  });

  it('bundlemgrd: magic and op; a frame that is none of its own is answered as its first op', () => {
    expect(bundlemgrdAnswers(of(0x42, 0x4e, 1, 3))(of(0x42, 0x4e, 1, 0x83, 0))).toBe(true);
    expect(bundlemgrdAnswers(of(0x42, 0x4e, 1, 3))(of(0x42, 0x4e, 1, 0x81, 0))).toBe(false);
    expect(bundlemgrdAnswers(of())(of(0x42, 0x4e, 1, 0x81, 1))).toBe(true);
    expect(bundlemgrdAnswers(of(1, 2, 3, 4))(of(0x42, 0x4e, 1, 0x81, 1))).toBe(true);
  });

  it('what samgrd is asked has five bytes and its head', () => {
    expect(isSamgrdFrame(of(0x53, 0x4d, 1, 6, 1))).toBe(true);
    expect(isSamgrdFrame(of(0x53, 0x4d, 1, 6))).toBe(false);
    expect(isSamgrdFrame(of(0x53, 0x4d, 2, 6, 1))).toBe(false);
  });

  it('any frames compare without a throw', () => {
    const frame = fc.uint8Array({ maxLength: 30 });
    fc.assert(
      fc.property(frame, frame, (payload, reply) => {
        for (const answers of [samgrdAnswers(payload), bundlemgrdAnswers(payload)]) answers(reply);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
