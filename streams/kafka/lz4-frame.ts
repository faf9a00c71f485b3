/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md */
const MAGIC = 0x184d2204;
const FLAGS_AT = 4;
const BLOCK_SIZE_AT = 5;
const BLOCK_CHECKSUM_BIT = 0x10;
const CONTENT_SIZE_BIT = 0x08;
const DICTIONARY_BIT = 0x01;
/** Magic, flags, block size and header checksum. */
const SHORTEST_HEADER = 7;
const NOT_COMPRESSED_BIT = 0x8000_0000;

/**
 * Says before it is unpacked whether an LZ4 frame would become longer than `maxBytes`: its decoder has no such limit,
 * and a frame may become 255 times as long. Throws an `Error` when it is none, or is cut off.
 */
export function isLz4FrameLonger(frame: Buffer, maxBytes: number): boolean {
  const blocks = blocksOf(frame);
  // Enough for what producers send, and it looks at no block.
  const atMost = blocks.list.reduce(
    (sum, { isCompressed, bytes }) =>
      sum + (isCompressed ? Math.min(blocks.maxBytes, bytes.length * 255) : bytes.length),
    0,
  );
  if (atMost <= maxBytes) return false;
  let length = 0;
  for (const { isCompressed, bytes } of blocks.list) {
    length += isCompressed ? unpackedLength(bytes) : bytes.length;
    if (length > maxBytes) return true;
  }
  return false;
}

interface Block {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

function blocksOf(frame: Buffer): { readonly maxBytes: number; readonly list: readonly Block[] } {
  if (frame.length < SHORTEST_HEADER || frame.readUInt32LE(0) !== MAGIC) throw broken();
  const flags = frame[FLAGS_AT] ?? 0;
  // 4 is 64 KiB, 7 is 4 MiB.
  const maxBytes = 2 ** (8 + 2 * (((frame[BLOCK_SIZE_AT] ?? 0) >>> 4) & 7));
  const checksumBytes = flags & BLOCK_CHECKSUM_BIT ? 4 : 0;
  const list: Block[] = [];
  let at = SHORTEST_HEADER + (flags & CONTENT_SIZE_BIT ? 8 : 0) + (flags & DICTIONARY_BIT ? 4 : 0);
  for (;;) {
    if (at + 4 > frame.length) throw broken();
    const head = frame.readUInt32LE(at);
    at += 4;
    if (head === 0) return { maxBytes, list };
    const length = head % NOT_COMPRESSED_BIT;
    if (length + checksumBytes > frame.length - at) throw broken();
    list.push({ isCompressed: head < NOT_COMPRESSED_BIT, bytes: frame.subarray(at, at + length) });
    at += length + checksumBytes;
  }
}

/** Adds up what a block's sequences say: literals, and copies of what came before. */
function unpackedLength(block: Buffer): number {
  let length = 0;
  let at = 0;
  /** Further bytes of a length whose four bits are all set. */
  const rest = (): number => {
    let sum = 0;
    for (let byte = 255; byte === 255;) {
      byte = block[at++] ?? 0;
      sum += byte;
    }
    return sum;
  };
  while (at < block.length) {
    const token = block[at++] ?? 0;
    const literals = (token >>> 4) + (token >>> 4 === 15 ? rest() : 0);
    at += literals;
    length += literals;
    // The last sequence has literals only.
    if (at >= block.length) break;
    at += 2;
    length += 4 + (token & 15) + ((token & 15) === 15 ? rest() : 0);
  }
  return length;
}

function broken(): Error {
  return new Error('an LZ4 frame is broken');
}
