/**
 * The router: endpoints with bounded FIFO queues, byte budgets and the tasks that wait on them (sheet 10, section 4).
 * It knows no tasks, only pids; waking is the kernel's. Errors are negative errno values.
 */
import { assert } from '../sim/assert.ts';
import {
  ENDPOINT_OWNER_QUOTA,
  ENDPOINT_QUOTA,
  Errno,
  GLOBAL_BYTES,
  MAX_FRAME,
  OWNER_BYTES,
  PRECREATED_DEPTH,
} from './abi.ts';
import type { ServiceId } from './abi.ts';
import type { Capability } from './captable.ts';

/** Owner of an endpoint that belongs to nobody. */
export const NO_OWNER = -1;

/** One queued message. `len` is the header's length field; it differs from the payload's only for SEND v0. */
export interface Message {
  readonly src: number;
  readonly dst: number;
  readonly sender: number;
  readonly ty: number;
  readonly flags: number;
  readonly len: number;
  readonly payload: Uint8Array;
  readonly moved: Capability | null;
  readonly serviceId: ServiceId;
}

/** Byte budgets of queued payloads. */
export interface RouterLimits {
  readonly globalBytes: number;
  readonly ownerBytes: number;
}

const DEFAULT_LIMITS: RouterLimits = { globalBytes: GLOBAL_BYTES, ownerBytes: OWNER_BYTES };

/** One endpoint. Fields are the router's to change. */
export class Endpoint {
  readonly id: number;
  readonly depth: number;
  /** Pid or {@link NO_OWNER}; kept after close. */
  readonly owner: number;
  alive = true;
  /** Queued payload bytes. */
  bytes = 0;
  /** Messages queued. */
  count = 0;
  /** Pids waiting for a message and for room, FIFO, without duplicates. */
  readonly recvWaiters: number[] = [];
  readonly sendWaiters: number[] = [];
  readonly #ring: (Message | null)[];
  #head = 0;

  constructor(id: number, depth: number, owner: number) {
    this.id = id;
    this.depth = depth;
    this.owner = owner;
    this.#ring = new Array<Message | null>(depth).fill(null);
  }

  /** Appends; the caller has checked depth and budgets. */
  push(message: Message): void {
    let at = this.#head + this.count;
    if (at >= this.depth) at -= this.depth;
    this.#ring[at] = message;
    this.count += 1;
  }

  /** Puts a message back that was just popped. */
  unshift(message: Message): void {
    this.#head = this.#head === 0 ? this.depth - 1 : this.#head - 1;
    this.#ring[this.#head] = message;
    this.count += 1;
  }

  pop(): Message | null {
    if (this.count === 0) return null;
    const message = this.#ring[this.#head] ?? null;
    this.#ring[this.#head] = null;
    this.#head = this.#head + 1 === this.depth ? 0 : this.#head + 1;
    this.count -= 1;
    return message;
  }

  /** The oldest message without taking it. */
  peek(): Message | null {
    return this.count === 0 ? null : (this.#ring[this.#head] ?? null);
  }

  /** Queued messages, oldest first, for reports. */
  *messages(): Generator<Message, void, void> {
    for (let i = 0; i < this.count; i++) {
      const message = this.#ring[(this.#head + i) % this.depth];
      if (message) yield message;
    }
  }

  clear(): void {
    this.#ring.fill(null);
    this.#head = 0;
    this.count = 0;
    this.bytes = 0;
  }
}

/** All endpoints of one kernel. */
export class Router {
  /** Index = id; ids are never reused, closed ones stay. */
  readonly endpoints: Endpoint[] = [];
  /** Queued payload bytes over all endpoints. */
  globalBytes = 0;
  readonly #limits: RouterLimits;
  /** Queued payload bytes by owner pid. */
  readonly #ownerBytes: number[] = [];

  /** `precreated` endpoints exist from the start, without owner. */
  constructor(precreated: number, limits: RouterLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
    for (let i = 0; i < precreated; i++) this.create(PRECREATED_DEPTH, NO_OWNER);
  }

