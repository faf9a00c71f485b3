import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import type { ConfigProblem } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { StatusTable } from '../processors/status-table.ts';
import { systemClock } from '../streams/clock.ts';
import { ControlTables } from '../streams/control-tables.ts';
import type { FatalStreamsError } from '../streams/errors.ts';
import type { PartitionReader, Producer } from '../streams/kafka-port.ts';
import type { Logger } from '../streams/logger.ts';
import { PartitionPins } from '../streams/partition-pins.ts';
import { PositionLists } from '../streams/position-lists.ts';
import { TableWriter } from '../streams/table-writer.ts';

/** What is desired and observed, as the topics held it when they were read. */
export interface ControlView {
  readonly replications: ReplicationTable;
  readonly credentials: CredentialsTable;
  /** By key, the newest record of it when that is refused. */
  readonly refused: ReadonlyMap<string, Pick<ConfigProblem, 'code' | 'field' | 'message'>>;
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

/** Tables of positions and partition counts that are only looked at. */
export function readOnlyPositions(
  settings: Settings,
  logger: Logger,
): { readonly pins: PartitionPins; readonly lists: PositionLists } {
  const writer = new TableWriter({
    clock: systemClock,
    random: Math.random,
    logger,
    topic: settings.topics.replicationStatus,
    producer: NO_PRODUCER,
    signal: AbortSignal.abort(),
  });
  return { pins: new PartitionPins(writer), lists: new PositionLists(writer) };
}

/**
 * Reads the control and state topics to their ends, once; `replications` takes the records in force. Writes nothing.
 * Rejects when that takes too long, or `signal` aborts.
 */
export async function readControlView(
  settings: Settings,
  replications: ReplicationTable,
  reader: PartitionReader,
  logger: Logger,
  signal: AbortSignal,
): Promise<ControlView> {
  const { pins, lists } = readOnlyPositions(settings, logger);
  const seen: { newestStatusMs: number | null; tooNew: FatalStreamsError | null } = {
    newestStatusMs: null,
    tooNew: null,
  };
  const tables = new ControlTables({
    topics: settings.topics,
    replications,
    credentials: new CredentialsTable(),
    reader,
    clock: systemClock,
    random: Math.random,
    logger,
    listener: {
      takeStatus: (key, value, timestamp) => {
        seen.newestStatusMs = Math.max(seen.newestStatusMs ?? timestamp, timestamp);
        return lists.apply(key, value) || pins.apply(key, value);
      },
      onFatal: (error) => {
        seen.tooNew ??= error;
      },
    },
  });
  await tables.restore(signal);
  if (seen.tooNew) throw seen.tooNew;
  const refused = [...replications.judged()].flatMap((name) => {
    const problem = replications.judgement(name)?.refused;
    return problem ? [[name, problem] as const] : [];
  });
  return {
    replications,
    credentials: tables.credentials,
    refused: new Map(refused),
    status: tables.status,
    pins,
    lists,
    newestStatusMs: seen.newestStatusMs,
  };
}
