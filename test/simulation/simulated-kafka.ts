import type {
  CommittedOffset,
  ConsumedBatch,
  ConsumedRecord,
  KafkaPort,
  PartitionReader,
  ProducedRecord,
  Producer,
  TopicPartition,
} from '../../streams/kafka-port.ts';
import type { Chance } from './chance.ts';
import { GroupCoordinator } from './group-coordinator.ts';
import type { Network } from './network.ts';
import type { Scheduler } from './scheduler.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import type { SimulatedProcess } from './simulated-process.ts';

export interface KafkaOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly network: Network;
  readonly groupPartitions: readonly TopicPartition[];
  /** Records that one fetch returns at most. */
  readonly maxFetch: number;
}

interface Log {
  readonly records: Omit<ConsumedRecord, 'offset'>[];
  /** Fetches that wait for something to come. */
  waiting: (() => void)[];
}

/** Kafka in one simulated world: logs, one consumer group, and a port for each process. */
export class SimulatedKafka {
  readonly coordinator: GroupCoordinator;
  readonly #options: KafkaOptions;
  readonly #logs = new Map<string, Log>();
  /** Told of every record that was stored. */
  onAppend: (topic: string, record: ProducedRecord) => void = () => undefined;

  constructor(options: KafkaOptions) {
    this.#options = options;
    this.coordinator = new GroupCoordinator(options.scheduler, options.chance, options.groupPartitions);
  }

  append(at: TopicPartition, record: ProducedRecord): number {
    const log = this.#log(at);
    log.records.push({ timestamp: this.#options.scheduler.now, ...record });
    const { waiting } = log;
    log.waiting = [];
    for (const wake of waiting) wake();
    this.onAppend(at.topic, record);
    return log.records.length - 1;
  }

  end(at: TopicPartition): number {
    return this.#log(at).records.length;
  }

  read(at: TopicPartition, from: number): ConsumedBatch {
    const { records } = this.#log(at);
    if (from < 0 || from > records.length) throw new Error('OFFSET_OUT_OF_RANGE');
    const end = Math.min(records.length, from + this.#options.maxFetch);
    return {
      topic: at.topic,
      partition: at.partition,
      fetchedOffset: from,
      nextOffset: end,
      highWatermark: records.length,
      records: records.slice(from, end).map((record, i) => ({ ...record, offset: from + i })),
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
      logStart: 0,
      logEnd: this.end(at),
    };
  }

  port(process: SimulatedProcess): KafkaPort {
    const { network, chance } = this.#options;
    let members = 0;
    const newMemberId = (): string => `${process.name}.${++members}`;
    return {
      groupConsumer: () => new SimulatedConsumer({ process, kafka: this, network, chance, newMemberId }),
      partitionReader: () => this.#reader(process),
      producer: () => this.#producer(process),
    };
  }

  #reader(process: SimulatedProcess): PartitionReader {
    const { network } = this.#options;
    return {
      bounds: (at) =>
        network.call(process, 'bounds', (answer) => {
          answer({ start: 0, end: this.end(at) });
        }),
      read: (at, offset, maxWaitMs) =>
        network.call(process, `read ${at.topic}`, (answer, fail) => {
          if (offset > this.end(at)) fail(new Error('OFFSET_OUT_OF_RANGE'));
          else
            this.whenReadable([{ ...at, offset }], maxWaitMs, () => {
              answer(this.read(at, offset));
            });
        }),
      close: () => Promise.resolve(),
    };
  }

  #producer(process: SimulatedProcess): Producer {
    return {
      send: (topic, records) =>
        this.#options.network.call(process, 'produce', (answer) => {
          for (const record of records) this.append({ topic, partition: 0 }, record);
          answer(undefined);
        }),
      close: () => Promise.resolve(),
    };
  }

  #log({ topic, partition }: TopicPartition): Log {
    const key = `${topic}/${partition}`;
    const log = this.#logs.get(key) ?? { records: [], waiting: [] };
    this.#logs.set(key, log);
    return log;
  }
}
