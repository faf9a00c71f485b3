import { Command } from 'commander';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { settingsOf } from './command-settings.ts';
import { wholeNumber } from './option-values.ts';
import { addCommonOptions } from './setting-flags.ts';
import { listenForStop } from './stop-signal.ts';

interface KafkaOptions {
  readonly port: number;
  readonly data?: string;
  readonly registry?: boolean;
}

/** `kafka` */
export function kafkaCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('kafka')
    .description('run just the embedded Apache Kafka, until Ctrl-C')
    .option('--port <number>', 'where it listens', wholeNumber(0, 65_535), 9092)
    .option('--data <directory>', 'keep its data here; without it they end with the command')
    .option('--registry', 'run a schema registry too');
  return addCommonOptions(command).action(async ({ port, data, registry = false }: KafkaOptions) => {
    settingsOf(command, host);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { runKafkaCommand } = await import('../local/kafka-command.ts');
    const options = { port, dataDirectory: data, registry, environment: host.env };
    setExitCode(await runKafkaCommand(options, stop.signal, host.stdout, host.stderr));
  });
}
