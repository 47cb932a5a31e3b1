/** Contract rules that are structure rather than behaviour: what must not exist, and what must be the only one. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Nr, SYSCALL_COUNT } from '../kernel-model/abi.ts';
import { addTask, bareKernel, runUntil } from '../kernel-model/testing.ts';
import { SYSCALL_NAMES, SYSCALL_TABLE } from '../kernel-model/syscalls/table.ts';
import { decodeRequest as decodeLog } from '../services/logd/wire.ts';
import { decodeRequest as decodeMetrics } from '../services/metricsd/wire.ts';
import { buildBoard, VIRT_BOARD } from '../sim/board.ts';
import { SparseBlockImage } from '../sim/block-image.ts';
import { VirtioBlk } from '../sim/virtio/blk.ts';
import { MAGIC_VALUE, VERSION, VirtioMmio } from '../sim/virtio/mmio-transport.ts';
import { VirtioNet } from '../sim/virtio/net.ts';
import { VirtioRng } from '../sim/virtio/rng.ts';

describe('kernel ABI', () => {
  it('OBS-24: exactly the 32 syscalls of the sheet, numbered without a hole, and nothing behind them', () => {
    const numbers = Object.values(Nr).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 32 }, (_, nr) => nr));
    expect(SYSCALL_COUNT).toBe(32);
    expect(SYSCALL_TABLE.slice(0, SYSCALL_COUNT)).toHaveLength(32);
    expect(new Set(SYSCALL_NAMES.slice(0, SYSCALL_COUNT)).size).toBe(32);
    const results: number[] = [];
    const { kernel } = bareKernel();
    addTask(kernel, function* (sys) {
      for (const nr of [32, 33, 63, 100, 1000]) {
        const request = sys.getpid();
        request.nr = nr;
        results.push(yield request);
      }
      return 0;
    });
    runUntil(kernel);
    expect(results).toEqual([-38, -38, -38, -38, -38]);
  });
});

describe('scope', () => {
  it('OBS-28: no op for remote scrape or for context from other nodes: six ops of metricsd, three of logd, no more', () => {
    for (let op = 0; op < 256; op++) {
      const metrics = decodeMetrics(Uint8Array.of(0x4d, 0x54, 1, op, 1, 0, 0, 0));
      const unsupported = !metrics.ok && metrics.reject === 'unsupported';
      expect(unsupported).toBe(op < 1 || op > 6);
      const log = decodeLog(Uint8Array.of(0x4c, 0x4f, 2, op, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
      expect(!log.ok && log.reject === 'unsupported').toBe(op < 1 || op > 3);
    }
  });
});

describe('board', () => {
  it('COR-8: every virtio transport is modern: magic, version 2, and no way to make it version 1', () => {
    const backends = {
      net: () => new VirtioNet(),
      rng: () => new VirtioRng({ fill: (target) => void target.fill(1) }),
      blk: () => new VirtioBlk(new SparseBlockImage()),
    };
    const board = buildBoard(VIRT_BOARD, {
      virtio: VIRT_BOARD.virtio.slots.flatMap((kind, slot) =>
        kind === 'empty' ? [] : [{ slot, create: (context) => new VirtioMmio(backends[kind](), context) }],
      ),
    });
    for (const slot of VIRT_BOARD.virtio.slots.keys()) {
      const base = VIRT_BOARD.virtio.base + slot * VIRT_BOARD.virtio.stride;
      expect(board.bus.read(base + MAGIC_VALUE, 4)).toBe(0x7472_6976);
      for (const value of [0, 1, 0xffff_ffff]) {
        board.bus.write(base + VERSION, 4, value);
        expect(board.bus.read(base + VERSION, 4)).toBe(2);
      }
    }
  });
});

describe('proofs', () => {
  it('every contract rule has a test, and every quirk one that shows each of its settings', () => {
    const tool = path.join(import.meta.dirname, '../tools/rules.mjs');
    const { status, stdout } = spawnSync(process.execPath, [tool], { encoding: 'utf8' });
    expect(stdout.split('\n').filter((line) => /\bGAP\b|\bwaits\b/.test(line))).toEqual([]);
    expect(status).toBe(0);
  });
});
