/**
 * The composition root: settings → ports → commands → exit code. Each command's code is loaded when it is called, so
 * that `--help` doesn't wait for the clouds' SDKs.
 */
import { Command, CommanderError, Option } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { AnswerSource } from './commands/confirmation.ts';
import {
  DEAD_LETTER_REASON_CHOICES,
  filterOf,
  pointInTime,
  type DeadLetterFlags,
} from './commands/dead-letter-options.ts';
import { ratePerSecond, wholeNumber } from './commands/option-values.ts';
import {
  addCommonOptions,
  compactHelp,
  givenSettingFlags,
  type CommonOptions,
} from './commands/setting-flags.ts';
import { listenForStop, type SignalSource } from './commands/stop-signal.ts';
import type { TextOutput } from './commands/text-output.ts';
import type { UncaughtErrorSource } from './commands/uncaught-errors.ts';
import { ConfigError } from './config/config-error.ts';
import { loadSettings } from './config/load.ts';
import type { LogOutput, Logging } from './config/logging.ts';
import { redactText } from './config/redaction.ts';
import type { KafkaSettings, Settings } from './config/settings.ts';

/** What the program touches of its process; tests put their own in. */
export interface CliProcess {
  /** Without the program's own two. */
  readonly args: readonly string[];
  /** Variables are taken out of it when emulators aren't allowed. */
  readonly env: Record<string, string | undefined>;
  readonly stdout: TextOutput & LogOutput;
  readonly stderr: TextOutput & LogOutput;
  /** Where an operator can answer; absent where nobody can. */
  readonly stdin?: AnswerSource;
  readonly signals: SignalSource & UncaughtErrorSource;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

const FLUSH_MS = 1_000;
const REGISTRY_TIMEOUT_MS = 10_000;

/** Runs the program in this process and ends it. */
export async function main(): Promise<void> {
  // A reader that goes away (`| head`) is no defect; who writes on notices by itself.
  process.stdout.on('error', () => undefined);
  const code = await runCli({
    args: process.argv.slice(2),
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    signals: process,
    exit: (forced) => process.exit(forced),
  });
  await Promise.race([new Promise((resolve) => process.stdout.write('', resolve)), delay(FLUSH_MS)]);
  process.exit(code);
}

/** Runs one command line. Resolves with the exit code: 0 done, 1 failed while running, 2 wrong settings or usage. */
export async function runCli(host: CliProcess): Promise<number> {
  let exitCode = DONE;
  const program = programOf(host, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...host.args], { from: 'user' });
    return exitCode;
  } catch (error) {
    return reportError(error, host);
  }
}

function reportError(error: unknown, { stderr, env }: CliProcess): number {
  // Commander has written its own words.
  if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : WRONG_USAGE;
  if (error instanceof ConfigError) {
    stderr.write(`${error.message}\n`);
    return WRONG_USAGE;
  }
  const isDebugging = env.LOG_LEVEL === 'debug' && error instanceof Error;
  stderr.write(`${redactText(isDebugging ? (error.stack ?? error.message) : reasonsOf(error))}\n`);
  return FAILED;
}

/** The messages of an error and its causes that say something new. */
function reasonsOf(error: unknown): string {
  const reasons: string[] = [];
  for (let cause = error; cause instanceof Error && reasons.length < 5; cause = cause.cause) {
    if (!reasons.some((reason) => reason.includes(cause.message))) reasons.push(cause.message);
  }
  const isUnreachable = reasons.some((reason) => reason.startsWith('Connection '));
  if (isUnreachable) reasons[0] = `${reasons[0]}; is KAFKA_BROKERS right, and does Kafka run?`;
  return reasons.length > 0 ? reasons.join('\n  because: ') : String(error);
}

type SetExitCode = (code: number) => void;

function programOf(host: CliProcess, setExitCode: SetExitCode): Command {
  const program = new Command('datamart-replication')
    .description("Replicates a datamart from Apache Kafka into each customer's own cloud, as it changes")
    .version(packageVersion(), '--version')
    .exitOverride()
    .configureHelp({ formatHelp: compactHelp })
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: (text) => void host.stderr.write(text),
    });
  program.addCommand(startCommand(host, setExitCode));
  program.addCommand(demoCommand(host, setExitCode));
  program.addCommand(kafkaCommand(host, setExitCode));
  program.addCommand(
    new Command('topics')
      .description("this program's topics")
      .addCommand(topicsCreateCommand(host, setExitCode)),
  );
  program.addCommand(generateCommand(host, setExitCode));
  program.addCommand(
    new Command('dead-letters')
      .description('records that could not be decoded, or that a destination rejected')
      .addCommand(deadLettersListCommand(host, setExitCode))
      .addCommand(deadLettersRedriveCommand(host, setExitCode)),
  );
  program.addCommand(
    new Command('partitions')
      .description('of the mutation topics')
      .addCommand(partitionsAdoptCommand(host, setExitCode)),
  );
  program.addCommand(
    new Command('credentials')
      .description('of replications, as they are sealed on their topic')
      .addCommand(credentialsRotateCommand(host, setExitCode)),
  );
  inheritSettings(program);
  return program;
}

