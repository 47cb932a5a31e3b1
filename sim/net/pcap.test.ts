import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock } from '../clock.ts';
import { Trace } from '../trace.ts';
import { hex } from './fixtures/bytes.ts';
import { parsePcap, PCAP_SNAPLEN, pcapHeader, pcapRecord, pcapView } from './pcap.ts';

function join(chunks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
}

describe('pcap', () => {
  it('header and record are those of a little-endian file of version 2.4, Ethernet, microseconds', () => {
    expect(hex(pcapHeader())).toBe('d4c3b2a1' + '02000400' + '00000000' + '00000000' + '00000100' + '01000000');
    expect(hex(pcapRecord(3_000_042_999, Uint8Array.of(0xaa, 0xbb)))).toBe(
      '03000000' + '2a000000' + '02000000' + '02000000' + 'aabb',
    );
  });

  it('nanoseconds have their own magic', () => {
    expect(hex(pcapHeader('ns').subarray(0, 4))).toBe('4d3cb2a1');
    expect(hex(pcapRecord(3_000_042_999, new Uint8Array(0), 'ns').subarray(0, 8))).toBe('03000000' + 'f7a70000');
  });

  it('is a view of packet events: nothing else is in it, and it reads back', () => {
    const event = fc.record({
      gap: fc.nat(2_000_000_000),
      bytes: fc.uint8Array({ maxLength: 80 }),
      other: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 12 }),
        fc.constantFrom('us' as const, 'ns' as const),
        fc.constantFrom(0, 1_767_225_600),
        (events, resolution, epochSeconds) => {
          const clock = new Clock();
          const trace = new Trace(clock);
          const chunks: Uint8Array[] = [];
          trace.listen(pcapView((chunk) => chunks.push(chunk), { resolution, epochSeconds }));
          const expected = events.flatMap(({ gap, bytes, other }) => {
            clock.advance(gap);
            if (other) trace.emit({ kind: 'note', service: 'x', name: 'y', value: 1 });
            else trace.emit({ kind: 'packet', device: 'virtio-net', dir: 'tx', bytes });
            const rest = clock.now % 1_000_000_000;
            const ns = resolution === 'ns' ? rest : rest - (rest % 1000);
            const seconds = epochSeconds + (clock.now - rest) / 1_000_000_000;
            return other ? [] : [{ seconds, ns, bytes, length: bytes.length }];
          });
          expect(parsePcap(join(chunks))).toEqual(expected);
        },
      ),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('adds what lies before an event at the moment it comes', () => {
    const trace = new Trace({ now: 5000 });
    const chunks: Uint8Array[] = [];
    let before = 0;
    trace.listen(pcapView((chunk) => chunks.push(chunk), { offsetNs: () => before }));
    const packet = { kind: 'packet', device: 'virtio-net', dir: 'tx', bytes: Uint8Array.of(1) } as const;
    trace.emit(packet);
    before = 2_000_000_000;
    trace.emit(packet);
    expect(parsePcap(join(chunks))).toMatchObject([
      { seconds: 0, ns: 5000 },
      { seconds: 2, ns: 5000 },
    ]);
  });

  it('cuts frames at the snap length and keeps their length', () => {
    const file = join([pcapHeader(), pcapRecord(0, new Uint8Array(PCAP_SNAPLEN + 5))]);
    expect(parsePcap(file)).toMatchObject([{ length: PCAP_SNAPLEN + 5, bytes: { length: PCAP_SNAPLEN } }]);
  });

  it('reads big-endian files, and names what is no file', () => {
    const file = Uint8Array.from([
      ...[0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1],
      ...[0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 60, 0xee],
    ]);
    expect(parsePcap(file)).toEqual([{ seconds: 7, ns: 9000, bytes: Uint8Array.of(0xee), length: 60 }]);
    expect(parsePcap(file.subarray(0, 23))).toBe('truncated');
    expect(parsePcap(file.subarray(0, 30))).toBe('truncated');
    expect(parsePcap(file.subarray(0, 40))).toBe('truncated');
    expect(parsePcap(file.fill(0, 23, 24))).toBe('bad-link-type');
    expect(parsePcap(file.fill(0, 0, 1))).toBe('bad-magic');
  });
});
