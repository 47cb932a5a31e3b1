/**
 * The raw door (sheet 10, section 2.1): an ecall with a7 and a0..a5 as registers and pointers into the task's address
 * space. It checks pointers, copies in, calls the same handlers as the typed door, and copies out. Pointer checks look at
 * ranges only; an unmapped pointer in range is a kernel page fault and ends the system (Q7).
 */
import { CAP_SLOTS, Errno, MAX_FRAME, MAX_SERVICE_NAME, Nr, Rights, SYSCALL_COUNT, USER_VA_LIMIT } from './abi.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import { numberToRegister, registerToNumber, unsignedToNumber } from './registers.ts';
import type { Syscall } from './sys.ts';
import { vmoWriteTarget } from './syscalls/memory.ts';
import { BLOCKED } from './syscalls/result.ts';
import type { Task } from './task.ts';

/** A handler of the syscall table. */
type Handler = (kernel: Kernel, task: Task, request: Syscall) => number;

/** Bytes of a message header, a RECV_V2 descriptor and a CAP_QUERY result in user memory. */
export const HEADER_SIZE = 16;
export const RECV_DESCRIPTOR_SIZE = 64;
export const QUERY_SIZE = 24;
export const RECV_DESCRIPTOR_MAGIC = 0x4e58_4932;
export const RECV_DESCRIPTOR_VERSION = 1;

const LIMIT = BigInt(USER_VA_LIMIT);
const A7 = 7;
const PAGE_MASK = 0xfffn;
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/** The user pointer check: a range below the limit; length 0 always passes. */
export function pointerOk(pointer: bigint, len: bigint): boolean {
  if (len === 0n) return true;
  return pointer !== 0n && pointer < LIMIT && len <= LIMIT && pointer + len - 1n < LIMIT;
}

/** Makes the door; `handlerOf` finds the handler of a number (32 stands for every unknown one). */
export function makeRawDoor(handlerOf: (nr: number) => Handler): Handler {
  return (kernel, task) => {
    const { regs } = task.sys;
    const a7 = regs[A7] ?? 0n;
    const nr = a7 < BigInt(SYSCALL_COUNT) ? Number(a7) : SYSCALL_COUNT;
    const call = memoryOf(kernel).rawRequest;
    const outputs: Outputs = { header: 0n, payload: 0n, sender: 0n };
    const refused = decode(kernel, task, nr, regs, call, outputs);
    let result = refused;
    if (refused === 0) result = handlerOf(nr)(kernel, task, call);
    else kernel.charge(kernel.costs.syscall);
    if (result <= BLOCKED) return result;
    if (refused === 0) encode(kernel, task, nr, regs, outputs, result);
    regs[0] = numberToRegister(result);
    return result;
  };
}

/** Where a receive delivers to, as registers. */
interface Outputs {
  header: bigint;
  payload: bigint;
  sender: bigint;
}

/** Fills `call` from registers and user memory: 0, or -errno of a check that comes before the handler's. */
function decode(kernel: Kernel, task: Task, nr: number, regs: BigUint64Array, call: Syscall, outputs: Outputs): number {
  const reg = (index: number): bigint => regs[index] ?? 0n;
  call.nr = nr;
  call.a0 = registerToNumber(reg(0));
  call.a1 = registerToNumber(reg(1));
  call.a2 = registerToNumber(reg(2));
  call.a3 = registerToNumber(reg(3));
  call.a4 = registerToNumber(reg(4));
  call.a5 = registerToNumber(reg(5));
  call.bytes = NO_BYTES;
  const memory = memoryOf(kernel);
  switch (nr) {
    case Nr.VMO_WRITE: {
      const len = unsignedToNumber(reg(3));
      if (vmoWriteTarget(task, call.a0, unsignedToNumber(reg(1)), len) === null) return -Errno.EPERM;
      if (!pointerOk(reg(2), reg(3))) return -Errno.EINVAL;
      return take(call, memory.copyIn(task, Number(reg(2)), len));
    }
    case Nr.CAP_TRANSFER:
    case Nr.CAP_TRANSFER_TO:
      call.a0 >>>= 0;
      call.a2 >>>= 0;
      return 0;
    case Nr.EP_CREATE_FOR:
      call.a1 >>>= 0;
      return 0;
    case Nr.EXEC:
    case Nr.EXEC_V2: {
      if (reg(1) === 0n || reg(2) === 0n || !pointerOk(reg(0), reg(1))) return -Errno.EINVAL;
      if (nr === Nr.EXEC_V2 && (reg(5) > BigInt(MAX_SERVICE_NAME) || !pointerOk(reg(4), reg(5)))) return -Errno.EINVAL;
      if (!holds(task, 0, Rights.SEND)) return -Errno.EPERM;
      if (nr === Nr.EXEC_V2) {
        const name = memory.copyIn(task, Number(reg(4)), Number(reg(5)));
        if (name === null) return -Errno.EINVAL;
        call.name = String.fromCharCode(...name);
      }
      return take(call, memory.copyIn(task, Number(reg(0)), Number(reg(1))));
    }
    case Nr.IPC_SEND_V1:
      return decodeSend(kernel, task, reg, call);
    case Nr.IPC_RECV_V1:
      if (!pointerOk(reg(1), BigInt(HEADER_SIZE)) || !pointerOk(reg(2), reg(3))) return -Errno.EINVAL;
      call.a3 = unsignedToNumber(reg(3));
      call.a5 = unsignedToNumber(reg(5));
      outputs.header = reg(1);
      outputs.payload = reg(2);
      return 0;
    case Nr.IPC_RECV_V2:
      return decodeReceive(kernel, task, reg, call, outputs);
    case Nr.CAP_QUERY:
      return pointerOk(reg(1), BigInt(QUERY_SIZE)) ? 0 : -Errno.EINVAL;
    case Nr.DEVICE_CAP_CREATE:
      // Multiples of a page are exact as numbers over the whole range; others are refused for their low bits alone.
      call.a0 = Number(reg(0) & PAGE_MASK || BigInt.asIntN(64, reg(0)));
      call.a1 = Number(reg(1) & PAGE_MASK || BigInt.asIntN(64, reg(1)));
      return 0;
    default:
      return 0;
  }
}

