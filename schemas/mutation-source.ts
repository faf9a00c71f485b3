/**
 * Where a mutation stands on its topic. As text it is an operation's `message_id` and the header `source` of the
 * mutation's snapshot record: `<partition count, 5 digits>-<partition>-<offset, 20 digits>` (CONTRACT: fields and
 * options). Of one document the greatest text is the newest mutation.
 */
export interface MutationSource {
  /** Of the topic, when the mutation was taken up: more partitions re-hash the users. */
  readonly partitionCount: number;
  readonly partition: number;
  readonly offset: number;
}

const DASH = 0x2d;
const ZERO = 0x30;
const COUNT_DIGITS = 5;
const MOST_PARTITION_DIGITS = 10;
const OFFSET_DIGITS = 20;
/** So many make a small integer to the engine. */
const DIGITS_AT_ONCE = 9;
const TEN_TO_DIGITS_AT_ONCE = 10 ** DIGITS_AT_ONCE;

export function formatMutationSource({ partitionCount, partition, offset }: MutationSource): string {
  return `${String(partitionCount).padStart(5, '0')}-${partition}-${String(offset).padStart(20, '0')}`;
}

/** Null when the text is none. */
export function parseMutationSource(text: string): MutationSource | null {
  const view = new MutationSourceView();
  return view.read(Buffer.from(text)) ? { ...view } : null;
}

/** A source that is read from bytes: one view is used again for every text, so that reading allocates nothing. */
export class MutationSourceView implements MutationSource {
  partitionCount = 0;
  partition = 0;
  offset = 0;

  /** Where the text is none, everything is 0 and the answer false. */
  read(text: Buffer): boolean {
    const offsetStart = text.length - OFFSET_DIGITS;
    const partitionStart = COUNT_DIGITS + 1;
    const partitionEnd = offsetStart - 1;
    const partitionDigits = partitionEnd - partitionStart;
    const hasForm =
      partitionDigits >= 1 &&
      partitionDigits <= MOST_PARTITION_DIGITS &&
      text[COUNT_DIGITS] === DASH &&
      text[partitionEnd] === DASH;
    const partitionCount = hasForm ? readDigits(text, 0, COUNT_DIGITS) : -1;
    const partition = hasForm ? readDigits(text, partitionStart, partitionEnd) : -1;
    const offset = hasForm ? readDigits(text, offsetStart, text.length) : -1;
    const isSource =
      partitionCount >= 0 && partition >= 0 && offset >= 0 && offset <= Number.MAX_SAFE_INTEGER;
    this.partitionCount = isSource ? partitionCount : 0;
    this.partition = isSource ? partition : 0;
    this.offset = isSource ? offset : 0;
    return isSource;
  }
}

/** -1 when something else than digits is there. */
function readDigits(text: Buffer, from: number, to: number): number {
  let value = 0;
  for (let start = from, end = from + ((to - from) % DIGITS_AT_ONCE); end <= to; end += DIGITS_AT_ONCE) {
    let part = 0;
    for (; start < end; start += 1) {
      const digit = (text[start] as number) - ZERO;
      if (digit < 0 || digit > 9) return -1;
      part = part * 10 + digit;
    }
    value = value * TEN_TO_DIGITS_AT_ONCE + part;
  }
  return value;
}

/**
 * Whether `a` is of a newer mutation than `b`, both of one document. Its partition changes only when the topic gets more
 * of them; while it stays, the offset tells, whatever the counts.
 */
export function isNewerSource(a: MutationSource, b: MutationSource): boolean {
  return a.partition === b.partition ? a.offset > b.offset : a.partitionCount > b.partitionCount;
}
