import type { Readiness } from '../api/ops-server.ts';
import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import type { SchemaCache } from '../schemas/schema-cache.ts';
import type { SinkRegistry } from '../sinks/registry.ts';
import type { ApplicationState, Unfinished } from '../streams/application.ts';
import { systemClock } from '../streams/clock.ts';
import type { Logger } from '../streams/logger.ts';
import { EngineMetrics } from '../streams/metrics.ts';
import { awaitTopics } from '../streams/topics/awaited-topics.ts';
import { FollowedTables } from './control-tables.ts';
import { readOnlyPositions } from './control-view.ts';
import type { Instance } from './instance.ts';
import { checkOwnTopics, openSchemas, openSinks, openTable, type ProcessorEnvironment } from './processor.ts';

/** An instance with the role `api` alone: it follows the tables, and takes no part in the group. */
export class ApiInstance implements Instance {
  readonly metrics = new EngineMetrics();
  readonly sinks: SinkRegistry;
  readonly schemas: SchemaCache;
  readonly control: Instance['control'];
  readonly #settings: Settings;
  readonly #logger: Logger;
  readonly #followed: FollowedTables;
  readonly #stopping = new AbortController();
  #state: ApplicationState = 'CREATED';
  #missing: readonly string[] = ['start'];
  #closing: Promise<void> | null = null;

  private constructor(settings: Settings, logger: Logger, sinks: SinkRegistry) {
    this.#settings = settings;
    this.#logger = logger;
    this.sinks = sinks;
    this.schemas = openSchemas(settings);
    const { pins, lists } = readOnlyPositions(settings, logger);
    this.#followed = new FollowedTables({
      settings,
      logger,
      replications: openTable(sinks, settings),
      credentials: new CredentialsTable(),
      listener: { takeStatus: (key, value) => lists.apply(key, value) || pins.apply(key, value) },
    });
    this.control = { tables: this.#followed.tables, pins, lists };
    this.metrics.collectProcessMetrics();
    this.metrics.gauge('application_state', 'The state of this instance, as 1', () => [
      { labels: { state: this.#state }, value: 1 },
    ]);
    this.metrics.gauge('table_lag_records', 'Records of a global table not read yet', () =>
      this.#followed.tables.lags.map(({ topic, lag }) => ({ labels: { topic }, value: lag })),
    );
  }

  static async open(
    settings: Settings,
    logger: Logger,
    environment: ProcessorEnvironment,
  ): Promise<ApiInstance> {
    return new ApiInstance(settings, logger, await openSinks(settings, logger, environment));
  }

  get isHealthy(): boolean {
    return this.#state === 'CREATED' || this.#state === 'RUNNING';
  }

  get failed(): Promise<never> {
    return this.#followed.failed;
  }

  readiness(): Readiness {
    return { ready: this.#state === 'RUNNING', state: this.#state, missing: this.#missing };
  }

  async start(): Promise<void> {
    const { signal } = this.#stopping;
    await awaitTopics({
      check: () => checkOwnTopics(this.#settings, this.#logger, null),
      onMissing: (missing) => {
        this.#missing = missing;
      },
      clock: systemClock,
      logger: this.#logger,
      signal,
    });
    this.#missing = ['tables'];
    await this.#followed.start(signal);
    this.#missing = [];
    if (!signal.aborted) this.#state = 'RUNNING';
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  unfinished(): Unfinished {
    return { partitions: [], replications: [], closing: [] };
  }

  async #close(): Promise<void> {
    this.#state = 'PENDING_SHUTDOWN';
    this.#stopping.abort();
    await this.#followed[Symbol.asyncDispose]();
    await this.schemas.close();
    this.#state = 'NOT_RUNNING';
  }
}
