import type {
  CommittedOffset,
  ConsumerCrash,
  Generation,
  GroupConsumer,
  GroupListener,
  OffsetToCommit,
  TopicPartition,
} from '../kafka-port.ts';
import { SESSION_TIMEOUT_MS } from '../lease.ts';
import type { Logger } from '../logger.ts';
import { byTopic, safeOffset, type Cluster } from './cluster.ts';
import type { FetchedBatch } from './fetched-batch.ts';
import { assertFetchingIsPatched } from './kafkajs-patches.ts';
import type { Consumer, KafkaClient } from './kafkajs.ts';
import { PartitionAssigners } from './kafkajs.ts';
import {
  groupOf,
  listenToMembership,
  observeMemberships,
  type Coordinator,
  type KafkajsGroup,
} from './membership.ts';

/** RELIABILITY 5.2 and PROTOCOL A3: a killed member is noticed after 24 s; heartbeats come every 3 s. */
const GROUP_TIMING = {
  sessionTimeout: SESSION_TIMEOUT_MS,
  heartbeatInterval: 3_000,
  rebalanceTimeout: 60_000,
};
/** A codec that nobody knows and a batch that is no batch stay what they are. */
const HOPELESS_ERRORS: ReadonlySet<string> = new Set(['KafkaJSNotImplemented', 'CorruptRecordBatchError']);
/** One fetch of a broker; kafkajs keeps up to about three times this in memory. */
const FETCH_BYTES = { maxBytes: 8 * 1024 * 1024, maxBytesPerPartition: 1024 * 1024, minBytes: 1 };
/** Also how late a resumed partition may start fetching when all were paused. */
const MAX_WAIT_MS = 250;

/** `GroupConsumer` over kafkajs. Offsets are never committed by kafkajs itself, and no sink is awaited in its callback. */
export class KafkajsGroupConsumer implements GroupConsumer {
  readonly #consumer: Consumer;
  readonly #topics: readonly string[];
  readonly #groupId: string;
  readonly #logger: Logger;
  #cluster: Cluster | null = null;
  /** From the first join until it leaves: outside of it kafkajs throws at whoever pauses or resumes. */
  #isMember = false;
  #isStopped = false;

