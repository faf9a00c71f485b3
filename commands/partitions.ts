import type { Settings } from '../config/settings.ts';
import { systemClock } from '../streams/clock.ts';
import { GlobalTable } from '../streams/global-table.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { PartitionPins } from '../streams/partition-pins.ts';
import { identityHash } from '../streams/replication-identity.ts';
import { moveGrownRows } from '../streams/snapshot/snapshot-growth.ts';
import { TableWriter } from '../streams/table-writer.ts';
import { adoptPartitions, type AdoptionPorts, type GrownTopic } from '../streams/topics/adopt-partitions.ts';
import {
  runPartitionsAdopt,
  type PartitionsAdoptOptions,
  type PartitionsAdoptPorts,
} from './partitions-adopt.ts';
import { openSinks, openTable } from './processor.ts';
import { assertTopics } from './required-topics.ts';

/** `partitions adopt` on the settings' Kafka. */
export async function adoptAddedPartitions(
  options: PartitionsAdoptOptions,
  { settings, logger }: { readonly settings: Settings; readonly logger: Logger },
  environment: Pick<PartitionsAdoptPorts, 'confirm' | 'progress' | 'out' | 'errors'>,
  signal: AbortSignal,
): Promise<number> {
  const { mutations, snapshots, replicationConfig, replicationStatus } = settings.topics;
  await using stack = new AsyncDisposableStack();
  const admin = kafkajsTopicAdmin(settings.kafka, logger);
  stack.defer(() => admin.close());
  const port = kafkajsPort(settings.kafka, logger);
  const [reader, tableReader, producer] = [port.partitionReader(), port.partitionReader(), port.producer()];
  const writer = port.partitionWriter();
  for (const each of [reader, tableReader, producer, writer]) stack.defer(() => each.close());
  const shared = { clock: systemClock, random: Math.random, logger };
  const pins = new PartitionPins(new TableWriter({ ...shared, topic: replicationStatus, producer, signal }));
  const table = openTable(await openSinks(settings, logger, { pubsubEmulatorHost: null }), settings);
  const tables = [
    new GlobalTable({
      ...shared,
      topic: replicationStatus,
      reader: tableReader,
      apply: ({ key, value }) => void pins.apply(key?.toString() ?? '', value),
    }),
    new GlobalTable({
      ...shared,
      topic: replicationConfig,
      reader: tableReader,
      apply: ({ key, value, offset, timestamp }) =>
        void table.apply(key?.toString() ?? '', value, offset, timestamp),
    }),
  ];
  const existing = new Map(
    (await admin.describeTopics([...mutations, ...snapshots, replicationConfig, replicationStatus])).map(
      (topic) => [topic.name, topic],
    ),
  );
  assertTopics([...mutations, replicationConfig, replicationStatus], existing);
  for (const each of tables) await each.restore(signal);
  const grown = mutations.flatMap((topic, i): GrownTopic[] => {
    const partitions = existing.get(topic)?.partitions ?? 0;
    const pinned = pins.countOf(topic);
    const snapshot = existing.get(snapshots[i] ?? '');
    if (pinned === 0 || partitions <= pinned) return [];
    return [
      {
        topic,
        pinned,
        partitions,
        snapshot: snapshot?.name ?? null,
        snapshotPartitions: snapshot?.partitions ?? 0,
      },
    ];
  });
  const names = new Map([...table.all()].map((config) => [identityHash(config), config.id]));
  const onFailed = (error: Error): void => {
    logger.warn({ error }, 'the snapshot can’t be written yet; trying again');
  };
  const moveRows: AdoptionPorts['moveRows'] = (snapshot, onProgress, stop) =>
    moveGrownRows(snapshot, { ...shared, reader, writer }, { onProgress, onFailed }, stop);
  const ports: AdoptionPorts = {
    admin,
    reader,
    pins,
    groupId: settings.kafka.groupId,
    clock: systemClock,
    moveRows: settings.snapshot.enabled ? moveRows : null,
  };
  return await runPartitionsAdopt(
    options,
    {
      ...environment,
      grown,
      adopt: (topic, stop, listener) => adoptPartitions(topic, ports, stop, listener),
      nameOf: ({ replication }) => names.get(replication) ?? null,
    },
    signal,
  );
}
