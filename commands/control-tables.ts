import type { Settings } from '../config/settings.ts';
import type { CredentialsTable } from '../processors/credentials-table.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { systemClock } from '../streams/clock.ts';
import { ControlTables, type ControlListener } from '../streams/control-tables.ts';
import type { FatalStreamsError } from '../streams/errors.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import type { Logger } from '../streams/logger.ts';
import { ReaderPerTopic } from '../streams/reader-per-topic.ts';

export interface ControlTablesContext {
  readonly settings: Settings;
  readonly logger: Logger;
  /** Still empty; its rules judge the records. */
  readonly replications: ReplicationTable;
  /** Still empty. */
  readonly credentials: CredentialsTable;
  readonly listener?: Omit<ControlListener, 'onFatal'>;
}

/** The control tables on the settings' Kafka, for a command or an instance without tasks. */
export class FollowedTables implements AsyncDisposable {
  readonly tables: ControlTables;
  readonly #close: () => Promise<void>;
  readonly #following = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  #followed: Promise<void> = Promise.resolve();

  constructor({ settings, logger, replications, credentials, listener = {} }: ControlTablesContext) {
    const port = kafkajsPort(settings.kafka, logger);
    const reader = new ReaderPerTopic(() => port.partitionReader());
    this.#close = () => reader.close();
    this.#failed.promise.catch(() => undefined);
    this.tables = new ControlTables({
      topics: settings.topics,
      replications,
      credentials,
      reader,
      clock: systemClock,
      random: Math.random,
      logger,
      listener: {
        ...listener,
        onFatal: (error: FatalStreamsError) => {
          this.#failed.reject(error);
        },
      },
    });
  }

  /** Rejects when a record says more than this program understands. Never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Reads the tables whole, and follows them until they are disposed of. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.race([this.tables.restore(signal), this.failed]);
    this.#followed = this.tables.follow(this.#following.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#following.abort();
    await this.#followed;
    await this.#close();
  }
}