  constructor(kafka: KafkaClient, groupId: string, topics: readonly string[], logger: Logger) {
    assertFetchingIsPatched();
    this.#groupId = groupId;
    this.#topics = topics;
    this.#logger = logger;
    this.#consumer = kafka.consumer({
      groupId,
      ...GROUP_TIMING,
      ...FETCH_BYTES,
      maxWaitTimeInMs: MAX_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: {
        retries: 50,
        initialRetryTime: 200,
        maxRetryTime: 5_000,
        // What it would start anew by itself nobody would count, and its pause is none of the supervisor's.
        restartOnFailure: () => Promise.resolve(false),
      },
      partitionAssigners: [
        (config) => {
          this.#cluster = config.cluster as unknown as Cluster;
          return PartitionAssigners.roundRobin(config);
        },
      ],
    });
  }

  async start(listener: GroupListener): Promise<void> {
    const { events } = this.#consumer;
    observeMemberships();
    if (!this.#cluster) throw new Error('kafkajs handed no cluster to its assigner');
    listenToMembership(this.#cluster, {
      beforeJoin: () => (this.#isStopped ? Promise.resolve() : listener.beforeRejoin()),
      // A consumer that has crashed leaves before it says so.
      beforeLeave: async () => {
        if (!this.#isStopped) await listener.beforeRejoin();
        this.#isMember = false;
      },
      onProven: (sentAt) => {
        if (!this.#isStopped) listener.onProven(sentAt);
      },
    });
    this.#consumer.on(events.REBALANCING, () => {
      if (!this.#isStopped) listener.onRebalancing();
    });
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      if (this.#isStopped) return;
      this.#isMember = true;
      const partitions = Object.entries(payload.memberAssignment).flatMap(([topic, ids]) =>
        ids.map((partition) => ({ topic, partition })),
      );
      for (const partition of partitions) this.pause(partition);
      listener.onAssigned(partitions, this.#generation());
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      this.#isMember = false;
      if (!this.#isStopped) listener.onCrash(crashOf(payload.error));
    });
    this.#consumer.on(events.FETCH, () => {
      listener.onFetched();
    });
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#topics], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      partitionsConsumedConcurrently: 1,
      eachBatch: ({ batch }) => {
        if (!this.#isStopped) listener.onBatch((batch as unknown as FetchedBatch).consumed());
        return Promise.resolve();
      },
    });
  }

  resumeAt({ topic, partition }: TopicPartition, offset: number): void {
    if (!this.#isMember) return;
    this.#consumer.seek({ topic, partition, offset: String(offset) });
    this.#consumer.resume([{ topic, partitions: [partition] }]);
  }

  pause({ topic, partition }: TopicPartition): void {
    if (this.#isMember) this.#consumer.pause([{ topic, partitions: [partition] }]);
  }

  resume({ topic, partition }: TopicPartition): void {
    if (this.#isMember) this.#consumer.resume([{ topic, partitions: [partition] }]);
  }

  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    const { cluster, coordinator } = await this.#coordinator();
    const topics = byTopic(partitions, ({ partition }) => ({ partition }));
    const bounds = (fromBeginning: boolean) =>
      cluster.fetchTopicsOffset(
        topics.map(({ topic, partitions: of }) => ({ topic, partitions: of, fromBeginning })),
      );
    const [{ responses }, starts, ends] = await Promise.all([
      coordinator.offsetFetch({ groupId: this.#groupId, topics }),
      bounds(true),
      bounds(false),
    ]);
    const find = <P extends { partition: number }>(
      list: readonly { topic: string; partitions: readonly P[] }[],
      at: TopicPartition,
    ): P => {
      const found = list
        .find((t) => t.topic === at.topic)
        ?.partitions.find((p) => p.partition === at.partition);
      if (!found)
        throw new Error(`reading offsets of ${at.topic}/${at.partition}: the broker didn't answer for it`);
      return found;
    };
    return partitions.map((at) => {
      const commit = find(responses, at);
      return {
        ...at,
        offset: Number(commit.offset) < 0 ? null : safeOffset(commit.offset),
        metadata: commit.metadata === '' ? null : commit.metadata,
        logStart: safeOffset(find(starts, at).offset),
        logEnd: safeOffset(find(ends, at).offset),
      };
    });
  }

  async commit(offsets: readonly OffsetToCommit[], generation: Generation): Promise<void> {
    const { coordinator } = await this.#coordinator();
    await coordinator.offsetCommit({
      groupId: this.#groupId,
      memberId: generation.memberId,
      groupGenerationId: generation.generationId,
      topics: byTopic(offsets, ({ partition, offset, metadata }) => ({
        partition,
        offset: String(offset),
        metadata,
      })),
    });
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.#consumer.disconnect();
    this.#logger.debug({}, 'left the group');
  }

  #group(): KafkajsGroup {
    const group = this.#cluster && groupOf(this.#cluster);
    if (!group) throw new Error('the consumer has not joined the group yet');
    return group;
  }

  #generation(): Generation {
    const { generationId, memberId } = this.#group();
    if (generationId === null || memberId === null)
      throw new Error('the consumer has not joined the group yet');
    return { generationId, memberId };
  }

  async #coordinator(): Promise<{ cluster: Cluster; coordinator: Coordinator }> {
    const { cluster, offsetManager } = this.#group();
    if (!offsetManager) throw new Error('the consumer has not joined the group yet');
    return { cluster, coordinator: await offsetManager.getCoordinator() };
  }
}

/** kafkajs wraps what it doesn't try again: the cause decides. */
function crashOf(error: Error): ConsumerCrash {
  const causes: Error[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) causes.push(cause);
  const isHopeless = causes.some(({ name }) => HOPELESS_ERRORS.has(name));
  const [origin = error] = causes.slice(-1);
  const isRetriable = 'retriable' in origin && origin.retriable === true;
  const isTransient = !isHopeless && (isRetriable || error.name === 'KafkaJSNumberOfRetriesExceeded');
  return { error, isHopeless, isTransient };
}
