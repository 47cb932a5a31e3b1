import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { encodeImage, systemImage } from '../bundlemgrd/image.ts';
import { encodeImageReply, encodeReply as encodeBundleReply } from '../bundlemgrd/wire.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { packagefsdProgram } from './main.ts';
import { encodeResolve } from './wire.ts';

const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7];
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');

interface Peers {
  /** What init says of this name; null: nothing. */
  readonly route?: (name: string) => number | null;
  readonly list?: Uint8Array | null;
  readonly image?: Uint8Array | null;
}

function bench(peers: Peers): Driver {
  const driver = new Driver(SLOTS);
  driver.onSend = ({ slot, frame }) => {
    if (slot === 1) {
      const length = frame[4] ?? 0;
      const name = Buffer.from(frame.subarray(5, 5 + length)).toString();
      const status = peers.route === undefined ? 0 : peers.route(name);
      const slots: Record<string, readonly number[]> = { packagefsd: [4, 3], bundlemgrd: [7, 5], '@reply': [6, 5] };
      const [send, recv] = slots[name] ?? [0, 0];
      if (status !== null)
        driver.push(
          2,
          Uint8Array.of(0x52, 0x54, 1, 0x41, status, send!, 0, 0, 0, recv!, 0, 0, 0, ...frame.subarray(5 + length)),
        );
    }
    if (slot === 7) {
      const reply = frame[3] === 1 ? peers.list : peers.image;
      const standard = frame[3] === 1 ? encodeBundleReply(1, 0, 1) : encodeImageReply(systemImage('a'));
      if (reply !== null) driver.push(5, reply ?? standard);
    }
  };
  return driver;
}

function resolved(driver: Driver, paths: readonly string[], program = packagefsdProgram()): readonly string[] {
  paths.forEach((path, i) => {
    driver.push(3, encodeResolve(path), { after: 1000 + i });
  });
  driver.run(program);
  return driver.sent.filter((sent) => sent.slot === 4).map((sent) => Buffer.from(sent.frame.subarray(11)).toString());
}

describe('registry load (section 11.1)', () => {
  it('from bundlemgrd, by LIST and FETCH_IMAGE with a moved capability', () => {
    const driver = bench({});
    expect(resolved(driver, ['system/build.prop', 'demo.hello/payload.elf'])).toEqual([
      'ro.nexus.build=dev\nro.nexus.slot=a\n',
      '',
    ]);
    expect(driver.lines).toEqual(['UBpackagefsd: ready']);
    const asked = driver.sent.filter((sent) => sent.slot === 7);
    expect(asked.map((sent) => hex(sent.frame))).toEqual(['424e0101', '424e0103']);
    expect(asked.every((sent) => sent.moved >= 0)).toBe(true);
    expect(driver.notes.get('registry')).toBe('bundlemgrd');
  });

  const failures: readonly (readonly [string, Peers])[] = [
    ['no init', { route: () => null }],
    ['no route to bundlemgrd', { route: (name) => (name === 'bundlemgrd' ? 1 : 0) }],
    ['no inbox', { route: (name) => (name === '@reply' ? 3 : 0) }],
    ['LIST unanswered', { list: null }],
    ['LIST of 9 bytes', { list: Uint8Array.of(...encodeBundleReply(1, 0, 1), 0) }],
    ['FETCH unanswered', { image: null }],
    ['an extra byte behind the image', { image: Uint8Array.of(...encodeImageReply(systemImage('a')), 0) }],
    ['a broken image', { image: encodeImageReply(Uint8Array.of(1, 2, 3)) }],
  ];
  it.each(failures)('seed: %s', (_, peers) => {
    const driver = bench(peers);
    expect(resolved(driver, ['system/build.prop', 'demo.exit0/payload.elf'])).toEqual([
      'ro.nexus.build=dev\n',
      'EXIT0',
    ]);
    expect(driver.notes.get('registry')).toBe('seed');
  });

  it('zero entries give an empty registry, bytes behind the counted entries are ignored', () => {
    expect(resolved(bench({ image: encodeImageReply(encodeImage([])) }), ['system/build.prop'])).toEqual(['']);
    const padded = encodeImageReply(Uint8Array.of(...systemImage('b'), 9, 9));
    expect(resolved(bench({ image: padded }), ['system/build.prop'])[0]).toContain('slot=b');
  });

  it('a late answer for its own name is not taken for the route to bundlemgrd', () => {
    const driver = bench({});
    const answer = driver.onSend;
    let queries = 0;
    driver.onSend = (sent) => {
      if (sent.slot === 1) queries += 1;
      if (sent.slot === 1 && queries === 1) return;
      // init wakes up: first the answer to the first query, then the one to the second.
      if (sent.slot === 1 && queries === 2)
        driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 4, 0, 0, 0, 3, 0, 0, 0));
      answer(sent);
    };
    expect(resolved(driver, ['system/build.prop'])[0]).toContain('slot=a');
    expect(driver.sent.filter((sent) => sent.slot === 4)).toHaveLength(1);
  });
});

describe('loop (section 11.2)', () => {
  it('answers all but the empty frame, on slot 4, and leaves moved capabilities alone', () => {
    const driver = bench({ route: () => null });
    const frames = [Uint8Array.of(), Uint8Array.of(1), Uint8Array.of(2, 0xff), encodeResolve('system/.')];
    frames.forEach((frame, i) => {
      driver.push(3, frame, { cap: 30 + i, after: i });
    });
    driver.run(packagefsdProgram());
    const replies = driver.sent.filter((sent) => sent.slot !== 1);
    expect(replies.map((sent) => [sent.slot, hex(sent.frame)])).toEqual([
      [4, '00'.repeat(11)],
      [4, '00'.repeat(11)],
      [4, `01${'00'.repeat(8)}0100`],
    ]);
    expect([30, 31, 32, 33].every((slot) => driver.caps.has(slot))).toBe(true);
  });

  it('receive errors end the service, waiting does not', () => {
    const driver = bench({ route: () => null });
    driver.receiveErrors.set(3, [-Errno.EAGAIN, -Errno.ETIMEDOUT, -Errno.EPERM]);
    driver.run(packagefsdProgram());
    expect(driver.exit).toBe(-1);
    expect(driver.lines.at(-1)).toMatch(/^service error svc=packagefsd type=/);
  });

  it('receive-cut: a long path is cut to 512 bytes or found whole', () => {
    const path = `system/${'/'.repeat(600)}`;
    for (const receiveMax of [512, 8192])
      expect(resolved(bench({ route: () => null }), [path], packagefsdProgram({ receiveMax }))).toEqual(['']);
    const slashes = `${'/'.repeat(600)}system/build.prop`;
    const found = (receiveMax: number): readonly string[] =>
      resolved(bench({ route: () => null }), [slashes], packagefsdProgram({ receiveMax }));
    expect([found(512), found(8192)]).toEqual([[''], ['ro.nexus.build=dev\n']]);
  });
});