/** Commander copies exit and output handling only to commands that it makes itself. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}

function startCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('start').description('run this instance: processor, API, health and metrics');
  return addCommonOptions(command).action(async () => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka, '`datamart-replication demo` starts a Kafka of its own');
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const logging = await openLog(settings, host);
    const { removeEmulatorVariables } = await import('./commands/emulator-variables.ts');
    if (!settings.sinks.allowEmulators) removeEmulatorVariables(host.env, logging.logger);
    const { runStart } = await import('./commands/start.ts');
    const options = { settings, logging, env: host.env, uncaughtErrors: host.signals };
    setExitCode(await runStart(options, stop));
    await logging.flush(FLUSH_MS);
  });
}

function demoCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('demo')
    .description('show the main job on an embedded Apache Kafka, until Ctrl-C')
    .option('--once', 'end when the sample has been delivered');
  return addCommonOptions(command).action(async ({ once = false }: { readonly once?: boolean }) => {
    const settings = settingsOf(command, host);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const logging = await openLog(settings, host);
    const { runDemo } = await import('./commands/demo.ts');
    const options = { settings, logging, env: host.env, isOnce: once, out: host.stdout };
    setExitCode(await runDemo(options, stop.signal));
    await logging.flush(FLUSH_MS);
  });
}

interface KafkaOptions {
  readonly port: number;
  readonly data?: string;
  readonly registry?: boolean;
}

function kafkaCommand(host: CliProcess, setExitCode: SetExitCode): Command {
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
    const { runKafkaCommand } = await import('./local/kafka-command.ts');
    const options = { port, dataDirectory: data, registry, environment: host.env };
    setExitCode(await runKafkaCommand(options, stop.signal, host.stdout, host.stderr));
  });
}

interface TopicsCreateFlags extends CommonOptions {
  readonly partitions: number;
  readonly replicationFactor?: number;
  readonly dryRun?: boolean;
  readonly registerSchema?: boolean;
}

function topicsCreateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('create')
    .description('make the topics that are missing, with the right settings; changes none that exists')
    .option('--partitions <number>', 'of a mutation topic that is made', wholeNumber(1, 10_000), 8)
    .option(
      '--replication-factor <number>',
      'default 3, or as many as there are brokers',
      wholeNumber(1, 100),
    )
    .option('--dry-run', 'only say what would be made')
    .option('--register-schema', "register the mutations' Avro schema");
  return addCommonOptions(command).action(async (flags: TopicsCreateFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    const registerSchema = flags.registerSchema ? await schemaRegistration(settings.kafka) : null;
    const { kafkajsTopicAdmin } = await import('./streams/kafka/topic-admin.ts');
    const { runTopicsCreate } = await import('./commands/topics-create.ts');
    const log = await openCommandLog(settings, host);
    const admin = kafkajsTopicAdmin(settings.kafka, log.logger);
    const options = {
      topics: settings.topics,
      partitions: flags.partitions,
      replicationFactor: flags.replicationFactor ?? null,
      isDryRun: flags.dryRun ?? false,
      isJson: flags.json ?? false,
    };
    try {
      setExitCode(
        await runTopicsCreate(options, { admin, registerSchema, out: host.stdout, errors: host.stderr }),
      );
    } finally {
      await admin.close();
    }
  });
}

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

function generateCommand(host: CliProcess, setExitCode: SetExitCode): Command {
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
    const { runGenerate } = await import('./commands/generate.ts');
    const { sampleMutations } = await import('./local/sample-mutations.ts');
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

interface DeadLettersListFlags extends CommonOptions, DeadLetterFlags {
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
  return addCommonOptions(command).action(async (flags: DeadLettersListFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    host.stdout.on('error', () => {
      stop.stop();
    });
    const { listDeadLetters } = await import('./commands/dead-letters.ts');
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
  return addCommonOptions(command).action(async (flags: DeadLettersRedriveFlags) => {
    const settings = settingsOf(command, host);
    requireBrokers(settings.kafka);
    const { stdin, stdout: out, stderr: errors, env } = host;
    const asks = !flags.yes && !flags.dryRun;
    if (asks && stdin?.isTTY !== true)
      throw new ConfigError(['--yes: not given, and there is no terminal to ask on; --dry-run only looks']);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { removeEmulatorVariables } = await import('./commands/emulator-variables.ts');
    if (!settings.sinks.allowEmulators) removeEmulatorVariables(env, logger);
    const { redriveDeadLetters } = await import('./commands/dead-letters.ts');
    const { askOperator } = await import('./commands/confirmation.ts');
    const options = {
      filter: filterOf(flags),
      limit: flags.limit ?? null,
      isForced: flags.force ?? false,
      isDryRun: flags.dryRun ?? false,
      isAgain: flags.again ?? false,
      isJson: flags.json ?? false,
      progressFile: flags.progressFile ?? null,
    };
    const confirm =
      asks && stdin ? (question: string) => askOperator(question, stdin, errors, stop.signal) : null;
    const environment = { out, errors, confirm, now: () => performance.now() };
    setExitCode(await redriveDeadLetters(options, { settings, logger, env }, environment, stop.signal));
  });
}

const ADOPT_HELP = `
More partitions re-hash a topic's keys: what a user does now may lie in an added partition, what they did before in an
old one. So the records of added partitions are held until this command has seen that everything the old ones held is
through, to every replication; it waits for that, and shows for which. Let producers learn of the new count first (their
metadata.max.age.ms); activate or delete replications that are PAUSED or in ERROR.

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
    if (asks && stdin?.isTTY !== true)
      throw new ConfigError(['--yes: not given, and there is no terminal to ask on; --dry-run only looks']);
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    const { logger } = await openCommandLog(settings, host);
    const { adoptAddedPartitions } = await import('./commands/partitions.ts');
    const { askOperator } = await import('./commands/confirmation.ts');
    const { ProgressLine } = await import('./commands/progress-line.ts');
    const confirm =
      asks && stdin ? (question: string) => askOperator(question, stdin, errors, stop.signal) : null;
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
    const { rotateCredentials } = await import('./commands/credentials.ts');
    const { ProgressLine } = await import('./commands/progress-line.ts');
    const { stdout: out, stderr: errors } = host;
    const progress = new ProgressLine({ errors, now: () => performance.now(), isPlainToo: true });
    const options = { isDryRun: flags.dryRun ?? false, isJson: flags.json ?? false };
    setExitCode(
      await rotateCredentials(options, { settings, logger }, { out, errors, progress }, stop.signal),
    );
  });
}

async function mutationOutput(
  flags: GenerateFlags,
  settings: Settings,
  host: CliProcess,
  stop: { readonly signal: AbortSignal; stop(): void },
) {
  const { avroMutationWriter, jsonMutationWriter, mutationJson } = await import('./local/mutation-writer.ts');
  const { kafkaOutput, lineOutput } = await import('./commands/mutation-outputs.ts');
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
  const { kafkajsPort } = await import('./streams/kafka/kafkajs-port.ts');
  const log = await openCommandLog(settings, host);
  const producer = kafkajsPort(settings.kafka, log.logger).producer();
  const output = kafkaOutput({ topic, producer, write, sleep: (ms) => delay(ms) });
  return { output, close: () => producer.close() };
}

/** Registers the published schema of mutations under a subject, and tells its id. */
async function schemaRegistration({
  schemaRegistry,
}: KafkaSettings): Promise<(subject: string) => Promise<number>> {
  if (!schemaRegistry) {
    throw new ConfigError([
      'KAFKA_SCHEMA_REGISTRY_URL (default): not set; allowed is an http:// or https:// address, which schemas need',
    ]);
  }
  const { HttpSchemaRegistry } = await import('./schemas/schema-registry.ts');
  const { mutationSchemaText } = await import('./local/mutation-writer.ts');
  const registry = new HttpSchemaRegistry({ ...schemaRegistry, timeoutMs: REGISTRY_TIMEOUT_MS });
  return (subject) => registry.registerSchema(subject, mutationSchemaText(), new AbortController().signal);
}

