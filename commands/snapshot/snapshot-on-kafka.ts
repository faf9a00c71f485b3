import { ConfigError } from '../../config/config-error.ts';
import type { Settings } from '../../config/settings.ts';
import { RecordDecoder } from '../../schemas/record-decoder.ts';
import { systemClock } from '../../streams/clock.ts';
import { GlobalTable } from '../../streams/global-table.ts';
import { kafkajsPort } from '../../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import type { KafkaPort } from '../../streams/kafka-port.ts';
import type { Logger } from '../../streams/logger.ts';
import type { MutationReaderPorts } from '../../streams/snapshot/mutation-reader.ts';
import { rebuildPartition } from '../../streams/snapshot/snapshot-rebuild.ts';
import { verifyPartition } from '../../streams/snapshot/snapshot-verify.ts';
import { readOnlyPositions } from '../control-view.ts';
import { openSchemas } from '../processor.ts';
import type { TextOutput } from '../text-output.ts';
import { snapshotPartitions, type SnapshotPartition } from './snapshot-partitions.ts';
import { runSnapshotRebuild, type SnapshotRebuildOptions } from './snapshot-rebuild.ts';
import { runSnapshotVerify, type SnapshotVerifyOptions } from './snapshot-verify.ts';

interface Context {
  readonly settings: Settings;
  readonly logger: Logger;
}

interface Outputs {
  readonly out: TextOutput;
  readonly errors: TextOutput;
  readonly now: () => number;
}

/** `snapshot rebuild` on the settings' Kafka. */
export async function rebuildSnapshot(
  options: SnapshotRebuildOptions & { readonly topic: string | null },
  { settings, logger }: Context,
  outputs: Outputs,
  signal: AbortSignal,
): Promise<number> {
  if (!settings.snapshot.enabled)
    throw new ConfigError([
      'SNAPSHOT_ENABLED: false, so the platform upstream writes the snapshot topic; two programs must not. ' +
        'Have it write the snapshot anew, or set this to true here and for all instances',
    ]);
  await using opened = await OpenedSnapshot.open(options.topic, settings, logger, signal);
  const writer = opened.port.partitionWriter();
  opened.defer(() => writer.close());
  const ports = { ...opened.mutations, reader: opened.reader, writer };
  return await runSnapshotRebuild(
    options,
    {
      ...outputs,
      partitions: opened.partitions,
      rebuild: (partition, onProgress) =>
        rebuildPartition(
          partition,
          ports,
          {
            onProgress,
            onFailed: (error) => {
              logger.warn({ error }, 'the snapshot can’t be written yet; trying again');
            },
          },
          signal,
        ),
    },
    signal,
  );
}

/** `snapshot verify` on the settings' Kafka. */
export async function verifySnapshot(
  options: SnapshotVerifyOptions & { readonly topic: string | null },
  { settings, logger }: Context,
  outputs: Outputs,
  signal: AbortSignal,
): Promise<number> {
  await using opened = await OpenedSnapshot.open(options.topic, settings, logger, signal);
  const ports = { ...opened.mutations, reader: opened.reader };
  const { maxExamples } = options;
  return await runSnapshotVerify(
    options,
    {
      ...outputs,
      partitions: opened.partitions,
      verify: (partition, onProgress) =>
        verifyPartition(partition, ports, { maxExamples, onProgress }, signal),
    },
    signal,
  );
}

/** What both commands need of Kafka and the schema registry; disposing closes it. */
class OpenedSnapshot implements AsyncDisposable {
  readonly port: KafkaPort;
  readonly reader: ReturnType<KafkaPort['partitionReader']>;
  readonly mutations: MutationReaderPorts;
  readonly partitions: readonly SnapshotPartition[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<OpenedSnapshot, 'port' | 'reader' | 'mutations' | 'partitions'>,
    stack: AsyncDisposableStack,
  ) {
    this.port = parts.port;
    this.reader = parts.reader;
    this.mutations = parts.mutations;
    this.partitions = parts.partitions;
    this.#stack = stack;
  }

  /** Rejects with what is wrong with the topics. */
  static async open(
    topic: string | null,
    settings: Settings,
    logger: Logger,
    signal: AbortSignal,
  ): Promise<OpenedSnapshot> {
    await using stack = new AsyncDisposableStack();
    const port = kafkajsPort(settings.kafka, logger);
    const reader = port.partitionReader();
    stack.defer(() => reader.close());
    const admin = kafkajsTopicAdmin(settings.kafka, logger);
    stack.defer(() => admin.close());
    const schemas = openSchemas(settings);
    stack.defer(() => schemas.close());
    const shared = { clock: systemClock, random: Math.random };
    const { pins } = readOnlyPositions(settings, logger);
    const { replicationStatus } = settings.topics;
    // Before the first start there are no pins; the topic may not be there either.
    if ((await admin.describeTopics([replicationStatus])).length > 0) {
      const table = new GlobalTable({
        ...shared,
        topic: replicationStatus,
        reader,
        logger,
        apply: ({ key, value }) => void pins.apply(key?.toString() ?? '', value),
      });
      await table.restore(signal);
    }
    const partitions = await snapshotPartitions(settings, topic, {
      admin,
      reader,
      pinnedCountOf: (name) => pins.countOf(name),
    });
    const mutations = { ...shared, decoder: new RecordDecoder(schemas), schemas };
    return new OpenedSnapshot({ port, reader, mutations, partitions }, stack.move());
  }

  defer(close: () => Promise<void>): void {
    this.#stack.defer(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
