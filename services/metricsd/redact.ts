/**
 * Redaction of secrets in span attributes (OBS-18). Attributes are lines `key=value`; the value of a key that names a
 * secret is replaced before anything is exported or retained. A key names a secret when one of its words (separated by
 * `_`, `.` or `-`, in any case) is listed below, or two words in a row are a listed pair.
 */

/** Words that make a key secret. */
export const SECRET_WORDS: readonly string[] = [
  'token',
  'secret',
  'password',
  'passwd',
  'credential',
  'authorization',
  'cookie',
  'session',
  'apikey',
];

/** Pairs of neighbouring words that make a key secret. */
export const SECRET_PAIRS: readonly (readonly [string, string])[] = [
  ['private', 'key'],
  ['api', 'key'],
];

/** What stands in place of a secret value. */
export const REDACTED = '[redacted]';

/** True when `key` names a secret. White space around the key does not hide it. */
export function isSecretKey(key: string): boolean {
  const words = key.trim().toLowerCase().split(/[_.-]/);
  return words.some((word, i) => {
    if (SECRET_WORDS.includes(word)) return true;
    return SECRET_PAIRS.some(([first, second]) => word === first && words[i + 1] === second);
  });
}

/** Replaces the values of secret keys in attribute text (before line ends are escaped). Lines without `=` stay. */
export function redactAttrs(text: string): string {
  if (!text.includes('=')) return text;
  return text.split('\n').map(redactLine).join('\n');
}

/** A CR can pass for a line end where the export is read, so a key behind one counts too; the rest of the line goes. */
function redactLine(line: string): string {
  let from = 0;
  for (const part of line.split('\r')) {
    const equals = part.indexOf('=');
    if (equals >= 0 && isSecretKey(part.slice(0, equals))) return line.slice(0, from + equals + 1) + REDACTED;
    from += part.length + 1;
  }
  return line;
}
