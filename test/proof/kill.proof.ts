/** Processes killed again and again on one disk: it always boots, and its journal is always readable. */
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';

import { DiskFile } from '../../bin/disk-file.ts';
import { diskKeys } from '../../scenarios/disk.ts';
import { StagedBlockImage } from '../../sim/block-image.ts';
import { nexusSim, startSim, temporaryFolder } from '../cli.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
const KILLS = 40;
/** UART bytes of two boots. */
const LENGTH = 66_000;

it(`${KILLS} kills, spread over two boots`, async () => {
  const disk = join(folder.path, 'blk.img');
  for (let i = 0; i < KILLS; i++) {
    const running = startSim(['run', 'reboot', '--disk', disk]);
    await running.bytes(Math.floor((LENGTH * i) / KILLS));
    running.child.kill('SIGKILL');
    await running.ended;
    const file = DiskFile.open(disk);
    expect(diskKeys(new StagedBlockImage(file))).not.toBeNull();
    file.close();
  }
  expect(nexusSim(['run', '--disk', disk]).code).toBe(0);
});
