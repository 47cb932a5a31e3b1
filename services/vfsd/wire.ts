/**
 * vfsd's frames (sheet 55, section 12): no magic, no version, no nonce. Every byte string decodes; what is too short or
 * unknown is never answered.
 */
import { unreachable } from '../../sim/assert.ts';
import { utf8Text } from '../lib/utf8.ts';

/** Operation bytes. */
export const VfsOp = { OPEN: 1, READ: 2, CLOSE: 3, STAT: 4 } as const;
/** First byte of replies. */
export const REPLY_FAILED = 0;
export const REPLY_OK = 1;
/** The only scheme of paths. */
export const SCHEME = 'pkg:/';
const READ_LENGTH = 17;
const CLOSE_LENGTH = 5;
const STAT_REPLY = 11;

/** A file handle, u32; 0 is never given out. */
export type FileHandle = number & { readonly __brand: 'FileHandle' };

/** A decoded request. `path` is relative to `pkg:/`, null when it is no UTF-8 or of another scheme. */
export type VfsRequest =
  | { readonly op: 'open' | 'stat'; readonly path: string | null }
  | { readonly op: 'read'; readonly handle: FileHandle; readonly offset: bigint; readonly length: number }
  | { readonly op: 'close'; readonly handle: FileHandle };

/** Why a frame gets no answer at all. */
export type Ignored = { readonly op: 'ignored'; readonly reason: 'empty' | 'short' | 'unknown' };

/** Decodes any bytes; bytes behind a READ or CLOSE are ignored. */
export function decodeRequest(frame: Uint8Array): VfsRequest | Ignored {
  if (frame.length === 0) return { op: 'ignored', reason: 'empty' };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  switch (frame[0]) {
    case VfsOp.OPEN:
      return { op: 'open', path: relativePath(frame) };
    case VfsOp.STAT:
      return { op: 'stat', path: relativePath(frame) };
    case VfsOp.READ:
      if (frame.length < READ_LENGTH) return { op: 'ignored', reason: 'short' };
      return {
        op: 'read',
        handle: view.getUint32(1, true) as FileHandle,
        offset: view.getBigUint64(5, true),
        length: view.getUint32(13, true),
      };
    case VfsOp.CLOSE:
      if (frame.length < CLOSE_LENGTH) return { op: 'ignored', reason: 'short' };
      return { op: 'close', handle: view.getUint32(1, true) as FileHandle };
    default:
      return { op: 'ignored', reason: 'unknown' };
  }
}

function relativePath(frame: Uint8Array): string | null {
  const path = utf8Text(frame.subarray(1));
  return path?.startsWith(SCHEME) === true ? path.slice(SCHEME.length) : null;
}

/** Encodes a request (clients and tests); a null path becomes an empty one. */
export function encodeRequest(request: VfsRequest): Uint8Array {
  switch (request.op) {
    case 'open':
    case 'stat': {
      const path = new TextEncoder().encode(request.path === null ? '' : SCHEME + request.path);
      const frame = new Uint8Array(1 + path.length);
      frame[0] = request.op === 'open' ? VfsOp.OPEN : VfsOp.STAT;
      frame.set(path, 1);
      return frame;
    }
    case 'read': {
      const frame = new Uint8Array(READ_LENGTH);
      const view = new DataView(frame.buffer);
      frame[0] = VfsOp.READ;
      view.setUint32(1, request.handle, true);
      view.setBigUint64(5, request.offset, true);
      view.setUint32(13, request.length, true);
      return frame;
    }
    case 'close': {
      const frame = new Uint8Array(CLOSE_LENGTH);
      frame[0] = VfsOp.CLOSE;
      new DataView(frame.buffer).setUint32(1, request.handle, true);
      return frame;
    }
    default:
      return unreachable(request);
  }
}

/** The failure of every operation. */
export function encodeFailure(): Uint8Array {
  return Uint8Array.of(REPLY_FAILED);
}

/** Success of CLOSE, or of READ with its bytes. */
export function encodeData(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + bytes.length);
  frame[0] = REPLY_OK;
  frame.set(bytes, 1);
  return frame;
}

/** Success of OPEN. */
export function encodeOpened(handle: FileHandle): Uint8Array {
  const frame = new Uint8Array(5);
  frame[0] = REPLY_OK;
  new DataView(frame.buffer).setUint32(1, handle, true);
  return frame;
}

/** Success of STAT. `size` is a u64, `kind` a u16. */
export function encodeStat(size: bigint, kind: number): Uint8Array {
  const frame = new Uint8Array(STAT_REPLY);
  const view = new DataView(frame.buffer);
  frame[0] = REPLY_OK;
  view.setBigUint64(1, size, true);
  view.setUint16(9, kind, true);
  return frame;
}
