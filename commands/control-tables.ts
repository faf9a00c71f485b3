import type { Settings } from '../config/settings.ts';
import type { CredentialsTable } from '../processors/credentials-table.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import { systemClock } from '../streams/clock.ts';
import { ControlTables, type ControlListener } from '../streams/control-tables.ts';
import type { FatalStreamsError } from '../streams/errors.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import type { Logger } from '../streams/logger.ts';

export interface ControlTablesContext {
  readonly settings: Settings;
  readonly logger: Logger;
  /** Still empty; its rules judge the records. */
  readonly replications: ReplicationTable;
  /** Still empty. */
  readonly credentials: CredentialsTable;
  readonly listener?: Omit<ControlListener, 'onFatal'>;
}

/** Tables that are followed until they are disposed of. */
export interface FollowedTables extends AsyncDisposable {
  readonly tables: ControlTables;
}

/** Reads the control tables on the settings' Kafka whole and follows them, for a command or an instance without tasks. */
export async function openControlTables(
  { settings, logger, replications, credentials, listener = {} }: ControlTablesContext,
  signal: AbortSignal,
): Promise<FollowedTables> {
  const reader = kafkajsPort(settings.kafka, logger).partitionReader();
  let tooNew: FatalStreamsError | null = null;
  const tables = new ControlTables({
    topics: settings.topics,
    replications,
    credentials,
    reader,
    clock: systemClock,
    random: Math.random,
    logger,
    listener: {
      ...listener,
      onFatal: (error) => {
        tooNew ??= error;
      },
    },
  });
  const following = new AbortController();
  try {
    await tables.restore(signal);
    throwIfSet(tooNew);
  } catch (error) {
    await reader.close();
    throw error;
  }
  const followed = tables.follow(following.signal);
  return {
    tables,
    [Symbol.asyncDispose]: async () => {
      following.abort();
      await followed;
      await reader.close();
    },
  };
}

function throwIfSet(error: FatalStreamsError | null): void {
  if (error) throw error;
}
