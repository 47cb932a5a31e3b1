/** Announcements: the vectors of sheet 70, section 9.1, and any bytes at all. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CryptoMeter, publicKey, publicKeyOf } from '../lib/noise.ts';
import { DEVICE_ID_MAX, SERVICES_MAX, SERVICE_NAME_MAX, decodeAnnounce, encodeAnnounce } from './discovery.ts';
import type { Announce } from './discovery.ts';
import { KeyTag, PORT_A, PORT_B, testSecret } from './keys.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const encoded = (announce: Announce): Uint8Array => {
  const packet = encodeAnnounce(announce);
  if (!(packet instanceof Uint8Array)) throw new Error(packet.field);
  return packet;
};

const GOLDEN: Announce = {
  deviceId: 'node9',
  port: 37020,
  staticKey: publicKey(new Uint8Array(32).fill(0x11)),
  services: ['samgrd', 'bundlemgrd'],
};
const GOLDEN_HEX = `4e58534201056e6f646539909c${'11'.repeat(32)}020673616d6772640a62756e646c656d677264`;

const keyOf = (tag: number, port: number) => publicKeyOf(testSecret(tag, port), new CryptoMeter(() => undefined));

describe('vectors', () => {
  const vectors: readonly (readonly [string, Announce, string])[] = [
    ['golden', GOLDEN, GOLDEN_HEX],
    [
      'single machine, node-b',
      {
        deviceId: 'node-b',
        port: PORT_B,
        staticKey: keyOf(KeyTag.NODE_B_STATIC, PORT_B),
        services: ['dsoftbusd'],
      },
      '4e58534201066e6f64652d628708ba9f625f38c5663d272ae4ad91849d9fd075b2c95bbb7dee6b3d799db77e4526010964736f667462757364',
    ],
    [
      'pair, node-a',
      {
        deviceId: 'node-a',
        port: PORT_A,
        staticKey: keyOf(KeyTag.NODE_A_STATIC, PORT_A),
        services: ['samgrd', 'bundlemgrd'],
      },
      '4e58534201066e6f64652d61870724260eb6eddf8284e4cb6e9169ce2e0ba1b21c5c3bed796e41a8853b82abaa4d020673616d6772640a62756e646c656d677264',
    ],
    [
      'pair, node-b',
      {
        deviceId: 'node-b',
        port: PORT_B,
        staticKey: keyOf(KeyTag.NODE_B_STATIC, PORT_B),
        services: ['samgrd', 'bundlemgrd'],
      },
      '4e58534201066e6f64652d628708ba9f625f38c5663d272ae4ad91849d9fd075b2c95bbb7dee6b3d799db77e4526020673616d6772640a62756e646c656d677264',
    ],
  ];
  for (const [name, announce, packet] of vectors) {
    it(name, () => {
      expect(hex(encoded(announce))).toBe(packet);
      expect(decodeAnnounce(unhex(packet))).toEqual(announce);
    });
  }
});

describe('encode faults, the first of the order', () => {
  const name = 'x'.repeat(SERVICE_NAME_MAX + 1);
  const cases: readonly (readonly [string, Partial<Announce>, string])[] = [
    ['device id of 1000', { deviceId: 'd'.repeat(1000) }, 'device_id length'],
    ['no device id', { deviceId: '' }, 'device_id length'],
    ['service name of 100', { services: ['s'.repeat(100)] }, 'service name length'],
    ['empty service name', { services: ['samgrd', ''] }, 'service name length'],
    ['17 services, one of them too long', { services: Array<string>(SERVICES_MAX + 1).fill(name) }, 'service count'],
    ['all of it', { deviceId: '', services: Array<string>(99).fill(name) }, 'device_id length'],
    ['bytes count, not characters', { deviceId: 'é'.repeat(33) }, 'device_id length'],
  ];
  for (const [title, change, field] of cases) {
    it(title, () => {
      expect(encodeAnnounce({ ...GOLDEN, ...change })).toEqual({ fault: 'invalid-input', field });
    });
  }
});

describe('decode faults', () => {
  const golden = unhex(GOLDEN_HEX);
  const patched = (at: number, ...bytes: number[]): Uint8Array => {
    const copy = golden.slice();
    copy.set(bytes, at);
    return copy;
  };
  const cases: readonly (readonly [string, Uint8Array, unknown])[] = [
    ['NXS', unhex('4e5853'), { fault: 'truncated' }],
    ['NXSB', unhex('4e585342'), { fault: 'truncated' }],
    ['NOPE', unhex('4e4f5045'), { fault: 'bad-magic' }],
    ['version 99', unhex('4e58534263'), { fault: 'unsupported-version', version: 99 }],
    ['version 2', patched(4, 2), { fault: 'unsupported-version', version: 2 }],
    ['device id of 0', patched(5, 0), { fault: 'invalid-input', field: 'device_id length' }],
    ['device id of 65', patched(5, 65), { fault: 'invalid-input', field: 'device_id length' }],
    ['device id not UTF-8', patched(6, 0xff), { fault: 'utf8' }],
    ['17 services', patched(45, 17), { fault: 'invalid-input', field: 'service count' }],
    ['service name of 0', patched(46, 0), { fault: 'invalid-input', field: 'service name length' }],
    ['service name of 65', patched(46, 65), { fault: 'invalid-input', field: 'service name length' }],
    ['service name not UTF-8', patched(47, 0xc0), { fault: 'utf8' }],
  ];
  for (const [title, packet, fault] of cases) {
    it(title, () => {
      expect(decodeAnnounce(packet)).toEqual(fault);
    });
  }

  it('every proper prefix is truncated; bytes behind the end do not matter', () => {
    for (let n = 0; n < golden.length; n++) {
      expect(decodeAnnounce(golden.subarray(0, n))).toEqual({ fault: 'truncated' });
    }
    expect(decodeAnnounce(Uint8Array.from([...golden, 1, 2, 3]))).toEqual(GOLDEN);
  });
});

describe('properties', () => {
  const text = (max: number) => fc.string({ minLength: 1, maxLength: max }).filter((s) => Buffer.byteLength(s) <= max);
  const announce: fc.Arbitrary<Announce> = fc.record({
    deviceId: text(DEVICE_ID_MAX),
    port: fc.nat(0xffff),
    staticKey: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(publicKey),
    services: fc.array(text(SERVICE_NAME_MAX), { maxLength: SERVICES_MAX }),
  });

  it('decode(encode(x)) = x', () => {
    fc.assert(
      fc.property(announce, (x) => {
        expect(decodeAnnounce(encoded(x))).toEqual(x);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('any bytes decode or are refused; what decodes encodes to its own front', () => {
    const damaged = fc
      .tuple(announce, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }))
      .map(([x, edits]) => {
        const packet = encoded(x).slice();
        for (const [at, byte] of edits) packet[at % packet.length] = byte;
        return packet;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (packet) => {
        const got = decodeAnnounce(packet);
        if ('fault' in got) return;
        const again = encoded(got);
        expect(hex(packet.subarray(0, again.length))).toBe(hex(again));
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});
