import { describe, expect, it } from 'vitest';
import { Rights } from '../../kernel-model/abi.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Bare } from '../../kernel-model/testing.ts';
import type { Task } from '../../kernel-model/task.ts';
import { Inbox } from '../lib/inbox.ts';
import { movedSlot, recvRequest, replyAndClose, send, yieldForever, yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { StatefsClient } from './client.ts';
import { statefsdProgram } from './main.ts';
import { REFERENCE } from './options.ts';
import { utf8 } from './test-kit.ts';
import { encodePut } from './wire.ts';

// Without a block device only the reference's memory engine serves, which is what these tests want: no driver, the
// real kernel under everything else.

/** Slots of the client tasks here. */
const STATE = 7;
const INBOX_RECV = 5;
const INBOX_SEND = 6;

/** policyd in miniature: allows everything, `after` ns late. */
function policyd(after: number): Program {
  return function* program(sys) {
    for (;;) {
      yield* recvRequest(sys, 3, 'forever');
      const slot = movedSlot(sys);
      const reply = sys.message.payload.slice(0, 10);
      reply[3] = 0x85;
      reply.fill(0, 8);
      const until = (yield sys.nsec()) + after;
      while ((yield sys.nsec()) < until) yield* yields(sys, 100);
      yield* replyAndClose(sys, slot, reply);
    }
  };
}

interface World extends Bare {
  readonly responses: number;
  readonly client: Task;
}

/** statefsd, policyd and one client, wired as init does. */
function world(body: (sys: Sys) => Call<void>, policyDelay = 0): World {
  const bare = bareKernel();
  const { kernel } = bare;
  const [requests, responses, inbox, checks] = [8, 8, 8, 8].map((depth) => newEndpoint(kernel, depth));
  if (requests === undefined || responses === undefined || inbox === undefined || checks === undefined)
    throw new Error();
  const statefsd = addTask(kernel, statefsdProgram(REFERENCE), { name: 'statefsd' });
  for (const slot of [0, 1, 2]) grant(statefsd, slot, endpointCap(newEndpoint(kernel), 0));
  grant(statefsd, 3, endpointCap(requests, Rights.RECV));
  grant(statefsd, 4, endpointCap(responses, Rights.SEND));
  grant(statefsd, 5, endpointCap(inbox, Rights.RECV));
  grant(statefsd, 6, endpointCap(inbox, Rights.SEND));
  grant(statefsd, 7, endpointCap(checks, Rights.SEND));
  const policy = addTask(kernel, policyd(policyDelay), { name: 'policyd' });
  grant(policy, 3, endpointCap(checks, Rights.RECV));
  const client = addTask(
    kernel,
    function* program(sys) {
      yield* body(sys);
      return yield* yieldForever(sys);
    },
    { name: 'updated' },
  );
  const own = newEndpoint(kernel);
  grant(client, INBOX_RECV, endpointCap(own, Rights.RECV));
  grant(client, INBOX_SEND, endpointCap(own, Rights.SEND));
  grant(client, STATE, endpointCap(requests, Rights.SEND));
  return { ...bare, responses, client };
}

describe('statefsd and its client on the kernel', () => {
  it('put, get, list, sync, delete', () => {
    const seen: unknown[] = [];
    const bare = world(function* (sys) {
      const client = new StatefsClient(sys, STATE, INBOX_SEND, new Inbox(INBOX_RECV, false));
      seen.push(yield* client.put('/state/boot/a', utf8('1')));
      seen.push(yield* client.get('/state/boot/a'));
      seen.push(yield* client.list('/state/', 9));
      seen.push(yield* client.sync());
      seen.push(yield* client.delete('/state/boot/a'));
      seen.push(yield* client.get('/state/boot/a'));
      seen.push(yield* client.put('x'.repeat(256), utf8('')));
    });
    runUntil(bare.kernel, 10_000_000_000);
    expect(seen).toEqual([null, utf8('1'), ['/state/boot/a'], null, null, 'not-found', 'key-too-long']);
    expect(bare.uart()).toContain('UBstatefsd: entry\r\nstatefsd: ready\r\n');
    expect([0, 1, 2, 3, 4].map((slot) => bare.client.caps.get(slot))).toEqual([null, null, null, null, null]);
  });

  it('COR-4: a store that answers too late is an I/O error after two seconds', () => {
    const seen: unknown[] = [];
    const bare = world(function* (sys) {
      const client = new StatefsClient(sys, STATE, INBOX_SEND, new Inbox(INBOX_RECV, false));
      const before = yield sys.nsec();
      seen.push(yield* client.sync());
      seen.push((yield sys.nsec()) - before);
    }, 3_000_000_000);
    runUntil(bare.kernel, 10_000_000_000);
    expect(seen[0]).toBe('io');
    expect(seen[1]).toBeGreaterThanOrEqual(2_000_000_000);
    expect(seen[1]).toBeLessThan(2_100_000_000);
  });

  it('COR-3: frames of other protocols on the inbox stay for their readers', () => {
    const seen: unknown[] = [];
    const bare = world(function* (sys) {
      const inbox = new Inbox(INBOX_RECV, false);
      yield* send(sys, INBOX_SEND, utf8('LOxx'), 'now');
      const client = new StatefsClient(sys, STATE, INBOX_SEND, inbox);
      seen.push(yield* client.put('/state/a', utf8('1')));
      seen.push(inbox.takeStashed((frame) => frame[0] === 0x4c));
    });
    runUntil(bare.kernel, 10_000_000_000);
    expect(seen).toEqual([null, utf8('LOxx')]);
  });

  it('the ninth unread answer on slot 4 blocks statefsd for good (section 17, quirk 6)', () => {
    const sent: number[] = [];
    const bare = world(function* (sys) {
      const frame = encodePut(null, '/state/a', utf8('1')) as Uint8Array;
      for (let i = 0; i < 20; i++) {
        sent.push(yield* send(sys, STATE, frame, 'now'));
        yield* yields(sys, 100);
      }
    });
    runUntil(bare.kernel, 60_000_000_000);
    // 8 answers queued, one in the blocked send, 8 requests queued behind it.
    expect(sent.map((result) => result > 0)).toEqual([...Array<boolean>(17).fill(true), false, false, false]);
    expect(bare.kernel.router.endpoints[bare.responses]?.count).toBe(8);
  });
});
