/** Syscalls about the task itself: YIELD, NSEC, EXIT, WAIT, TASK_QOS, DEBUG_PUTC, GETPID (sheet 10, sections 2.2, 5, 6.4). */
import { Errno, Nr, Qos } from '../abi.ts';
import type { QosClass } from '../abi.ts';
import type { Kernel } from '../kernel.ts';
import { plainLength } from '../kernel-uart.ts';
import { typedPc } from '../storm.ts';
import type { Syscall } from '../sys.ts';
import type { Task } from '../task.ts';
import { CONTINUED, SWITCHED } from './result.ts';

/** YIELD: to the tail of the class; a0 is the pid that runs next, seen when the caller resumes. */
export function yieldCpu(kernel: Kernel, task: Task, _request: Syscall): number {
  kernel.charge(kernel.costs.yield);
  kernel.yieldTurn(task);
  return SWITCHED;
}

/** NSEC: the time CSR in ns. */
export function nsec(kernel: Kernel, _task: Task, _request: Syscall): number {
  kernel.charge(kernel.costs.nsec);
  return kernel.nowNs();
}

export function getpid(kernel: Kernel, task: Task, _request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  return task.pid;
}

/** DEBUG_PUTC: low byte to the UART; returns it also when nothing is printed (Q6). */
export function debugPutc(kernel: Kernel, _task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.putc);
  const byte = request.a0 & 0xff;
  kernel.uart.putByte(byte);
  return byte;
}

/** PRINT: one DEBUG_PUTC per byte from one pc. Stops between two bytes when the run is to stop or an event is due. */
export function printMacro(kernel: Kernel, task: Task, request: Syscall): number {
  const { bytes } = request;
  const { clock, costs, storm, uart } = kernel;
  const pc = typedPc(task.pid, Nr.DEBUG_PUTC);
  while (task.printed < bytes.length) {
    if (kernel.stopping || clock.next <= clock.now || clock.now >= kernel.until) return CONTINUED;
    const from = task.printed;
    const rejected = storm.rejects(pc);
    // Only the end of a line can stop the run. So the bytes before it go together, as far as nothing else is due.
    const room = Math.ceil((Math.min(clock.next, kernel.until) - clock.now) / costs.putc);
    const together = rejected ? 0 : Math.min(plainLength(bytes, from), room, storm.left + 1);
    if (together > 1) {
      storm.add(together - 1);
      task.printed += together;
      kernel.charge(together * costs.putc);
      uart.putPlain(bytes.subarray(from, from + together));
      continue;
    }
    task.printed += 1;
    if (rejected) {
      kernel.charge(costs.rejected);
    } else {
      kernel.charge(costs.putc);
      uart.putByte(bytes[from] ?? 0);
    }
  }
  task.printed = 0;
  return bytes.length;
}

/** SLICE: nothing, so that the run loop looks at its limits. */
export function sliceMacro(_kernel: Kernel, _task: Task, _request: Syscall): number {
  return 0;
}

/** EXIT (sheet 10, section 6.4). The successor's address space is loaded twice: by the pick and on trap return. */
export function exit(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.exit);
  kernel.terminate(task, request.a0 | 0, 'exit');
  if (kernel.reschedule()) kernel.activateAgain();
  else kernel.memory.nothingRunnable();
  return SWITCHED;
}

/** WAIT: reaps a zombie child in spawn order, else blocks. */
export function wait(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.wait);
  const target = request.a0 | 0;
  const { children } = task;
  if (children.length === 0) return -Errno.ECHILD;
  if (target > 0 && target === task.pid) return -Errno.EINVAL;
  if (target > 0 && !children.includes(target)) return -Errno.ESRCH;
  for (let i = 0; i < children.length; i++) {
    const pid = children[i] ?? -1;
    if (target > 0 && pid !== target) continue;
    const child = kernel.tasks[pid];
    if (child === undefined || child.state !== 'zombie') continue;
    children.splice(i, 1);
    child.parent = -1;
    kernel.charge(kernel.costs.exit);
    kernel.memory.release(child);
    task.sys.waitStatus = child.exitCode;
    return pid;
  }
  return kernel.blocking.onChild(task, target);
}

/** TASK_QOS operations. */
const QOS_GET = 0;
const QOS_SET = 1;
/** Largest values that the decoder takes. */
const MAX_TARGET = 0xffff_ffff;
const MAX_QOS_BYTE = 0xff;

const AUDIT_QOS = ['idle', 'normal', 'interactive', 'perfburst'] as const;

/** TASK_QOS (sheet 10, section 5.4). Capabilities play no role. */
export function taskQos(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  const { a0: op, a1: target, a2: qos } = request;
  if (target < 0 || target > MAX_TARGET || qos < 0 || qos > MAX_QOS_BYTE) return -Errno.EINVAL;
  if (op === QOS_GET) {
    const found = kernel.tasks[target];
    return found === undefined ? -Errno.EINVAL : found.qos;
  }
  if (op !== QOS_SET) return -Errno.EINVAL;
  return setQos(kernel, task, target, qos);
}

function setQos(kernel: Kernel, task: Task, pid: number, value: number): number {
  const who = `caller_sid=0x${task.serviceId.toString(16).padStart(16, '0')} caller_pid=${task.pid} target_pid=${pid}`;
  const simple = (reason: string): number => {
    kernel.uart.line(`[INFO qos] QOS-AUDIT decision=deny reason=${reason} ${who}`);
    return -Errno.EINVAL;
  };
  if (value > Qos.PERF_BURST) return simple('invalid_qos_class');
  const target = kernel.tasks[pid];
  if (target === undefined) return simple('invalid_target_pid');
  const qos = value as QosClass;
  const from = target.qos;
  const audit = (decision: 'allow' | 'deny', reason: string): void => {
    const change = `from=${AUDIT_QOS[from]} to=${AUDIT_QOS[qos]}`;
    kernel.uart.line(`[INFO qos] QOS-AUDIT decision=${decision} reason=${reason} ${who} ${change}`);
  };
  const privileged = kernel.qosAdministrators.includes(task.serviceId);
  if (target !== task && !privileged) {
    audit('deny', 'unauthorized_other_pid');
    return -Errno.EPERM;
  }
  if (qos > from && !privileged) {
    audit('deny', 'unauthorized_escalation');
    return -Errno.EPERM;
  }
  if (!kernel.scheduler.setQos(pid, from, qos)) {
    audit('deny', 'scheduler_queue_full');
    return -Errno.EAGAIN;
  }
  target.qos = qos;
  audit('allow', 'applied');
  return 0;
}
