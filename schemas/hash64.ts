const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

/**
 * A 64-bit hash of bytes, for tables of millions of documents: the first half of MurmurHash3_x86_128 (Austin Appleby,
 * public domain). Of n documents two have the same hash with a chance of about n² / 2^65: 3 in a million for ten million.
 * Not for secrets, nor against people who look for collisions, who have it harder where the seed is drawn at random.
 *
 * One object is used again for every text, so that hashing allocates nothing.
 */
export class Hash64 {
  /** Signed 32-bit integers. */
  high = 0;
  low = 0;
  readonly #seed: number;

  /** `seed`: another one is another hash. */
  constructor(seed = 0) {
    this.#seed = seed | 0;
  }

  /** Hashes `bytes[start, end)`. Returns this. */
  of(bytes: Uint8Array, start = 0, end = bytes.length): this {
    const length = end - start;
    const tail = start + (length & ~15);
    let h1 = this.#seed;
    let h2 = h1;
    let h3 = h1;
    let h4 = h1;
    for (let i = start; i < tail; i += 16) {
      h1 = (Math.imul(rotate(h1 ^ scramble(word(bytes, i), C1, 15, C2), 19) + h2, 5) + 0x561ccd1b) | 0;
      h2 = (Math.imul(rotate(h2 ^ scramble(word(bytes, i + 4), C2, 16, C3), 17) + h3, 5) + 0x0bcaa747) | 0;
      h3 = (Math.imul(rotate(h3 ^ scramble(word(bytes, i + 8), C3, 17, C4), 15) + h4, 5) + 0x96cd1c35) | 0;
      h4 = (Math.imul(rotate(h4 ^ scramble(word(bytes, i + 12), C4, 18, C1), 13) + h1, 5) + 0x32ac3b17) | 0;
    }
    // Nothing left scrambles to 0, which changes nothing.
    h1 ^= scramble(tailWord(bytes, tail, end), C1, 15, C2);
    h2 ^= scramble(tailWord(bytes, tail + 4, end), C2, 16, C3);
    h3 ^= scramble(tailWord(bytes, tail + 8, end), C3, 17, C4);
    h4 ^= scramble(tailWord(bytes, tail + 12, end), C4, 18, C1);

    h1 ^= length;
    h2 ^= length;
    h3 ^= length;
    h4 ^= length;
    h1 = (h1 + h2 + h3 + h4) | 0;
    h2 = finish((h2 + h1) | 0);
    h3 = finish((h3 + h1) | 0);
    h4 = finish((h4 + h1) | 0);
    h1 = (finish(h1) + h2 + h3 + h4) | 0;
    this.high = h1;
    this.low = (h2 + h1) | 0;
    return this;
  }

  /** Sixteen hex digits. */
  toString(): string {
    return hashText(this.high, this.low);
  }
}

/** Both halves as sixteen hex digits. */
export function hashText(high: number, low: number): string {
  return hex(high) + hex(low);
}

function hex(half: number): string {
  return (half >>> 0).toString(16).padStart(8, '0');
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** The up to four bytes before `end`, as `word` would read them with zeros behind. */
function tailWord(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = Math.min(at + 4, end) - 1; i >= at; i--) value = (value << 8) | (bytes[i] as number);
  return value;
}

function scramble(value: number, first: number, bits: number, second: number): number {
  return Math.imul(rotate(Math.imul(value, first), bits), second);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finish(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
