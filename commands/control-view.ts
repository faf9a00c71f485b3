import type { Settings } from '../config/settings.ts';
import type { ConfigProblem } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { StatusTable } from '../processors/status-table.ts';
import { systemClock } from '../streams/clock.ts';
import { GlobalTable } from '../streams/global-table.ts';
import type { ConsumedRecord, PartitionReader, Producer } from '../streams/kafka-port.ts';
import type { Logger } from '../streams/logger.ts';
import { PartitionPins } from '../streams/partition-pins.ts';
import { PositionLists } from '../streams/position-lists.ts';
import { StatusWriter } from '../streams/status-writer.ts';

/** What is desired and observed, as the topics held it when they were read. */
export interface ControlView {
  readonly replications: ReplicationTable;
  /** By key, the newest record of it when that is refused. */
  readonly refused: ReadonlyMap<string, ConfigProblem>;
  readonly status: StatusTable;
  readonly pins: PartitionPins;
  readonly lists: PositionLists;
  /** Kafka timestamp of the newest status record, in ms; null when there is none. */
  readonly newestStatusMs: number | null;
}

/** For tables that also write where they are used otherwise: nothing is written here. */
const NO_PRODUCER: Producer = {
  send: () => Promise.reject(new Error('a command that only looks writes nothing')),
  close: () => Promise.resolve(),
};

/**
 * Reads the control topic and the status topic to their ends, once, the observed state first; `table` takes the
 * replications. Writes nothing. Rejects when that takes too long, or `signal` aborts.
 */
export async function readControlView(
  { topics }: Settings,
  table: ReplicationTable,
  reader: PartitionReader,
  logger: Logger,
  signal: AbortSignal,
): Promise<ControlView> {
  const shared = { clock: systemClock, random: Math.random, logger };
  const writer = new StatusWriter({
    ...shared,
    topic: topics.replicationStatus,
    producer: NO_PRODUCER,
    signal: AbortSignal.abort(),
  });
  const status = new StatusTable();
  const pins = new PartitionPins(writer);
  const lists = new PositionLists(writer);
  const refused = new Map<string, ConfigProblem>();
  let newestStatusMs: number | null = null;
  const applyStatus = ({ key, value, timestamp }: ConsumedRecord): void => {
    const text = key?.toString() ?? '';
    newestStatusMs = Math.max(newestStatusMs ?? timestamp, timestamp);
    if (!lists.apply(text, value) && !pins.apply(text, value)) status.apply(text, value);
  };
  const applyConfig = ({ key, value, offset }: ConsumedRecord): void => {
    const id = key?.toString() ?? '';
    const change = table.apply(id, value, offset);
    if (change.kind === 'refused') refused.set(id, change.problem);
    else refused.delete(id);
  };
  for (const [topic, apply] of [
    [topics.replicationStatus, applyStatus],
    [topics.replicationConfig, applyConfig],
  ] as const)
    await new GlobalTable({ ...shared, topic, reader, apply }).restore(signal);
  return { replications: table, refused, status, pins, lists, newestStatusMs };
}