function settingsOf(command: Command, { env }: CliProcess): Settings {
  const { config } = command.opts<CommonOptions>();
  return loadSettings({
    env,
    flags: givenSettingFlags(command),
    configFile: config,
    readFile: (path) => readFileSync(path, 'utf8'),
  });
}

function requireBrokers({ brokers }: KafkaSettings, hint = ''): void {
  if (brokers.length > 0) return;
  throw new ConfigError([
    'KAFKA_BROKERS (default): not set; allowed is host:port, several with commas between them. ' +
      `\`datamart-replication kafka\` starts a broker to try with${hint ? `; ${hint}` : ''}`,
  ]);
}

async function openLog({ log }: Settings, { stdout }: CliProcess): Promise<Logging> {
  const { openLogging } = await import('./config/logging.ts');
  return openLogging(log, stdout);
}

/** Commands that end by themselves keep standard output for their result and say only what went wrong. */
async function openCommandLog({ log }: Settings, { stderr }: CliProcess): Promise<Logging> {
  const { openLogging } = await import('./config/logging.ts');
  return openLogging({ ...log, level: log.level === 'debug' ? 'debug' : 'error' }, stderr);
}

/** The version of the package that this file belongs to, run from the sources or from `dist/`. */
function packageVersion(): string {
  const file = ['./package.json', '../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (!file) return 'unknown';
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return version;
}
