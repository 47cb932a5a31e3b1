import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { Driver } from './fixtures/test-driver.ts';
import type { Route } from './ipc.ts';
import { NonceRouter } from './nonce-route.ts';

function answer(nonce: number, status = 0, send = 8, recv = 5): Uint8Array {
  const frame = new Uint8Array(17);
  const view = new DataView(frame.buffer);
  frame.set([0x52, 0x54, 1, 0x41, status]);
  view.setUint32(5, send, true);
  view.setUint32(9, recv, true);
  view.setUint32(13, nonce, true);
  return frame;
}

/** init as a list of answers per query. */
class Client extends Driver {
  readonly routes: (Route | null)[] = [];

  constructor(answers: (nth: number) => readonly Uint8Array[]) {
    super([1, 2]);
    this.onSend = () => {
      for (const frame of answers(this.sent.length)) this.push(2, frame);
    };
  }

  lookup(...names: readonly string[]): this {
    return this.run((sys) => this.#body(new NonceRouter(sys), names));
  }

  *#body(router: NonceRouter, names: readonly string[]) {
    for (const name of names) this.routes.push(yield* router.lookup(name));
    return 0;
  }
}

describe('style A of sheet 60, section 2.3', () => {
  it('COR-6: asks with a nonce per lookup from 1', () => {
    const client = new Client((nth) => [answer(nth)]).lookup('policyd', '@reply');
    expect(client.routes).toEqual([
      { send: 8, recv: 5 },
      { send: 8, recv: 5 },
    ]);
    expect(client.sent.map(({ frame }) => Buffer.from(frame).toString('hex'))).toEqual([
      '52540140' + '07' + Buffer.from('policyd').toString('hex') + '01000000',
      '52540140' + '06' + Buffer.from('@reply').toString('hex') + '02000000',
    ]);
  });

  it('ignores other lengths and other nonces', () => {
    const client = new Client(() => [answer(1).subarray(0, 13), answer(9, 0, 1, 1), answer(1)]).lookup('rngd');
    expect(client.routes).toEqual([{ send: 8, recv: 5 }]);
  });

  it('asks again with the same nonce until init says OK', () => {
    const client = new Client((nth) => [answer(1, nth < 5 ? nth % 4 || 1 : 0)]).lookup('rngd');
    expect(client.routes).toEqual([{ send: 8, recv: 5 }]);
    expect(new Set(client.sent.map(({ frame }) => Buffer.from(frame).toString('hex'))).size).toBe(1);
    expect(client.sent).toHaveLength(5);
  });

  it('an answer with our nonce that is none fails the lookup', () => {
    const bad = answer(1);
    bad[3] = 0x40;
    expect(new Client(() => [bad]).lookup('rngd').routes).toEqual([null]);
  });

  it('a channel that fails fails the lookup', () => {
    const mute = new Client(() => []);
    mute.refuse = () => -Errno.EPERM;
    expect(mute.lookup('rngd').routes).toEqual([null]);
    const deaf = new Client(() => [answer(1)]);
    deaf.receiveErrors.set(2, [-Errno.ESRCH]);
    expect(deaf.lookup('rngd').routes).toEqual([null]);
  });

  it('never gives up on a silent init', () => {
    const client = new Client(() => []).lookup('rngd');
    expect([client.routes, client.exit]).toEqual([[], null]);
  });
});
