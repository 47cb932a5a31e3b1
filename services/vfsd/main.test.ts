import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { encodeReply } from '../packagefsd/wire.ts';
import type { PackageEntry } from '../packagefsd/wire.ts';
import { VFSD_CONTRACT, VFSD_REFERENCE, vfsdProgram } from './main.ts';
import { encodeRequest } from './wire.ts';
import type { FileHandle, VfsRequest } from './wire.ts';

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const handle = (n: number): FileHandle => n as FileHandle;
const file = (bytes: Uint8Array): PackageEntry => ({ kind: 0, bytes });

/** `entry` null: not found; undefined: packagefsd has no route. */
function bench(entry: PackageEntry | null | undefined): Driver {
  const driver = new Driver([0, 1, 2, 3, 4, 5, 6]);
  driver.onSend = ({ slot, frame }) => {
    if (slot === 1 && Buffer.from(frame.subarray(5)).toString() === 'packagefsd' && entry !== undefined)
      driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 5, 0, 0, 0, 6, 0, 0, 0));
    if (slot === 5) driver.push(6, encodeReply(entry ?? null));
  };
  return driver;
}

function replies(
  driver: Driver,
  requests: readonly (VfsRequest | Uint8Array)[],
  options = VFSD_CONTRACT,
): readonly string[] {
  requests.forEach((request, i) => {
    driver.push(3, request instanceof Uint8Array ? request : encodeRequest(request), { after: i });
  });
  driver.run(vfsdProgram(options));
  return driver.sent.filter((sent) => sent.slot === 4).map((sent) => hex(sent.frame));
}

const read = (fh: number, offset: bigint, length: number): VfsRequest => ({
  op: 'read',
  handle: handle(fh),
  offset,
  length,
});

describe('operations (section 12)', () => {
  it('open, read, close, stat', () => {
    const driver = bench(file(Uint8Array.of(1, 2, 3)));
    expect(
      replies(driver, [
        { op: 'stat', path: 'a/b' },
        { op: 'open', path: 'a/b' },
        { op: 'open', path: 'a/b' },
        read(1, 1n, 64),
        read(2, 9n, 64),
        { op: 'close', handle: handle(2) },
        read(2, 0n, 1),
        { op: 'close', handle: handle(2) },
      ]),
    ).toEqual(['01' + '0300000000000000' + '0000', '0101000000', '0102000000', '010203', '01', '01', '00', '00']);
    expect(driver.lines).toEqual(['UBvfsd: ready']);
    const asked = driver.sent.filter((sent) => sent.slot === 5).map((sent) => hex(sent.frame));
    expect(asked).toEqual(Array(3).fill('02' + hex(Buffer.from('a/b'))));
    // A fresh route for each, behind the one for its own name.
    expect(driver.sent.filter((sent) => sent.slot === 1)).toHaveLength(4);
  });

  it('a directory has a stat and no handle', () => {
    const directory = bench({ kind: 1, bytes: new Uint8Array(0) });
    expect(
      replies(directory, [
        { op: 'stat', path: 'a/.' },
        { op: 'open', path: 'a/.' },
      ]),
    ).toEqual(['01' + '0000000000000000' + '0100', '00']);
  });

  it('failures', () => {
    const stat: VfsRequest = { op: 'stat', path: 'a/b' };
    expect(replies(bench(null), [stat])).toEqual(['00']);
    expect(replies(bench(undefined), [stat])).toEqual(['00']);
    const foreign = bench(file(Uint8Array.of(1)));
    expect(replies(foreign, [Uint8Array.of(1, 0x2f), Uint8Array.of(4, 0xff)])).toEqual(['00', '00']);
    expect(foreign.sent.some((sent) => sent.slot === 5)).toBe(false);
  });

  it('malformed frames get no answer at all', () => {
    const frames = [new Uint8Array(0), Uint8Array.of(9), new Uint8Array(16).fill(2), Uint8Array.of(3, 0, 0, 0)];
    expect(replies(bench(null), frames)).toEqual([]);
  });

  it('receive-cut: packagefsd replies are cut to 512 bytes, so files to 501', () => {
    const bytes = new Uint8Array(2000).fill(7);
    const open: readonly VfsRequest[] = [{ op: 'stat', path: 'a/b' }, { op: 'open', path: 'a/b' }, read(1, 0n, 9999)];
    const got = (options: typeof VFSD_CONTRACT): readonly string[] => replies(bench(file(bytes)), open, options);
    const size = '01' + 'd007000000000000' + '0000';
    expect(got(VFSD_REFERENCE)).toEqual([size, '0101000000', '01' + '07'.repeat(501)]);
    expect(got(VFSD_CONTRACT)).toEqual([size, '0101000000', '01' + '07'.repeat(2000)]);
  });

  it('receive errors end the service, waiting does not', () => {
    const driver = bench(null);
    driver.receiveErrors.set(3, [-Errno.EAGAIN, -Errno.ENOSPC]);
    driver.run(vfsdProgram());
    expect(driver.exit).toBe(-1);
    expect(driver.lines.at(-1)).toMatch(/^service error svc=vfsd type=/);
  });
});
