import type { AppendOutcome, PartitionWriter, RecordList, TopicPartition } from '../kafka-port.ts';
import type { ConnectableBroker } from './broker-connection.ts';
import { ClusterConnection, leaderOf } from './cluster-connection.ts';
import type { KafkaClient } from './kafkajs.ts';
import { ProduceQueue, type ProduceConnection } from './produce-queue.ts';
import { NEWEST_PRODUCE_VERSION, OLDEST_PRODUCE_VERSION, PRODUCE_KEY } from './produce-request.ts';

/**
 * `PartitionWriter` over kafkajs' connections, with record batches and produce requests of our own: its producer takes
 * 24 to 50 µs of CPU for a record, this a twentieth.
 */
export class KafkajsPartitionWriter implements PartitionWriter {
  readonly #connection: ClusterConnection;
  readonly #deadlineMs: number;
  /** By the node that leads. */
  readonly #queues = new Map<string, ProduceQueue>();
  /** What the last attempt failed with: leaders and connections are looked at anew before the next. */
  #failure: unknown = null;

  /** `deadlineMs` is how long an attempt may take after it was written. */
  constructor(kafka: KafkaClient, groupId: string, deadlineMs: number) {
    this.#connection = new ClusterConnection(kafka, groupId);
    this.#deadlineMs = deadlineMs;
  }

  async append(at: TopicPartition, records: RecordList, mayStart: () => boolean): Promise<AppendOutcome> {
    let queue: ProduceQueue;
    try {
      queue = await this.#queueOf(at);
    } catch (error) {
      this.#failure ??= error;
      return { kind: 'failed', error: error instanceof Error ? error : new Error(String(error)) };
    }
    const outcome = await queue.append({ at, records }, mayStart);
    if (outcome.kind === 'failed' || outcome.kind === 'open') this.#failure = outcome.error;
    return outcome;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #queueOf({ topic, partition }: TopicPartition): Promise<ProduceQueue> {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) await this.#connection.recover(failure);
    const nodeId = leaderOf(await this.#connection.ready(topic), topic, partition);
    const known = this.#queues.get(nodeId);
    if (known) return known;
    const queue = new ProduceQueue(() => this.#connect(nodeId, topic), this.#deadlineMs);
    this.#queues.set(nodeId, queue);
    return queue;
  }

  async #connect(nodeId: string, topic: string): Promise<ProduceConnection> {
    const cluster = await this.#connection.ready(topic);
    const broker = (await cluster.findBroker({ nodeId })) as unknown as ConnectableBroker;
    const connection = await broker.connectionPool.getConnection();
    await connection.authenticate();
    const version = Math.min(NEWEST_PRODUCE_VERSION, broker.versions?.[PRODUCE_KEY]?.maxVersion ?? 0);
    if (version < OLDEST_PRODUCE_VERSION)
      throw new Error(`the broker ${nodeId} takes produce requests up to version ${version} only`);
    return { connection, version };
  }
}
