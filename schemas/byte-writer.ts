/** Writing into a buffer that has room: each function writes at `target[at]` and returns the index after its last byte. */

/** Below this a loop beats the native copy. */
const SHORT_COPY = 48;
const ZERO = 0x30;

/** Copies `bytes[start, end)`. */
export function copyBytes(bytes: Buffer, start: number, end: number, target: Buffer, at: number): number {
  if (end - start >= SHORT_COPY) return at + bytes.copy(target, at, start, end);
  let to = at;
  for (let i = start; i < end; i++) target[to++] = bytes[i] as number;
  return to;
}

/** Copies a short text that is always the same. */
export function writeConstant(constant: Buffer, target: Buffer, at: number): number {
  for (let i = 0; i < constant.length; i++) target[at + i] = constant[i] as number;
  return at + constant.length;
}

/** Writes a whole number from 0 to 2^53 - 1 in decimal. */
export function writeDecimal(number: number, target: Buffer, at: number): number {
  const millions = Math.floor(number / 1e6);
  if (millions === 0) return writeDigits(number, countDigits(number), target, at);
  const to =
    millions < 1e9
      ? writeDigits(millions, countDigits(millions), target, at)
      : writeDecimal(millions, target, at);
  return writeDigits(number - millions * 1e6, 6, target, to);
}

/** Writes a whole number from 0 to 2^28 - 1 as an unsigned varint. */
export function writeVarint(number: number, target: Buffer, at: number): number {
  let to = at;
  let left = number;
  while (left >= 0x80) {
    target[to++] = left | 0x80;
    left >>>= 7;
  }
  target[to++] = left;
  return to;
}

/** Writes a whole number from 0 to 2^53 - 1 as an Avro long: zigzag, which doubles it, then a varint. */
export function writeAvroLong(number: number, target: Buffer, at: number): number {
  // Doubled it no longer fits a safe integer, so the low 27 and the high bits go separately.
  const high = Math.floor(number / 0x8000000);
  const low = (number - high * 0x8000000) * 2;
  if (high === 0) return writeVarint(low, target, at);
  let to = at;
  target[to++] = low | 0x80;
  target[to++] = (low >>> 7) | 0x80;
  target[to++] = (low >>> 14) | 0x80;
  target[to++] = (low >>> 21) | 0x80;
  return writeVarint(high, target, to);
}

function writeDigits(number: number, count: number, target: Buffer, at: number): number {
  let left = number | 0;
  for (let i = at + count - 1; i >= at; i--) {
    const tenth = (left / 10) | 0;
    target[i] = ZERO + left - tenth * 10;
    left = tenth;
  }
  return at + count;
}

function countDigits(number: number): number {
  let count = 1;
  for (let bound = 10; number >= bound; bound *= 10) count++;
  return count;
}
