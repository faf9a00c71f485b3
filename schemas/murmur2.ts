const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/** Kafka's murmur2 of `bytes[start, end)`, as a signed 32-bit integer (Kafka masks it with 0x7fffffff for a partition). */
export function murmur2(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const tail = start + (length & ~3);
  let h = SEED ^ length;
  for (let i = start; i < tail; i += 4) {
    let k =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    k = Math.imul(k, MULTIPLIER);
    k ^= k >>> 24;
    h = Math.imul(h, MULTIPLIER) ^ Math.imul(k, MULTIPLIER);
  }
  const left = length & 3;
  if (left > 0) {
    if (left === 3) h ^= (bytes[tail + 2] as number) << 16;
    if (left >= 2) h ^= (bytes[tail + 1] as number) << 8;
    h = Math.imul(h ^ (bytes[tail] as number), MULTIPLIER);
  }
  h ^= h >>> 13;
  h = Math.imul(h, MULTIPLIER);
  return h ^ (h >>> 15);
}
