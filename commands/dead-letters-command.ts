import { Command, Option } from 'commander';
import { ConfigError } from '../config/config-error.ts';
import { addAccessOptions, isReplicationId, type AccessFlags } from './access-options.ts';
import type { ApiDeadLettersContext } from './api-dead-letters.ts';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { askOperator, requireTerminal } from './confirmation.ts';
import {
  DEAD_LETTER_REASON_CHOICES,
  filterOf,
  pointInTime,
  type DeadLetterFlags,
} from './dead-letter-options.ts';
import { reportFailure } from './failure-report.ts';
import { wholeNumber } from './option-values.ts';
import { listenForStop, type StopSignal } from './stop-signal.ts';

/** `dead-letters list`, `dead-letters redrive` */
export function deadLettersCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('dead-letters')
    .description('records that could not be decoded, or that a destination rejected')
    .addCommand(deadLettersListCommand(host, setExitCode))
    .addCommand(deadLettersRedriveCommand(host, setExitCode));
}

interface DeadLettersListFlags extends AccessFlags, DeadLetterFlags {
  readonly limit?: number;
}

function addDeadLetterFilter(command: Command): Command {
  return command
    .option('--replication-id <id>', 'those that name this replication')
    .addOption(new Option('--reason <reason>', 'those of this reason').choices(DEAD_LETTER_REASON_CHOICES))
    .option('--since <time>', 'stored then or later: 2026-11-24T08:00:00Z, 2026-11-24, 12h (ago)', (text) =>
      pointInTime(text),
    )
    .option('--until <time>', 'stored before then', (text) => pointInTime(text))
    .option('--topic <name>', 'those of mutations of this topic');
}

function deadLettersListCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = addDeadLetterFilter(
    new Command('list').description('show dead letters, without key and payload, and count them'),
  ).option(
    '--limit <number>',
    'show the newest so many; default 1000 in the table, all with --json',
    wholeNumber(1, 1_000_000),
  );
  return addAccessOptions(command).action(async (flags: DeadLettersListFlags) => {
    const settings = settingsOf(command, host);
    if (flags.api === undefined) requireBrokers(settings.kafka, '--api URL asks an API instead');
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    if (flags.api !== undefined) {
      const { listApiDeadLetters } = await import('./api-dead-letters.ts');
      setExitCode(
        await overApi(flags, host, stop, (context) =>
          listApiDeadLetters({ limit: flags.limit ?? null }, context),
        ),
      );
      return;
    }
    host.stdout.on('error', () => {
      stop.stop();
    });
    const { listDeadLetters } = await import('./dead-letters.ts');
    const { logger } = await openCommandLog(settings, host);
    const options = { filter: filterOf(flags), limit: flags.limit ?? null, isJson: flags.json ?? false };
    const { stdout: out, stderr: errors, env } = host;
    const environment = { out, errors, now: () => performance.now() };
    setExitCode(await listDeadLetters(options, { settings, logger, env }, environment, stop.signal));
  });
}

interface DeadLettersRedriveFlags extends DeadLettersListFlags {
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly again?: boolean;
  readonly progressFile?: string;
}

const REDRIVE_HELP = `
Each goes through the topology again, to the replication that it names, or to all that want it when it names none.
Without --force only where the snapshot topic still holds that very mutation as its document's newest: an older value
would otherwise arrive after a newer one. PAUSED and unknown replications are left out.

What was acknowledged is noted in the progress file, on disk, before anything further is sent. After Ctrl-C, a crash or
a failure run the command again: only the request that was in flight may be sent twice. What the file says is sent is
never sent again, by any filter, but with --again. It is $XDG_STATE_HOME or ~/.local/state, datamart-replication/,
one for each cluster and dead-letter topic; where that doesn't last (a container), say --progress-file.

With --api it is the API that sends, and notes what it has sent: --again and --progress-file are for Kafka.

Exit codes: 0 done or stopped, 1 some could not be sent, 2 usage.
`;

function deadLettersRedriveCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = addDeadLetterFilter(
    new Command('redrive').description('send dead letters again, once their cause is gone'),
  )
    .option('--limit <number>', 'the first so many that no redrive has sent', wholeNumber(1, 1_000_000_000))
    .option('--force', 'send also what may be older than what the destination has')
    .option('--dry-run', 'only say what would be sent')
    .option('--again', 'send also what an earlier redrive has sent')
    .option('--progress-file <path>', 'where it is noted what was sent')
    .addHelpText('after', REDRIVE_HELP);
  return addAccessOptions(command).action(async (flags: DeadLettersRedriveFlags) => {
    const settings = settingsOf(command, host);
    if (flags.api === undefined) requireBrokers(settings.kafka, '--api URL asks an API instead');
    const { stdin, stdout: out, stderr: errors, env } = host;
    const asks = !flags.yes && !flags.dryRun;
    const terminal = asks ? requireTerminal(stdin, '--dry-run only looks') : null;
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const confirm = terminal && ((question: string) => askOperator(question, terminal, errors, stop.signal));
    if (flags.api !== undefined) {
      const { redriveApiDeadLetters } = await import('./api-dead-letters.ts');
      const { limit = null, force: isForced = false, dryRun: isDryRun = false } = flags;
      const options = { limit, isForced, isDryRun, confirm };
      setExitCode(await overApi(flags, host, stop, (context) => redriveApiDeadLetters(options, context)));
      return;
    }
    const { logger } = await openCommandLog(settings, host);
    const { removeClientVariables } = await import('./client-variables.ts');
    removeClientVariables(env, settings.sinks, logger);
    const { redriveDeadLetters } = await import('./dead-letters.ts');
    const options = {
      filter: filterOf(flags),
      limit: flags.limit ?? null,
      isForced: flags.force ?? false,
      isDryRun: flags.dryRun ?? false,
      isAgain: flags.again ?? false,
      isJson: flags.json ?? false,
      progressFile: flags.progressFile ?? null,
    };
    const environment = { out, errors, confirm, now: () => performance.now() };
    setExitCode(await redriveDeadLetters(options, { settings, logger, env }, environment, stop.signal));
  });
}

/** Runs a command on the dead letters of one replication over HTTP; whatever goes wrong is told. */
async function overApi(
  flags: DeadLettersRedriveFlags,
  host: CliProcess,
  { signal }: StopSignal,
  action: (context: ApiDeadLettersContext) => Promise<number>,
): Promise<number> {
  const { stdout: out, stderr: errors } = host;
  const { json: isJson = false, api = '', datamartId = '', replicationId = '' } = flags;
  try {
    const problems = [
      ...(datamartId === '' ? ['--datamart-id: not given, and with --api it is needed'] : []),
      ...(isReplicationId(replicationId) ? [] : ['--replication-id: with --api it is needed, an id']),
      ...(flags.topic === undefined ? [] : ["--topic: an API can't select by it"]),
      ...(flags.again ? ["--again: an API can't do it"] : []),
      ...(flags.progressFile === undefined ? [] : ['--progress-file: the API has its own']),
    ];
    if (problems.length > 0) throw new ConfigError(problems);
    const { openApi } = await import('./open-api.ts');
    const connection = openApi(api, host, signal);
    const filter = filterOf(flags);
    return await action({ connection, datamartId, replicationId, filter, isJson, out, errors, signal });
  } catch (error) {
    return reportFailure(error, isJson, errors);
  }
}
