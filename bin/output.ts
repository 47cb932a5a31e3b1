/** What a person sees: colour, files that grow while a run goes on, the progress line. */
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';

import { Chalk } from 'chalk';
import type { ChalkInstance } from 'chalk';

import { UsageError, reasonOf } from './errors.ts';

/** `--color`: never, always, or only on a terminal without NO_COLOR. */
export type ColorMode = 'auto' | 'always' | 'never';

/** Colours for one stream. */
export function colorsFor(stream: NodeJS.WriteStream, mode: ColorMode): ChalkInstance {
  const wanted = mode === 'always' || (mode === 'auto' && stream.isTTY && !process.env['NO_COLOR']);
  return new Chalk({ level: wanted ? 1 : 0 });
}

/**
 * A file that a run writes as it goes. Opening it changes nothing yet, so that several files can be opened before the first
 * is emptied. Failing writes end the command with exit code 2.
 */
export class GrowingFile {
  readonly #path: string;
  readonly #flag: string;
  readonly #fd: number;
  readonly #isNew: boolean;

  /** `flag` is the option's name for errors. */
  constructor(path: string, flag: string) {
    this.#path = path;
    this.#flag = flag;
    try {
      this.#isNew = !existsSync(path);
      this.#fd = openSync(path, 'a');
    } catch (error) {
      throw new UsageError(`${flag} ${path}: expected a writable file (${reasonOf(error)})`);
    }
  }

  /** Empties what was there before; pipes and devices have nothing to empty. */
  begin(): void {
    if (fstatSync(this.#fd).isFile()) ftruncateSync(this.#fd);
  }

  /** Closes, and removes the file if opening it made it. */
  discard(): void {
    this.close();
    if (this.#isNew) rmSync(this.#path, { force: true });
  }

  write(bytes: Uint8Array): void {
    try {
      let done = 0;
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      throw new UsageError(`${this.#flag} ${this.#path}: cannot write (${reasonOf(error)})`);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Bytes collected between two writes to the host. */
export class ByteBuffer {
  #bytes = new Uint8Array(65_536);
  #length = 0;

  push(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** The bytes so far, as a copy, and an empty buffer. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }
}

/** Milliseconds before a progress line appears, and between two of them. */
const PROGRESS_AFTER_MS = 1000;
const PROGRESS_EVERY_MS = 200;

/** Not performance.now(): that loads a dozen modules of Node, a hundredth of a run. */
function uptimeMs(): number {
  return process.uptime() * 1000;
}

/** One line on a terminal's stderr that says where a long run is; nothing anywhere else. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #started = uptimeMs();
  #shown = 0;
  #visible = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  update(text: () => string): void {
    if (!this.#stream.isTTY) return;
    const now = uptimeMs();
    if (now - this.#started < PROGRESS_AFTER_MS || now - this.#shown < PROGRESS_EVERY_MS) return;
    this.#shown = now;
    this.#visible = true;
    this.#stream.write(`\r\x1b[K${text()}`);
  }

  clear(): void {
    if (this.#visible) this.#stream.write('\r\x1b[K');
    this.#visible = false;
  }
}
