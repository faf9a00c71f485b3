import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

/** `credentials rotate` */
export function credentialsCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  return new Command('credentials')
    .description('of replications, as they are sealed on their topic')
    .addCommand(credentialsRotateCommand(host, setExitCode));
}

const ROTATE_HELP = `
Sealed credentials are encrypted under a data key each, and that under CREDENTIALS_KEY. To change that key:
  1. start every instance with the new key in CREDENTIALS_KEY and the former one in CREDENTIALS_OLD_KEYS
  2. credentials rotate
  3. start every instance without the former key
The credentials themselves are neither decrypted nor changed, and no destination notices. It may run beside uploads and
deletions, and again.

Exit codes: 0 done or stopped, 1 some can't be opened (it says which, and which key they need), 2 usage.
`;

function credentialsRotateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('rotate')
    .description('put sealed credentials under the key of CREDENTIALS_KEY')
    .option('--dry-run', 'only say how many that would be')
    .addHelpText('after', ROTATE_HELP);
  return addCommonOptions(command).action(async (flags: CommonOptions & { readonly dryRun?: boolean }) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { rotateCredentials } = await import('./credentials.ts');
    const { ProgressLine } = await import('./progress-line.ts');
    const { stdout: out, stderr: errors } = host;
    const progress = new ProgressLine({ errors, now: () => performance.now(), isPlainToo: true });
    const options = { isDryRun: flags.dryRun ?? false, isJson: flags.json ?? false };
    setExitCode(
      await rotateCredentials(options, { settings, logger }, { out, errors, progress }, stop.signal),
    );
  });
}
