/**
 * A step of the build: runs the program once, without a sound, and keeps what the engine compiled meanwhile beside it. Takes the
 * program's path and its arguments.
 */
import { readFileSync, writeFileSync } from 'node:fs';

import { compile, seal, start, tuneEngine } from './code-cache.ts';

tuneEngine();
const [path = '', ...words] = process.argv.slice(2);
const program = readFileSync(path);
const script = compile(program, path, undefined);
process.argv = [process.execPath, path, ...words];
process.stdout.write = () => true;
process.stderr.write = () => true;
process.on('exit', () => {
  writeFileSync(`${path}.cache`, seal(program, script.createCachedData()));
  process.exitCode = 0;
});
start(script, path);
