/**
 * A strict reader of Cap'n Proto messages on their raw pointers, with the outcomes of the OS's reader (sheet 55, sections
 * 5.2 and 18): null pointers are empty values, everything that can not be read is null, nothing throws. Building is
 * capnp-es's business.
 */

/** Words that a reader may traverse, and that a message may have: 8 Mi. */
export const TRAVERSAL_LIMIT_WORDS = 8 * 1024 * 1024;
/** A message must have fewer segments. */
export const SEGMENTS_LIMIT = 512;

const WORD = 8;
const KIND_STRUCT = 0;
const KIND_LIST = 1;
const KIND_FAR = 2;
/** List element sizes. */
const ELEMENT_VOID = 0;
const ELEMENT_BYTE = 2;
const ELEMENT_POINTER = 6;
const ELEMENT_COMPOSITE = 7;
/** Bits of data per element, by element size code; composite lists have their own tag. */
const DATA_BITS: readonly number[] = [0, 1, 8, 16, 32, 64, 0, 0];
const NO_BYTES = new Uint8Array(0);

/** A pointer after its far pointers were followed: `low` and `high` describe, `word` in `segment` is what they point to. */
interface Target {
  readonly segment: Uint8Array;
  readonly word: number;
  readonly low: number;
  readonly high: number;
}

/** Struct elements of a list. */
export interface StructList {
  readonly count: number;
  at(index: number): CapnpStruct;
}

/** A framed message: segment table and segments. */
export class CapnpMessage {
  readonly #segments: readonly Uint8Array[];
  #wordsLeft = TRAVERSAL_LIMIT_WORDS;

  private constructor(segments: readonly Uint8Array[]) {
    this.#segments = segments;
  }

  /** Null unless all announced segments are there. Bytes behind them are ignored. */
  static parse(bytes: Uint8Array): CapnpMessage | null {
    if (bytes.length < WORD) return null;
    const view = viewOf(bytes);
    const count = view.getUint32(0, true) + 1;
    if (count >= SEGMENTS_LIMIT) return null;
    let at = WORD * (Math.floor(count / 2) + 1);
    if (at > bytes.length) return null;
    const sizes = Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i, true));
    const words = sizes.reduce((sum, size) => sum + size, 0);
    if (words > TRAVERSAL_LIMIT_WORDS || at + words * WORD > bytes.length) return null;
    const segments: Uint8Array[] = [];
    for (const size of sizes) {
      segments.push(bytes.subarray(at, at + size * WORD));
      at += size * WORD;
    }
    return new CapnpMessage(segments);
  }

  /** The root struct; a null root is an empty one. Null: no struct, or out of bounds. */
  root(): CapnpStruct | null {
    const segment = this.#segments[0];
    if (segment === undefined || !this.claim(segment, 0, 1)) return null;
    if (isNullPointer(segment, 0)) return new CapnpStruct(this, NO_BYTES, 0, 0, 0, 0);
    const target = this.follow(segment, 0);
    if (target === null || (target.low & 3) !== KIND_STRUCT) return null;
    const dataWords = target.high & 0xffff;
    const pointers = target.high >>> 16;
    if (!this.claim(target.segment, target.word, dataWords + pointers)) return null;
    return new CapnpStruct(this, target.segment, target.word * WORD, dataWords * 64, target.word + dataWords, pointers);
  }

  /** True when the words lie in the segment and the traversal limit allows them; counts them. */
  claim(segment: Uint8Array, word: number, words: number): boolean {
    if (word < 0 || (word + words) * WORD > segment.length) return false;
    return this.amplify(words);
  }

  /** Counts reads of elements without size against the traversal limit. */
  amplify(words: number): boolean {
    if (words > this.#wordsLeft) return false;
    this.#wordsLeft -= words;
    return true;
  }

  /** The pointer at a word, through single and double far pointers. Null: out of bounds. */
  follow(segment: Uint8Array, word: number): Target | null {
    const low = u32(segment, word * WORD);
    const high = u32(segment, word * WORD + 4);
    if ((low & 3) !== KIND_FAR) return near(segment, word, low, high);
    const pads = this.#segments[high];
    const pad = low >>> 3;
    const isDouble = (low & 4) !== 0;
    if (pads === undefined || !this.claim(pads, pad, isDouble ? 2 : 1)) return null;
    const padLow = u32(pads, pad * WORD);
    const padHigh = u32(pads, pad * WORD + 4);
    if (!isDouble) return near(pads, pad, padLow, padHigh);
    const content = this.#segments[padHigh];
    const at = padLow >>> 3;
    if (content === undefined || at * WORD > content.length) return null;
    const tag = (pad + 1) * WORD;
    return { segment: content, word: at, low: u32(pads, tag), high: u32(pads, tag + 4) };
  }
}

/** One struct of a message. Fields beyond its sections read as absent, that is zero or empty. */
export class CapnpStruct {
  readonly #message: CapnpMessage;
  readonly #segment: Uint8Array;
  readonly #data: number;
  readonly #dataBits: number;
  readonly #pointerWord: number;
  readonly #pointers: number;

  /** Sections by their place in `segment`: data at a byte, pointers at a word. */
  constructor(
    message: CapnpMessage,
    segment: Uint8Array,
    data: number,
    dataBits: number,
    pointerWord: number,
    pointers: number,
  ) {
    this.#message = message;
    this.#segment = segment;
    this.#data = data;
    this.#dataBits = dataBits;
    this.#pointerWord = pointerWord;
    this.#pointers = pointers;
  }

