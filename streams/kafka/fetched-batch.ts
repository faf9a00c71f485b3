import type { ConsumedBatch, ConsumedRecord, NeededOfRecords } from '../kafka-port.ts';
import { safeOffset, type FetchedPartition } from './cluster.ts';
import { RecordBatch } from './record-batch.ts';

/** A message of magic 0 or 1, as kafkajs decodes it. */
interface LegacyMessage {
  readonly offset: string;
  readonly timestamp?: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/**
 * What one fetch brought of a partition, in the place of kafkajs' `consumer/batch`, which makes two BigInts and a
 * string of every offset. It has what kafkajs' runner asks a batch for, and decodes when the records are first asked
 * for: those of one partition at a time, and none of partitions that are paused meanwhile.
 *
 * Control records, records of aborted transactions and those before the fetched offset are left out. What was
 * compacted away or filtered arrives as a batch without records, and so does what an open transaction holds back: the
 * log's end is told then. It is empty only at that end.
 */
export class FetchedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly fetchedOffset: string;
  readonly highWatermark: string;
  /** What its records are views on: the response, where they came uncompressed. Null when no record batch came. */
  readonly buffer: ArrayBufferLike | null;
  readonly #fetched: number;
  readonly #nextOffset: number;
  readonly #needed: NeededOfRecords;
  #data: FetchedPartition | null;
  #records: readonly ConsumedRecord[] = [];

  constructor(topic: string, fetchedOffset: string, data: FetchedPartition, needed: NeededOfRecords = 'all') {
    this.topic = topic;
    this.partition = data.partition;
    this.fetchedOffset = fetchedOffset;
    this.highWatermark = data.highWatermark;
    const [first] = data.messages;
    this.buffer = first instanceof RecordBatch ? first.buffer : null;
    this.#fetched = safeOffset(fetchedOffset);
    this.#nextOffset = nextOffset(data.messages, this.#fetched);
    this.#needed = needed;
    this.#data = data;
  }

  /** Throws `CorruptRecordBatchError`. */
  get messages(): readonly ConsumedRecord[] {
    if (this.#data) this.#records = visibleRecords(this.#data, this.#fetched, this.#needed);
    this.#data = null;
    return this.#records;
  }

  isEmpty(): boolean {
    return this.#nextOffset <= this.#fetched && Number(this.highWatermark) <= this.#fetched;
  }

  /** kafkajs would not hand such a batch over, and the engine's position would stay behind kafkajs' own. */
  isEmptyDueToFiltering(): boolean {
    return false;
  }

  firstOffset(): string | null {
    const first = this.messages[0];
    return first ? String(first.offset) : null;
  }

  lastOffset(): string {
    return String(this.#nextOffset - 1);
  }

  offsetLag(): string {
    return String(Number(this.highWatermark) - this.#nextOffset);
  }

  offsetLagLow(): string {
    return String(Number(this.highWatermark) - 1 - Number(this.firstOffset() ?? this.lastOffset()));
  }

  /** The engine's view of it. */
  consumed(): ConsumedBatch {
    return {
      topic: this.topic,
      partition: this.partition,
      fetchedOffset: this.#fetched,
      nextOffset: this.#nextOffset,
      highWatermark: safeOffset(this.highWatermark),
      records: this.messages,
    };
  }
}

function nextOffset(messages: FetchedPartition['messages'], fetched: number): number {
  const last = messages.at(-1);
  if (!last) return fetched;
  if (last instanceof RecordBatch) return Math.max(fetched, last.nextOffset);
  // A message set doesn't say where it ends. When all of it lies before, the offset asked for was compacted away.
  return Math.max(fetched, fromLegacy(last).offset) + 1;
}

/**
 * As Kafka's own consumer filters, which kafkajs doesn't quite: several transactions may begin before one batch, their
 * list is in the order of their ends, and only a marker is a marker.
 */
function visibleRecords(
  { messages, abortedTransactions }: FetchedPartition,
  from: number,
  needed: NeededOfRecords,
): ConsumedRecord[] {
  const records: ConsumedRecord[] = [];
  const transactions = (abortedTransactions ?? [])
    .map(({ producerId, firstOffset }) => ({ producer: BigInt(producerId), first: Number(firstOffset) }))
    .sort((a, b) => a.first - b.first);
  const aborted = new Set<bigint>();
  let begun = 0;
  for (const batch of messages) {
    if (!(batch instanceof RecordBatch)) {
      const record = fromLegacy(batch);
      if (record.offset >= from) records.push(record);
      continue;
    }
    for (let next = transactions[begun]; next && next.first < batch.nextOffset; next = transactions[begun]) {
      aborted.add(next.producer);
      begun += 1;
    }
    if (aborted.size > 0 && batch.isAbortMarker()) aborted.delete(batch.producerId);
    if (batch.isControl || (batch.isTransactional && aborted.has(batch.producerId))) continue;
    batch.decodeFrom(from, records, needed);
  }
  return records;
}

function fromLegacy(message: object): ConsumedRecord {
  const { offset, timestamp, key, value } = message as LegacyMessage;
  return { offset: safeOffset(offset), timestamp: Number(timestamp ?? -1), key, value, headers: {} };
}
