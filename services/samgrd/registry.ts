/**
 * samgrd's table (sheet 60, section 7.3): (registering service, name) to two slot numbers. One sender never sees another's
 * entries; nothing is removed, nothing is kept over a restart.
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import { SamgrStatus, encodeTableReply, tableOpByte } from './wire.ts';
import type { EntryName, EntrySlots, TableRequest } from './wire.ts';

/** Names that RESOLVE_STATUS knows, whatever is registered. */
const RESOLVABLE: readonly string[] = [
  'keystored',
  'policyd',
  'samgrd',
  'bundlemgrd',
  'packagefsd',
  'vfsd',
  'execd',
  'netstackd',
  'dsoftbusd',
];

export class ServiceRegistry {
  readonly #entries = new Map<ServiceId, Map<EntryName, EntrySlots>>();

  /** Inserts or overwrites. The numbers are not validated. */
  register(owner: ServiceId, name: EntryName, slots: EntrySlots): void {
    const own = this.#entries.get(owner) ?? new Map<EntryName, EntrySlots>();
    this.#entries.set(owner, own.set(name, slots));
  }

  lookup(owner: ServiceId, name: EntryName): EntrySlots | null {
    return this.#entries.get(owner)?.get(name) ?? null;
  }
}

/** True for the names RESOLVE_STATUS answers OK. */
export function isResolvable(name: EntryName): boolean {
  return RESOLVABLE.includes(name);
}

/** Serves one table request of the attested `sender`; returns the answer. */
export function serveTable(registry: ServiceRegistry, request: TableRequest, sender: ServiceId): Uint8Array {
  const op = tableOpByte(request);
  switch (request.op) {
    case 'register':
      registry.register(sender, request.name, request.slots);
      return encodeTableReply(op, SamgrStatus.OK);
    case 'lookup': {
      const slots = registry.lookup(sender, request.name);
      return encodeTableReply(op, slots === null ? SamgrStatus.NOT_FOUND : SamgrStatus.OK, slots);
    }
    case 'resolve_status':
      return encodeTableReply(op, isResolvable(request.name) ? SamgrStatus.OK : SamgrStatus.NOT_FOUND);
    default:
      return unreachable(request);
  }
}
