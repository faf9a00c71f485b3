import { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { ConfigError } from '../config/config-error.ts';
import { ExplainError, parseExplainRequest, type ExplainRequest } from '../processors/explain-request.ts';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

interface ExplainFlags extends CommonOptions {
  readonly replicationId?: string;
  readonly topic?: string;
  readonly partition?: string;
  readonly offset?: string;
  readonly mutation?: string;
}

const EXPLAIN_HELP = `
The coordinates are those of logs, dead letters and reports. Whatever follows from now and may have been otherwise when
the mutation was taken up is said with "probably". Shows no payload and no id of a user.

  datamart-replication replications explain --topic datamart-mutations --partition 3 --offset 123456
  datamart-replication replications explain --replication-id 80 --mutation mutation.json
  … | datamart-replication replications explain --mutation -

Exit codes: 0 explained, 1 there is no such record, or Kafka can't be asked, 2 usage.
`;

/** `explain`, a member of the group `replications`. */
export function explainCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('explain')
    .description('say for each replication whether it got a mutation, and why not')
    .option('--replication-id <id>', 'only for this one')
    .option('--topic <name>', 'where the mutation lies')
    .option('--partition <number>', 'of that topic')
    .option('--offset <number>', 'in that partition')
    .option('--mutation <file>', 'a mutation in place of its coordinates, as JSON; - reads standard input')
    .addHelpText('after', EXPLAIN_HELP);
  return addCommonOptions(command).action(async (flags: ExplainFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const request = await requestOf(flags, host);
    const { logger } = await openCommandLog(settings, host);
    const { explainOnKafka } = await import('./explain-on-kafka.ts');
    const options = {
      replicationId: flags.replicationId ?? null,
      request,
      isJson: flags.json ?? false,
    };
    const { stdout: out, stderr: errors } = host;
    setExitCode(await explainOnKafka(options, { settings, logger }, { out, errors }, stop.signal));
  });
}

/** Throws a ConfigError for flags that ask for nothing, or for two things. */
async function requestOf(
  { topic, partition, offset, mutation }: ExplainFlags,
  host: CliProcess,
): Promise<ExplainRequest> {
  const coordinates = { topic, partition, offset };
  const hasCoordinates = Object.values(coordinates).some((value) => value !== undefined);
  if (hasCoordinates === (mutation !== undefined))
    throw new ConfigError(['allowed is either --topic, --partition and --offset, or --mutation']);
  try {
    if (mutation === undefined) return parseExplainRequest(coordinates);
    const { mutationRequest } = await import('./explain.ts');
    return mutationRequest(await textOf(mutation, host));
  } catch (error) {
    if (!(error instanceof ExplainError)) throw error;
    throw new ConfigError([`--${error.field ?? 'mutation'} (flag): ${error.message}`]);
  }
}

async function textOf(file: string, { stdin }: CliProcess): Promise<string> {
  if (file === '-') return stdin ? readText(stdin) : '';
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError([`--mutation (flag): reading ${file}: ${code}; allowed is a readable file, or -`]);
  }
}
