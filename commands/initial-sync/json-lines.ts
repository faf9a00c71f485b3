import { open, type FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 1024 * 1024;
/** Far beyond what any destination takes as one message. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
const LF = 0x0a;

/** A line is longer than anything that can be an operation. */
export class LineTooLongError extends Error {
  override readonly name = 'LineTooLongError';
}

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without its LF; valid until the next line is asked for. */
  readonly bytes: Buffer;
  /** Of the file, this line included. */
  readonly bytesRead: number;
}

/** The lines of a file, one after the other, in memory of one chunk. Empty lines are left out. */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  await using file = await open(path, 'r');
  let pending: Buffer = Buffer.alloc(0);
  let number = 0;
  let bytesRead = 0;
  for (;;) {
    const chunk = await readChunk(file);
    const isEnd = chunk.length === 0;
    const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      number += 1;
      bytesRead += end + 1 - start;
      if (end > start) yield { number, bytes: bytes.subarray(start, end), bytesRead };
      start = end + 1;
    }
    pending = bytes.subarray(start);
    if (pending.length > MAX_LINE_BYTES)
      throw new LineTooLongError(
        `reading ${path}: line ${number + 1} is longer than ${MAX_LINE_BYTES} bytes`,
      );
    if (!isEnd) continue;
    if (pending.length > 0)
      yield { number: number + 1, bytes: pending, bytesRead: bytesRead + pending.length };
    return;
  }
}

async function readChunk(file: FileHandle): Promise<Buffer> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
  return chunk.subarray(0, bytesRead);
}
