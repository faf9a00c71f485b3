import { Command, Option } from 'commander';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../config/config-error.ts';
import type { Settings } from '../config/settings.ts';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import { ratePerSecond, wholeNumber } from './option-values.ts';
import { schemaRegistration } from './schema-registration.ts';
import { addCommonOptions, type CommonOptions } from './setting-flags.ts';
import { listenForStop, type StopSignal } from './stop-signal.ts';

interface GenerateFlags extends CommonOptions {
  readonly count: number;
  readonly rate: number;
  readonly seed?: number;
  readonly encoding: 'json' | 'avro';
  readonly datamartId: number;
  readonly users: number;
  readonly valueBytes: number;
  readonly stdout?: boolean;
}

/** With a seed, everything repeats: the time of the first mutation too. */
const SEEDED_START_TS = 1_763_900_000_000;

/** `generate` */
export function generateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('generate')
    .description('write sample mutations to the mutation topic')
    .option('--count <number>', 'how many; 0 goes on until Ctrl-C', wholeNumber(0, 1e12), 1_000)
    .option('--rate <number/s>', 'how many a second; 0 is as fast as it goes', ratePerSecond, 0)
    .option('--seed <number>', 'makes the same mutations each time', wholeNumber(0, 0xffff_ffff))
    .addOption(new Option('--encoding <encoding>', 'of the values').choices(['json', 'avro']).default('json'))
    .option('--datamart-id <id>', 'whose mutations', wholeNumber(1, Number.MAX_SAFE_INTEGER), 1649)
    .option('--users <number>', 'how many users there are at a time', wholeNumber(1, 1_000_000), 1_000)
    .option('--value-bytes <number>', 'about how long a value is', wholeNumber(0, 800_000), 1_024)
    .option('--stdout', 'write JSON lines here, not to Kafka');
  return addCommonOptions(command).action(async (flags: GenerateFlags) => {
    const settings = settingsOf(command, host);
    if (flags.stdout && flags.encoding === 'avro')
      throw new ConfigError(['--stdout writes JSON, not --encoding avro']);
    if (!flags.stdout) requireBrokers(settings.kafka, '--stdout needs none');
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { runGenerate } = await import('./generate.ts');
    const { sampleMutations } = await import('../local/sample-mutations.ts');
    const mutations = sampleMutations({
      seed: flags.seed ?? Math.floor(Math.random() * 0x1_0000_0000),
      users: flags.users,
      valueBytes: flags.valueBytes,
      startTs: flags.seed === undefined ? Date.now() : SEEDED_START_TS,
    });
    const { output, close } = await mutationOutput(flags, settings, host, stop);
    const ports = {
      mutations,
      output,
      errors: host.stderr,
      now: () => performance.now(),
      sleep: (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal }).catch(() => undefined),
    };
    try {
      setExitCode(await runGenerate(flags, ports, stop.signal));
    } finally {
      await close();
    }
  });
}

async function mutationOutput(flags: GenerateFlags, settings: Settings, host: CliProcess, stop: StopSignal) {
  const { avroMutationWriter, jsonMutationWriter, mutationJson } =
    await import('../local/mutation-writer.ts');
  const { kafkaOutput, lineOutput } = await import('./mutation-outputs.ts');
  const datamartId = String(flags.datamartId);
  if (flags.stdout) {
    host.stdout.on('error', () => {
      stop.stop();
    });
    const line = mutationJson.bind(null, datamartId);
    return { output: lineOutput(host.stdout, line, stop.signal), close: async () => undefined };
  }
  const [topic = ''] = settings.topics.mutations;
  const write =
    flags.encoding === 'avro'
      ? avroMutationWriter(datamartId, await (await schemaRegistration(settings.kafka))(`${topic}-value`))
      : jsonMutationWriter(datamartId);
  const { kafkajsPort } = await import('../streams/kafka/kafkajs-port.ts');
  const log = await openCommandLog(settings, host);
  const producer = kafkajsPort(settings.kafka, log.logger).producer();
  const output = kafkaOutput({ topic, producer, write, sleep: (ms) => delay(ms) });
  return { output, close: () => producer.close() };
}
