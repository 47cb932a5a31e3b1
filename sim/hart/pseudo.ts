/** Pseudo-instructions of the assembler: text to text. */

/** Templates by name and number of operands; `$n` is an operand. `.` is the address of the instruction itself. */
const TEMPLATES: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['nop/0', ['addi zero, zero, 0']],
  ['mv/2', ['addi $0, $1, 0']],
  ['not/2', ['xori $0, $1, -1']],
  ['neg/2', ['sub $0, zero, $1']],
  ['negw/2', ['subw $0, zero, $1']],
  ['sext.w/2', ['addiw $0, $1, 0']],
  ['zext.b/2', ['andi $0, $1, 255']],
  ['seqz/2', ['sltiu $0, $1, 1']],
  ['snez/2', ['sltu $0, zero, $1']],
  ['sltz/2', ['slt $0, $1, zero']],
  ['sgtz/2', ['slt $0, zero, $1']],
  ['beqz/2', ['beq $0, zero, $1']],
  ['bnez/2', ['bne $0, zero, $1']],
  ['blez/2', ['bge zero, $0, $1']],
  ['bgez/2', ['bge $0, zero, $1']],
  ['bltz/2', ['blt $0, zero, $1']],
  ['bgtz/2', ['blt zero, $0, $1']],
  ['bgt/3', ['blt $1, $0, $2']],
  ['ble/3', ['bge $1, $0, $2']],
  ['bgtu/3', ['bltu $1, $0, $2']],
  ['bleu/3', ['bgeu $1, $0, $2']],
  ['j/1', ['jal zero, $0']],
  ['jal/1', ['jal ra, $0']],
  ['jr/1', ['jalr zero, 0($0)']],
  ['jalr/1', ['jalr ra, 0($0)']],
  ['ret/0', ['jalr zero, 0(ra)']],
  ['pause/0', ['.word 0x0100000f']],
  ['c.nop/0', ['c.addi zero, 0']],
  ['rdcycle/1', ['csrrs $0, cycle, zero']],
  ['rdtime/1', ['csrrs $0, time, zero']],
  ['rdinstret/1', ['csrrs $0, instret, zero']],
  ['csrr/2', ['csrrs $0, $1, zero']],
  ['csrw/2', ['csrrw zero, $0, $1']],
  // The whole range of +-1 MiB at one instruction: programs here are small.
  ['call/1', ['jal ra, $0']],
  ['tail/1', ['jal zero, $0']],
]);

/** The instructions that a pseudo-instruction stands for, or null where it is none. */
export function expandPseudo(name: string, operands: readonly string[]): readonly string[] | null {
  const template = TEMPLATES.get(`${name}/${operands.length}`);
  if (template === undefined) return null;
  return template.map((text) => text.replace(/\$(\d)/g, (_, index: string) => operands[Number(index)] ?? ''));
}

/** Instructions that load a 64-bit constant. */
export function loadImmediate(rd: string, value: bigint): readonly string[] {
  const signed = BigInt.asIntN(64, value);
  if (signed >= -2048n && signed < 2048n) return [`addi ${rd}, zero, ${signed}`];
  const low = BigInt.asIntN(12, signed);
  if (BigInt.asIntN(32, signed) === signed) {
    const upper = ((signed - low) >> 12n) & 0xf_ffffn;
    return [`lui ${rd}, ${upper}`, ...(low === 0n ? [] : [`addiw ${rd}, ${rd}, ${low}`])];
  }
  let rest = (signed - low) >> 12n;
  let shift = 12;
  while ((rest & 1n) === 0n) {
    rest >>= 1n;
    shift++;
  }
  return [
    ...loadImmediate(rd, rest),
    `slli ${rd}, ${rd}, ${shift}`,
    ...(low === 0n ? [] : [`addi ${rd}, ${rd}, ${low}`]),
  ];
}
