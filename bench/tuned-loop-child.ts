/**
 * What the program is measured against: the loop that one writes by hand with kafkajs and the official Pub/Sub client,
 * with the settings that make it fast. It parses a record once, encodes it for each replication, and publishes with
 * 1,000 messages a batch. It has no join, no retries of its own, no order, no dead letters, no metrics.
 */
import { PubSub } from '@google-cloud/pubsub';
import avsc, { type Schema } from 'avsc';
import { Kafka, logLevel } from 'kafkajs';
import { readFileSync } from 'node:fs';
import { runJob, type Delivery } from './job-runner.ts';
import type { BenchJob, BenchPass } from './job.ts';

/** The same fetches as the program's own. */
const FETCH = { maxBytes: 8 * 1024 * 1024, maxBytesPerPartition: 1024 * 1024, maxWaitTimeInMs: 250 };
const BATCHING = { maxMessages: 1_000, maxBytes: 9 * 1024 * 1024, maxMilliseconds: 10 };
const COMMIT_MS = 1_000;
const PARTITIONS_AT_ONCE = Number(process.env['BENCH_LOOP_PARTITIONS'] ?? 8);

interface Mutation {
  readonly user_point_id: string;
  readonly ts: number;
  readonly op: string;
  readonly doc_type: string;
  readonly user_activity_id?: string;
  readonly vector_id?: string;
  readonly segment_id?: string;
  readonly email_hash?: string;
  readonly value: unknown;
}

const operationType = avsc.Type.forSchema(
  JSON.parse(readFileSync(new URL('../schemas/operation-record.avsc', import.meta.url), 'utf8')) as Schema,
);

await runJob(openLoop);

async function openLoop(job: BenchJob, { groupId }: BenchPass): Promise<Delivery> {
  process.env['PUBSUB_EMULATOR_HOST'] = job.pubsubHost;
  const keyFile = readFileSync(`${job.settings['CREDENTIALS_DIRECTORY']}/${job.credentialsFile}`, 'utf8');
  const credentials = JSON.parse(keyFile) as { readonly client_email: string; readonly private_key: string };
  const clients = job.pubsubTopics.map(() => new PubSub({ projectId: job.projectId, credentials }));
  const topics = job.pubsubTopics.map((name, i) => clients[i]!.topic(name, { batching: BATCHING }));
  const kafka = new Kafka({
    clientId: 'tuned-loop',
    brokers: (job.settings['KAFKA_BROKERS'] ?? '').split(','),
    logLevel: logLevel.ERROR,
  });
  const consumer = kafka.consumer({ groupId, ...FETCH });
  const joined = Promise.withResolvers<void>();
  consumer.on(consumer.events.GROUP_JOIN, () => {
    joined.resolve();
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    throw payload.error;
  });
  const positions = new Map<number, bigint>();
  let delivered = 0;
  let committedAt = performance.now();

  const commit = async (): Promise<void> => {
    committedAt = performance.now();
    const offsets = [...positions].map(([partition, offset]) => ({
      topic: job.mutationTopic,
      partition,
      offset: String(offset),
    }));
    await consumer.commitOffsets(offsets);
  };

  return {
    start: async () => {
      await consumer.connect();
      await consumer.subscribe({ topics: [job.mutationTopic], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: async ({ batch }) => {
          const published: Promise<string>[] = [];
          for (const { value } of batch.messages) {
            if (value === null) continue;
            const mutation = JSON.parse(value.toString()) as Mutation;
            const operation = operationOf(mutation);
            const attributes = { doc_type: mutation.doc_type };
            for (const topic of topics) {
              published.push(topic.publishMessage({ data: operationType.toBuffer(operation), attributes }));
            }
          }
          await Promise.all(published);
          delivered += published.length;
          positions.set(batch.partition, BigInt(batch.lastOffset()) + 1n);
          if (performance.now() - committedAt > COMMIT_MS) await commit();
        },
      });
      await joined.promise;
    },
    delivered: () => delivered,
    stop: async () => {
      await commit();
      await consumer.disconnect();
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}

function operationOf(mutation: Mutation) {
  return {
    ts: mutation.ts * 1_000,
    doc_type: mutation.doc_type,
    doc_id: `${mutation.user_point_id}:${documentIdOf(mutation)}`,
    ctx_id: mutation.user_point_id,
    op: mutation.op,
    value: JSON.stringify(mutation.value),
  };
}

/** For the document types that the bench produces. */
function documentIdOf(mutation: Mutation): string | undefined {
  switch (mutation.doc_type) {
    case 'UserActivity':
      return mutation.user_activity_id;
    case 'UserAgent':
      return mutation.vector_id;
    case 'UserSegment':
      return mutation.segment_id;
    case 'UserEmail':
      return mutation.email_hash;
    default:
      throw new Error(`the bench has no ${mutation.doc_type}`);
  }
}
