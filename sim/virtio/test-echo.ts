import { assert } from '../assert.ts';
import type { VirtioBackend, VirtioPort } from './backend.ts';
import { featureWords } from './backend.ts';
import type { Chain } from './chain.ts';

/** Copies the readable part of every chain to its writable part: used.len is what fitted. */
export class Echo implements VirtioBackend {
  readonly name = 'echo';
  readonly deviceId = 42;
  readonly features = featureWords([28, 29, 32]);
  readonly queueSizes = [8];
  readonly config: Uint8Array = new Uint8Array(0);
  readonly heads: number[] = [];
  port: VirtioPort | null = null;
  /** Completes a whole notify with one signal. */
  batch = false;

  attach(port: VirtioPort): void {
    this.port = port;
  }

  notify(): void {
    assert(this.port !== null, 'echo without a transport');
    const queue = this.port.queue(0);
    let served = 0;
    for (let chain = queue.pop(); chain !== null; chain = queue.pop(), served += 1) {
      this.heads.push(chain.head);
      queue.push(chain, echo(chain));
      if (!this.batch) queue.signal();
    }
    if (this.batch && served > 0) queue.signal();
  }

  statusWritten(): void {}
  configWritten(_offset: number, _width: 1 | 2 | 4, _value: number): void {}
  reset(): void {}
}

function echo(chain: Chain): number {
  const bytes = new Uint8Array(chain.readableBytes);
  chain.read(0, bytes);
  return chain.write(0, bytes);
}
