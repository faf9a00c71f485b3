import { ConfigError } from '../config/config-error.ts';
import type { Settings } from '../config/settings.ts';
import { CredentialsTable } from '../processors/credentials-table.ts';
import { systemClock } from '../streams/clock.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { DeadLetterLog } from '../streams/redrive/dead-letter-log.ts';
import { RedriveLedger } from '../streams/redrive/redrive-ledger.ts';
import { FollowedTables } from './control-tables.ts';
import { DeadLetterTopics } from './dead-letter-topics.ts';
import {
  runDeadLettersList,
  type DeadLettersListOptions,
  type DeadLettersListPorts,
} from './dead-letters-list.ts';
import {
  runDeadLettersRedrive,
  type DeadLettersRedriveOptions,
  type DeadLettersRedrivePorts,
} from './dead-letters-redrive.ts';
import { OpenedRedrive } from './opened-redrive.ts';
import { openCredentials, openSchemas, openSinks, openTable } from './processor.ts';
import { defaultLedgerPath, LedgerFile } from './redrive-ledger-file.ts';

export interface DeadLettersContext {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
}

type Environment<Ports, Made extends keyof Ports> = Omit<Ports, Made>;

/** `dead-letters list` on the settings' Kafka. */
export async function listDeadLetters(
  options: DeadLettersListOptions,
  { settings, logger }: DeadLettersContext,
  environment: Environment<DeadLettersListPorts, 'log'>,
  signal: AbortSignal,
): Promise<number> {
  const topics = await describe(settings, logger);
  await using stack = new AsyncDisposableStack();
  const reader = kafkajsPort(settings.kafka, logger).partitionReader();
  stack.defer(() => reader.close());
  const log = new DeadLetterLog({
    ...topics.deadLetters(),
    reader,
    clock: systemClock,
    random: Math.random,
  });
  return await runDeadLettersList(options, { ...environment, log }, signal);
}

/** `dead-letters redrive` on the settings' Kafka, with the destinations of its replications. */
export async function redriveDeadLetters(
  options: DeadLettersRedriveOptions & { readonly progressFile: string | null },
  { settings, logger, env }: DeadLettersContext,
  environment: Environment<DeadLettersRedrivePorts, 'log' | 'ledger' | 'makeRedrive' | 'ledgerPath'>,
  signal: AbortSignal,
): Promise<number> {
  const topics = await describe(settings, logger);
  topics.assertControlTopics();
  const ledgerPath = options.progressFile ?? defaultLedgerPath(env, topics.hash);
  if (ledgerPath === null)
    throw new ConfigError(['--progress-file: not given, and neither XDG_STATE_HOME nor HOME is set']);

  await using stack = new AsyncDisposableStack();
  const port = kafkajsPort(settings.kafka, logger);
  const sinks = await openSinks(settings, logger, { pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null });
  const replications = openTable(sinks, settings);
  const credentials = new CredentialsTable();
  const schemas = openSchemas(settings);
  stack.defer(() => schemas.close());
  const parts = {
    replications,
    sinks,
    credentials: openCredentials(settings, credentials),
    schemas,
    partitionReader: () => port.partitionReader(),
    clock: systemClock,
    random: Math.random,
    logger,
  };
  const opened = stack.use(new OpenedRedrive(parts, topics));
  const followed = stack.use(
    new FollowedTables({
      settings,
      logger,
      replications,
      credentials,
      listener: {
        onConfig: (change) => {
          if (change.kind !== 'changed') return;
          opened.destinations.apply(change.previous, change.next).catch((error: unknown) => {
            logger.warn({ error }, 'a changed destination couldn’t be closed');
          });
        },
      },
    }),
  );
  await followed.start(signal);
  const file = stack.use(await LedgerFile.open(ledgerPath));
  const ledger = await RedriveLedger.open(file);
  const { isForced, isDryRun } = options;
  return await runDeadLettersRedrive(
    options,
    {
      ...environment,
      log: opened.log,
      ledger,
      ledgerPath,
      makeRedrive: (hooks) => opened.redrive({ ledger, isForced, isDryRun, hooks }, signal),
    },
    signal,
  );
}

function describe({ kafka, topics }: Settings, logger: Logger): Promise<DeadLetterTopics> {
  return DeadLetterTopics.describe(topics, () => kafkajsTopicAdmin(kafka, logger));
}
