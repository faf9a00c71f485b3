import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { FLUSH_MS, openLog, requireBrokers, settingsOf } from './command-settings.ts';
import { addCommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

/** `start` */
export function startCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('start').description('run this instance: processor, API, health and metrics');
  return addCommonOptions(command).action(async () => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka, '`datamart-replication demo` starts a Kafka of its own');
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const logging = await openLog(settings, host);
    const { removeClientVariables } = await import('./client-variables.ts');
    removeClientVariables(host.env, settings.sinks, logging.logger);
    const { runStart } = await import('./start.ts');
    const options = { settings, logging, env: host.env, uncaughtErrors: host.signals };
    setExitCode(await runStart(options, stop));
    await logging.flush(FLUSH_MS);
  });
}
