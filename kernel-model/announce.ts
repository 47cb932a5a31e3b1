/** Blocks of lines that several places print (sheet 10, section 1.2). */
import type { Kernel } from './kernel.ts';
import { hex16 } from './layout.ts';

/** CAPNEW: the lines of a new capability table. */
export function announceCapTable(kernel: Kernel): void {
  kernel.uart.line('CAP: new enter');
  kernel.uart.line('CAP: with_capacity slots=96');
  kernel.uart.line('CAP: new exit');
}

/** SYSI: a syscall table was filled. */
export function announceSyscalls(kernel: Kernel): void {
  const { debugPutc, epCreate } = kernel.image.addresses;
  kernel.uart.line(`SYSCALL install debug_putc=0x${hex16(debugPutc)}`);
  kernel.uart.line(`SYSCALL install ep_create=0x${hex16(epCreate)}`);
}
