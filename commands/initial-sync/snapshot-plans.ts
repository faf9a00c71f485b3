import { ApiError } from '../../api/api-error.ts';
import { refusedLaunch } from '../../api/launch-body.ts';
import { SerialByKey } from '../../api/serial-by-key.ts';
import type { PlanProgress, SyncPlanSource } from '../../api/sync-plan-operations.ts';
import type { Settings } from '../../config/settings.ts';
import { snapshotProblem } from '../../processors/initial-sync/snapshot-readiness.ts';
import type { SyncPlan } from '../../processors/initial-sync/sync-plan.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import { orAbort } from '../../schemas/or-abort.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import type { SchemaCache } from '../../schemas/schema-cache.ts';
import type { SinkRegistry } from '../../sinks/registry.ts';
import { systemClock } from '../../streams/clock.ts';
import type { ControlTables } from '../../streams/control-tables.ts';
import { SyncPlanner } from '../../streams/initial-sync/sync-planner.ts';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import type { Logger } from '../../streams/logger.ts';
import type { PartitionPins } from '../../streams/partition-pins.ts';
import { TopicReadError } from '../../streams/redrive/persistent-read.ts';
import { SchemaNotLoadedError } from '../../streams/snapshot/mutation-reader.ts';
import type { ExistingTopic } from '../../streams/topics/topic-admin-port.ts';

export interface SnapshotPlansContext {
  readonly settings: Pick<Settings, 'kafka' | 'topics'>;
  readonly logger: Logger;
  /** Followed by whoever hands them in. */
  readonly tables: Pick<ControlTables, 'status'>;
  readonly pins: Pick<PartitionPins, 'countOf'>;
  readonly sinks: SinkRegistry;
  readonly schemas: SchemaCache;
}

const BUSY_RETRY_SECONDS = 10;

/**
 * Plans over this instance's Kafka, one after the other: each reads the whole snapshot. Disposing of it ends the one that
 * is at work.
 */
export class SnapshotPlans implements SyncPlanSource, AsyncDisposable {
  readonly #context: SnapshotPlansContext;
  readonly #turns = new SerialByKey();
  readonly #closing = new AbortController();

  constructor(context: SnapshotPlansContext) {
    this.#context = context;
  }

  async plan(
    replications: readonly ReplicationConfig[],
    onProgress: (progress: PlanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlan> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    try {
      const planned = this.#turns.run('plan', () => this.#read(replications, onProgress, until));
      // A broker that is silent holds a read for longer than the caller waits.
      return await orAbort(planned, until);
    } catch (error) {
      throw until.aborted ? outOfTime(error) : refusalOf(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('this instance stops'));
    await this.#turns.run('plan', () => Promise.resolve());
  }

  async #read(
    replications: readonly ReplicationConfig[],
    onProgress: (progress: PlanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlan> {
    signal.throwIfAborted();
    const { settings, logger, tables, sinks, schemas } = this.#context;
    const { mutations, snapshots: snapshotTopics } = settings.topics;
    const snapshots = await this.#snapshots();
    const reader = kafkajsPort(settings.kafka, logger).partitionReader();
    try {
      const planner = new SyncPlanner({
        reader,
        decoder: new RecordDecoder(schemas),
        schemas,
        encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
        sinks,
        reportsOf: (id) => tables.status.reports(id),
        snapshotOf: (topic) => snapshotTopics[mutations.indexOf(topic)],
        clock: systemClock,
        random: Math.random,
      });
      const plan = await planner.plan(replications, snapshots, onProgress, signal);
      if (!plan) throw new Error('the plan was stopped');
      return plan;
    } finally {
      await reader.close();
    }
  }

  /** The snapshot topics as the cluster has them. Throws a `snapshot_stale`. */
  async #snapshots(): Promise<readonly ExistingTopic[]> {
    const { settings, logger, pins } = this.#context;
    const { mutations, snapshots } = settings.topics;
    const admin = kafkajsTopicAdmin(settings.kafka, logger);
    try {
      const found = await admin.describeTopics([...mutations, ...snapshots]);
      const byName = new Map(found.map((topic) => [topic.name, topic]));
      const problem = snapshotProblem(
        mutations.map((mutation, i) => {
          const snapshot = snapshots[i] ?? '';
          const mutationPartitions = byName.get(mutation)?.partitions ?? 0;
          return {
            snapshot,
            snapshotPartitions: byName.get(snapshot)?.partitions ?? null,
            mutations: mutation,
            mutationPartitions,
            // Nobody has started yet: all of them will be worked on.
            pinnedPartitions: pins.countOf(mutation) || mutationPartitions,
          };
        }),
      );
      if (problem) throw refusedLaunch(problem, systemClock.now());
      return snapshots.flatMap((name) => byName.get(name) ?? []);
    } finally {
      await admin.close();
    }
  }
}

/** What the caller is told; anything else is a defect. */
function refusalOf(error: unknown): unknown {
  if (error instanceof TopicReadError)
    return new ApiError('not_ready', 'the snapshot can’t be read at the moment', {
      hint: 'try again; /readyz says what is missing',
      retryAfterSeconds: BUSY_RETRY_SECONDS,
      cause: error,
    });
  if (error instanceof SchemaNotLoadedError)
    return new ApiError('not_ready', 'the schema registry can’t be asked at the moment', {
      retryAfterSeconds: BUSY_RETRY_SECONDS,
      cause: error,
    });
  return error;
}

function outOfTime(cause: unknown): ApiError {
  return new ApiError('not_ready', 'reading the snapshot took longer than a call may', {
    hint: '`initial-sync plan` without --api takes the time that it needs',
    retryAfterSeconds: BUSY_RETRY_SECONDS,
    cause,
  });
}
