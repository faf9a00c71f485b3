const MAX_LENGTH_BYTES = 5;
const SHORTEST_COPY = 4;
/** Literals longer than this have their length in one to four further bytes. */
const LONGEST_SHORT_LITERAL = 60;

/**
 * Unpacks one block of snappy's raw format (https://github.com/google/snappy/blob/main/format_description.txt). Throws a
 * `RangeError` when it would become longer than `maxBytes`, before it takes any memory, and an `Error` when it is broken.
 *
 * The length that a block announces is what it takes, so whatever a producer wrote ends: each step reads at least a
 * byte, and writes at least one where there is still room.
 */
export function unpackSnappy(block: Buffer, maxBytes: number): Buffer {
  const { length, at: start } = readLength(block);
  if (length > maxBytes) throw new RangeError(`a snappy block of ${length} bytes is too large`);
  const output = Buffer.allocUnsafe(length);
  let at = start;
  let written = 0;
  while (at < block.length) {
    const tag = block[at++] ?? 0;
    const kind = tag & 3;
    let count = (tag >>> 2) + 1;
    if (kind === 0) {
      if (count > LONGEST_SHORT_LITERAL) {
        const bytes = count - LONGEST_SHORT_LITERAL;
        count = readUInt(block, at, bytes) + 1;
        at += bytes;
      }
      if (count > block.length - at || count > length - written) throw broken();
      block.copy(output, written, at, at + count);
      at += count;
    } else {
      if (kind === 1) count = ((tag >>> 2) % 8) + SHORTEST_COPY;
      const bytes = kind === 3 ? 4 : kind;
      const distance = readUInt(block, at, bytes) + (kind === 1 ? (tag >>> 5) * 256 : 0);
      at += bytes;
      if (distance === 0 || distance > written || count > length - written) throw broken();
      repeat(output, written, distance, count);
    }
    written += count;
  }
  if (written !== length) throw broken();
  return output;
}

/** A varint of 32 bits. */
function readLength(block: Buffer): { readonly length: number; readonly at: number } {
  let length = 0;
  for (let i = 0; i < MAX_LENGTH_BYTES && i < block.length; i += 1) {
    const byte = block[i] ?? 0;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { length, at: i + 1 };
  }
  throw broken();
}

function readUInt(block: Buffer, at: number, bytes: number): number {
  if (bytes > block.length - at) throw broken();
  return block.readUIntLE(at, bytes);
}

/** What was written `distance` before, again: where it overlaps, what this call writes too. */
function repeat(output: Buffer, at: number, distance: number, count: number): void {
  if (distance >= count) {
    output.copyWithin(at, at - distance, at - distance + count);
    return;
  }
  for (let i = at; i < at + count; i += 1) output[i] = output[i - distance] ?? 0;
}

function broken(): Error {
  return new Error('a snappy block is broken');
}
