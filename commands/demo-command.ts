import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { FLUSH_MS, openLog, settingsOf } from './command-settings.ts';
import { addCommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

/** `demo` */
export function demoCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('demo')
    .description('show the main job on an embedded Apache Kafka, until Ctrl-C')
    .option('--once', 'end when the sample has been delivered');
  return addCommonOptions(command).action(async ({ once = false }: { readonly once?: boolean }) => {
    const settings = settingsOf(command, host);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const logging = await openLog(settings, host);
    const { removeClientVariables } = await import('./client-variables.ts');
    // Its destinations are fakes of its own.
    removeClientVariables(host.env, { allowEmulators: true }, logging.logger);
    const { runDemo } = await import('./demo.ts');
    const options = { settings, logging, env: host.env, isOnce: once, out: host.stdout };
    setExitCode(await runDemo(options, stop.signal));
    await logging.flush(FLUSH_MS);
  });
}
