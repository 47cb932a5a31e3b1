import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { recv, send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ClientSlot, World } from './fixtures/world.ts';
import type { WorldOptions } from './fixtures/world.ts';
import { rngdProgram, RNGD_CONTRACT, RNGD_REFERENCE } from './main.ts';
import { decodeEntropy, encodeRequest, entropyNonce } from './wire.ts';

const NS = 10_000_000_000;
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const request = (count: number, nonce = 7): Uint8Array => encodeRequest(entropyNonce(nonce), count);

/** Sends frames one after the other, each answered on the default response endpoint. */
function asked(world: World, frames: readonly Uint8Array[], name = 'selftest-client'): Uint8Array[] {
  const answers: Uint8Array[] = [];
  function* body(sys: Sys): Call<void> {
    for (const frame of frames) {
      yield* send(sys, ClientSlot.RNGD, frame, 'forever');
      yield* recv(sys, ClientSlot.RNGD_RECV, 'forever');
      answers.push(sys.message.payload.slice());
    }
  }
  world.client(name, body);
  world.run(NS);
  return answers;
}

const OK_LINES = ['rngd: policy check', 'rngd: entropy ok'];

describe('rngd on kernel and device (sheet 60, section 4)', () => {
  it('the default run: 32 bytes, then 257', () => {
    const world = new World();
    const answers = asked(world, [request(32, 0x1122_3344), request(257, 5)]);
    const entropy = Array.from({ length: 32 }, (_, i) => i + 1);
    expect(answers).toEqual([
      hex(`52 47 01 81 00 44 33 22 11 ${text(Uint8Array.from(entropy))}`),
      hex('524701810105000000'),
    ]);
    expect(world.linesOf('rngd')).toEqual([
      'rngd: ready',
      'rngd: policy check',
      'rngd: mmio window mapped ok',
      'rngd: entropy ok',
    ]);
    expect(world.asked).toEqual(['52c6c4a34ffb3f69 rng.entropy']);
    expect(world.routed).toEqual(['rngd', 'policyd', '@reply']);
  });

  it('every request is a whole cycle with routes and policy of its own', () => {
    const world = new World();
    const answers = asked(world, [request(256), request(1), request(2)]);
    expect(answers.map((frame) => frame.length)).toEqual([265, 10, 11]);
    expect(world.source.drawn).toBe(3 * 256);
    expect(world.linesOf('rngd')).toEqual([
      'rngd: ready',
      'rngd: policy check',
      'rngd: mmio window mapped ok',
      'rngd: entropy ok',
      ...OK_LINES,
      ...OK_LINES,
    ]);
    expect(world.routed).toEqual(['rngd', ...Array<string[]>(3).fill(['policyd', '@reply']).flat()]);
    expect(world.asked).toHaveLength(3);
  });

  it('frames that are none, and bounds, cost no policy check', () => {
    const world = new World();
    const answers = asked(world, [hex('62 61 64'), hex('52 47 01 05'), hex('52 47 02 01 00'), request(0), request(9)]);
    expect(answers.slice(0, 4).map(text)).toEqual(['5247018104', '5247018504', '5247018104', '524701810107000000']);
    expect(world.asked).toHaveLength(1);
  });

  it.each([1, 2, 3, 255])('OBS-23: policy status %i denies, without touching the device', (status) => {
    const world = new World();
    world.decide = () => status;
    expect(asked(world, [request(32)]).map(text)).toEqual(['524701810207000000']);
    expect(world.linesOf('rngd').slice(1)).toEqual(['rngd: policy check', 'rngd: entropy denied']);
    expect(world.registers).toEqual([]);
  });

  it('OBS-1: the subject is the sender as the kernel knows it', () => {
    const world = new World();
    asked(world, [request(1)], 'demo.testsvc');
    expect(world.asked).toEqual(['d5ddfde85dbf9fa6 rng.entropy']);
  });

  it('without its window every request is UNAVAILABLE, without a line', () => {
    const world = new World({ windowGranted: false });
    expect(asked(world, [request(32), request(1)]).map(text)).toEqual(Array(2).fill('524701810307000000'));
    expect(world.linesOf('rngd').slice(1)).toEqual(['rngd: policy check', 'rngd: policy check']);
  });

  it.each([
    ['the contract: UNAVAILABLE', { rngd: RNGD_CONTRACT }, '524701810307000000'],
    ['the reference: bytes of the read before', { rngd: RNGD_REFERENCE }, `524701810007000000${'01020304'}05060708`],
  ] as readonly (readonly [string, WorldOptions, string])[])(
    'a device that gives less (quirk blk-status-preset): %s',
    (_, options, second) => {
      const world = new World(options);
      const answers: Uint8Array[] = [];
      function* body(sys: Sys): Call<void> {
        for (const limit of [Infinity, 4]) {
          world.source.limit = limit;
          world.source.drawn = 0;
          yield* send(sys, ClientSlot.RNGD, request(8), 'forever');
          yield* recv(sys, ClientSlot.RNGD_RECV, 'forever');
          answers.push(sys.message.payload.slice());
        }
      }
      world.client('selftest-client', body);
      world.run(NS);
      expect(text(answers[0]!)).toBe('5247018100070000000102030405060708');
      expect(text(answers[1]!)).toBe(second);
    },
  );

  it('a moved capability gets the answer and is closed', () => {
    const world = new World();
    const answers: Uint8Array[] = [];
    function* body(sys: Sys): Call<void> {
      for (let i = 0; i < 100; i++) {
        const clone = yield sys.capClone(ClientSlot.INBOX_SEND);
        yield* send(sys, ClientSlot.RNGD, request(1, i), 'forever', clone);
        yield* recv(sys, ClientSlot.INBOX, 'forever');
        const entropy = decodeEntropy(sys.message.payload, entropyNonce(i));
        if (entropy !== null) answers.push(entropy.slice());
      }
    }
    world.client('keystored', body);
    world.run(NS);
    // More than the 96 slots of rngd's table: nothing leaks.
    expect(answers).toHaveLength(100);
  });

  it('OBS-5: a frame above 512 bytes is malformed whole or cut', () => {
    const frame = new Uint8Array(513);
    frame.set(request(1));
    for (const rngd of [RNGD_CONTRACT, RNGD_REFERENCE]) {
      expect(asked(new World({ rngd }), [frame]).map(text)).toEqual(['5247018104']);
    }
  });
});

