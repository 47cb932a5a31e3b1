/**
 * IPC syscalls: SEND and RECV v0, IPC_SEND_V1, IPC_RECV_V1 and V2 (sheet 10, section 4). In the typed form the payload is
 * `request.bytes` and `request.a3` the header's length field; a receive delivers into `sys.message`.
 */
import { CAP_MOVE, Errno, MAX_FRAME, NONBLOCK, Rights, TRUNCATE } from '../abi.ts';
import type { ServiceId } from '../abi.ts';
import { traceCap } from '../captable.ts';
import type { Capability } from '../captable.ts';
import type { Message } from '../endpoint.ts';
import { sendUnder } from '../fault-port.ts';
import type { Kernel } from '../kernel.ts';
import type { Syscall } from '../sys.ts';
import type { Task } from '../task.ts';

const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;
const NO_ID = 0n as ServiceId;

/** The endpoint id behind `slot`, -1 unless it holds an endpoint capability with `right`. */
function endpointIn(task: Task, slot: number, right: number): number {
  const cap = task.caps.get(slot);
  return cap !== null && cap.kind === 'endpoint' && (cap.rights & right) !== 0 ? cap.endpoint : -1;
}

/** SEND v0: an empty message with a free header, nobody is woken. */
export function sendV0(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.send);
  const endpoint = endpointIn(task, request.a0, Rights.SEND);
  if (endpoint < 0) return -Errno.EPERM;
  const message: Message = {
    src: request.a0,
    dst: endpoint,
    sender: task.pid,
    ty: request.a1 & 0xffff,
    flags: request.a2 & 0xffff,
    len: request.a3 >>> 0,
    payload: NO_BYTES,
    moved: null,
    serviceId: NO_ID,
  };
  const verdict = kernel.router.enqueue(endpoint, message);
  if (verdict !== 0) return refuse(kernel, endpoint, verdict, 0);
  traceSend(kernel, endpoint, message);
  return message.len;
}

/** RECV v0: pops a message, tells its header's length and forgets it. */
export function recvV0(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.recv);
  const id = endpointIn(task, request.a0, Rights.RECV);
  if (id < 0) return -Errno.EPERM;
  const endpoint = kernel.router.endpoints[id];
  if (endpoint === undefined || !endpoint.alive) return -Errno.ESRCH;
  const message = kernel.router.dequeue(endpoint);
  if (message === null) return -Errno.EAGAIN;
  traceReceive(kernel, id, message);
  return message.len;
}

/** IPC_SEND_V1 (sheet 10, section 4.3). */
export function ipcSendV1(kernel: Kernel, task: Task, request: Syscall): number {
  const { router, costs } = kernel;
  const { bytes } = request;
  const len = bytes.length;
  kernel.charge(costs.send + ((len + 7) >> 3) * costs.copy8);
  const nonblock = request.a4 === NONBLOCK;
  if (len > MAX_FRAME || (request.a4 !== 0 && !nonblock)) return -Errno.EINVAL;
  const id = endpointIn(task, request.a0, Rights.SEND);
  if (id < 0) return -Errno.EPERM;
  if (request.a3 !== len) return -Errno.EINVAL;

  const moves = (request.headerFlags & CAP_MOVE) !== 0;
  let moved: Capability | null = null;
  if (moves) {
    moved = task.caps.get(request.moveSlot);
    if (moved === null || moved.kind === 'factory' || (moved.rights & Rights.MANAGE) !== 0) {
      return refuse(kernel, id, -Errno.EPERM, len);
    }
    if (moved.kind === 'endpoint' && !router.isAlive(moved.endpoint)) return refuse(kernel, id, -Errno.ESRCH, len);
  }

  const verdict = router.admits(id, len);
  if (verdict !== 0) {
    if (verdict !== -Errno.EAGAIN || nonblock) return refuse(kernel, id, verdict, len);
    const deadline = request.a5;
    if (deadline !== 0 && kernel.nowNs() >= deadline) return refuse(kernel, id, -Errno.ETIMEDOUT, len);
    return kernel.blocking.onEndpoint(task, 'send', id, deadline);
  }

  if (moves) task.caps.take(request.moveSlot);
  const message: Message = {
    src: 0,
    dst: task.pid,
    sender: task.pid,
    ty: request.ty,
    flags: request.headerFlags,
    len,
    payload: kernel.payloads.copy(bytes),
    moved,
    serviceId: task.serviceId,
  };
  traceSend(kernel, id, message);
  const fault = kernel.faults === null ? null : kernel.faults.onSend(task, id, message.payload);
  if (fault !== null) {
    sendUnder(kernel, id, message, fault);
    return len;
  }
  router.append(id, message);
  const waiters = router.endpoints[id]?.recvWaiters;
  if (waiters !== undefined && waiters.length > 0) kernel.wake(waiters.shift() ?? -1);
  return len;
}

