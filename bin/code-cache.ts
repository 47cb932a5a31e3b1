/**
 * The engine's compiled form of the program, kept in a file beside it. Compiling a megabyte of JavaScript, and every function
 * at its first call, is a quarter of a cold run. The engine itself refuses a cache of another version, of other flags or of a
 * program of another length, but believes damaged bytes: so the file begins with a digest of program and cache. Without a
 * cache that fits, the program is compiled as usual.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
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
