/** For this folder's tests: bytes by hex and text, arbitrary frames, and an answer read field by field. */
import fc from 'fast-check';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { encodeRequest, fields, logNonce, logTime, message, scope } from './wire.ts';
import type { AppendRequest, LogRequest, LogVersion, WireLogLevel } from './wire.ts';

export const SEED = 20240;

/** Bytes of a hex string; `00*7` repeats a byte, spaces are ignored. */
export function hex(text: string): Uint8Array {
  const spread = text.replace(/([0-9a-f]{2})\*(\d+)/g, (_, byte: string, n: string) => byte.repeat(Number(n)));
  return Uint8Array.from(Buffer.from(spread.replaceAll(' ', ''), 'hex'));
}

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Text of bytes. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function sid(value: number | bigint): ServiceId {
  return BigInt(value) as ServiceId;
}

/** Parts of an APPEND as a test names them. */
export interface AppendParts {
  readonly version?: LogVersion;
  readonly nonce?: bigint;
  readonly level?: WireLogLevel;
  readonly scope?: string | Uint8Array;
  readonly message?: string | Uint8Array;
  readonly fields?: string | Uint8Array;
}

function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === 'string' ? utf8(part) : part;
}

/** A legal APPEND request. */
export function appendRequest(parts: AppendParts): AppendRequest {
  const { version = 1, nonce = 0n, level = 2 } = parts;
  return {
    op: 1,
    version,
    nonce: logNonce(version === 1 ? 0n : nonce),
    level,
    scope: scope(bytesOf(parts.scope ?? ''))!,
    message: message(bytesOf(parts.message ?? ''))!,
    fields: fields(bytesOf(parts.fields ?? ''))!,
  };
}

/** The frame of a legal APPEND. */
export function append(parts: AppendParts): Uint8Array {
  return encodeRequest(appendRequest(parts));
}

export function query(since: bigint, maxCount: number, version: LogVersion = 1, nonce = 0n): Uint8Array {
  return encodeRequest({ op: 2, version, nonce: logNonce(nonce), since: logTime(since), maxCount });
}

export function stats(version: LogVersion = 1, nonce = 0n): Uint8Array {
  return encodeRequest({ op: 3, version, nonce: logNonce(nonce) });
}

/** Little-endian integers of a frame. */
export function u64(frame: Uint8Array, at: number): bigint {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getBigUint64(at, true);
}
export function u32(frame: Uint8Array, at: number): number {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(at, true);
}
export function u16(frame: Uint8Array, at: number): number {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint16(at, true);
}

const anyU64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn);
const anyVersion = fc.constantFrom<LogVersion>(1, 2);

/** Any legal request. */
export const anyRequest: fc.Arbitrary<LogRequest> = fc.oneof(
  fc
    .record({
      version: anyVersion,
      nonce: anyU64,
      level: fc.constantFrom<WireLogLevel>(0, 1, 2, 3, 4),
      scope: fc.uint8Array({ maxLength: 64 }),
      message: fc.uint8Array({ maxLength: 256 }),
      fields: fc.uint8Array({ maxLength: 512 }),
    })
    .map(appendRequest),
  fc
    .record({ version: anyVersion, nonce: anyU64, since: anyU64, maxCount: fc.nat(0xffff) })
    .map(({ version, nonce, since, maxCount }): LogRequest => {
      return { op: 2, version, nonce: logNonce(version === 1 ? 0n : nonce), since: logTime(since), maxCount };
    }),
  fc.record({ version: anyVersion, nonce: anyU64 }).map(({ version, nonce }): LogRequest => {
    return { op: 3, version, nonce: logNonce(version === 1 ? 0n : nonce) };
  }),
);

/** A legal frame with some bytes changed and its end cut or grown. */
export const mutatedFrame: fc.Arbitrary<Uint8Array> = fc
  .record({
    request: anyRequest,
    edits: fc.array(fc.record({ at: fc.nat(40), to: fc.nat(255) }), { maxLength: 3 }),
    length: fc.option(fc.nat(900), { nil: undefined, freq: 3 }),
  })
  .map(({ request, edits, length }) => {
    const legal = encodeRequest(request);
    const frame = new Uint8Array(length ?? legal.length);
    frame.set(legal.subarray(0, frame.length));
    for (const { at, to } of edits) if (at < frame.length) frame[at] = to;
    return frame;
  });

/** Arbitrary bytes up to the kernel's largest frame, often with a good header. */
export const anyFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 8192 }),
  fc
    .tuple(fc.nat(3), fc.nat(4), fc.uint8Array({ maxLength: 600 }))
    .map(([version, op, rest]) => Uint8Array.of(0x4c, 0x4f, version, op, ...rest)),
  mutatedFrame,
);