  /** The u8 at a byte of the data section. */
  u8(at: number): number {
    return (at + 1) * 8 <= this.#dataBits ? (this.#segment[this.#data + at] ?? 0) : 0;
  }

  /** The u64 at a byte of the data section. */
  u64(at: number): bigint {
    return (at + 8) * 8 <= this.#dataBits ? viewOf(this.#segment).getBigUint64(this.#data + at, true) : 0n;
  }

  /** Bytes of a Text without its NUL; a view. Null: not readable as Text. */
  text(index: number): Uint8Array | null {
    const word = this.#pointer(index);
    return word === null ? NO_BYTES : readText(this.#message, this.#segment, word);
  }

  /** Bytes of a Data; a view. Null: not readable as Data. */
  data(index: number): Uint8Array | null {
    const word = this.#pointer(index);
    return word === null ? NO_BYTES : readBytes(this.#message, this.#segment, word);
  }

  /** A list read as structs, whatever its element size. Null: not readable as a list. */
  structs(index: number): StructList | null {
    const word = this.#pointer(index);
    const message = this.#message;
    if (word === null) return { count: 0, at: () => new CapnpStruct(message, NO_BYTES, 0, 0, 0, 0) };
    const list = readList(message, this.#segment, word);
    if (list === null) return null;
    return {
      count: list.count,
      at: (i) => {
        const byte = list.byte + Math.floor((i * list.strideBits) / 8);
        const pointerWord = (byte + list.dataBits / 8) / WORD;
        return new CapnpStruct(message, list.segment, byte, list.dataBits, pointerWord, list.pointers);
      },
    };
  }

  /** A list of Text; entries are null where they are not readable. Null: not readable as a list of pointers. */
  texts(index: number): readonly (Uint8Array | null)[] | null {
    const word = this.#pointer(index);
    if (word === null) return [];
    const list = readList(this.#message, this.#segment, word);
    if (list === null || list.pointers === 0) return null;
    const texts: (Uint8Array | null)[] = [];
    for (let i = 0; i < list.count; i++) {
      const at = (list.byte + (i * list.strideBits + list.dataBits) / 8) / WORD;
      texts.push(isNullPointer(list.segment, at) ? NO_BYTES : readText(this.#message, list.segment, at));
    }
    return texts;
  }

  /** Word of a pointer that is there and not null. */
  #pointer(index: number): number | null {
    if (index >= this.#pointers) return null;
    const word = this.#pointerWord + index;
    return isNullPointer(this.#segment, word) ? null : word;
  }
}

interface ListTarget {
  readonly segment: Uint8Array;
  readonly byte: number;
  readonly count: number;
  readonly strideBits: number;
  readonly dataBits: number;
  readonly pointers: number;
}

function readList(message: CapnpMessage, segment: Uint8Array, word: number): ListTarget | null {
  const target = message.follow(segment, word);
  if (target === null || (target.low & 3) !== KIND_LIST) return null;
  const size = target.high & 7;
  const count = target.high >>> 3;
  if (size === ELEMENT_COMPOSITE) return readComposite(message, target, count);
  const dataBits = DATA_BITS[size] ?? 0;
  const pointers = size === ELEMENT_POINTER ? 1 : 0;
  const strideBits = dataBits + pointers * 64;
  if (!message.claim(target.segment, target.word, Math.ceil((count * strideBits) / 64))) return null;
  if (size === ELEMENT_VOID && !message.amplify(count)) return null;
  return { segment: target.segment, byte: target.word * WORD, count, strideBits, dataBits, pointers };
}

function readComposite(message: CapnpMessage, target: Target, words: number): ListTarget | null {
  if (!message.claim(target.segment, target.word, words + 1)) return null;
  const tag = target.word * WORD;
  const low = u32(target.segment, tag);
  const high = u32(target.segment, tag + 4);
  if ((low & 3) !== KIND_STRUCT) return null;
  const count = low >>> 2;
  const dataWords = high & 0xffff;
  const pointers = high >>> 16;
  const stride = dataWords + pointers;
  if (count * stride > words || (stride === 0 && !message.amplify(count))) return null;
  return {
    segment: target.segment,
    byte: tag + WORD,
    count,
    strideBits: stride * 64,
    dataBits: dataWords * 64,
    pointers,
  };
}

/** The bytes of a byte list. */
function readBytes(message: CapnpMessage, segment: Uint8Array, word: number): Uint8Array | null {
  const target = message.follow(segment, word);
  if (target === null || (target.low & 3) !== KIND_LIST || (target.high & 7) !== ELEMENT_BYTE) return null;
  const count = target.high >>> 3;
  if (!message.claim(target.segment, target.word, Math.ceil(count / WORD))) return null;
  return target.segment.subarray(target.word * WORD, target.word * WORD + count);
}

function readText(message: CapnpMessage, segment: Uint8Array, word: number): Uint8Array | null {
  const bytes = readBytes(message, segment, word);
  return bytes === null || bytes.length === 0 || bytes[bytes.length - 1] !== 0
    ? null
    : bytes.subarray(0, bytes.length - 1);
}

/** A struct or list pointer's target: the word behind the pointer plus a signed offset. */
function near(segment: Uint8Array, word: number, low: number, high: number): Target | null {
  const at = word + 1 + (low >> 2);
  return at < 0 || at * WORD > segment.length ? null : { segment, word: at, low, high };
}

function isNullPointer(segment: Uint8Array, word: number): boolean {
  return u32(segment, word * WORD) === 0 && u32(segment, word * WORD + 4) === 0;
}

function u32(bytes: Uint8Array, at: number): number {
  return viewOf(bytes).getUint32(at, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
