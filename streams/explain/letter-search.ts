import type { LettersFound } from '../../processors/explanation.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import type { Clock } from '../clock.ts';
import type { InspectionAdmin } from '../inspection-port.ts';
import type { ConsumedRecord, PartitionReader, TopicPartition } from '../kafka-port.ts';
import { readDeadLetter, type StoredDeadLetter } from '../redrive/stored-dead-letter.ts';

const MAX_WAIT_MS = 500;

export interface LetterSearchOptions {
  /** Of the dead letters. */
  readonly topic: string;
  readonly reader: PartitionReader;
  readonly admin: Pick<InspectionAdmin, 'partitionCounts' | 'offsetsAt'>;
  readonly clock: Clock;
  /** Takes out of a destination's own words what must not be shown. */
  readonly mask: (text: string) => string;
  /** The search ends after so many records, and after so many ms. */
  readonly maxRecords: number;
  readonly maxMs: number;
}

/** The record whose dead letters are wanted. */
export interface LetterSource extends TopicPartition {
  readonly record: ConsumedRecord;
}

/**
 * Finds the dead letters of one record. They lie in the partition of its key and keep its Kafka timestamp, so the search
 * begins there; it is bounded, and says when it met a bound. Rejects when Kafka can't be read.
 */
export async function findLetters(
  source: LetterSource,
  options: LetterSearchOptions,
  signal: AbortSignal,
): Promise<LettersFound> {
  const { topic, reader, admin, clock, mask, maxRecords, maxMs } = options;
  const partitions = (await admin.partitionCounts([topic])).get(topic) ?? 0;
  if (partitions === 0)
    return { letters: [], incomplete: `no dead letters were looked for: topic ${topic} isn't there` };
  const starts = await admin.offsetsAt(topic, source.record.timestamp);
  const deadline = clock.monotonic() + maxMs;
  const found: StoredDeadLetter[] = [];
  let read = 0;
  for (const partition of partitionsOf(source.record.key, partitions)) {
    const bounds = await reader.bounds({ topic, partition });
    let position = Math.max(bounds.start, starts.get(partition) ?? bounds.start);
    while (position < bounds.end) {
      if (read >= maxRecords || clock.monotonic() >= deadline || signal.aborted)
        return { letters: shown(found, mask), incomplete: boundNote(read, partition, position) };
      const batch = await reader.read({ topic, partition }, position, MAX_WAIT_MS);
      for (const record of batch.records) {
        if (record.offset < position || record.offset >= bounds.end) continue;
        read += 1;
        const letter = readDeadLetter(partition, record);
        if (letter && isOf(letter, source)) found.push(letter);
      }
      position = Math.max(position, batch.nextOffset);
    }
  }
  return { letters: shown(found, mask), incomplete: null };
}

/** The partition that producers choose for the key; without one it may be any. */
function partitionsOf(key: Buffer | null, count: number): readonly number[] {
  if (key === null) return Array.from({ length: count }, (_, partition) => partition);
  return [(murmur2(key, 0, key.length) & 0x7fff_ffff) % count];
}

/** An older letter at the same place is of a topic that was made anew since. */
function isOf({ source: of }: StoredDeadLetter, { topic, partition, record }: LetterSource): boolean {
  return (
    of.offset === record.offset &&
    of.partition === partition &&
    of.topic === topic &&
    of.timestamp >= record.timestamp
  );
}

function shown(
  letters: readonly StoredDeadLetter[],
  mask: (text: string) => string,
): LettersFound['letters'] {
  return letters.map(({ replicationId, reason, code, detail, time }) => ({
    replicationId,
    reason: mask(reason),
    code: code === null ? null : mask(code),
    detail: mask(detail),
    time,
  }));
}

function boundNote(read: number, partition: number, position: number): string {
  return (
    `of the dead letters only ${read} were looked through, up to partition ${partition}, offset ${position}: ` +
    'there may be one of this record beyond; `dead-letters list` looks through all'
  );
}
