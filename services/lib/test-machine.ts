/**
 * For tests only: one task's surroundings, driven by hand. A few syscalls over a capability table, endpoints whose other
 * side is a function, and a small virtio block device, so that driver and service run without the kernel.
 */
import { CapKind, Errno, Nr } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Macro, Sys } from '../../kernel-model/sys.ts';
import type { Program, Syscall, TaskServices } from '../../kernel-model/sys.ts';

export interface TestMessage {
  readonly frame: Uint8Array;
  readonly serviceId: bigint;
  readonly cap: TestCap | null;
}

/** An endpoint: a queue, and what its other side does with a message that was just sent. */
export class TestEndpoint {
  readonly kind = 'endpoint';
  readonly queue: TestMessage[] = [];
  depth = 8;
  onSend: ((message: TestMessage) => void) | null = null;

  push(frame: Uint8Array, serviceId = 0n, cap: TestCap | null = null): void {
    this.queue.push({ frame, serviceId, cap });
  }
}

export type TestCap =
  TestEndpoint | { readonly kind: 'vmo'; readonly base: number; readonly len: number } | { readonly kind: 'mmio' };

/** How the device treats requests. */
export type DeviceMode = 'ok' | 'io-error' | 'no-status' | 'silent';

const BLK_SECTORS = 64;
const RAM_BASE = 0x8185_b000;

export class TestMachine implements TaskServices {
  now = 0;
  /** Everything printed. */
  text = '';
  /** Register accesses, as `R 000` and `W 070=3`. */
  readonly registers: string[] = [];
  /** Disk operations, as `read 0`, `write 0`, `flush`. */
  readonly disk: string[] = [];
  readonly sectors = new Map<number, Uint8Array>();
  readonly caps = new Map<number, TestCap>();
  readonly notes: string[] = [];
  mode: DeviceMode = 'ok';
  /** Called before each request that the device serves. */
  beforeRequest: (() => void) | null = null;
  vmos = 0;
  yields = 0;
  deviceId = 2;
  magic = 0x7472_6976;
  version = 2;
  featuresOk = true;
  queueNumMax = 0x400;
  capacity: readonly [low: number, high: number] = [BLK_SECTORS, 0];
  readonly sys: Sys = new Sys(1, this);

  readonly #ram = new Uint8Array(64 * 4096);
  readonly #mappings = new Map<number, number>();
  readonly #reg = new Map<number, number>();
  #mmioMapped = false;
  #features: readonly [number, number] = [0x3000_6e54, 0x101];
  #lastAvail = 0;
  #task: Generator<Syscall, number, number> | null = null;

  /** Lines printed so far. */
  get lines(): readonly string[] {
    return this.text.split('\n').slice(0, -1);
  }

  /** Starts a program and runs it until it waits for a message that is not there; its exit code, or null. */
  start(program: Program): number | null {
    this.#task = program(this.sys);
    return this.#advance(this.#task, this.#task.next());
  }

  /** Continues a program that waits in its receive. */
  resume(): number | null {
    const task = this.#task;
    if (task === null) throw new Error('nothing runs');
    const result = this.#execute(this.sys.request);
    return result === null ? null : this.#advance(task, task.next(result));
  }

  /** Runs a library call to its end. */
  call<T>(generator: Generator<Syscall, T, number>): T {
    let step = generator.next();
    while (step.done !== true) {
      const result = this.#execute(step.value);
      if (result === null) throw new Error('blocked');
      step = generator.next(result);
    }
    return step.value;
  }