  /** New endpoint's id, or -ENOSPC at the global or the owner's quota. `depth` is in 1..256 (checked by the syscall). */
  create(depth: number, owner: number): number {
    const id = this.endpoints.length;
    if (id >= ENDPOINT_QUOTA) return -Errno.ENOSPC;
    if (owner !== NO_OWNER && this.aliveOf(owner) >= ENDPOINT_OWNER_QUOTA) return -Errno.ENOSPC;
    this.endpoints.push(new Endpoint(id, depth, owner));
    if (owner !== NO_OWNER) {
      while (this.#ownerBytes.length <= owner) this.#ownerBytes.push(0);
    }
    return id;
  }

  /** Number of living endpoints of `owner`. */
  aliveOf(owner: number): number {
    let alive = 0;
    for (const endpoint of this.endpoints) if (endpoint.alive && endpoint.owner === owner) alive += 1;
    return alive;
  }

  /** True when `id` names a living endpoint. */
  isAlive(id: number): boolean {
    return this.endpoints[id]?.alive ?? false;
  }

  /** Queued payload bytes of `owner`. */
  bytesOf(owner: number): number {
    return this.#ownerBytes[owner] ?? 0;
  }

  /** What {@link append} of `len` payload bytes would meet: 0 or -errno, in the order of sheet 10, section 4.2. */
  admits(id: number, len: number): number {
    if (this.globalBytes + len > this.#limits.globalBytes) return -Errno.ENOSPC;
    const endpoint = this.endpoints[id];
    if (endpoint === undefined) return -Errno.ESRCH;
    if (endpoint.owner !== NO_OWNER && this.bytesOf(endpoint.owner) + len > this.#limits.ownerBytes) {
      return -Errno.ENOSPC;
    }
    if (!endpoint.alive) return -Errno.ESRCH;
    if (endpoint.count >= endpoint.depth) return -Errno.EAGAIN;
    if (endpoint.bytes + len > endpoint.depth * MAX_FRAME) return -Errno.ENOSPC;
    return 0;
  }

  /** Appends a message that {@link admits} let pass. */
  append(id: number, message: Message): void {
    const endpoint = this.endpoints[id];
    assert(endpoint !== undefined && endpoint.alive && endpoint.count < endpoint.depth, 'append to a full endpoint');
    endpoint.push(message);
    this.#account(endpoint, message.payload.length);
  }

  /** {@link admits} and {@link append} in one: 0 or -errno. */
  enqueue(id: number, message: Message): number {
    const verdict = this.admits(id, message.payload.length);
    if (verdict === 0) this.append(id, message);
    return verdict;
  }

  /** Takes the oldest message of a living endpoint; null when its queue is empty. */
  dequeue(endpoint: Endpoint): Message | null {
    const message = endpoint.pop();
    if (message !== null) this.#account(endpoint, -message.payload.length);
    return message;
  }

  /** Puts a message back to the front that was just dequeued. */
  requeueFront(endpoint: Endpoint, message: Message): void {
    endpoint.unshift(message);
    this.#account(endpoint, message.payload.length);
  }

  /**
   * Closes a living endpoint: its queue and its messages' moved capabilities are dropped, both waiter lists drained into
   * `waiters`. False when it is unknown or dead already.
   */
  close(id: number, waiters: number[]): boolean {
    const endpoint = this.endpoints[id];
    if (endpoint === undefined || !endpoint.alive) return false;
    this.#account(endpoint, -endpoint.bytes);
    endpoint.clear();
    endpoint.alive = false;
    waiters.push(...endpoint.recvWaiters, ...endpoint.sendWaiters);
    endpoint.recvWaiters.length = 0;
    endpoint.sendWaiters.length = 0;
    return true;
  }

  /** Closes every living endpoint of `owner`; returns their ids, waiters go into `waiters`. */
  closeOwnedBy(owner: number, waiters: number[]): number[] {
    const closed: number[] = [];
    for (const endpoint of this.endpoints) {
      if (endpoint.owner === owner && this.close(endpoint.id, waiters)) closed.push(endpoint.id);
    }
    return closed;
  }

  /** Removes `pid` from every waiter list (exit). */
  forget(pid: number): void {
    for (const endpoint of this.endpoints) {
      removeWaiter(endpoint.recvWaiters, pid);
      removeWaiter(endpoint.sendWaiters, pid);
    }
  }

  #account(endpoint: Endpoint, bytes: number): void {
    endpoint.bytes += bytes;
    this.globalBytes += bytes;
    if (endpoint.owner !== NO_OWNER) {
      this.#ownerBytes[endpoint.owner] = (this.#ownerBytes[endpoint.owner] ?? 0) + bytes;
    }
  }
}

/** Registers a waiter; a pid that waits already keeps its place. */
export function addWaiter(waiters: number[], pid: number): void {
  if (!waiters.includes(pid)) waiters.push(pid);
}

/** Drops a waiter if it is registered. */
export function removeWaiter(waiters: number[], pid: number): void {
  const at = waiters.indexOf(pid);
  if (at >= 0) waiters.splice(at, 1);
}

/** The order in which a close wakes: ascending pids, each once (sheet 10, section 4.5). */
export function closeOrder(waiters: readonly number[]): number[] {
  return [...new Set(waiters)].sort((a, b) => a - b);
}
