/** S60 against a scripted vfsd: frames, each failure line, the buffer of its client (sheet 80, section 6.22). */
import { describe, expect, it } from 'vitest';
import { chars, play, u64 } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';
import { vfs } from './vfs.ts';

const VFSD = 3;
const PATH = chars('pkg:/system/build.prop');
const PROP = chars('ro.nexus.build=dev\n');
const GOOD: readonly Answers[] = [
  [1, ...u64(19), 0, 0],
  [1, ...u64(1, 4)],
  [1, ...PROP],
  [1, ...u64(2, 4)],
  [1, ...PROP, ...chars('ro.nexus.slot=a\n')],
  [1],
  [0],
];
const vfsd = (changes: Readonly<Record<number, Answers>> = {}): Stage => ({
  peers: { [VFSD]: (_, nth) => (nth in changes ? (changes[nth] ?? null) : (GOOD[nth] ?? null)) },
});
const line = (what: string): string => `SELFTEST: vfs ${what}`;
const ROUTED = ['SELFTEST: ipc routing ok', 'SELFTEST: ipc routing packagefsd ok'];

describe('S60', () => {
  it('stat, open, read, open, read, close, read of a closed handle', () => {
    const played = play(vfs, vfsd());
    expect(played.lines).toEqual([...ROUTED, line('stat ok'), line('read ok'), line('real data ok'), line('ebadf ok')]);
    expect(played.sent(VFSD).map((frame) => [...frame])).toEqual([
      [4, ...PATH],
      [1, ...PATH],
      [2, ...u64(1, 4), ...u64(0), ...u64(64, 4)],
      [1, ...PATH],
      [2, ...u64(2, 4), ...u64(0), ...u64(64, 4)],
      [3, ...u64(2, 4)],
      [2, ...u64(2, 4), ...u64(0), ...u64(1, 4)],
    ]);
  });

  it.each<[string, Stage, string[]]>([
    ['no vfsd', { routes: {} }, [line('FAIL')]],
    ['no packagefsd', { routes: { vfsd: [3, 4] } }, [ROUTED[0]!, line('FAIL')]],
    ['stat fails', vfsd({ 0: [0] }), [...ROUTED, line('stat FAIL'), line('FAIL')]],
    ['stat short', vfsd({ 0: [1, ...u64(19), 0] }), [...ROUTED, line('stat FAIL'), line('FAIL')]],
    ['open fails', vfsd({ 1: [0] }), [...ROUTED, line('stat ok'), line('open FAIL'), line('FAIL')]],
    ['open short', vfsd({ 1: [1, 1, 0, 0] }), [...ROUTED, line('stat ok'), line('open FAIL'), line('FAIL')]],
    ['read fails', vfsd({ 2: [0] }), [...ROUTED, line('stat ok'), line('read FAIL'), line('FAIL')]],
    ['second open', vfsd({ 3: [0] }), [...ROUTED, line('stat ok'), line('read ok'), line('FAIL')]],
    ['second read', vfsd({ 4: [0] }), [...ROUTED, line('stat ok'), line('read ok'), line('FAIL')]],
    [
      'other data',
      vfsd({ 4: [1, ...chars('ro.nexus.build=prd\n')] }),
      [...ROUTED, line('stat ok'), line('read ok'), line('real data FAIL'), line('FAIL')],
    ],
    [
      'less data',
      vfsd({ 4: [1, ...PROP.slice(0, 18)] }),
      [...ROUTED, line('stat ok'), line('read ok'), line('real data FAIL'), line('FAIL')],
    ],
    [
      'close fails',
      vfsd({ 5: [0] }),
      [...ROUTED, line('stat ok'), line('read ok'), line('real data ok'), line('FAIL')],
    ],
    [
      'a closed handle reads',
      vfsd({ 6: [1] }),
      [...ROUTED, line('stat ok'), line('read ok'), line('real data ok'), line('FAIL')],
    ],
  ])('%s', (_what, stage, lines) => {
    const played = play(vfs, stage);
    expect([played.lines, played.result]).toEqual([lines, true]);
  });

  // What the step asks for fits either buffer, so the buffer itself is looked at.
  const buffers = (options: Stage['options']): readonly number[] => {
    const seen: number[] = [];
    const watched: Stage = {
      peers: {
        [VFSD]: (frame, nth) => {
          if (nth < 6) return GOOD[nth] ?? null;
          expect(frame[0]).toBe(2);
          return [0];
        },
      },
      before: ({ sys }) => {
        const recv = sys.recv.bind(sys);
        sys.recv = (slot, max, ...rest) => {
          if (slot === VFSD + 1) seen.push(max);
          return recv(slot, max, ...rest);
        };
      },
      ...(options !== undefined && { options }),
    };
    expect(play(vfs, watched).lines.at(-1)).toBe(line('ebadf ok'));
    return [...new Set(seen)];
  };

  it('quirk receive-cut, contract: the client of vfsd takes replies of 8192 bytes', () => {
    expect(buffers({})).toEqual([8192]);
  });

  it('quirk receive-cut, reference: it cuts them to 512', () => {
    expect(buffers({ receiveMax: 512 })).toEqual([512]);
  });
});
