/**
 * Where a run's faults reach into the kernel: one optional port, asked when a message is about to be queued and when a
 * syscall is about to be executed. A kernel without the port pays one null check at each place.
 */
import type { Message } from './endpoint.ts';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';

/** What happens to one message instead of being queued. The sender is told that it was sent. */
export type FrameAction =
  /** It is gone, a moved capability with it. */
  | { readonly kind: 'drop' }
  /** It is queued that many virtual ns later; gone if the endpoint has no room then. */
  | { readonly kind: 'delay'; readonly ns: number }
  /** It is queued twice; the capability moves with the first. The second is gone if there is no room. */
  | { readonly kind: 'duplicate' }
  /** Other bytes of at most the same length are queued in its place. */
  | { readonly kind: 'alter'; readonly bytes: Uint8Array }
  /** It is queued, and a blocked receiver is not woken for it. */
  | { readonly kind: 'no-wake' };

/** A plan of faults. Answers must depend on nothing but the run itself. */
export interface KernelFaults {
  /** Asked once per message that the kernel has accepted. Null: queue it as it is. `bytes` must not be kept. */
  onSend(task: Task, endpoint: number, bytes: Uint8Array): FrameAction | null;
  /** Asked once per syscall before its first attempt. 0: execute it; else the (positive) errno it fails with. */
  onSyscall(task: Task, nr: number): number;
}

/** Queues an accepted message under a fault. */
export function sendUnder(kernel: Kernel, id: number, message: Message, action: FrameAction): void {
  switch (action.kind) {
    case 'drop':
      return;
    case 'delay':
      kernel.clock.schedule(kernel.clock.now + action.ns, () => {
        if (kernel.router.admits(id, message.payload.length) === 0) queue(kernel, id, message);
      });
      return;
    case 'duplicate':
      queue(kernel, id, message);
      if (kernel.router.admits(id, message.payload.length) === 0) {
        queue(kernel, id, { ...message, payload: message.payload.slice(), moved: null });
      }
      return;
    case 'alter':
      queue(kernel, id, { ...message, len: action.bytes.length, payload: action.bytes });
      return;
    case 'no-wake':
      kernel.router.append(id, message);
  }
}

function queue(kernel: Kernel, id: number, message: Message): void {
  kernel.router.append(id, message);
  const waiters = kernel.router.endpoints[id]?.recvWaiters;
  if (waiters !== undefined && waiters.length > 0) kernel.wake(waiters.shift() ?? -1);
}
