/**
 * The engine's compiled form of the program, kept in a file beside it. Compiling a megabyte of JavaScript, and every function
 * at its first call, is a quarter of a cold run. The engine itself refuses a cache of another version, of other flags or of a
 * program of another length, but believes damaged bytes: so the file begins with a digest of program and cache. Without a
 * cache that fits, the program is compiled as usual.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

/** The function that Node puts around CommonJS modules. */
const WRAPPER = ['(function (exports, require, module, __filename, __dirname) { ', '\n})'] as const;
const DIGEST = 'sha1';
/** The digest and zeros: the engine copies a cache that is not aligned. */
const HEAD_BYTES = 24;

type ModuleFunction = (
  exports: object,
  require: NodeJS.Require,
  module: { exports: object },
  filename: string,
  directory: string,
) => void;

/** Against damage, not against malice: whoever can write the cache can write the program. */
function head(program: Buffer, cache: Buffer): Buffer {
  return Buffer.concat([createHash(DIGEST).update(program).update(cache).digest()], HEAD_BYTES);
}

/** The cache's file. */
export function seal(program: Buffer, cache: Buffer): Buffer {
  return Buffer.concat([head(program, cache), cache]);
}

/** The cache in a file, undefined where it is not that of this program or not whole. */
export function unseal(program: Buffer, file: Buffer): Buffer | undefined {
  const cache = file.subarray(HEAD_BYTES);
  return head(program, cache).equals(file.subarray(0, HEAD_BYTES)) ? cache : undefined;
}

/**
 * Sets the engine up for a run of half a second, the same for the maker of a cache and for its user, for the engine takes a cache
 * only with the flags it was made with. Code is optimised after 600,000 bytes of its bytecode ran instead of 132 KB: on two cores,
 * compiling and the main thread hinder each other more than a short run gains by it (docs/performance.md). Later engines than that
 * of Node 20 count otherwise, and need no such advice.
 */
export function tuneEngine(): void {
  if (process.versions.v8.startsWith('11.3.')) setFlagsFromString('--interrupt-budget=600000');
}

/** Compiles a CommonJS program (ASCII) of that path. */
export function compile(program: Buffer, path: string, cachedData: Buffer | undefined): Script {
  return new Script(WRAPPER[0] + program.toString('latin1') + WRAPPER[1], {
    filename: path,
    columnOffset: -WRAPPER[0].length,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
}

/** Runs it as Node would. */
export function start(script: Script, path: string): void {
  const module = { exports: {} };
  (script.runInThisContext() as ModuleFunction)(module.exports, createRequire(path), module, path, dirname(path));
}
