/** The files of a run: UART logs, trace, packet capture, report and disks. */
import { statSync } from 'node:fs';
import { parse, resolve } from 'node:path';

import { SparseBlockImage, StagedBlockImage } from '../sim/block-image.ts';
import type { BlockImage } from '../sim/block-image.ts';
import { DiskFile } from './disk-file.ts';
import { UsageError } from './errors.ts';
import { GrowingFile } from './output.ts';
import type { RunOptions } from './run-command.ts';

/** The machine of a run that has only one. */
const ALONE = '';

type FileOptions = Pick<RunOptions, 'disk' | 'uartLog' | 'trace' | 'pcap' | 'report'>;

/** A node's own file: its name before the ending, `uart.log` becomes `uart-A.log`. */
export function nodePath(path: string, node: string): string {
  if (node === ALONE) return path;
  const { ext } = parse(path);
  return `${path.slice(0, path.length - ext.length)}-${node}${ext}`;
}

/** Files opened once everything else was checked: all of them, or none is made or changed. */
export class RunFiles {
  readonly #disks = new Map<string, BlockImage>();
  readonly #diskFiles: DiskFile[] = [];
  readonly #uartLogs = new Map<string, GrowingFile>();
  readonly #pcaps = new Map<string, GrowingFile>();
  readonly #trace: GrowingFile | null;
  readonly #report: GrowingFile | null;

  /** Disk, UART log and capture are one per node; without nodes there is one machine. */
  constructor(options: FileOptions, nodes: readonly string[] = [ALONE]) {
    checkDistinct(options, nodes);
    const opened: GrowingFile[] = [];
    const open = (path: string | undefined, flag: string): GrowingFile | null => {
      if (path === undefined) return null;
      const file = new GrowingFile(path, flag);
      opened.push(file);
      return file;
    };
    const openEach = (path: string | undefined, flag: string, files: Map<string, GrowingFile>): void => {
      for (const node of nodes) {
        const file = open(path === undefined ? undefined : nodePath(path, node), flag);
        if (file !== null) files.set(node, file);
      }
    };
    try {
      openEach(options.uartLog, '--uart-log', this.#uartLogs);
      this.#trace = open(options.trace, '--trace');
      openEach(options.pcap, '--pcap', this.#pcaps);
      this.#report = open(options.report, '--report');
      for (const node of nodes) this.#disks.set(node, this.#openDisk(options.disk, node));
    } catch (error) {
      for (const file of opened) file.discard();
      for (const file of this.#diskFiles) file.close();
      throw error;
    }
    for (const file of opened) file.begin();
  }

  /** Looks at the disk files without opening them for writing: a bad one is found before anything else happens. */
  static checkDisks({ disk }: FileOptions, nodes: readonly string[] = [ALONE]): void {
    if (disk !== undefined) for (const node of nodes) DiskFile.check(nodePath(disk, node));
  }

  /** A node's disk. */
  disk(node: string = ALONE): BlockImage {
    return this.#disks.get(node) ?? new SparseBlockImage();
  }

  /** Why a file of the host failed under a disk, null if none did. */
  get hostError(): string | null {
    for (const disk of this.#disks.values()) if (disk.hostError !== null) return disk.hostError;
    return null;
  }

  uart(bytes: Uint8Array, node: string = ALONE): void {
    if (bytes.length > 0) this.#uartLogs.get(node)?.write(bytes);
  }

  trace(lines: readonly string[]): void {
    if (lines.length > 0) this.#trace?.write(Buffer.from(`${lines.join('\n')}\n`));
  }

  pcap(bytes: Uint8Array, node: string = ALONE): void {
    this.#pcaps.get(node)?.write(bytes);
  }

  report(outcome: object): void {
    this.#report?.write(Buffer.from(`${JSON.stringify(outcome, null, 2)}\n`));
  }

  /**
   * The run is over in good order: like any host that ends so, it writes back what the guest had written and not flushed.
   * (A power cut of the run has taken its writes back already; a killed process never gets here.)
   */
  settle(): void {
    for (const disk of this.#disks.values()) disk.flush();
  }

  close(): void {
    for (const file of [...this.#uartLogs.values(), ...this.#pcaps.values()]) file.close();
    this.#trace?.close();
    this.#report?.close();
    for (const file of this.#diskFiles) file.close();
  }

  #openDisk(path: string | undefined, node: string): BlockImage {
    if (path === undefined) return new SparseBlockImage();
    const file = DiskFile.open(nodePath(path, node));
    this.#diskFiles.push(file);
    return new StagedBlockImage(file);
  }
}

/** Two options that name one file would write over each other. Devices and pipes may be named twice. */
function checkDistinct(options: FileOptions, nodes: readonly string[]): void {
  const each = (path: string | undefined): readonly string[] =>
    path === undefined ? [] : nodes.map((node) => nodePath(path, node));
  const once = (path: string | undefined): readonly string[] => (path === undefined ? [] : [path]);
  const named = [
    ['--disk', each(options.disk)],
    ['--uart-log', each(options.uartLog)],
    ['--trace', once(options.trace)],
    ['--pcap', each(options.pcap)],
    ['--report', once(options.report)],
  ] as const;
  const seen = new Map<string, string>();
  for (const [flag, paths] of named) {
    for (const path of paths) {
      const key = fileKey(path);
      if (key === null) continue;
      const other = seen.get(key);
      if (other !== undefined) throw new UsageError(`${flag} ${path}: expected another file than that of ${other}`);
      seen.set(key, flag);
    }
  }
}

/** What two paths of one file have in common; null for what is no regular file. */
function fileKey(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return resolve(path);
  return stat.isFile() ? `${stat.dev}:${stat.ino}` : null;
}

/** A disk that is named before it is opened: a run is checked first, files are touched afterwards. */
export class DeferredDisk implements BlockImage {
  #image: BlockImage = new SparseBlockImage();

  open(image: BlockImage): void {
    this.#image = image;
  }
  get sectors(): number {
    return this.#image.sectors;
  }
  get hostError(): string | null {
    return this.#image.hostError;
  }
  read(sector: number, target: Uint8Array): boolean {
    return this.#image.read(sector, target);
  }
  write(sector: number, source: Uint8Array): boolean {
    return this.#image.write(sector, source);
  }
  flush(): boolean {
    return this.#image.flush();
  }
}