/** rngd by hand: init's answers, errors of the channels. */
class Bench extends Driver {
  constructor(route: (nonce: Uint8Array, nth: number) => readonly Uint8Array[]) {
    super([0, 1, 2, 3, 4, 5, 6, 8]);
    this.onSend = ({ slot, frame }) => {
      const nth = this.sent.filter((sent) => sent.slot === 1).length;
      if (slot === 1) for (const answer of route(frame.subarray(-4), nth)) this.push(2, answer);
    };
  }
}

function routeAnswer(nonce: Uint8Array, status = 0, op = 0x41): Uint8Array {
  return Uint8Array.of(0x52, 0x54, 1, op, status, 4, 0, 0, 0, 3, 0, 0, 0, ...nonce);
}

describe('rngd by hand (sections 2.3 and 4.1)', () => {
  it('asks for itself until init says so (Q22)', () => {
    const bench = new Bench((nonce, nth) => [routeAnswer(nonce, nth < 4 ? 1 : 0)]);
    bench.push(3, hex('62 61 64'));
    bench.run(rngdProgram());
    expect(bench.sent.map(({ slot }) => slot)).toEqual([1, 1, 1, 1, 4]);
    expect(bench.lines).toEqual(['UBrngd: ready']);
  });

  it('ends when it cannot find itself', () => {
    const bench = new Bench((nonce) => [routeAnswer(nonce, 0, 0x40)]).run(rngdProgram());
    expect(bench.lines).toEqual(['UBrngd: ready', 'service error svc=rngd type=rngd::os_lite::RngdError']);
    expect(bench.exit).toBe(-1);
  });

  it('policyd route fail', () => {
    const bench = new Bench((nonce, nth) => [routeAnswer(nonce, 0, nth === 2 ? 0x40 : 0x41)]);
    bench.push(3, request(32));
    bench.run(rngdProgram());
    expect(bench.lines.slice(1)).toEqual(['rngd: policy check', 'rngd: policyd route fail', 'rngd: entropy denied']);
    expect(text(bench.sent.at(-1)!.frame)).toBe('524701810207000000');
  });

  it('an inbox that has no route denies without a line of its own', () => {
    const bench = new Bench((nonce, nth) => [routeAnswer(nonce, 0, nth === 3 ? 0x40 : 0x41)]);
    bench.push(3, request(32));
    bench.run(rngdProgram());
    expect(bench.lines.slice(1)).toEqual(['rngd: policy check', 'rngd: entropy denied']);
  });

  it.each([Errno.EPERM, Errno.ESRCH, Errno.ENOSPC])('receive error %i ends it', (errno) => {
    const bench = new Bench((nonce) => [routeAnswer(nonce)]);
    bench.receiveErrors.set(3, [-errno]);
    bench.run(rngdProgram());
    expect(bench.lines.slice(1)).toEqual(['rngd: recv error', 'service error svc=rngd type=rngd::os_lite::RngdError']);
    expect(bench.exit).toBe(-1);
  });

  it('goes on after a receive that timed out', () => {
    const bench = new Bench((nonce) => [routeAnswer(nonce)]);
    bench.receiveErrors.set(3, [-Errno.ETIMEDOUT, -Errno.EAGAIN]);
    bench.push(3, hex('62 61 64'));
    bench.run(rngdProgram());
    expect(text(bench.sent.at(-1)!.frame)).toBe('5247018104');
  });
});
