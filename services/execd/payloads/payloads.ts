/**
 * The three programs that execd runs (sheet 60, section 6.4; sheet 55, section 13), assembled from source. They know two
 * or three syscalls and keep their state in s0, because the trap entry destroys t0 to t2 (sheet 10, Q9).
 */
import { Nr } from '../../../kernel-model/abi.ts';
import { assemble } from '../../../sim/hart/asm.ts';
import { writeStaticElf } from './static-elf.ts';

/** hello's segment: linked behind its headers, file and memory alike. */
const HELLO_BASE = 0x1_0130;
const HELLO_OFFSET = 0x130;
/** Zeros behind hello's string. */
const HELLO_TAIL = 43;
/** The segment of the two that exit. */
const EXIT_BASE = 0x1000;
const EXIT_OFFSET = 0x100;
/** Their files' lengths are multiples of a word. */
const WORD = 4;

/** Prints the string at `message`, then goes on at `done`. */
const PRINT_MESSAGE = `
        la s0, message
next:   lbu a0, 0(s0)
        beqz a0, done
        li a7, ${Nr.DEBUG_PUTC}
        ecall
        addi s0, s0, 1
        j next
`;

const HELLO = `
${PRINT_MESSAGE}
done:   li a7, ${Nr.YIELD}
        ecall
        j done
message: .asciz "child: hello-elf\\n"
        .zero ${HELLO_TAIL}
`;

const exitSource = (code: number): string => `
${PRINT_MESSAGE}
done:   li a0, ${code}
        li a7, ${Nr.EXIT}
        ecall
stuck:  j stuck
message: .asciz "child: exit${code} start\\n"
`;

/** `demo.hello`: prints its line and yields for ever. */
export function helloElf(): Uint8Array<ArrayBuffer> {
  const { bytes } = assemble(HELLO, HELLO_BASE);
  return writeStaticElf({ vaddr: HELLO_BASE, offset: HELLO_OFFSET, bytes, padTo: 1 });
}

/** `demo.exit0`: prints its line and exits with 0. */
export function exit0Elf(): Uint8Array<ArrayBuffer> {
  return exitElf(0);
}

/** `demo.exit42`: prints its line and exits with 42. */
export function exit42Elf(): Uint8Array<ArrayBuffer> {
  return exitElf(42);
}

function exitElf(code: number): Uint8Array<ArrayBuffer> {
  const { bytes } = assemble(exitSource(code), EXIT_BASE);
  return writeStaticElf({ vaddr: EXIT_BASE, offset: EXIT_OFFSET, bytes, padTo: WORD });
}
