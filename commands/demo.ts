import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListenError } from '../api/listen.ts';
import { openOpsServer, type OpsSource } from '../api/ops-server.ts';
import type { Logging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import { compareArrivals, type Arrivals } from '../local/arrivals.ts';
import { startDemoDestinations, type DemoDestination } from '../local/demo-destinations.ts';
import { startKafka } from '../local/embedded-kafka.ts';
import { LocalServiceError } from '../local/local-service-error.ts';
import { jsonMutationWriter } from '../local/mutation-writer.ts';
import { sampleMutations, type SampleMutation } from '../local/sample-mutations.ts';
import { DOCUMENT_TYPES } from '../schemas/document-type.ts';
import { sleep, systemClock } from '../streams/clock.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Producer } from '../streams/kafka-port.ts';
import type { Logger } from '../streams/logger.ts';
import { createTopics } from '../streams/topics/create-topics.ts';
import { kafkaOutput } from './mutation-outputs.ts';
import { composeProcessor, type Processor } from './processor.ts';
import type { TextOutput } from './text-output.ts';

export interface DemoOptions {
  readonly settings: Settings;
  readonly logging: Logging;
  /** End after the sample has been delivered, in place of going on until Ctrl-C. */
  readonly isOnce: boolean;
  readonly out: TextOutput;
  /** Starts what stands in for the clouds; a test may break it. */
  readonly startDestinations?: typeof startDemoDestinations;
}

const DATAMART_ID = '1649';
const PARTITIONS = 8;
const SAMPLE_SIZE = 2_000;
const LIVE_RATE = 50;
const LIVE_TICK_MS = 200;
const PROGRESS_MS = 250;
const PLAIN_PROGRESS_MS = 5_000;
/** `--once` gives up when nothing has arrived for so long. */
const STALLED_MS = 30_000;
const SHOWN_MESSAGES = 2;

/**
 * The `demo` command: the main job on a real Apache Kafka, with a file and fakes of Pub/Sub and Event Hubs as the
 * destinations. Resolves with the exit code; with `isOnce` 0 only if everything arrived, byte for byte and in order.
 */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<number> {
  try {
    return await new Demo(options, signal).run();
  } catch (error) {
    if (!(error instanceof LocalServiceError)) throw error;
    options.out.write(`${error.message}\n`);
    return 1;
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #signal: AbortSignal;
  readonly #logger: Logger;
  readonly #sent: SampleMutation[] = [];
  #produced = 0;
  #shownAt = 0;

  constructor(options: DemoOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#logger = quieter(options.logging.logger, options.settings.log.level);
  }

  async run(): Promise<number> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-demo-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const { startDestinations = startDemoDestinations } = this.#options;
    const cloud = stack.use(await startDestinations(directory, DATAMART_ID));
    const brokers = await this.#brokers(stack);
    const settings = demoSettings(this.#options.settings, brokers, cloud);

    this.#step('Creating the topics');
    const admin = kafkajsTopicAdmin(settings.kafka, this.#logger);
    stack.defer(() => admin.close());
    const topicOptions = { partitions: PARTITIONS, replicationFactor: null, isDryRun: false };
    await createTopics(admin, settings.topics, topicOptions);

    const producer = kafkajsPort(settings.kafka, this.#logger).producer();
    stack.defer(() => producer.close());
    this.#step('Writing three replications to the control topic:');
    for (const { id, title } of cloud.destinations) this.#step(`  ${id}: ${title}`);
    await producer.send(
      settings.topics.replicationConfig,
      cloud.destinations.map(({ id, config }) => ({
        key: Buffer.from(id),
        value: Buffer.from(JSON.stringify(config)),
        headers: {},
      })),
    );

    const processor = await composeProcessor(settings, this.#logger, {
      pubsubEmulatorHost: cloud.pubsubHost,
    });
    stack.defer(() => processor.application.close(settings.delivery.shutdownMs));
    const address = await this.#serve(processor, settings, stack);
    this.#step(`Starting the processor; health and metrics on ${address}`);
    await Promise.race([processor.application.start(), processor.application.failed, aborted(this.#signal)]);
    if (this.#signal.aborted) return 0;
    return this.#options.isOnce
      ? await this.#deliverSample(producer, settings, cloud.destinations, processor)
      : await this.#goOn(producer, settings, cloud.destinations, processor, address);
  }

  /** The cluster that the settings name, or an embedded one. */
  async #brokers(stack: AsyncDisposableStack): Promise<readonly string[]> {
    const given = this.#options.settings.kafka.brokers;
    if (given.length > 0) {
      this.#step(`Using the Kafka of KAFKA_BROKERS, ${given.join(',')}`);
      return given;
    }
    this.#step('Starting an embedded Apache Kafka (its jars are downloaded once)');
    const kafka = await startKafka({ onProgress: (line) => this.#step(`  ${line}`), signal: this.#signal });
    stack.defer(() => kafka.stop());
    this.#step(`Apache Kafka answers on ${kafka.brokers.join(',')}`);
    return kafka.brokers;
  }

  /** Serves health and metrics where the settings say, or on a free port when that one is taken. */
  async #serve(
    { application, metrics }: Processor,
    settings: Settings,
    stack: AsyncDisposableStack,
  ): Promise<string> {
    const source: OpsSource = {
      isHealthy: () => application.isHealthy,
      readiness: () => application.readiness(),
      metrics: () => metrics.scrape(),
      contentType: metrics.contentType,
    };
    const { host, port } = settings.http;
    const listen = (on: number) => openOpsServer(source, { host, port: on, logger: this.#logger });
    const server = await listen(port).catch((error: unknown) => {
      if (error instanceof ListenError) return listen(0);
      throw error;
    });
    stack.defer(() => server.close());
    return `http://${host}:${server.port}`;
  }

  /** `--once`: sends the sample, waits until it has arrived everywhere, and compares it byte for byte. */
  async #deliverSample(
    producer: Producer,
    settings: Settings,
    destinations: readonly DemoDestination[],
    processor: Processor,
  ): Promise<number> {
    this.#step(`Sending ${SAMPLE_SIZE} mutations of all ${DOCUMENT_TYPES.length} document types`);
    const sample = sampleMutations({ seed: 1, users: 200, valueBytes: 400, startTs: Date.now() });
    await this.#produce(producer, settings, sample, SAMPLE_SIZE);
    const isComplete = await this.#waitForSample(destinations, processor);
    this.#endProgress();
    if (this.#signal.aborted) return 0;
    await this.#showFirst(destinations);
    let isExact = isComplete;
    for (const destination of destinations) {
      const arrivals = compareArrivals(this.#sent.map(destination.expected), await destination.arrived());
      this.#step(`${destination.id}: ${verdict(arrivals, this.#sent.length)}`);
      isExact &&= isFaultless(arrivals);
    }
    const types = new Set(this.#sent.map(({ docType }) => docType));
    isExact &&= types.size === DOCUMENT_TYPES.length;
    this.#step(isExact ? 'Everything arrived, byte for byte and in order.' : 'The demo FAILED: see above.');
    return isExact ? 0 : 1;
  }

  async #waitForSample(destinations: readonly DemoDestination[], processor: Processor): Promise<boolean> {
    let best = -1;
    let movedAt = systemClock.now();
    while (!this.#signal.aborted) {
      const counts = await Promise.all(destinations.map(async ({ arrived }) => (await arrived()).length));
      this.#progress(destinations, processor);
      if (counts.every((count) => count >= this.#sent.length)) return true;
      const total = counts.reduce((sum, count) => sum + count, 0);
      if (total > best) movedAt = systemClock.now();
      best = Math.max(best, total);
      if (systemClock.now() - movedAt > STALLED_MS) return false;
      await Promise.race([sleep(systemClock, PROGRESS_MS, this.#signal), processor.application.failed]);
    }
    return false;
  }

  /** Without `--once`: mutations at a steady rate until Ctrl-C. */
  async #goOn(
    producer: Producer,
    settings: Settings,
    destinations: readonly DemoDestination[],
    processor: Processor,
    address: string,
  ): Promise<number> {
    const brokers = settings.kafka.brokers.join(',');
    this.#step(
      [
        `Sending ${LIVE_RATE} mutations a second until Ctrl-C. Where to look:`,
        `  metrics      ${address}/metrics (and /healthz, /readyz)`,
        `  operations   tail -f ${join(settings.sinks.fileDirectory ?? '', 'demo/operations.jsonl')}`,
        `  more of them KAFKA_BROKERS=${brokers} npx datamart-replication generate --count 1000`,
        `  another one  write a record to the topic ${settings.topics.replicationConfig} (README: your own replication)`,
      ].join('\n'),
    );
    const sample = sampleMutations({ seed: Date.now(), users: 500, valueBytes: 400, startTs: Date.now() });
    let isShown = false;
    while (!this.#signal.aborted) {
      await this.#produce(producer, settings, sample, (LIVE_RATE * LIVE_TICK_MS) / 1_000);
      // What is shown are the first messages; keeping all that were sent would never end.
      this.#sent.length = 0;
      await Promise.race([sleep(systemClock, LIVE_TICK_MS, this.#signal), processor.application.failed]);
      if (!isShown && this.#produced >= LIVE_RATE) {
        await this.#showFirst(destinations);
        isShown = true;
      }
      this.#progress(destinations, processor);
    }
    this.#endProgress();
    return 0;
  }

  async #produce(
    producer: Producer,
    { topics }: Settings,
    sample: Iterator<SampleMutation>,
    count: number,
  ): Promise<void> {
    const batch = Array.from({ length: count }, () => sample.next().value as SampleMutation);
    const output = kafkaOutput({
      topic: topics.mutations[0] ?? '',
      producer,
      write: jsonMutationWriter(DATAMART_ID),
      sleep: (ms) => sleep(systemClock, ms, this.#signal),
    });
    await output(batch);
    this.#sent.push(...batch);
    this.#produced += count;
  }

  async #showFirst(destinations: readonly DemoDestination[]): Promise<void> {
    for (const { id, arrived, show } of destinations) {
      this.#endProgress();
      this.#step(`The first messages at ${id}:`);
      for (const message of (await arrived()).slice(0, SHOWN_MESSAGES)) this.#step(`  ${show(message)}`);
    }
  }

  /** One line that is written over on a terminal, a line now and then elsewhere. */
  #progress(destinations: readonly DemoDestination[], { metrics }: Processor): void {
    const { out } = this.#options;
    const now = systemClock.now();
    const isTerminal = out.isTTY === true;
    if (now - this.#shownAt < (isTerminal ? PROGRESS_MS : PLAIN_PROGRESS_MS)) return;
    this.#shownAt = now;
    const delivered = (id: string): number =>
      metrics.operations
        .samples()
        .filter(({ labels }) => labels.replication_id === id && labels.result === 'delivered')
        .reduce((sum, { value }) => sum + value, 0);
    const parts = destinations.map(({ id }) => {
      const count = delivered(id);
      return `${id.replace('demo-', '')} ${count} (lag ${Math.max(0, this.#produced - count)})`;
    });
    const line = `in ${this.#produced} | out ${parts.join(' | ')}`;
    out.write(isTerminal ? `\r${line}\u001b[K` : `${line}\n`);
  }

  #endProgress(): void {
    if (this.#options.out.isTTY === true) this.#options.out.write('\r\u001b[K');
  }

  #step(text: string): void {
    this.#options.out.write(`${text}\n`);
  }
}

/** The settings of a processor that delivers to the demo's destinations, in a group of its own. */
function demoSettings(
  settings: Settings,
  brokers: readonly string[],
  cloud: { readonly fileDirectory: string; readonly credentialsDirectory: string },
): Settings {
  return {
    ...settings,
    kafka: {
      ...settings.kafka,
      brokers,
      groupId: `${settings.kafka.groupId}-demo-${Date.now()}`,
      startFrom: 'latest',
    },
    sinks: { ...settings.sinks, allowEmulators: true, fileDirectory: cloud.fileDirectory },
    credentials: { ...settings.credentials, directory: cloud.credentialsDirectory },
  };
}

function isFaultless({ lost, unknown, outOfOrder }: Arrivals): boolean {
  return lost.length === 0 && unknown.length === 0 && outOfOrder.length === 0;
}

function verdict(arrivals: Arrivals, wanted: number): string {
  const { lost, unknown, outOfOrder, duplicates } = arrivals;
  if (isFaultless(arrivals))
    return `${wanted} operations, each in its bytes and order, ${duplicates} sent twice`;
  const example = lost[0] ?? unknown[0] ?? outOfOrder[0] ?? '';
  return `of ${wanted} operations ${lost.length} lost, ${unknown.length} unexpected, ${outOfOrder.length} out of order; for example ${example}`;
}

/** At the default level only warnings, so that the log doesn't write over the progress. */
function quieter(logger: Logger, level: Settings['log']['level']): Logger {
  if (level !== 'info') return logger;
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, msg) => {
      logger.warn(fields, msg);
    },
    error: (fields, msg) => {
      logger.error(fields, msg);
    },
    child: (fields) => quieter(logger.child(fields), level),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}
