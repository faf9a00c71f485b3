import { Command } from 'commander';
import { ConfigError } from '../config/config-error.ts';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

interface DoctorFlags extends CommonOptions {
  readonly replicationId?: string;
  readonly all?: boolean;
}

const DOCTOR_HELP = `
Looks at settings, brokers, topics, rights, the consumer group, the schema registry, keys, the clock, the state of each
replication, and tries the destination of each that wants to be ACTIVE. Changes and publishes nothing. Run it where an
instance runs, with its settings.

Exit codes: 0 all is well, or there are only warnings; 1 a check failed; 2 wrong settings or usage.
`;

/** `doctor` */
export function doctorCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('doctor')
    .description('check everything that replications need, and say what to do')
    .option('--replication-id <id>', 'try and report only this one')
    .option('--all', 'try the destinations of PAUSED replications too')
    .addHelpText('after', DOCTOR_HELP);
  return addCommonOptions(command).action(async (flags: DoctorFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    if (flags.all && flags.replicationId !== undefined)
      throw new ConfigError(['--all and --replication-id: both are given; only one of them is allowed']);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { removeClientVariables } = await import('./client-variables.ts');
    removeClientVariables(host.env, settings.sinks, logger);
    const { examineSystem } = await import('./doctor/on-kafka.ts');
    const { stdout: out, stderr: errors, env } = host;
    const options = {
      isJson: flags.json ?? false,
      hasColours: out.isTTY === true && !env.NO_COLOR,
      replicationId: flags.replicationId ?? null,
      isAll: flags.all ?? false,
    };
    setExitCode(await examineSystem(options, { settings, logger, env }, { out, errors }, stop.signal));
  });
}
