import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from '../cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from '../command-settings.ts';
import { wholeNumber } from '../option-values.ts';
import { addCommonOptions, type CommonOptions } from '../setting-flags.ts';
import { listenForStop } from '../stop-signal.ts';

/** `snapshot rebuild`, `snapshot verify` */
export function snapshotCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('snapshot')
    .description('the newest mutation of each document, which initial syncs send')
    .addCommand(snapshotRebuildCommand(host, setExitCode))
    .addCommand(snapshotVerifyCommand(host, setExitCode));
}

interface SnapshotFlags extends CommonOptions {
  readonly topic?: string;
}

const REBUILD_HELP = `
For a snapshot that was begun when the mutation topic had held mutations for long, that was lost, or that \`snapshot
verify\` finds fault with. Each document gets the newest of the mutations that the topic still has, up to the group's
commit: what comes behind that is the running instances' work, so start them with the snapshot first.

Nothing newer is written over, also while instances run. What is there already isn't written again: run it again after
Ctrl-C or a crash, and it goes on. Start no initial sync while it runs.

Exit codes: 0 done or stopped; 1 Kafka or the schema registry can't be reached, or a topic is wrong; 2 usage.
`;

function snapshotRebuildCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('rebuild')
    .description('build the snapshot from the mutations that there are')
    .option('--topic <name>', 'that of this mutation topic only')
    .addHelpText('after', REBUILD_HELP);
  return addCommonOptions(command).action(async (flags: SnapshotFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { rebuildSnapshot } = await import('./snapshot-on-kafka.ts');
    const options = { topic: flags.topic ?? null, isJson: flags.json ?? false };
    setExitCode(await rebuildSnapshot(options, { settings, logger }, outputsOf(host), stop.signal));
  });
}

const VERIFY_HELP = `
Reads the mutations up to the group's commit and the snapshot, and compares per document: missing (the snapshot hasn't
got it), stale (it has another value), resurrected (it has one that was deleted), extra (no mutation tells of it).
Documents whose mutations the topic holds no more can't be compared; they are counted. Writes nothing.

Exit codes: 0 no difference, 1 differences, or it could not be compared, 2 usage.
`;

function snapshotVerifyCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('verify')
    .description('compare the snapshot with the mutations')
    .option('--topic <name>', 'that of this mutation topic only')
    .option(
      '--examples <number>',
      'differences of each kind that are shown, by hashes',
      wholeNumber(0, 1_000),
      10,
    )
    .addHelpText('after', VERIFY_HELP);
  return addCommonOptions(command).action(async (flags: SnapshotFlags & { readonly examples: number }) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { verifySnapshot } = await import('./snapshot-on-kafka.ts');
    const options = {
      topic: flags.topic ?? null,
      maxExamples: flags.examples,
      isJson: flags.json ?? false,
    };
    setExitCode(await verifySnapshot(options, { settings, logger }, outputsOf(host), stop.signal));
  });
}

function outputsOf({ stdout: out, stderr: errors }: CliProcess) {
  return { out, errors, now: () => performance.now() };
}