/** IPC_RECV_V1 (sheet 10, section 4.4). */
export function ipcRecvV1(kernel: Kernel, task: Task, request: Syscall): number {
  return receive(kernel, task, request, false);
}

/** IPC_RECV_V2: bounded buffer, and the sender's service id. */
export function ipcRecvV2(kernel: Kernel, task: Task, request: Syscall): number {
  return receive(kernel, task, request, true);
}

function receive(kernel: Kernel, task: Task, request: Syscall, v2: boolean): number {
  const { router, costs } = kernel;
  const flags = request.a4;
  const max = request.a3;
  task.delivered = false;
  if ((v2 && max > MAX_FRAME) || flags < 0 || flags > (NONBLOCK | TRUNCATE)) {
    kernel.charge(costs.recvEmpty);
    return -Errno.EINVAL;
  }
  const id = endpointIn(task, request.a0, Rights.RECV);
  const endpoint = id < 0 ? undefined : router.endpoints[id];
  if (endpoint === undefined || !endpoint.alive) {
    kernel.charge(costs.recvEmpty);
    return id < 0 ? -Errno.EPERM : -Errno.ESRCH;
  }
  const message = router.dequeue(endpoint);
  if (message === null) {
    kernel.charge(costs.recvEmpty);
    if ((flags & NONBLOCK) !== 0) return -Errno.EAGAIN;
    const deadline = request.a5;
    if (deadline !== 0 && kernel.nowNs() >= deadline) return -Errno.ETIMEDOUT;
    return kernel.blocking.onEndpoint(task, 'recv', id, deadline);
  }
  kernel.charge(costs.recv + ((Math.min(message.payload.length, max) + 7) >> 3) * costs.copy8);
  if (endpoint.sendWaiters.length > 0) kernel.wake(endpoint.sendWaiters.shift() ?? -1);

  let src = message.src;
  if (message.moved !== null) {
    src = task.caps.allocate(message.moved);
    if (src < 0) {
      router.requeueFront(endpoint, message);
      return -Errno.ENOSPC;
    }
  }
  traceReceive(kernel, id, message);
  const { payload } = message;
  const out = task.sys.message;
  task.delivered = true;
  out.src = src;
  out.senderPid = message.dst;
  out.ty = message.ty;
  out.flags = message.flags;
  out.len = message.len;
  out.serviceId = v2 ? message.serviceId : NO_ID;
  if (payload.length <= max) {
    out.payload = payload;
    return payload.length;
  }
  if (max === 0) {
    out.payload = NO_BYTES;
    return 0;
  }
  if ((flags & TRUNCATE) === 0) {
    // The header is out and the message consumed; its payload is lost (Q8).
    out.payload = NO_BYTES;
    return -Errno.EINVAL;
  }
  out.payload = payload.subarray(0, max);
  return max;
}

function refuse(kernel: Kernel, endpoint: number, verdict: number, len: number): number {
  if (kernel.trace.on) kernel.trace.emit({ kind: 'ipc-refused', endpoint, errno: -verdict, len });
  return verdict;
}

function traceSend(kernel: Kernel, endpoint: number, message: Message): void {
  if (!kernel.trace.on) return;
  const { serviceId, moved } = message;
  kernel.trace.emit({
    kind: 'ipc-send',
    endpoint,
    frame: message.payload.slice(),
    serviceId,
    moved: moved === null ? null : traceCap(moved),
  });
}

function traceReceive(kernel: Kernel, endpoint: number, message: Message): void {
  if (!kernel.trace.on) return;
  const { sender, serviceId } = message;
  kernel.trace.emit({ kind: 'ipc-recv', endpoint, from: sender, frame: message.payload.slice(), serviceId });
}
