import { describe, expect, it } from 'vitest';
import { Rights } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { recv, send, yieldForever } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { World } from '../rngd/fixtures/world.ts';
import { statefsdProgram } from '../statefsd/main.ts';
import { REFERENCE } from '../statefsd/options.ts';
import { verify } from './device-key.ts';
import { keystoredProgram, Slot } from './main.ts';
import { decodeResponse, encodeRequest, Op, Status, storeKey, storeValue } from './wire.ts';
import type { KeystoreResponse, SignedPayload } from './wire.ts';

const SELFTEST = '52c6c4a34ffb3f69';
const KEYSTORED = '866cecf1b02a841b';

/** keystored, rngd, statefsd, policyd and a client, wired as init does (statefsd on its memory engine: no disk here). */
function asked(world: World, frames: readonly Uint8Array[]): (KeystoreResponse | null)[] {
  const answers: (KeystoreResponse | null)[] = [];
  const [requests, responses, inbox, state] = [world.endpoint(), world.endpoint(), world.endpoint(), world.endpoint()];
  const stateInbox = world.endpoint();
  world.add(
    'statefsd',
    {
      0: world.cap(world.endpoint(), 0),
      1: world.cap(world.endpoint(), 0),
      2: world.cap(world.endpoint(), 0),
      3: world.cap(state, Rights.RECV),
      4: world.cap(world.endpoint(), Rights.SEND),
      5: world.cap(stateInbox, Rights.RECV),
      6: world.cap(stateInbox, Rights.SEND),
      7: world.cap(world.policyEndpoint, Rights.SEND),
    },
    statefsdProgram(REFERENCE),
  );
  world.add(
    'keystored',
    {
      0: world.cap(world.endpoint(), 0),
      1: world.cap(world.endpoint(), 0),
      2: world.cap(world.endpoint(), 0),
      [Slot.REQUESTS]: world.cap(requests, Rights.RECV),
      [Slot.RESPONSES]: world.cap(responses, Rights.SEND),
      [Slot.INBOX_RECV]: world.cap(inbox, Rights.RECV),
      [Slot.INBOX_SEND]: world.cap(inbox, Rights.SEND),
      [Slot.STATEFSD]: world.cap(state, Rights.SEND),
      8: world.cap(world.endpoint(), Rights.SEND),
      [Slot.POLICYD]: world.cap(world.policyEndpoint, Rights.SEND),
      [Slot.RNGD]: world.cap(world.rngEndpoint, Rights.SEND),
    },
    keystoredProgram(),
  );
  function* client(sys: Sys): Call<number> {
    for (const frame of frames) {
      yield* send(sys, 3, frame, 'forever');
      yield* recv(sys, 4, 'forever');
      const answer = decodeResponse(sys.message.payload);
      answers.push(answer === null ? null : { ...answer, value: answer.value.slice() });
    }
    return yield* yieldForever(sys);
  }
  world.add('selftest-client', { 3: world.cap(requests, Rights.SEND), 4: world.cap(responses, Rights.RECV) }, client);
  world.run(20_000_000_000);
  return answers;
}

const op = (code: number): Uint8Array => Uint8Array.of(0x4b, 0x53, 1, code);
const message = Uint8Array.of(1, 2, 3) as SignedPayload;

describe('keystored, rngd, statefsd and policyd on the kernel', () => {
  it('makes a key from the device, keeps it in statefs, signs with it', () => {
    const world = new World();
    const key = storeKey(Buffer.from('k1'))!;
    const answers = asked(world, [
      encodeRequest({ kind: 'put', key, value: storeValue(Buffer.from('v1'))! }),
      encodeRequest({ kind: 'get', key }),
      op(Op.DEVICE_KEYGEN),
      op(Op.GET_DEVICE_PUBKEY),
      op(Op.DEVICE_RELOAD),
      encodeRequest({ kind: 'device-sign', payload: message }),
      op(Op.DEVICE_KEYGEN),
    ]);
    expect(answers.map((answer) => answer?.status)).toEqual([0, 0, 0, 0, 0, 0, Status.KEY_EXISTS]);
    expect(Buffer.from(answers[1]!.value).toString()).toBe('v1');
    expect(verify(answers[3]!.value, answers[5]!.value, message)).toBe('valid');
    expect(world.linesOf('keystored')).toEqual([
      'keystored: ready',
      'keystored: statefs backend ok',
      'keystored: device key generated',
      'keystored: rx reload',
      'keystored: reload policy ok',
      'keystored: reload from statefs ok',
    ]);
    expect(world.asked.filter((question) => !question.endsWith('statefs.keystore'))).toEqual([
      `${SELFTEST} device.keygen`,
      `${KEYSTORED} rng.entropy`,
      `${SELFTEST} device.pubkey.read`,
      `${SELFTEST} device.key.reload`,
      `${SELFTEST} crypto.sign`,
      `${SELFTEST} device.keygen`,
    ]);
  });

  it('OBS-19, OBS-23: what policyd denies is denied, whoever asks it', () => {
    const world = new World();
    world.decide = (_, capability) => (capability === 'statefs.keystore' ? 0 : 1);
    const answers = asked(world, [
      op(Op.DEVICE_KEYGEN),
      op(Op.GET_DEVICE_PUBKEY),
      op(Op.DEVICE_RELOAD),
      encodeRequest({ kind: 'sign', payload: message }),
      encodeRequest({ kind: 'device-sign', payload: message }),
    ]);
    expect(answers.map((answer) => answer?.status)).toEqual(Array(5).fill(Status.DENY));
    expect(world.registers).toEqual([]);
  });

  it('rngd denied to keystored: no key', () => {
    const world = new World();
    world.decide = (_, capability) => (capability === 'rng.entropy' ? 1 : 0);
    expect(asked(world, [op(Op.DEVICE_KEYGEN)])[0]?.status).toBe(Status.UNSUPPORTED);
    expect(world.linesOf('keystored').at(-1)).toBe('keystored: entropy request failed');
  });

  it('statefs denied to keystored: memory from then on', () => {
    const world = new World();
    world.decide = (_, capability) => (capability === 'statefs.keystore' ? 1 : 0);
    const key = storeKey(Buffer.from('k'))!;
    const answers = asked(world, [
      encodeRequest({ kind: 'put', key, value: storeValue(Buffer.from('v'))! }),
      encodeRequest({ kind: 'get', key }),
      op(Op.DEVICE_KEYGEN),
      op(Op.DEVICE_RELOAD),
    ]);
    expect(answers.map((answer) => answer?.status)).toEqual([0, 0, 0, 0]);
    expect(world.linesOf('keystored').filter((line) => line.includes('fallback'))).toHaveLength(1);
    expect(world.linesOf('keystored').at(-1)).toBe('keystored: reload from memory backend');
  });
});
