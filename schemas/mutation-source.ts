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

const TEXT = /^(\d{5})-(\d{1,10})-(\d{20})$/;

export function formatMutationSource({ partitionCount, partition, offset }: MutationSource): string {
  return `${String(partitionCount).padStart(5, '0')}-${partition}-${String(offset).padStart(20, '0')}`;
}

/** Null when the text is none. */
export function parseMutationSource(text: string): MutationSource | null {
  const match = TEXT.exec(text);
  if (!match) return null;
  const [partitionCount = 0, partition = 0, offset = 0] = match.slice(1).map(Number);
  return Number.isSafeInteger(offset) ? { partitionCount, partition, offset } : null;
}

/**
 * Whether `a` is of a newer mutation than `b`, both of one document. Its partition changes only when the topic gets more
 * of them; while it stays, the offset tells, whatever the counts.
 */
export function isNewerSource(a: MutationSource, b: MutationSource): boolean {
  return a.partition === b.partition ? a.offset > b.offset : a.partitionCount > b.partitionCount;
}
