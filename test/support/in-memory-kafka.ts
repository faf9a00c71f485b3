import type { Clock } from '../../streams/clock.ts';
import type {
  AppendOutcome,
  CommittedOffset,
  ConsumedBatch,
  ConsumedRecord,
  Generation,
  GroupConsumer,
  GroupListener,
  KafkaPort,
  OffsetToCommit,
  PartitionReader,
  PartitionWriter,
  ProducedRecord,
  Producer,
  RecordList,
  TopicPartition,
} from '../../streams/kafka-port.ts';
import { spoiledOnRelease } from './spoiled-on-release.ts';

const HEARTBEAT_MS = 3_000;

export interface StoredRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ConsumedRecord['headers'];
  readonly timestamp: number;
}

/**
 * Kafka in memory behind the engine's port: logs, one group, and members that a test assigns and polls by hand.
 * A commit is refused when its generation is over, as the coordinator does.
 */
export class InMemoryKafka {
  readonly #clock: Clock;
  readonly #logs = new Map<string, StoredRecord[]>();
  readonly #commits = new Map<string, { offset: number; metadata: string }>();
  readonly #starts = new Map<string, number>();
  /** Reads that wait for records. */
  readonly #readers = new Set<() => void>();
  readonly #unreleased = new Map<string, number>();
  #generationId = 0;
  /** When set, asked before every produce; a returned error is thrown. */
  produceFault: ((topic: string, records: readonly ProducedRecord[]) => Error | null) | null = null;
  /** When set, asked before every append; a returned outcome is the answer, and nothing is stored. */
  appendFault: ((at: TopicPartition, records: readonly ProducedRecord[]) => AppendOutcome | null) | null =
    null;
  /** When set, asked before every read outside the group; a returned error is thrown. */
  readFault: ((at: TopicPartition) => Error | null) | null = null;
  /** When set, asked before every commit; a returned error is thrown. */
  commitFault: (() => Error | null) | null = null;
  /** Every acknowledged commit, in order. */
  readonly commitHistory: (OffsetToCommit & { generationId: number })[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  log({ topic, partition }: TopicPartition): StoredRecord[] {
    const key = `${topic}/${partition}`;
    const log = this.#logs.get(key) ?? [];
    this.#logs.set(key, log);
    return log;
  }

  append(at: TopicPartition, record: Partial<StoredRecord>): number {
    const log = this.log(at);
    log.push({ key: null, value: null, headers: {}, timestamp: this.#clock.now(), ...record });
    for (const wake of this.#readers) wake();
    this.#readers.clear();
    return log.length - 1;
  }

  /** Retention: records before `offset` are gone. */
  deleteBefore(at: TopicPartition, offset: number): void {
    this.#starts.set(`${at.topic}/${at.partition}`, offset);
  }

  committed({ topic, partition }: TopicPartition): { offset: number; metadata: string } | undefined {
    return this.#commits.get(`${topic}/${partition}`);
  }

  setCommitted({ topic, partition }: TopicPartition, offset: number, metadata: string): void {
    this.#commits.set(`${topic}/${partition}`, { offset, metadata });
  }

  startOf({ topic, partition }: TopicPartition): number {
    return this.#starts.get(`${topic}/${partition}`) ?? 0;
  }

  read(at: TopicPartition, offset: number, maxRecords = Infinity): ConsumedBatch {
    const log = this.log(at);
    const records: ConsumedRecord[] = log
      .slice(offset, offset + maxRecords)
      .map((record, i) => ({ ...record, offset: offset + i }));
    return {
      ...at,
      fetchedOffset: offset,
      nextOffset: offset + records.length,
      highWatermark: log.length,
      records,
    };
  }

  /** How many reads of the topic nobody has released. */
  unreleased(topic: string): number {
    return this.#unreleased.get(topic) ?? 0;
  }

  nextGeneration(): number {
    this.#generationId += 1;
    return this.#generationId;
  }

  commit(offsets: readonly OffsetToCommit[], { generationId }: Generation): void {
    const fault = this.commitFault?.();
    if (fault) throw fault;
    if (generationId !== this.#generationId) throw new Error('ILLEGAL_GENERATION');
    for (const { topic, partition, offset, metadata } of offsets) {
      this.#commits.set(`${topic}/${partition}`, { offset, metadata });
      this.commitHistory.push({ topic, partition, offset, metadata, generationId });
    }
  }

  /** A port for one instance; `member` is how the test drives its membership. */
  instance(): { port: KafkaPort; member: InMemoryMember } {
    const member = new InMemoryMember(this, this.#clock);
    const port: KafkaPort = {
      groupConsumer: () => member,
      partitionReader: () => this.#reader(),
      producer: () => this.#producer(),
      partitionWriter: () => this.partitionWriter(),
    };
    return { port, member };
  }

  partitionWriter(): PartitionWriter {
    return {
      append: async (at, records, mayStart) => {
        await Promise.resolve();
        if (!mayStart()) return { kind: 'not_started' };
        // What is stored is a copy: the writer uses its memory again.
        const copies = copiesOf(records);
        const fault = this.appendFault?.(at, copies);
        if (fault) return fault;
        const baseOffset = this.log(at).length;
        for (const record of copies) this.append(at, record);
        return { kind: 'stored', baseOffset };
      },
      close: () => Promise.resolve(),
    };
  }

  #reader(): PartitionReader {
    return {
      bounds: async (at) => {
        this.#assertReadable(at);
        return { start: this.startOf(at), end: this.log(at).length };
      },
      read: async (at, offset, maxWaitMs) => {
        this.#assertReadable(at);
        if (offset < this.startOf(at)) throw new Error('OFFSET_OUT_OF_RANGE');
        if (offset >= this.log(at).length) {
          await new Promise<void>((resolve) => {
            this.#readers.add(resolve);
            this.#clock.schedule(maxWaitMs, resolve);
          });
        }
        return this.#lend(this.read(at, offset));
      },
      close: () => Promise.resolve(),
    };
  }

  /** Of the readers' batches with records, those that weren't released yet count. */
  #lend(batch: ConsumedBatch): ConsumedBatch {
    const { topic, records } = batch;
    const count = (by: number): void => void this.#unreleased.set(topic, this.unreleased(topic) + by);
    if (records.length > 0) count(1);
    return spoiledOnRelease(batch, () => {
      if (records.length > 0) count(-1);
    });
  }

  #assertReadable(at: TopicPartition): void {
    const fault = this.readFault?.(at);
    if (fault) throw fault;
  }

  #producer(): Producer {
    return {
      send: (topic, records) => {
        const fault = this.produceFault?.(topic, records);
        if (fault) return Promise.reject(fault);
        const baseOffset = this.log({ topic, partition: 0 }).length;
        for (const record of records) {
          this.append({ topic, partition: 0 }, { timestamp: this.#clock.now(), ...record });
        }
        return Promise.resolve([{ partition: 0, baseOffset }]);
      },
      close: () => Promise.resolve(),
    };
  }
}

/** One member of the group, driven by hand: `assign` makes a generation, `poll` delivers a batch of every running partition. */
export class InMemoryMember implements GroupConsumer {
  readonly #kafka: InMemoryKafka;
  readonly #clock: Clock;
  readonly #positions = new Map<string, { at: TopicPartition; offset: number; isPaused: boolean }>();
  #listener: GroupListener | null = null;
  isStopped = false;
  /** While true no heartbeat is answered. */
  isMute = false;

  constructor(kafka: InMemoryKafka, clock: Clock) {
    this.#kafka = kafka;
    this.#clock = clock;
  }

  /** Gives these partitions to this member, in a new generation. */
  assign(partitions: readonly TopicPartition[]): void {
    const generationId = this.#kafka.nextGeneration();
    this.#positions.clear();
    for (const at of partitions) this.#positions.set(key(at), { at, offset: 0, isPaused: true });
    this.#prove();
    this.#listener?.onAssigned(partitions, { generationId, memberId: 'member' });
  }

  /** Heartbeats, until the member is stopped. */
  #beat(): void {
    if (this.isStopped) return;
    this.#prove();
    this.#clock.schedule(HEARTBEAT_MS, () => {
      this.#beat();
    });
  }

  #prove(): void {
    if (this.isMute) return;
    this.#listener?.onProven({ wallMs: this.#clock.now(), monotonicMs: this.#clock.monotonic() });
  }

