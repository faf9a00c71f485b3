import type {
  CommittedOffset,
  ConsumedBatch,
  ConsumedRecord,
  ProducedRecord,
  TopicPartition,
} from '../../streams/kafka-port.ts';
import type { Chance } from './chance.ts';
import { GroupCoordinator } from './group-coordinator.ts';
import type { Scheduler } from './scheduler.ts';

export interface KafkaOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly groupPartitions: readonly TopicPartition[];
  /** Records that one fetch returns at most. */
  readonly maxFetch: number;
}

interface Log {
  readonly records: Omit<ConsumedRecord, 'offset'>[];
  /** Offsets that compaction took. */
  readonly compacted: Set<number>;
  /** Retention took what is below. */
  start: number;
  /** Fetches that wait for something to come. */
  waiting: (() => void)[];
}

/** Kafka in one simulated world: logs and one consumer group. `simulated-port.ts` is the way of a process to it. */
export class SimulatedKafka {
  readonly coordinator: GroupCoordinator;
  readonly #options: KafkaOptions;
  readonly #logs = new Map<string, Log>();
  /** Until then nobody's records are stored: too few replicas are in sync. */
  readOnlyUntil = 0;
  /** Told of every record that was stored. */
  onAppend: (at: TopicPartition, record: ProducedRecord) => void = () => undefined;

  constructor(options: KafkaOptions) {
    this.#options = options;
    this.coordinator = new GroupCoordinator(options.scheduler, options.chance, options.groupPartitions);
  }

  append(at: TopicPartition, record: ProducedRecord): number {
    const log = this.#log(at);
    const headers = Object.fromEntries(
      Object.entries(record.headers).map(([name, value]) => [
        name,
        typeof value === 'string' ? Buffer.from(value) : value,
      ]),
    );
    log.records.push({ timestamp: this.#options.scheduler.now, ...record, headers });
    const { waiting } = log;
    log.waiting = [];
    for (const wake of waiting) wake();
    this.onAppend(at, record);
    return log.records.length - 1;
  }

  get isReadOnly(): boolean {
    return this.#options.scheduler.now < this.readOnlyUntil;
  }

  end(at: TopicPartition): number {
    return this.#log(at).records.length;
  }

  start(at: TopicPartition): number {
    return this.#log(at).start;
  }

  /** Retention: records before `offset` are gone. */
  deleteBefore(at: TopicPartition, offset: number): void {
    this.#log(at).start = offset;
  }

  /** Compaction: of the records before `offset` each key keeps its last one. */
  compactBefore(at: TopicPartition, offset: number): void {
    const { records, compacted } = this.#log(at);
    const kept = new Set<string>();
    for (let i = offset - 1; i >= 0; i -= 1) {
      const key = String(records[i]?.key);
      if (kept.has(key)) compacted.add(i);
      kept.add(key);
    }
  }

  /** Whatever retention and compaction took. */
  recordAt(at: TopicPartition, offset: number): Omit<ConsumedRecord, 'offset'> | null {
    return this.#log(at).records[offset] ?? null;
  }

  read(at: TopicPartition, from: number): ConsumedBatch {
    const { records, compacted, start } = this.#log(at);
    if (from < start || from > records.length) throw new Error('OFFSET_OUT_OF_RANGE');
    const end = Math.min(records.length, from + this.#options.maxFetch);
    return {
      topic: at.topic,
      partition: at.partition,
      fetchedOffset: from,
      nextOffset: end,
      highWatermark: records.length,
      records: records
        .slice(from, end)
        .map((record, i) => ({ ...record, offset: from + i }))
        .filter(({ offset }) => !compacted.has(offset)),
    };
  }

  /** Calls `serve` as soon as one of the positions has something, or after `maxWaitMs`. */
  whenReadable(
    positions: readonly (TopicPartition & { readonly offset: number })[],
    maxWaitMs: number,
    serve: () => void,
  ): void {
    if (positions.some((at) => at.offset !== this.end(at))) {
      serve();
      return;
    }
    let isServed = false;
    const once = (): void => {
      if (isServed) return;
      isServed = true;
      cancel();
      serve();
    };
    const cancel = this.#options.scheduler.at(maxWaitMs, once);
    for (const at of positions) this.#log(at).waiting.push(once);
  }

  committed(at: TopicPartition): CommittedOffset {
    const commit = this.coordinator.commits.get(`${at.topic}/${at.partition}`);
    const { topic, partition } = at;
    return {
      topic,
      partition,
      offset: commit?.offset ?? null,
      metadata: commit?.metadata ?? null,
      logStart: this.start(at),
      logEnd: this.end(at),
    };
  }

  /** Another program commits what is committed, with other metadata. */
  overwriteMetadata({ topic, partition }: TopicPartition, metadata: string): void {
    const { commits } = this.coordinator;
    const commit = commits.get(`${topic}/${partition}`);
    if (commit) commits.set(`${topic}/${partition}`, { ...commit, metadata });
  }

  #log({ topic, partition }: TopicPartition): Log {
    const key = `${topic}/${partition}`;
    const log = this.#logs.get(key) ?? { records: [], compacted: new Set(), start: 0, waiting: [] };
    this.#logs.set(key, log);
    return log;
  }
}
