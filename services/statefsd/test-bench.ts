/** For this folder's tests: statefsd on a hand-driven machine, with a policyd that answers by the shipped policy. */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { TestEndpoint, TestMachine } from '../lib/test-machine.ts';
import type { TestMessage } from '../lib/test-machine.ts';
import { statefsdProgram } from './main.ts';
import { CONTRACT } from './options.ts';
import type { StatefsdOptions } from './options.ts';
import { hex } from './test-kit.ts';

export const SELFTEST = serviceIdOf('selftest-client');
export const KEYSTORED = serviceIdOf('keystored');
export const UPDATED = serviceIdOf('updated');
export const METRICSD = serviceIdOf('metricsd');

/** The shipped policy (section 10.2). */
const GRANTS: ReadonlyMap<bigint, readonly string[]> = new Map([
  [KEYSTORED as bigint, ['statefs.keystore']],
  [UPDATED as bigint, ['statefs.boot']],
  [METRICSD as bigint, ['statefs.write']],
  [SELFTEST as bigint, ['statefs.read', 'statefs.write', 'statefs.boot']],
]);

/** A delegated check as policyd got it. */
export interface Check {
  readonly nonce: number;
  readonly subject: bigint;
  readonly capability: string;
}

/** statefsd with its peers as init wires them. */
export class Bench {
  readonly machine = new TestMachine();
  readonly requests = new TestEndpoint();
  readonly responses = new TestEndpoint();
  readonly inbox = new TestEndpoint();
  readonly policyd = new TestEndpoint();
  readonly logd = new TestEndpoint();
  readonly checks: Check[] = [];
  /** Frames policyd sends for a check; the default is one honest answer. */
  answers: (check: Check, honest: Uint8Array) => readonly Uint8Array[] = (_, honest) => [honest];
  exit: number | null;

  constructor(options: StatefsdOptions = CONTRACT, wired: { device?: boolean; logd?: boolean } = {}) {
    const { caps } = this.machine;
    [new TestEndpoint(), new TestEndpoint(), new TestEndpoint(), this.requests, this.responses].forEach((e, i) =>
      caps.set(i, e),
    );
    caps.set(5, this.inbox).set(6, this.inbox).set(7, this.policyd);
    if (wired.logd ?? !options.auditLost) caps.set(8, this.logd);
    if (wired.device ?? true) caps.set(0x30, { kind: 'mmio' });
    this.policyd.onSend = (message) => {
      this.#answer(message);
    };
    this.exit = this.machine.start(statefsdProgram(options));
  }

  /** Sends a request with a reply capability and returns the frames that came back on it. */
  ask(frame: Uint8Array | string, sender: bigint = SELFTEST): readonly Uint8Array[] {
    const reply = new TestEndpoint();
    this.send(frame, sender, reply);
    return reply.queue.map((message) => message.frame);
  }

  /** Sends a request; without `reply` the answer goes to the default response endpoint. */
  send(frame: Uint8Array | string, sender: bigint, reply: TestEndpoint | null = null): void {
    if (typeof frame === 'string') throw new Error(frame);
    this.requests.push(frame, sender, reply);
    this.exit = this.machine.resume();
  }

  /** The one reply's status byte. */
  status(frame: Uint8Array | string, sender: bigint = SELFTEST): number {
    const replies = this.ask(frame, sender);
    const [reply] = replies;
    if (reply === undefined || replies.length !== 1) throw new Error(`${replies.length} replies`);
    return reply[4] ?? -1;
  }

  #answer(message: TestMessage): void {
    this.policyd.queue.length = 0;
    const view = new DataView(message.frame.buffer);
    const check = {
      nonce: view.getUint32(4, true),
      subject: view.getBigUint64(8, true),
      capability: Buffer.from(message.frame.subarray(17)).toString(),
    };
    const head = [...message.frame.subarray(0, 4), message.frame[16]].join();
    if (head !== [0x50, 0x4f, 2, 5, check.capability.length].join()) throw new Error(`not a check: ${head}`);
    this.checks.push(check);
    const granted = GRANTS.get(check.subject)?.includes(check.capability) === true;
    const honest = checkReply(check.nonce, granted ? 0 : 1);
    if (message.cap?.kind !== 'endpoint') throw new Error('no reply capability');
    for (const frame of this.answers(check, honest)) message.cap.push(frame);
  }
}

/** policyd's answer. */
export function checkReply(nonce: number, status: number): Uint8Array {
  const frame = hex('504f028500000000 0000');
  new DataView(frame.buffer).setUint32(4, nonce, true);
  frame[8] = status;
  return frame;
}
