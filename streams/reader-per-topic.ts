import type { ConsumedBatch, NeededOfRecords, PartitionReader, TopicPartition } from './kafka-port.ts';

/**
 * A reader of its own for each topic: a broker answers the requests of one connection one after the other, so a read
 * that waits for records of one topic would hold up those of all others.
 */
export class ReaderPerTopic implements PartitionReader {
  readonly #open: () => PartitionReader;
  readonly #readers = new Map<string, PartitionReader>();
  #isClosed = false;

  constructor(open: () => PartitionReader) {
    this.#open = open;
  }

  async bounds(at: TopicPartition): Promise<{ start: number; end: number }> {
    return this.#of(at).bounds(at);
  }

  async read(
    at: TopicPartition,
    offset: number,
    maxWaitMs: number,
    needed?: NeededOfRecords,
  ): Promise<ConsumedBatch> {
    return this.#of(at).read(at, offset, maxWaitMs, needed);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#readers.values()].map((reader) => reader.close()));
  }

  #of({ topic }: TopicPartition): PartitionReader {
    if (this.#isClosed) throw new Error('the reader is closed');
    let reader = this.#readers.get(topic);
    if (!reader) {
      reader = this.#open();
      this.#readers.set(topic, reader);
    }
    return reader;
  }
}
