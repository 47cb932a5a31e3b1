/** Whole messages over a stream between two machines (sheet 70, section 12.5): bounded retries, no clock. */
import type { Call } from '../lib/ipc.ts';
import type { Handle } from '../netstackd/wire.ts';
import type { Facade, Reply } from './facade.ts';
import { wouldBlock } from './facade.ts';
import type { SoftbusProcess } from './process.ts';

/** Bytes of one WRITE and of one READ at most. */
export const WRITE_CHUNK = 480;
export const READ_CHUNK = 460;
/** Fruitless calls in a row that end a transfer. */
export const SPINS_MAX = 1024;
/** The stream is asked whether it takes data before every so many fruitless writes. */
const WRITABLE_EVERY = 256;

/** Writes all of `data`. False: refused, or nothing was taken for too long. */
export function* writeAll(process: SoftbusProcess, net: Facade, stream: Handle, data: Uint8Array): Call<boolean> {
  for (let at = 0, spins = 0; at < data.length;) {
    if (spins >= SPINS_MAX) {
      yield* process.debug('stream write timeout');
      return false;
    }
    const wrote = yield* writeOnce(net, stream, data.subarray(at, at + WRITE_CHUNK), spins % WRITABLE_EVERY === 0);
    if (wrote?.ok === true) {
      if (wrote.value === 0) return false;
      at += wrote.value;
      spins = 0;
      continue;
    }
    if (!wouldBlock(wrote)) return false;
    spins += 1;
    yield process.sys.yieldCpu();
  }
  return true;
}

/** One WRITE; with `ask` only if the stream says that it takes data. */
function* writeOnce(net: Facade, stream: Handle, chunk: Uint8Array, ask: boolean): Call<Reply<number>> {
  if (ask) {
    const writable = yield* net.waitWritable(stream);
    if (writable?.ok !== true) return writable;
  }
  return yield* net.write(stream, chunk);
}

/** Reads exactly `n` bytes. Null: refused, or nothing came for too long; what was read by then is lost. */
export function* readExact(process: SoftbusProcess, net: Facade, stream: Handle, n: number): Call<Uint8Array | null> {
  const out = new Uint8Array(n);
  for (let at = 0, spins = 0; at < n;) {
    if (spins >= SPINS_MAX) {
      yield* process.debug('stream read timeout');
      return null;
    }
    const got = yield* net.read(stream, Math.min(n - at, READ_CHUNK));
    if (got?.ok === true) {
      const bytes = got.value.subarray(0, n - at);
      if (bytes.length === 0) return null;
      out.set(bytes, at);
      at += bytes.length;
      spins = 0;
      continue;
    }
    if (!wouldBlock(got)) return null;
    spins += 1;
    yield process.sys.yieldCpu();
  }
  return out;
}