function decodeSend(kernel: Kernel, task: Task, reg: (index: number) => bigint, call: Syscall): number {
  const memory = memoryOf(kernel);
  if (!pointerOk(reg(1), BigInt(HEADER_SIZE)) || reg(3) > BigInt(MAX_FRAME)) return -Errno.EINVAL;
  if (!pointerOk(reg(2), reg(3))) return -Errno.EINVAL;
  const len = Number(reg(3));
  call.a3 = len;
  call.a5 = unsignedToNumber(reg(5));
  // What the handler refuses anyway is not read: an unmapped pointer must not turn its errno into a panic.
  call.bytes = new Uint8Array(len);
  if (reg(4) > 1n || !holds(task, call.a0, Rights.SEND)) return 0;
  const header = memory.copyIn(task, Number(reg(1)), HEADER_SIZE);
  if (header === null) return -Errno.EINVAL;
  const view = new DataView(header.buffer);
  call.moveSlot = view.getUint32(0, true);
  call.ty = view.getUint16(8, true);
  call.headerFlags = view.getUint16(10, true);
  call.a3 = view.getUint32(12, true);
  return call.a3 === len ? take(call, memory.copyIn(task, Number(reg(2)), len)) : 0;
}

function decodeReceive(
  kernel: Kernel,
  task: Task,
  reg: (index: number) => bigint,
  call: Syscall,
  outputs: Outputs,
): number {
  if (!pointerOk(reg(0), BigInt(RECV_DESCRIPTOR_SIZE))) return -Errno.EINVAL;
  const descriptor = memoryOf(kernel).copyIn(task, Number(reg(0)), RECV_DESCRIPTOR_SIZE);
  if (descriptor === null) return -Errno.EINVAL;
  const view = new DataView(descriptor.buffer);
  if (view.getUint32(0, true) !== RECV_DESCRIPTOR_MAGIC) return -Errno.EINVAL;
  if (view.getUint32(4, true) !== RECV_DESCRIPTOR_VERSION) return -Errno.EINVAL;
  outputs.header = view.getBigUint64(16, true);
  outputs.payload = view.getBigUint64(24, true);
  outputs.sender = view.getBigUint64(40, true);
  const max = view.getBigUint64(32, true);
  if (!pointerOk(outputs.header, BigInt(HEADER_SIZE))) return -Errno.EINVAL;
  // Above the frame limit the handler refuses, whatever the pointer.
  if (max <= BigInt(MAX_FRAME) && !pointerOk(outputs.payload, max)) return -Errno.EINVAL;
  if (!pointerOk(outputs.sender, 8n)) return -Errno.EINVAL;
  call.a0 = view.getUint32(8, true);
  call.a3 = unsignedToNumber(max);
  call.a4 = view.getUint32(48, true);
  call.a5 = unsignedToNumber(view.getBigUint64(56, true));
  return 0;
}

/** Writes what a call delivered beyond a0. */
function encode(kernel: Kernel, task: Task, nr: number, regs: BigUint64Array, outputs: Outputs, result: number): void {
  const memory = memoryOf(kernel);
  const { message, query } = task.sys;
  switch (nr) {
    case Nr.WAIT:
      if (result >= 0) regs[1] = numberToRegister(task.sys.waitStatus);
      return;
    case Nr.CAP_QUERY: {
      if (result !== 0) return;
      const view = new DataView(new ArrayBuffer(QUERY_SIZE));
      view.setUint32(0, query.kind, true);
      view.setBigUint64(8, BigInt(query.base), true);
      view.setBigUint64(16, BigInt(query.len), true);
      memory.copyOut(task, Number(regs[1] ?? 0n), new Uint8Array(view.buffer));
      return;
    }
    case Nr.IPC_RECV_V1:
    case Nr.IPC_RECV_V2: {
      if (!task.delivered) return;
      const header = new DataView(new ArrayBuffer(HEADER_SIZE));
      header.setUint32(0, message.src, true);
      header.setUint32(4, message.senderPid, true);
      header.setUint16(8, message.ty, true);
      header.setUint16(10, message.flags, true);
      header.setUint32(12, message.len, true);
      if (!memory.copyOut(task, Number(outputs.header), new Uint8Array(header.buffer))) return;
      if (nr === Nr.IPC_RECV_V2) {
        const sender = new DataView(new ArrayBuffer(8));
        sender.setBigUint64(0, message.serviceId, true);
        if (!memory.copyOut(task, Number(outputs.sender), new Uint8Array(sender.buffer))) return;
      }
      if (result > 0) memory.copyOut(task, Number(outputs.payload), message.payload.subarray(0, result));
      return;
    }
    default:
      return;
  }
}

function take(call: Syscall, bytes: Uint8Array | null): number {
  // Null: the kernel has panicked, no result is ever seen.
  if (bytes === null) return -Errno.EINVAL;
  call.bytes = bytes;
  return 0;
}

function holds(task: Task, slot: number, right: number): boolean {
  const cap = slot >= 0 && slot < CAP_SLOTS ? task.caps.get(slot) : null;
  return cap !== null && (cap.rights & right) !== 0;
}
