/**
 * The curve edwards25519 (RFC 8032, section 5.1) of the library, and the multiples of its base point as a boot needs them.
 */
import { ed25519 } from '@noble/curves/ed25519.js';

/**
 * Bits per window of the multiples of the base point. The library's 8 pay off after dozens of operations; a boot makes
 * ten, and computing the large table would be the longest single step of a run. Values do not depend on it.
 */
const BASE_WINDOW_BITS = 2;
ed25519.Point.BASE.precompute(BASE_WINDOW_BITS);

export { ed25519 };
