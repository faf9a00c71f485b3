import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { askOperator, requireTerminal } from './confirmation.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

/** `partitions adopt` */
export function partitionsCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('partitions')
    .description('of the mutation topics')
    .addCommand(partitionsAdoptCommand(host, setExitCode));
}

const ADOPT_HELP = `
More partitions re-hash a topic's keys: what a user does now may lie in an added partition, what they did before in an
old one. So the records of added partitions are held until this command has seen that everything the old ones held is
through, to every replication; it waits for that, and shows for which. Let producers learn of the new count first (their
metadata.max.age.ms); activate or delete replications that are PAUSED or in ERROR. Then the snapshot gets as many
partitions, and its documents move to where their users' mutations come in now.

Exit codes: 0 adopted, nothing to adopt, or stopped; 1 refused, or Kafka can't be reached; 2 usage.
`;

function partitionsAdoptCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('adopt')
    .description('have partitions worked on that were added to a mutation topic')
    .option('--dry-run', 'only say which wait to be adopted')
    .addHelpText('after', ADOPT_HELP);
  return addCommonOptions(command).action(async (flags: CommonOptions & { readonly dryRun?: boolean }) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    const { stdin, stdout: out, stderr: errors } = host;
    const isDryRun = flags.dryRun ?? false;
    const asks = !flags.yes && !isDryRun;
    const terminal = asks ? requireTerminal(stdin, '--dry-run only looks') : null;
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { adoptAddedPartitions } = await import('./partitions.ts');
    const { ProgressLine } = await import('./progress-line.ts');
    const confirm = terminal && ((question: string) => askOperator(question, terminal, errors, stop.signal));
    const progress = new ProgressLine({ errors, now: () => performance.now(), isPlainToo: true });
    const options = { isDryRun, isJson: flags.json ?? false };
    setExitCode(
      await adoptAddedPartitions(
        options,
        { settings, logger },
        { out, errors, confirm, progress },
        stop.signal,
      ),
    );
  });
}
