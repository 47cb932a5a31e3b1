/** scenario.schema.json against the parser: they refuse the same documents, and neither ever throws. */
import { readFileSync, readdirSync } from 'node:fs';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { describe, expect, it } from 'vitest';

import { parseDuration } from '../scenarios/duration.ts';
import { IMAGES, SLOT_ORDER } from '../scenarios/images.ts';
import { DEFAULT_MAX_VIRTUAL_NS, parseScenario } from '../scenarios/scenario.ts';
import { violations } from './json-schema.ts';

const FOLDER = new URL('../scenarios/', import.meta.url);
const SCHEMA = JSON.parse(readFileSync(new URL('scenario.schema.json', FOLDER), 'utf8')) as Readonly<
  Record<string, unknown>
>;
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.toml'));

describe('any document', () => {
  const word = fc.constantFrom(
    ...['image', 'seed', 'quirks', 'machine', 'harts', 'icount', 'skip-polls', 'stop', 'until-marker', 'phase'],
    ...['max-virtual-time', 'faults', 'without', 'deny', 'allow', 'silent', 'dead', 'block-writes-fail-from'],
    ...[
      'logd-drops-appends',
      'expect',
      'missing',
      'present',
      'absent',
      'disk-keys',
      'boot',
      'description',
      '__proto__',
      'constructor',
    ],
  );
  const scalar = fc.oneof(
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.boolean(),
    fc.string({ maxLength: 8 }),
    fc.constantFrom('observability', 'logd', 'metricsd:statefs.write', '30s', 'reference', '1', '0'),
  );
  const { table } = fc.letrec<{ value: unknown; table: Record<string, unknown> }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      scalar,
      fc.array(scalar, { maxLength: 3 }),
      tie('table'),
      fc.array(tie('table'), { maxLength: 2 }),
    ),
    table: fc.dictionary(word, tie('value'), { maxKeys: 6 }),
  }));

  it('is a scenario or gives one line', () => {
    let accepted = 0;
    fc.assert(
      fc.property(table, fc.boolean(), (document, named) => {
        let text: string;
        try {
          text = stringify(named ? { ...document, image: 'observability' } : document);
        } catch {
          return;
        }
        const parsed = parseScenario(text, 'x.toml', 'x');
        if (parsed.ok) accepted += 1;
        else expect(parsed.error).toMatch(/^x\.toml(:\d+)?: [^\n]+$/);
      }),
      { seed: 20240, numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(10);
  });

  it('takes no TOML date for anything', () => {
    for (const key of ['seed', 'image', 'machine', 'boot', 'quirks']) {
      const error = parseScenario(`${key} = 2024-02-29`, 'x.toml', 'x');
      expect(error).toMatchObject({ ok: false });
    }
  });

  it('any text is one or the other, too', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseScenario(text, 'x.toml', 'x');
        if (!parsed.ok) expect(parsed.error).toMatch(/^x\.toml(:\d+)?: [^\n]+$/);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('the schema refuses what the parser refuses (quirk names and ranges of durations belong to the parser)', () => {
    let refused = 0;
    fc.assert(
      fc.property(table, (document) => {
        const whole = { ...document, image: 'observability' };
        delete (whole as Record<string, unknown>)['quirks'];
        let text: string;
        try {
          text = stringify(whole);
        } catch {
          return;
        }
        const fits = violations(SCHEMA, parse(text)).length === 0;
        const parsed = parseScenario(text, 'x.toml', 'x');
        if (!parsed.ok) refused += 1;
        if (fits !== parsed.ok) expect({ text, fits }).toEqual({ text, fits: parsed.ok });
      }),
      { seed: 20240, numRuns: 1500 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});

describe('scenario.schema.json', () => {
  it.each(FILES)('%s fits', (file) => {
    const text = readFileSync(new URL(file, FOLDER), 'utf8');
    expect(violations(SCHEMA, parse(text))).toEqual([]);
    expect(parseScenario(text, file, file)).toMatchObject({ ok: true });
  });

  it('describes every key', () => {
    const bare: string[] = [];
    const walk = (schema: Readonly<Record<string, unknown>>, path: string): void => {
      const inner = (schema['properties'] ?? {}) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
      for (const [key, one] of Object.entries(inner)) {
        if (typeof one['description'] !== 'string' && typeof one['$ref'] !== 'string') bare.push(`${path}.${key}`);
        walk(one, `${path}.${key}`);
      }
    };
    walk(SCHEMA, '$');
    for (const [name, one] of Object.entries(
      SCHEMA['$defs'] as Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    )) {
      expect(typeof one['description'], name).toBe('string');
      walk(one, name);
    }
    expect(bare).toEqual([]);
  });

  it('knows the images and services of the project', () => {
    const properties = SCHEMA['properties'] as Readonly<Record<string, { readonly enum?: readonly string[] }>>;
    expect(properties['image']!.enum).toEqual([...IMAGES.keys()]);
    const defs = SCHEMA['$defs'] as Readonly<Record<string, { readonly enum?: readonly string[] }>>;
    // The parser asks for a service of the scenario's own image; the schema takes those of any.
    expect(defs['service']!.enum).toEqual(SLOT_ORDER);
    for (const { services } of IMAGES.values()) for (const service of services) expect(SLOT_ORDER).toContain(service);
    expect(parseDuration('30s')).toBe(DEFAULT_MAX_VIRTUAL_NS);
  });
});
