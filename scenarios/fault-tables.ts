/** `[[fault]]` tables of a scenario file: the keys of `--fault` as TOML keys, texts or whole numbers. */
import type { Fields } from '../markers/fields.ts';
import { faultOf, MAX_FAULTS } from './faults.ts';
import type { Fault } from './faults.ts';

/** Reads the array of tables `fault`. Fails with file, key and what was expected. */
export function readFaultTables(fields: Fields): readonly Fault[] {
  const tables = fields.subs('fault', undefined);
  if (tables.length > MAX_FAULTS) return fields.fail('fault', `expected at most ${MAX_FAULTS} faults`);
  return tables.map((table, index) => {
    const values = new Map<string, string>();
    for (const key of table.keys()) if (key !== 'kind') values.set(key, table.word(key));
    const fault = faultOf(table.text('kind'), values);
    return fault.ok ? fault.value : fields.fail(`fault[${index}]`, fault.error);
  });
}
