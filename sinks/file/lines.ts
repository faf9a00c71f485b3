import type { OperationBatch } from '../sink.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/** One batch as lines. `ends[i]` is the index behind the LF of record `i`. */
export interface Lines {
  readonly bytes: Buffer;
  readonly ends: readonly number[];
}

/**
 * Pure: one operation a line. CR and LF within an operation can only be white space of its JSON, so they become
 * spaces. `leadingLf` ends a line that somebody else left half written.
 */
export function linesOf(batch: OperationBatch, leadingLf: boolean): Lines {
  const bytes = Buffer.allocUnsafe(batch.byteLength + batch.count + (leadingLf ? 1 : 0));
  const ends: number[] = [];
  let at = 0;
  if (leadingLf) bytes[at++] = LF;
  for (let i = 0; i < batch.count; i++) {
    const start = at;
    at += batch.data.copy(bytes, at, batch.start(i), batch.end(i));
    blank(bytes, LF, start, at);
    blank(bytes, CR, start, at);
    bytes[at++] = LF;
    ends.push(at);
  }
  return { bytes, ends };
}

/** How many whole records lie in the first `written` bytes. */
export function recordsWithin(lines: Lines, written: number): number {
  const firstCut = lines.ends.findIndex((end) => end > written);
  return firstCut === -1 ? lines.ends.length : firstCut;
}

function blank(bytes: Buffer, character: number, start: number, end: number): void {
  const part = bytes.subarray(start, end);
  for (let at = part.indexOf(character); at !== -1; at = part.indexOf(character, at + 1)) part[at] = SPACE;
}
