import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClusterId, startKafka, type EmbeddedKafka } from '../../local/embedded-kafka.ts';
import { findFreePorts, LOOPBACK } from '../../local/free-port.ts';
import { kafkaClient } from '../support/kafka.ts';

const BROKERS = 3;

/** What one broker is started with, again and again. */
interface BrokerPlan {
  readonly port: number;
  readonly dataDirectory: string;
  readonly clusterId: string;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Three brokers of the test's own, each of which it may kill and start again on its data. Every topic has a replica on all
 * of them, two of which must hold what is stored.
 */
export class KafkaCluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #plans: readonly BrokerPlan[];
  readonly #running: EmbeddedKafka[];

  private constructor(directory: string, plans: readonly BrokerPlan[], running: EmbeddedKafka[]) {
    this.#directory = directory;
    this.#plans = plans;
    this.#running = running;
  }

  static async start(): Promise<KafkaCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-cluster-'));
    const plans = await plan(directory);
    // None of them serves clients before two have found each other.
    const started = await Promise.allSettled(plans.map((each) => startKafka(each)));
    const running = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const cluster = new KafkaCluster(directory, plans, running);
    const failed = started.find(({ status }) => status === 'rejected');
    if (!failed) return cluster;
    await cluster[Symbol.asyncDispose]();
    throw (failed as PromiseRejectedResult).reason;
  }

  /** For `KAFKA_BROKERS`; those that were killed are among them. */
  get brokers(): readonly string[] {
    return this.#plans.map(({ port }) => `${LOOPBACK}:${port}`);
  }

  /** SIGKILL; resolves when the broker is gone. Brokers are counted from 0. */
  async kill(broker: number): Promise<void> {
    this.#running[broker]!.kill();
    await this.#running[broker]!.exited;
  }

  /** Starts a broker that was killed again; resolves once it answers clients. */
  async restart(broker: number): Promise<void> {
    this.#running[broker] = await startKafka(this.#plans[broker]);
  }

  /** The broker that leads each partition of the topic, by partition; -1 where none does. */
  async leaders(topic: string): Promise<readonly number[]> {
    const admin = kafkaClient(this.brokers).admin();
    await admin.connect();
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const partitions = topics[0]?.partitions ?? [];
      return partitions
        .toSorted((a, b) => a.partitionId - b.partitionId)
        .map(({ leader }) => (leader < 0 ? leader : leader - 1));
    } finally {
      await admin.disconnect();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map((broker) => broker.stop()));
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function plan(directory: string): Promise<readonly BrokerPlan[]> {
  const ports = await findFreePorts(2 * BROKERS);
  const nodes = Array.from({ length: BROKERS }, (_, index) => ({
    id: index + 1,
    port: ports[2 * index] ?? 0,
    controllerPort: ports[2 * index + 1] ?? 0,
  }));
  const clusterId = newClusterId();
  const voters = nodes.map(({ id, controllerPort }) => `${id}@${LOOPBACK}:${controllerPort}`).join(',');
  return nodes.map(({ id, port, controllerPort }) => ({
    port,
    clusterId,
    dataDirectory: join(directory, `broker-${id}`),
    properties: {
      'node.id': id,
      'controller.quorum.voters': voters,
      listeners: `PLAINTEXT://${LOOPBACK}:${port},CONTROLLER://${LOOPBACK}:${controllerPort}`,
      'default.replication.factor': BROKERS,
      'min.insync.replicas': BROKERS - 1,
      'offsets.topic.replication.factor': BROKERS,
      'transaction.state.log.replication.factor': BROKERS,
      'transaction.state.log.min.isr': BROKERS - 1,
      'replica.lag.time.max.ms': 5_000,
    },
  }));
}
