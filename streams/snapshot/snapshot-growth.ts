import { grownTo, HashIndex } from '../../processors/hash-index.ts';
import { DocumentKeyView } from '../../schemas/document-key.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import { murmur2 } from '../../schemas/murmur2.ts';
import type { ConsumedRecord, TopicPartition } from '../kafka-port.ts';
import { logRanges, scanRange, type LogRange } from '../partition-scan.ts';
import { RecordArray } from '../record-array.ts';
import { PartitionAppender } from './partition-appender.ts';
import { isMoved } from './snapshot-headers.ts';
import { copyOf, SnapshotMerge, type MergePorts, type MergeRecord } from './snapshot-merge.ts';

/** Each partition is read for what doesn't belong there, to copy it, and to leave word. */
const PASSES = 3;
const MARKERS_AT_ONCE = 1_000;

/** A snapshot topic that has grown with its mutation topic. */
export interface GrownSnapshot {
  readonly topic: string;
  /** Partitions that the rows lie in. */
  readonly from: number;
  /** Partitions that there are. */
  readonly to: number;
}

export interface GrowthListener {
  /** So many of the records that are to be read were read. */
  onProgress(read: number, total: number): void;
  onFailed(error: Error): void;
}

/** The rows don't lie where Kafka's partitioner puts their users, so where it will put them isn't known. */
export class UnknownPartitionerError extends Error {
  override readonly name = 'UnknownPartitionerError';
}

/**
 * Moves every document of a grown snapshot to the partition that its user's mutations come in now, by the hash that
 * Kafka's producers use (murmur2 of the mutation's key, the user point's id): its last record is copied there, unless
 * something newer is there already, and null with the header `moved` is left behind.
 *
 * Run again it goes on where it was stopped. Resolves with the number of documents that were moved, early when `signal`
 * aborts. Rejects with an `UnknownPartitionerError` or a `TopicReadError`.
 */
export async function moveGrownRows(
  grown: GrownSnapshot,
  ports: MergePorts,
  listener: GrowthListener,
  signal: AbortSignal,
): Promise<number> {
  const ranges = await logRanges(grown.topic, grown.from, ports, signal);
  const total = ranges.reduce((sum, { start, end }) => sum + PASSES * (end - start), 0);
  let read = 0;
  let moved = 0;
  for (const range of ranges) {
    const size = range.end - range.start;
    const before = read;
    moved += await movePartition(
      range,
      grown,
      ports,
      {
        onProgress: (of) => {
          listener.onProgress(before + of, total);
        },
        onFailed: (error) => {
          listener.onFailed(error);
        },
      },
      signal,
    );
    read += PASSES * size;
    if (signal.aborted) break;
  }
  return moved;
}

async function movePartition(
  range: LogRange,
  grown: GrownSnapshot,
  ports: MergePorts,
  listener: GrowthListener,
  signal: AbortSignal,
): Promise<number> {
  const { topic, partition, start, end } = range;
  const size = end - start;
  const hash = new Hash64();
  const index = new HashIndex();
  let last = new Float64Array(0);
  /** Where the document belongs, if not here. */
  const targetOf = (key: Buffer | null): number | null => {
    const userHash = userHashOf(key);
    const target = userHash === null ? partition : userHash % grown.to;
    return target === partition ? null : target;
  };
  await scanRange(
    range,
    ports,
    ({ key, offset }) => {
      if (!key || targetOf(key) === null) return;
      const document = index.numberOf(hash.of(key));
      last = grownTo(index.capacity, last);
      last[document] = offset;
    },
    (offset) => {
      listener.onProgress(offset - start, PASSES * size);
    },
    signal,
  );
  const merges = new Map<number, SnapshotMerge>();
  const onFailed = (error: Error): void => {
    listener.onFailed(error);
  };
  let moved = 0;
  const move = async (record: ConsumedRecord, target: number): Promise<void> => {
    if ((userHashOf(record.key) ?? 0) % grown.from !== partition)
      throw new UnknownPartitionerError(
        `${topic}/${partition} holds documents of users whom Kafka's partitioner (murmur2 of the key) would not put there`,
      );
    let merge = merges.get(target);
    if (!merge) {
      merge = new SnapshotMerge({ topic, partition: target }, ports, onFailed, signal);
      merges.set(target, merge);
      await merge.begin();
    }
    moved += 1;
    await merge.offer(copyOf(record));
  };
  /** Once more through the last records of what doesn't belong here, unless it was moved before. */
  const eachLast = (
    onRecord: (record: ConsumedRecord, target: number) => Promise<void> | undefined,
    pass: number,
  ): Promise<void> =>
    scanRange(
      range,
      ports,
      (record) => {
        const target = targetOf(record.key);
        const isLast = record.key !== null && last[index.find(hash.of(record.key))] === record.offset;
        return target === null || !isLast || isMoved(record.headers) ? undefined : onRecord(record, target);
      },
      (offset) => {
        listener.onProgress(pass * size + offset - start, PASSES * size);
      },
      signal,
    );
  await eachLast(move, 1);
  for (const merge of merges.values()) await merge.finish();
  // Only now that the copies are there. Nobody else writes records of these documents here any more.
  const left = new LeftBehind(range, ports, onFailed, signal);
  await eachLast((record, target) => left.add(record, target), 2);
  await left.flush();
  return moved;
}

const keyView = new DocumentKeyView();

/** Kafka's hash of the user point that the document is of; null when the key is none of a document. */
function userHashOf(key: Buffer | null): number | null {
  if (!key || !keyView.read(key)) return null;
  return murmur2(key, keyView.docIdStart, keyView.userPointEnd) & 0x7fffffff;
}

/** What says of moved documents where they are. */
class LeftBehind {
  readonly #appender: PartitionAppender<MergeRecord>;
  #records: MergeRecord[] = [];

  constructor(
    { topic, partition }: TopicPartition,
    ports: MergePorts,
    onFailed: (error: Error) => void,
    signal: AbortSignal,
  ) {
    const owner = {
      mayAttempt: () => true,
      onStored: () => undefined,
      onFailed,
      onTooLarge: () => Promise.resolve(null),
    };
    this.#appender = new PartitionAppender<MergeRecord>({ topic, partition }, ports, owner, signal);
  }

  add(record: ConsumedRecord, target: number): Promise<void> | undefined {
    const copy = copyOf({ ...record, value: null });
    this.#records.push({ ...copy, headers: { ...copy.headers, moved: String(target) } });
    return this.#records.length < MARKERS_AT_ONCE ? undefined : this.flush();
  }

  async flush(): Promise<void> {
    const records = this.#records;
    this.#records = [];
    if (records.length > 0) await this.#appender.append(new RecordArray(records));
  }
}
