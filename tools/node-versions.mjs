// Same seed, same bytes on any Node: runs dist/nexus-sim.js under other Node versions and compares what it prints with the current one.
// The versions come from npm as plain packages that hold the binary (about 190 MB each, no install script), into a temporary folder.
// `npm run test:node-versions`, or `node tools/node-versions.mjs 22 24 -- run --seed 7` for other versions and another command line.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const VERSIONS = ['22', '24'];
const COMMANDS = [['--version'], ['--help'], ['run', '--seed', '7']];
const RUN_LIMIT_MS = 120_000;

const root = path.resolve(import.meta.dirname, '..');
const bundle = path.join(root, 'dist/nexus-sim.js');
const args = process.argv.slice(2);
const dashes = args.indexOf('--');
const asked = dashes < 0 ? args : args.slice(0, dashes);
const versions = asked.length > 0 ? asked : VERSIONS;
const commands = dashes < 0 ? COMMANDS : [args.slice(dashes + 1)];

/** Path of the binary of a Node version, or null when the registry or this platform has none. */
function install(version, folder) {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const result = spawnSync(
    'npm',
    ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', `${name}@${version}`],
    { stdio: 'ignore', shell: process.platform === 'win32' },
  );
  const binary = path.join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  return result.status === 0 && existsSync(binary) ? binary : null;
}

/** What a run gives away: exit code and both streams, as bytes. */
function run(binary, command) {
  const result = spawnSync(binary, [bundle, ...command], {
    cwd: root,
    timeout: RUN_LIMIT_MS,
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, NO_COLOR: '1' },
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** Says where two runs part, or null when they are the same bytes. */
function difference(expected, actual) {
  if (expected.status !== actual.status) return `exit code ${actual.status}, expected ${expected.status}`;
  for (const stream of ['stdout', 'stderr']) {
    const [a, b] = [expected[stream], actual[stream]];
    if (a.equals(b)) continue;
    const at = a.findIndex((byte, i) => byte !== b[i]);
    return `${stream} differs at byte ${at < 0 ? a.length : at} (${b.length} bytes, expected ${a.length})`;
  }
  return null;
}

function main() {
  if (!existsSync(bundle)) {
    console.log('skipped: dist/nexus-sim.js does not exist (npm run build)');
    return 0;
  }
  const expected = commands.map((command) => run(process.execPath, command));
  const broken = commands.filter((_, i) => expected[i].status !== 0);
  for (const command of broken)
    console.log(`FAIL ${process.version}: nexus-sim ${command.join(' ')} does not exit with 0`);
  let failures = broken.length;
  for (const version of versions) {
    const folder = mkdtempSync(path.join(tmpdir(), 'nexus-sim-node-'));
    try {
      const binary = install(version, folder);
      if (binary === null) {
        console.log(`skipped: no binary of Node ${version} for ${process.platform}-${process.arch} to be had`);
        continue;
      }
      const name = spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout.trim();
      commands.forEach((command, i) => {
        const parted = difference(expected[i], run(binary, command));
        if (parted !== null) failures += 1;
        const verdict = parted === null ? `ok, ${expected[i].stdout.length} bytes as on ${process.version}` : parted;
        console.log(`${parted === null ? '  ok' : 'FAIL'} ${name}: nexus-sim ${command.join(' ')}: ${verdict}`);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return failures > 0 ? 1 : 0;
}

process.exitCode = main();
