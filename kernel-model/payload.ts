/**
 * The kernel's copies of message payloads. A payload is copied once, when it is sent, and the receiver gets that copy.
 * Small arrays live on the JavaScript heap and are cheap; an ArrayBuffer of its own for every larger frame is not, so
 * those are views into shared slabs. A slab goes when its last view goes.
 */

/** Largest array that V8 keeps on its heap. */
const ON_HEAP_BYTES = 64;
/** Larger payloads get a buffer of their own, so that a kept frame does not keep a slab. */
const SLAB_PAYLOAD_BYTES = 2048;
const SLAB_BYTES = 65_536;

export class PayloadStore {
  #slab: ArrayBuffer = new ArrayBuffer(0);
  #used = 0;

  /** A copy that later changes of `bytes` cannot reach. */
  copy(bytes: Uint8Array): Uint8Array {
    const len = bytes.length;
    if (len > SLAB_PAYLOAD_BYTES) return bytes.slice();
    let copy: Uint8Array;
    if (len <= ON_HEAP_BYTES) {
      copy = new Uint8Array(len);
    } else {
      if (this.#used + len > this.#slab.byteLength) {
        this.#slab = new ArrayBuffer(SLAB_BYTES);
        this.#used = 0;
      }
      copy = new Uint8Array(this.#slab, this.#used, len);
      this.#used += len;
    }
    copy.set(bytes);
    return copy;
  }
}
