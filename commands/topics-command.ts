import { Command } from 'commander';
import type { CliProcess, SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { wholeNumber } from './option-values.ts';
import { schemaRegistration } from './schema-registration.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';

/** `topics create` */
export function topicsCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('topics')
    .description("this program's topics")
    .addCommand(topicsCreateCommand(host, setExitCode));
}

interface TopicsCreateFlags extends CommonOptions {
  readonly partitions: number;
  readonly replicationFactor?: number;
  readonly dryRun?: boolean;
  readonly registerSchema?: boolean;
}

function topicsCreateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('create')
    .description('make the topics that are missing, with the right settings; changes none that exists')
    .option('--partitions <number>', 'of a mutation topic that is made', wholeNumber(1, 10_000), 8)
    .option(
      '--replication-factor <number>',
      'default 3, or as many as there are brokers',
      wholeNumber(1, 100),
    )
    .option('--dry-run', 'only say what would be made')
    .option('--register-schema', "register the mutations' Avro schema");
  return addCommonOptions(command).action(async (flags: TopicsCreateFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    const registerSchema = flags.registerSchema ? await schemaRegistration(settings.kafka) : null;
    const { kafkajsTopicAdmin } = await import('../streams/kafka/topic-admin.ts');
    const { runTopicsCreate } = await import('./topics-create.ts');
    const log = await openCommandLog(settings, host);
    const admin = kafkajsTopicAdmin(settings.kafka, log.logger);
    const options = {
      topics: settings.topics,
      partitions: flags.partitions,
      replicationFactor: flags.replicationFactor ?? null,
      isDryRun: flags.dryRun ?? false,
      isJson: flags.json ?? false,
    };
    try {
      setExitCode(
        await runTopicsCreate(options, { admin, registerSchema, out: host.stdout, errors: host.stderr }),
      );
    } finally {
      await admin.close();
    }
  });
}
