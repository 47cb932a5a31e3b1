/** The handshake against the transcripts of sheet 70, section 10.2, and against damaged and arbitrary bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyTag, PORT_A, PORT_B, testSecret } from '../dsoftbusd/keys.ts';
import {
  CryptoMeter,
  Initiator,
  Responder,
  Transport,
  publicKey,
  publicKeyOf,
  secretKey,
  sharedSecret,
} from './noise.ts';
import type { SecretKey } from './noise.ts';
import { ascii } from './text.ts';

const free = new CryptoMeter(() => undefined);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const filled = (byte: number): SecretKey => secretKey(new Uint8Array(32).fill(byte));

interface Session {
  readonly initiator: { readonly fixed: SecretKey; readonly ephemeral: SecretKey };
  readonly responder: { readonly fixed: SecretKey; readonly ephemeral: SecretKey };
}

const UNIT: Session = {
  initiator: { fixed: filled(0x11), ephemeral: filled(0xa1) },
  responder: { fixed: filled(0x22), ephemeral: filled(0xb2) },
};

function sides(session: Session, pinInitiator = session.initiator.fixed, pinResponder = session.responder.fixed) {
  const { initiator, responder } = session;
  return {
    i: new Initiator(
      {
        staticSecret: initiator.fixed,
        ephemeralSecret: initiator.ephemeral,
        peerStatic: publicKeyOf(pinResponder, free),
      },
      free,
    ),
    r: new Responder(
      {
        staticSecret: responder.fixed,
        ephemeralSecret: responder.ephemeral,
        peerStatic: publicKeyOf(pinInitiator, free),
      },
      free,
    ),
  };
}

function transcript(session: Session) {
  const { i, r } = sides(session);
  const m1 = i.message1();
  const m2 = r.message2(m1);
  if (typeof m2 === 'string') throw new Error(m2);
  const third = i.message3(m2);
  if (typeof third === 'string') throw new Error(third);
  const there = r.finish(third.message);
  if (typeof there === 'string') throw new Error(there);
  return { m1, m2, m3: third.message, here: third.transport, there };
}

interface Vector {
  readonly name: string;
  readonly session: Session;
  readonly m1: string;
  readonly m2: string;
  readonly m3: string;
  readonly k1?: string;
  readonly k2?: string;
  readonly p0?: string;
  readonly p1?: string;
}

const VECTORS: readonly Vector[] = [
  {
    name: 'single-VM dual node',
    session: {
      initiator: {
        fixed: testSecret(KeyTag.NODE_A_STATIC, PORT_B),
        ephemeral: testSecret(KeyTag.NODE_A_EPHEMERAL, PORT_B),
      },
      responder: {
        fixed: testSecret(KeyTag.NODE_B_STATIC, PORT_B),
        ephemeral: testSecret(KeyTag.NODE_B_EPHEMERAL, PORT_B),
      },
    },
    m1: 'd82cb0b240bd827fd5bcab0918a6679e3dbabd5d4026c6639948ac78d7f51042',
    m2: '078f481a1c391b2c9d4530734c428082c0c99eed5017ee67dc271648121c4c063753ec533babd3c984a4402df2e732e7b352ca8ba4e4853b0aa10eedc8bb03d48723cd7d1774acd26d194d6669c0562705a1bf41eb79d78ba2a9d8fe67c8f3f1',
    m3: '6d9fa9df26b0dda2a81312b3a06b83ada698126d370843fe876059721d06bf16338ab7045bf024254ddb98424a3a8de800b2ea19ecafca5f7639ca267ab15f48',
    k1: '43824b0f98d683dfc0c2fc15ce26bb1a542f9a0c04b137837685659b47e3fccc',
    k2: 'c6e68e41f39ea4e8603d979010ee7954be54bb19b16441dd22eb1436be0040b9',
    p0: '5881351b2b77c6c36a80cf557b689b9ffa79f19b',
    p1: '312f6b0b5c16d146991c0acfd9aace88fde24c76',
  },
  {
    name: 'selftest-client to dsoftbusd',
    session: {
      initiator: {
        fixed: testSecret(KeyTag.CLIENT_STATIC, PORT_A),
        ephemeral: testSecret(KeyTag.CLIENT_EPHEMERAL, PORT_A),
      },
      responder: {
        fixed: testSecret(KeyTag.SERVER_STATIC, PORT_A),
        ephemeral: testSecret(KeyTag.SERVER_EPHEMERAL, PORT_A),
      },
    },
    m1: '24260eb6eddf8284e4cb6e9169ce2e0ba1b21c5c3bed796e41a8853b82abaa4d',
    m2: '14296d8f135885ebb59c11c0ab4189862fb7c1f865bdb332f9ff44fa8aeeda5dccae16c6003323fc64dbc8c0200704faba1a3c87e04ab8aa073fd7909928dbcb401cbfe376ccb8906b529355fe5a6723a56be611dc66cbd25befeda55b8ed8ba',
    m3: '01314f8f36236fe36e5716b5e053445222fa7c208d8b5ce466393cf199734465b1400513af9757830b9bfea722dcf62e2ba72e5ef62ccbacc50157c6c0717f03',
    k1: 'a3ebd501f93d58bf30754fdee78260a5c57b051ea0cf0e81f433449791760888',
    k2: '83382c1b3d9502e07da90d2eba4e5b1ccdb804644cf2d65fab1b73abf50e7cee',
  },
  {
    name: 'cross-VM node-a to node-b',
    session: {
      initiator: {
        fixed: testSecret(KeyTag.NODE_A_STATIC, PORT_A),
        ephemeral: testSecret(KeyTag.CROSS_VM_EPHEMERAL, PORT_A),
      },
      responder: {
        fixed: testSecret(KeyTag.NODE_B_STATIC, PORT_B),
        ephemeral: testSecret(KeyTag.CROSS_VM_EPHEMERAL, PORT_B),
      },
    },
    m1: '5e1fa81af16f52619ad4be177e85db5a96809cea7119262fe7e2929f3d509a2b',
    m2: 'd82cb0b240bd827fd5bcab0918a6679e3dbabd5d4026c6639948ac78d7f510426d8c4616643b7dfca32a1838d810d1ce2da7938f4540e88459234a6fa2edb898c13599503ecb6271c8747450e3079a2513da075597fdb107aeee815a92cd4817',
    m3: '2414907f8a3eede300eb554904d6517b00079813cdaa7b100995feb0e31b48749988bc6b96c21277a99f85337ce90de4a1438c13e97f9c860857acd1e6df0574',
    k1: 'fcd0e755e09e7e1e3a74b9b706082a241559b7b43d60acd8478a94bcf2140983',
    k2: 'e84b5c85d0a619ca908da27d963c4c15f2309442066e9d79d99d973e4723c292',
    p0: '6728000546746e67e77a294a519dd73272223bc3',
    p1: '1571f86839a8bee60481f3398b9dabe23037139d',
  },
  {
    name: 'unit',
    session: UNIT,
    m1: 'c306fb0ef2bf8b7f93bad98155fa37daec74db0c4cbeda6c6f1dba9d36558252',
    m2: 'db48257e1237976a74ad8cfedca00213408fe89ac6251f1b930245f242b5c31a578315a27e16c96a3baf59a12bd46f936903f1701337e3ce83f223d03c7b58e96c6593709b2463e637f1e5aa299a81a0d92cd05ec1cf0f69f7967963a4f032dd',
    m3: 'be29dbff8ef9452bf425418f3501a7a252c5741cdbfe3a6ddbee2ba6650bf9d4d0df2592e2f58675c2976dcfd538c9dab47a1832cb1b57decc6e296977da3956',
    p0: 'ad035f554d19b4fb69632111e729a1d03cadb96e',
  },
];

describe('transcripts of sheet 70, section 10.2', () => {
  for (const vector of VECTORS) {
    it(vector.name, () => {
      const { m1, m2, m3, here, there } = transcript(vector.session);
      expect([hex(m1), hex(m2), hex(m3)]).toEqual([vector.m1, vector.m2, vector.m3]);
      expect([hex(there.receiveKey), hex(there.sendKey)]).toEqual([hex(here.sendKey), hex(here.receiveKey)]);
      if (vector.k1 !== undefined) expect(hex(here.sendKey)).toBe(vector.k1);
      if (vector.k2 !== undefined) expect(hex(here.receiveKey)).toBe(vector.k2);
      const [p0, p1] = [here.seal(ascii('PING')), here.seal(ascii('PING'))];
      if (vector.p0 !== undefined) expect(hex(p0)).toBe(vector.p0);
      if (vector.p1 !== undefined) expect(hex(p1)).toBe(vector.p1);
      expect(p0).toHaveLength(20);
      expect(there.open(p0)).toEqual(ascii('PING'));
      expect(there.open(p1)).toEqual(ascii('PING'));
      expect(here.open(there.seal(ascii('PONG')))).toEqual(ascii('PONG'));
    });
  }
});

describe('keys of sheet 70, section 10.1', () => {
  const keys: readonly (readonly [number, number, string, string])[] = [
    [0xa0, PORT_A, 'a08707636465666768', 'a7307a497a2229df9f68633e0dc4db960c3562fd9bfcc4f90af11b7f90955a2d'],
    [0xb0, PORT_A, 'b08707d3d4d5', 'c4fdc18609856d72ccc9c4c2144aefa8294393b0d41ad3c4c87951feea73d17d'],
    [0xc0, PORT_A, 'c0870743', '14296d8f135885ebb59c11c0ab4189862fb7c1f865bdb332f9ff44fa8aeeda5d'],
    [0xd0, PORT_A, 'd08707b3', '24260eb6eddf8284e4cb6e9169ce2e0ba1b21c5c3bed796e41a8853b82abaa4d'],
    [0xe0, PORT_A, 'e0870723', '5e1fa81af16f52619ad4be177e85db5a96809cea7119262fe7e2929f3d509a2b'],
    [0xd0, PORT_B, 'd0870883', '64496a7aa67255c2bc1b04ff1c04b3f068fadb311ca8b1f3e83acbac4d90ae37'],
    [0xd1, PORT_B, 'd187088b', 'ba9f625f38c5663d272ae4ad91849d9fd075b2c95bbb7dee6b3d799db77e4526'],
    [0xe0, PORT_B, 'e0870803', 'd82cb0b240bd827fd5bcab0918a6679e3dbabd5d4026c6639948ac78d7f51042'],
    [0xe1, PORT_B, 'e187080b', '078f481a1c391b2c9d4530734c428082c0c99eed5017ee67dc271648121c4c06'],
  ];
  for (const [tag, port, head, pub] of keys) {
    it(`${tag.toString(16)}, ${port}`, () => {
      const secret = testSecret(tag, port);
      expect(hex(secret).startsWith(head)).toBe(true);
      expect(secret[31]).toBe(((secret[3] ?? 0) + 28) & 0xff);
      expect(hex(publicKeyOf(secret, free))).toBe(pub);
    });
  }
});

describe('refusals', () => {
  it('message 1 of 31 bytes, message 2 of 95, message 3 of 63: wrong length', () => {
    const { m1, m2, m3 } = transcript(UNIT);
    const { i, r } = sides(UNIT);
    expect(r.message2(m1.subarray(1))).toBe('bad-length');
    i.message1();
    expect(i.message3(m2.subarray(1))).toBe('bad-length');
    r.message2(m1);
    expect(r.finish(m3.subarray(1))).toBe('bad-length');
  });

  it('a message of wrong length leaves the handshake where it was', () => {
    const { m1, m2, m3 } = transcript(UNIT);
    const { i, r } = sides(UNIT);
    i.message1();
    r.message2(new Uint8Array(0));
    expect(hex(r.message2(m1) as Uint8Array)).toBe(hex(m2));
    i.message3(new Uint8Array(97));
    expect(i.message3(m2)).toHaveProperty('transport');
    r.finish(new Uint8Array(0));
    expect(r.finish(m3)).toBeInstanceOf(Transport);
  });

  it('a responder without message 1, an initiator without message 1, anything twice: wrong length', () => {
    const { m1, m2, m3 } = transcript(UNIT);
    const { i, r } = sides(UNIT);
    expect(r.finish(m3)).toBe('bad-length');
    expect(i.message3(m2)).toBe('bad-length');
    i.message1();
    r.message2(m1);
    expect(r.message2(m1)).toBe('bad-length');
    i.message3(m2);
    expect(i.message3(m2)).toBe('bad-length');
    r.finish(m3);
    expect(r.finish(m3)).toBe('bad-length');
  });

  it('a responder that pins another initiator: static key mismatch', () => {
    const client: Session = { ...UNIT, initiator: { fixed: filled(0x33), ephemeral: filled(0xa1) } };
    const { i, r } = sides(client, filled(0x55));
    const m2 = r.message2(i.message1()) as Uint8Array;
    const third = i.message3(m2);
    if (typeof third === 'string') throw new Error(third);
    expect(r.finish(third.message)).toBe('static-key-mismatch');
  });

  it('an initiator that pins another responder: crypto, the pre-message already differs', () => {
    const { i, r } = sides(UNIT, UNIT.initiator.fixed, filled(0x66));
    expect(i.message3(r.message2(i.message1()) as Uint8Array)).toBe('crypto');
  });

  it('a refused message 3 cannot be followed by a good one', () => {
    const { m1, m3 } = transcript(UNIT);
    const { r } = sides(UNIT);
    r.message2(m1);
    const damaged = m3.slice();
    damaged[0] = (damaged[0] ?? 0) ^ 1;
    expect(r.finish(damaged)).toBe('crypto');
    expect(r.finish(m3)).toBe('bad-length');
  });

  it('no mutated handshake authenticates', () => {
    const good = transcript(UNIT);
    const flip = fc.record({ message: fc.integer({ min: 1, max: 3 }), at: fc.nat(95), bit: fc.nat(7) });
    fc.assert(
      fc.property(flip, ({ message, at, bit }) => {
        const copies = [good.m1.slice(), good.m2.slice(), good.m3.slice()];
        const victim = copies[message - 1]!;
        const position = at % victim.length;
        victim[position] = victim[position]! ^ (1 << bit);
        // X25519 ignores the top bit of a point; the hash does not.
        const { i, r } = sides(UNIT);
        i.message1();
        const m2 = r.message2(copies[0]!) as Uint8Array;
        const third = i.message3(message === 1 ? m2 : copies[1]!);
        if (message < 3) expect(third).toBe('crypto');
        else expect(r.finish(copies[2]!)).toBe('crypto');
      }),
      { seed: 20240, numRuns: 60 },
    );
  });

  it('arbitrary bytes are refused, never thrown on', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 128 }),
      ...[32, 64, 96].map((n) => fc.uint8Array({ minLength: n, maxLength: n })),
    );
    fc.assert(
      fc.property(bytes, bytes, bytes, (one, two, three) => {
        const { i, r } = sides(UNIT);
        i.message1();
        expect(['bad-length', 'crypto']).toContain(i.message3(two));
        const m2 = r.message2(one);
        expect(typeof m2 === 'string' ? m2 : m2.length).toBe(one.length === 32 ? 96 : 'bad-length');
        expect(['bad-length', 'crypto']).toContain(r.finish(three));
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});

describe('X25519', () => {
  const LOW_ORDER = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ];
  it('a low-order point gives the zero secret, as there is no check', () => {
    for (const point of LOW_ORDER) {
      expect(sharedSecret(filled(0x22), publicKey(unhex(point)), free)).toEqual(new Uint8Array(32));
    }
  });

  it('RFC 7748, section 6.1', () => {
    const bob = secretKey(unhex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
    const alice = publicKey(unhex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'));
    expect(hex(publicKeyOf(bob, free))).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
    expect(hex(sharedSecret(bob, alice, free))).toBe(
      '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
    );
  });

  it('a handshake with a low-order ephemeral key runs, and still does not authenticate the stranger', () => {
    const { r } = sides(UNIT);
    expect(r.message2(new Uint8Array(32))).toHaveLength(96);
    expect(r.finish(new Uint8Array(64))).toBe('crypto');
  });
});

describe('transport', () => {
  const open = () => transcript(UNIT);

  it('a damaged record leaves the counter, so the record itself still opens', () => {
    const { here, there } = open();
    const record = here.seal(ascii('one'));
    const damaged = record.slice();
    damaged[0] = damaged[0]! ^ 1;
    expect(there.open(damaged)).toBeNull();
    expect(there.open(record)).toEqual(ascii('one'));
  });

  it('a lost record makes every later one fail', () => {
    const { here, there } = open();
    here.seal(ascii('lost'));
    for (const text of ['two', 'three']) expect(there.open(here.seal(ascii(text)))).toBeNull();
  });

  it('opens what was sealed, in order, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
        fc.uint8Array({ maxLength: 40 }),
        (plains, other) => {
          const { here, there } = twoEnds();
          for (const plain of plains) {
            const record = here.seal(plain);
            expect(record).toHaveLength(plain.length + 16);
            expect(there.open(other)).toBeNull();
            expect(there.open(record)).toEqual(plain);
            expect(there.open(record)).toBeNull();
          }
        },
      ),
      { seed: 20240, numRuns: 50 },
    );
  });
});

/** Two ends without a handshake. */
function twoEnds(): { here: Transport; there: Transport } {
  const [k1, k2] = [filled(1), filled(2)];
  return { here: new Transport(k1, k2, free), there: new Transport(k2, k1, free) };
}

describe('cost', () => {
  it('names every operation with a label of the cost table', () => {
    const units = new Map<string, number>();
    const meter = new CryptoMeter((label, n) => void units.set(label, (units.get(label) ?? 0) + n));
    const pin = publicKeyOf(UNIT.initiator.fixed, free);
    const r = new Responder(
      { staticSecret: UNIT.responder.fixed, ephemeralSecret: UNIT.responder.ephemeral, peerStatic: pin },
      meter,
    );
    const { m1, m3 } = transcript(UNIT);
    r.message2(m1);
    expect(r.finish(m3)).toBeInstanceOf(Transport);
    // Two own public keys and three shared secrets.
    expect(units.get('x25519')).toBe(5);
    expect([...units.keys()].sort()).toEqual(['blake2s-block', 'chacha20-block', 'poly1305-block', 'x25519']);
  });
});
