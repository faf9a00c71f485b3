import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import { controlTopicsOf } from '../streams/control-tables.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { openControlPlane, type ControlPlane } from './control-plane.ts';
import { FollowedTables } from './control-tables.ts';
import { readOnlyPositions } from './control-view.ts';
import type { OpenSyncPlans } from './initial-sync/plan-command.ts';
import type { OpenExecutions } from './initial-sync/session.ts';
import { openSchemas, openSinks, openTable } from './processor.ts';
import type { ReplicationsConnection } from './replications/session.ts';
import { assertTopics } from './required-topics.ts';

/** Replications over the settings' Kafka, for commands. Destinations are checked by the processors, which have what that needs. */
export async function openReplications(
  settings: Settings,
  logger: Logger,
): Promise<ReplicationsConnection & Pick<ControlPlane, 'executions' | 'plans'>> {
  await assertControlTopics(settings, logger);
  await using stack = new AsyncDisposableStack();
  const sinks = await openSinks(settings, logger, { pubsubEmulatorHost: null });
  const { pins, lists } = readOnlyPositions(settings, logger);
  const followed = stack.use(
    new FollowedTables({
      settings,
      logger,
      replications: openTable(sinks, settings),
      credentials: new CredentialsTable(),
      listener: { takeStatus: (key, value) => lists.apply(key, value) || pins.apply(key, value) },
    }),
  );
  await followed.start(new AbortController().signal);
  const schemas = openSchemas(settings);
  stack.defer(() => schemas.close());
  const { operations, executions, plans } = stack.use(
    openControlPlane({
      settings,
      logger,
      tables: followed.tables,
      pins,
      lists,
      sinks,
      schemas,
      checksDestinations: false,
    }),
  );
  const held = stack.move();
  return { operations, executions, plans, close: () => held.disposeAsync() };
}

/** Initial synchronizations over the settings' Kafka, for commands. */
export const openExecutions: OpenExecutions = async (settings, logger) => {
  const connection = await openReplications(settings, logger);
  return { operations: connection.executions, close: () => connection.close() };
};

/** Plans of initial synchronizations over the settings' Kafka, for commands. */
export const openSyncPlans: OpenSyncPlans = async (settings, logger) => {
  const connection = await openReplications(settings, logger);
  return { operations: connection.plans, close: () => connection.close() };
};

async function assertControlTopics({ kafka, topics }: Settings, logger: Logger): Promise<void> {
  const admin = kafkajsTopicAdmin(kafka, logger);
  try {
    const wanted = controlTopicsOf(topics);
    assertTopics(wanted, new Set((await admin.describeTopics(wanted)).map(({ name }) => name)));
  } finally {
    await admin.close();
  }
}
