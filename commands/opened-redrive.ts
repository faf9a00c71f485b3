import type { ReplicationTable } from '../processors/replication-table.ts';
import { Topology } from '../processors/topology.ts';
import { AvroOperationEncoder } from '../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../schemas/record-decoder.ts';
import type { SchemaCache } from '../schemas/schema-cache.ts';
import type { CredentialsResolver } from '../sinks/credentials.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import type { Random } from '../streams/backoff.ts';
import type { Clock } from '../streams/clock.ts';
import { Destinations } from '../streams/destinations.ts';
import type { PartitionReader } from '../streams/kafka-port.ts';
import type { Logger } from '../streams/logger.ts';
import { EngineMetrics } from '../streams/metrics.ts';
import { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import type { RedriveLedger } from '../streams/redrive/redrive-ledger.ts';
import { Redrive, type RedriveContext } from '../streams/redrive/redrive.ts';
import { KafkaSnapshotView } from '../streams/redrive/snapshot-view.ts';
import type { DeadLetterTopics } from './dead-letter-topics.ts';

/** What a redrive is put together from. It closes none of it, but the readers that it opens. */
export interface RedriveParts {
  /** Read to its end, and followed. */
  readonly replications: ReplicationTable;
  readonly sinks: SinkRegistry;
  readonly credentials: CredentialsResolver;
  readonly schemas: SchemaCache;
  /** Opens a reader. */
  readonly partitionReader: () => PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface RedriveOptions {
  readonly ledger: RedriveLedger;
  readonly isForced: boolean;
  readonly isDryRun: boolean;
  readonly hooks: Pick<RedriveContext, 'onEvent' | 'onLetterDone' | 'onRetry'>;
}

/** The dead letters, and destinations for them that no processor shares. */
export class OpenedRedrive implements AsyncDisposable {
  readonly log: DeadLetterLog;
  readonly destinations: Destinations;
  readonly #parts: RedriveParts;
  readonly #topics: DeadLetterTopics;
  readonly #reader: PartitionReader;
  readonly #snapshotReader: PartitionReader;

  /** Opens no destination before something is sent to it. Throws a `MissingTopicError`. */
  constructor(parts: RedriveParts, topics: DeadLetterTopics) {
    const { topic, partitions } = topics.deadLetters();
    const { clock, random, logger, credentials } = parts;
    this.#parts = parts;
    this.#topics = topics;
    this.#reader = parts.partitionReader();
    this.#snapshotReader = parts.partitionReader();
    this.log = new DeadLetterLog({ topic, partitions, reader: this.#reader, clock, random });
    this.destinations = new Destinations(parts.sinks, {
      clock,
      random,
      logger,
      credentials,
      metrics: new EngineMetrics(),
      // Who redrives wants an attempt now, and a refusal ends the replication's part at once.
      isActivated: () => true,
      onFault: () => undefined,
    });
  }

  /** Puts a redrive together; `signal` ends its waiting for the snapshot. */
  redrive({ ledger, isForced, isDryRun, hooks }: RedriveOptions, signal: AbortSignal): Redrive {
    const { replications, schemas, clock, random } = this.#parts;
    const shared = { clock, random };
    return new Redrive({
      ...hooks,
      ...shared,
      log: this.log,
      ledger,
      table: replications,
      schemas,
      destinations: this.destinations,
      topology: new Topology(new RecordDecoder(schemas), replications),
      encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
      snapshot: isForced
        ? null
        : new KafkaSnapshotView({
            ...shared,
            signal,
            reader: this.#snapshotReader,
            topics: this.#topics.snapshots,
          }),
      partitionCount: (topic) => this.#topics.partitionCount(topic),
      isDryRun,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destinations.close();
    await Promise.all([this.#reader.close(), this.#snapshotReader.close()]);
  }
}
