// Proves that the published tarball works: packs it, installs it into an empty folder, asks its command for the version and boots with it.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const npm = (cwd, command, ...args) =>
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32',
  });

function check(folder) {
  const [packed] = JSON.parse(npm(root, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder));
  const names = packed.files.map((file) => file.path);
  const program = ['', '.cache', '.map'].map((suffix) => `dist/nexus-sim.cjs${suffix}`);
  for (const needed of [
    'dist/nexus-sim.js',
    'dist/package.json',
    ...program,
    'package.json',
    'LICENSE',
    'CHANGELOG.md',
  ])
    if (!names.includes(needed)) throw new Error(`the tarball lacks ${needed}`);
  const stray = names.filter((name) => /\.ts$/.test(name) || /^dist\/(bench|tools)/.test(name));
  if (stray.length > 0) throw new Error(`the tarball holds ${stray.join(', ')}`);

  const home = path.join(folder, 'home');
  mkdirSync(home);
  writeFileSync(path.join(home, 'package.json'), '{ "private": true }\n');
  npm(home, 'npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', path.join(folder, packed.filename));
  const printed = npm(home, 'npx', '--no-install', 'nexus-sim', '--version').trim();
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  if (printed !== version && !printed.endsWith(` ${version}`))
    throw new Error(`nexus-sim --version printed '${printed}', expected ${version}`);
  console.log(`${packed.filename}: ${names.length} files, ${packed.size} bytes; nexus-sim --version: ${printed}`);
  const log = npm(home, 'npx', '--no-install', 'nexus-sim', 'run');
  if (!log.endsWith('SELFTEST: end\r\n')) throw new Error('nexus-sim run did not end with SELFTEST: end');
  console.log(`nexus-sim run: exit 0, ${log.split('\n').length - 1} lines`);
}

if (!existsSync(path.join(root, 'bin/nexus-sim.ts'))) {
  console.log('skipped: bin/nexus-sim.ts does not exist');
} else {
  execFileSync(process.execPath, ['build.mjs'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const folder = mkdtempSync(path.join(tmpdir(), 'nexus-sim-pack-'));
  try {
    check(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