  #advance(task: Generator<Syscall, number, number>, first: IteratorResult<Syscall, number>): number | null {
    let step = first;
    while (step.done !== true) {
      const result = this.#execute(step.value);
      if (result === null) return null;
      step = task.next(result);
    }
    return step.value;
  }

  #execute(call: Syscall): number | null {
    this.now += 2000;
    switch (call.nr) {
      case Nr.NSEC:
        return this.now;
      case Nr.YIELD:
        this.yields += 1;
        return 1;
      case Macro.PRINT:
        this.text += Buffer.from(call.bytes).toString();
        return call.bytes.length;
      case Macro.POLL:
        return this.#poll();
      case Nr.IPC_SEND_V1:
        return this.#send(call);
      case Nr.IPC_RECV_V1:
      case Nr.IPC_RECV_V2:
        return this.#receive(call);
      case Nr.CAP_CLONE: {
        const cap = this.caps.get(call.a0);
        return cap === undefined ? -Errno.EPERM : this.allocate(cap);
      }
      case Nr.CAP_CLOSE:
        return this.caps.delete(call.a0) ? 0 : -Errno.EPERM;
      case Nr.CAP_QUERY:
        return this.#query(call.a0);
      case Nr.VMO_CREATE:
        this.vmos += 1;
        return this.allocate({ kind: 'vmo', base: RAM_BASE + (this.vmos - 1) * 4096, len: call.a1 });
      case Nr.MAP: {
        const cap = this.caps.get(call.a0);
        if (cap?.kind !== 'vmo') return -Errno.EPERM;
        if (this.#mappings.has(call.a1)) return -Errno.EINVAL;
        this.#mappings.set(call.a1, cap.base);
        return 0;
      }
      case Nr.MMIO_MAP:
        if (this.caps.get(call.a0)?.kind !== 'mmio') return -Errno.EPERM;
        if (this.#mmioMapped) return -Errno.EINVAL;
        this.#mmioMapped = true;
        return 0;
      default:
        throw new Error(`syscall ${call.nr}`);
    }
  }

  allocate(cap: TestCap): number {
    for (let slot = 0; slot < 96; slot++) {
      if (this.caps.has(slot)) continue;
      this.caps.set(slot, cap);
      return slot;
    }
    return -Errno.ENOSPC;
  }

  #query(slot: number): number {
    const cap = this.caps.get(slot);
    if (cap === undefined || cap.kind === 'endpoint') return -Errno.EPERM;
    this.sys.query.kind = cap.kind === 'vmo' ? CapKind.VMO : CapKind.DEVICE_MMIO;
    this.sys.query.base = cap.kind === 'vmo' ? cap.base : 0x1000_6000;
    return 0;
  }

  #send(call: Syscall): number | null {
    const endpoint = this.caps.get(call.a0);
    if (endpoint?.kind !== 'endpoint') return -Errno.EPERM;
    const cap = call.headerFlags === 1 ? this.caps.get(call.moveSlot) : null;
    if (cap === undefined) return -Errno.EPERM;
    if (endpoint.queue.length >= endpoint.depth) return call.a4 === 0 ? null : -Errno.EAGAIN;
    if (cap !== null) this.caps.delete(call.moveSlot);
    const message = { frame: call.bytes.slice(), serviceId: 0xd9f3_1d00_b74c_1b47n, cap };
    endpoint.queue.push(message);
    endpoint.onSend?.(message);
    return call.bytes.length;
  }

  #receive(call: Syscall): number | null {
    const endpoint = this.caps.get(call.a0);
    if (endpoint?.kind !== 'endpoint') return -Errno.EPERM;
    const message = endpoint.queue.shift();
    if (message === undefined) return (call.a4 & 1) === 1 ? -Errno.EAGAIN : null;
    const slot = message.cap === null ? 0 : this.allocate(message.cap);
    if (slot < 0) {
      endpoint.queue.unshift(message);
      return slot;
    }
    const into = this.sys.message;
    into.flags = message.cap === null ? 0 : 1;
    into.src = slot;
    into.len = message.frame.length;
    into.payload = message.frame.slice(0, call.a3);
    into.serviceId = message.serviceId as ServiceId;
    return into.payload.length;
  }

  #poll(): number {
    const poll = this.sys.poll;
    for (; ; poll.round++) {
      if (poll.round >= poll.maxRounds) return -Errno.EAGAIN;
      for (const [i, slot] of [...poll.slots, ...poll.sendSlots].entries()) {
        const endpoint = this.caps.get(slot);
        if (endpoint?.kind !== 'endpoint') return i;
        const ready = i < poll.slots.length ? endpoint.queue.length > 0 : endpoint.queue.length < endpoint.depth;
        if (ready) return i;
      }
      if (poll.ready?.() === true) return poll.slots.length + poll.sendSlots.length;
      this.now += 20_000;
      if (poll.clockEvery > 0 && poll.round % poll.clockEvery === 0 && this.now >= poll.deadline) {
        return -Errno.ETIMEDOUT;
      }
      this.yields += 1;
    }
  }

  // -- memory and the device ----------------------------------------------------------------------------------------

  bytes(va: number, len: number): Uint8Array {
    const page = va & ~0xfff;
    const base = this.#mappings.get(page);
    if (base === undefined) throw new Error(`unmapped ${va.toString(16)}`);
    return this.#physical(base + (va - page), len);
  }

  #physical(address: number, len: number): Uint8Array {
    return this.#ram.subarray(address - RAM_BASE, address - RAM_BASE + len);
  }

  load32(va: number): number {
    if (!this.#mmioMapped) throw new Error('window not mapped');
    const register = va - 0x2001_0000;
    this.registers.push(`R ${register.toString(16).padStart(3, '0')}`);
    const stored = this.#reg.get(register) ?? 0;
    switch (register) {
      case 0x000:
        return this.magic;
      case 0x004:
        return this.version;
      case 0x008:
        return this.deviceId;
      case 0x00c:
        return 0x554d_4551;
      case 0x010:
        return (this.#reg.get(0x014) ?? 0) === 0 ? this.#features[0] : this.#features[1];
      case 0x034:
        return this.queueNumMax;
      case 0x040:
        return this.version === 1 ? stored : 0;
      case 0x070:
        return this.featuresOk ? stored : stored & ~8;
      case 0x100:
        return this.capacity[0];
      case 0x104:
        return this.capacity[1];
      default:
        return stored;
    }
  }

  store32(va: number, value: number): void {
    if (!this.#mmioMapped) throw new Error('window not mapped');
    const register = va - 0x2001_0000;
    this.registers.push(`W ${register.toString(16).padStart(3, '0')}=${value.toString(16)}`);
    this.#reg.set(register, value);
    if (register === 0x070 && value === 0) this.#lastAvail = 0;
    if (register === 0x050) this.serviceQueue();
  }

  /** Processes what is available; called at each notify, and by tests for a late completion. */
  serviceQueue(): void {
    if (this.mode === 'silent') return;
    const desc = this.#view(this.#reg.get(0x080) ?? 0, 128);
    const avail = this.#view(this.#reg.get(0x090) ?? 0, 22);
    const used = this.#view(this.#reg.get(0x0a0) ?? 0, 72);
    while (this.#lastAvail !== avail.getUint16(2, true)) {
      let index = avail.getUint16(4 + 2 * (this.#lastAvail % 8), true);
      const chain: { readonly data: Uint8Array; readonly writable: boolean }[] = [];
      for (let more = true; more;) {
        const flags = desc.getUint16(16 * index + 12, true);
        const address = desc.getUint32(16 * index, true);
        const data = this.#physical(address, desc.getUint32(16 * index + 8, true));
        chain.push({ data, writable: (flags & 2) !== 0 });
        more = (flags & 1) !== 0;
        index = desc.getUint16(16 * index + 14, true);
      }
      this.#serveRequest(chain);
      this.#lastAvail = (this.#lastAvail + 1) & 0xffff;
      used.setUint16(2, (used.getUint16(2, true) + 1) & 0xffff, true);
    }
  }

  #serveRequest(chain: readonly { readonly data: Uint8Array; readonly writable: boolean }[]): void {
    this.beforeRequest?.();
    const header = chain[0]?.data ?? new Uint8Array(16);
    const view = new DataView(header.buffer, header.byteOffset, 16);
    const type = view.getUint32(0, true);
    const sector = view.getUint32(8, true);
    const status = chain.at(-1)?.data;
    const body = chain[1];
    if (this.mode === 'ok' || this.mode === 'no-status') {
      if (type === 4) this.disk.push('flush');
      else this.disk.push(`${type === 0 ? 'read' : 'write'} ${sector}`);
      if (type === 0 && body?.writable === true) {
        body.data.set(this.mode === 'ok' ? (this.sectors.get(sector) ?? new Uint8Array(512)) : body.data);
      }
      if (type === 1 && body !== undefined && this.mode === 'ok') this.sectors.set(sector, body.data.slice());
    }
    if (status !== undefined && this.mode !== 'no-status') status[0] = this.mode === 'ok' ? 0 : 1;
  }

  #view(address: number, length: number): DataView {
    const bytes = this.#physical(address, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  compute(): void {
    this.now += 0;
  }

  note(name: string, value: string | number): void {
    this.notes.push(`${name}=${value}`);
  }
}
