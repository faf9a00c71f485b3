import { sleep } from '../../streams/clock.ts';
import type { KafkaPort } from '../../streams/kafka-port.ts';
import { PartitionPins } from '../../streams/partition-pins.ts';
import { TableWriter } from '../../streams/table-writer.ts';
import { adoptPartitions, type GroupCommit, type GrownTopic } from '../../streams/topics/adopt-partitions.ts';
import { silentLogger } from '../support/silent-logger.ts';
import { GROUP, MUTATIONS, TOPICS } from './simulated-instance.ts';
import type { SimulatedProcess } from './simulated-process.ts';

const AGAIN_MS = 1_000;

export interface PartitionOperatorOptions {
  readonly process: SimulatedProcess;
  readonly port: KafkaPort;
  readonly random: () => number;
  /** What the group has committed in the mutation topic, by partition. */
  readonly commits: () => ReadonlyMap<number, GroupCommit>;
}

/** Has added partitions worked on, as `partitions adopt` does, again and again until it succeeds. Resolves then. */
export async function adoptAdded(
  { process, port, random, commits }: PartitionOperatorOptions,
  { pinned, partitions }: Pick<GrownTopic, 'pinned' | 'partitions'>,
): Promise<void> {
  const never = new AbortController().signal;
  const writer = new TableWriter({
    topic: TOPICS.replicationStatus,
    producer: port.producer(),
    clock: process,
    random,
    logger: silentLogger,
    signal: never,
  });
  const ports = {
    admin: { growTopic: () => Promise.resolve(), committedOffsets: () => Promise.resolve(commits()) },
    reader: port.partitionReader(),
    pins: new PartitionPins(writer),
    groupId: GROUP,
    moveRows: null,
    clock: process,
  };
  const grown: GrownTopic = {
    topic: MUTATIONS,
    pinned,
    partitions,
    snapshot: null,
    snapshotPartitions: 0,
  };
  for (;;) {
    try {
      await adoptPartitions(grown, ports, never, { onWaiting: () => undefined, onMoving: () => undefined });
      return;
    } catch {
      // The network may be bad.
      await sleep(process, AGAIN_MS, never);
    }
  }
}