  /** The coordinator asks for a rebalance. */
  rebalancing(): void {
    this.#listener?.onRebalancing();
  }

  /** The member joins anew as soon as the application lets it; `assign` gives it partitions again. */
  async rejoin(): Promise<void> {
    this.#listener?.onRebalancing();
    await this.#listener?.beforeRejoin();
  }

  /** Fetches once from every partition that isn't paused. Returns the number of records handed over. */
  poll(maxRecords = 1_000): number {
    let delivered = 0;
    for (const position of this.#positions.values()) {
      if (position.isPaused || this.isStopped) continue;
      const batch = this.#kafka.read(position.at, position.offset, maxRecords);
      if (batch.records.length === 0) continue;
      position.offset = batch.nextOffset;
      delivered += batch.records.length;
      this.#listener?.onBatch(batch);
    }
    return delivered;
  }

  /** Hands over a batch as it is, whatever the position. */
  deliver(batch: ConsumedBatch): void {
    this.#listener?.onBatch(batch);
  }

  isPaused(at: TopicPartition): boolean {
    return this.#positions.get(key(at))?.isPaused ?? true;
  }

  start(listener: GroupListener): Promise<void> {
    this.#listener = listener;
    this.#beat();
    return Promise.resolve();
  }

  resumeAt(at: TopicPartition, offset: number): void {
    const position = this.#positions.get(key(at));
    if (!position) return;
    position.offset = offset;
    position.isPaused = false;
  }

  pause(at: TopicPartition): void {
    const position = this.#positions.get(key(at));
    if (position) position.isPaused = true;
  }

  resume(at: TopicPartition): void {
    const position = this.#positions.get(key(at));
    if (position) position.isPaused = false;
  }

  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    return Promise.resolve(
      partitions.map((at) => {
        const commit = this.#kafka.committed(at);
        return {
          ...at,
          offset: commit?.offset ?? null,
          metadata: commit?.metadata ?? null,
          logStart: this.#kafka.startOf(at),
          logEnd: this.#kafka.log(at).length,
        };
      }),
    );
  }

  async commit(offsets: readonly OffsetToCommit[], generation: Generation): Promise<void> {
    await Promise.resolve();
    this.#kafka.commit(offsets, generation);
  }

  stop(): Promise<void> {
    this.isStopped = true;
    return Promise.resolve();
  }
}

function key({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** The records, with bytes of their own. */
export function copiesOf(records: RecordList): (ProducedRecord & { readonly timestamp: number })[] {
  return Array.from({ length: records.length }, (_, i) => {
    const { key, value, timestamp = 0, ...record } = records.at(i);
    return { ...record, timestamp, key: key && Buffer.from(key), value: value && Buffer.from(value) };
  });
}
