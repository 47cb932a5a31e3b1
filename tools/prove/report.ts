/** What the prover says: a table for people, the same as Markdown for docs/prove.md, and JSON. */
import type { Proof, Variant } from './prove.ts';

/** The proofs of one variant under one quirk setting. */
export interface Section {
  readonly variant: Variant;
  readonly quirks: string;
  /** Boots it took, the undisturbed one among them. */
  readonly boots: number;
  readonly proofs: readonly Proof[];
}

/** `3 killed, 1 survived as expected, 0 unexpected`. */
export function sumOf({ proofs }: Section): string {
  const count = (test: (proof: Proof) => boolean): number => proofs.filter(test).length;
  const killed = count((proof) => proof.status === 'killed');
  const survived = count((proof) => proof.status === 'survived' && proof.expected);
  const unexpected = count((proof) => !proof.expected);
  return `${killed} killed, ${survived} survived as expected, ${unexpected} unexpected`;
}

/** What came of a marker, in words. */
function verdictOf({ status, expected, quirk }: Proof): string {
  if (status === 'survived' && expected && quirk !== null) return `survived (${quirk})`;
  return expected ? status : `${status.toUpperCase()}!`;
}

/** A table for people: verdict, marker, how many other markers went too, what was taken. */
export function table(section: Section): string {
  const rows = section.proofs.map((proof) => [
    verdictOf(proof),
    proof.marker,
    String(proof.alsoLost.length),
    proof.take.join(' '),
  ]);
  const head = ['verdict', 'marker', 'also lost', 'taken away'];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 2 ? cell.padStart(widths[2] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  const body = section.proofs.flatMap((proof, index) => [
    line(rows[index] ?? []),
    ...proof.problems.map((problem) => `    ${problem}`),
  ]);
  const title = `${section.variant}, quirks ${section.quirks}: ${sumOf(section)} (${section.boots} boots)`;
  return [title, line(head), ...body, ''].join('\n');
}

/** The same for docs/prove.md: sums first, then one table per variant with a column per quirk setting. */
export function markdown(sections: readonly Section[]): string {
  const sums = sections.map(
    (section) => `| ${section.variant} | ${section.quirks} | ${section.boots} | ${sumOf(section)} |`,
  );
  const lines = ['| Variant | Quirks | Boots | Result |', '| --- | --- | --- | --- |', ...sums, ''];
  for (const variant of new Set(sections.map((section) => section.variant))) {
    const settings = sections.filter((section) => section.variant === variant);
    const [first] = settings;
    if (first === undefined) continue;
    lines.push(`## ${variant}`, '');
    lines.push(
      `| Marker | ${settings.map(({ quirks }) => quirks).join(' | ')} | Also lost | Taken away | What it proves |`,
    );
    lines.push(`| --- | ${settings.map(() => '---').join(' | ')} | --- | --- | --- |`);
    first.proofs.forEach((proof, index) => {
      const verdicts = settings.map(({ proofs }) => verdictOf(proofs[index] ?? proof));
      const cells = [code(proof.marker), ...verdicts, proof.alsoLost.length, code(proof.take.join(' ')), proof.rule];
      lines.push(`| ${cells.join(' | ')} |`);
    });
    lines.push('');
  }
  return lines.join('\n');
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

/** Stable, machine-readable form. */
export function json(sections: readonly Section[]): string {
  const ok = sections.every((section) => section.proofs.every((proof) => proof.expected));
  return `${JSON.stringify({ ok, sections }, null, 2)}\n`;
}
