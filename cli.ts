/**
 * The composition root: commands → exit code. Each command's definition lies beside its code, which is loaded when it is
 * called, so that `--help` doesn't wait for the clouds' SDKs.
 */
import { Command, CommanderError } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  DONE,
  FAILED,
  WRONG_USAGE,
  type CliProcess,
  type CommandDefinition,
  type SetExitCode,
} from './commands/cli-process.ts';
import { FLUSH_MS } from './commands/command-settings.ts';
import { completionCommand } from './commands/completion-command.ts';
import { credentialsCommand } from './commands/credentials-command.ts';
import { deadLettersCommand } from './commands/dead-letters-command.ts';
import { demoCommand } from './commands/demo-command.ts';
import { doctorCommand } from './commands/doctor-command.ts';
import { reasonsOf } from './commands/error-text.ts';
import { generateCommand } from './commands/generate-command.ts';
import { initialSyncCommand } from './commands/initial-sync/initial-sync-command.ts';
import { kafkaCommand } from './commands/kafka-command.ts';
import { partitionsCommand } from './commands/partitions-command.ts';
import { replicationsCommand } from './commands/replications/replications-command.ts';
import { compactHelp } from './commands/setting-flags.ts';
import { snapshotCommand } from './commands/snapshot/snapshot-command.ts';
import { startCommand } from './commands/start-command.ts';
import { tokensCommand } from './commands/tokens-command.ts';
import { topicsCommand } from './commands/topics-command.ts';
import { ConfigError } from './config/config-error.ts';
import { redactText } from './config/redaction.ts';

/** In the order of the help. */
const COMMANDS: readonly CommandDefinition[] = [
  startCommand,
  demoCommand,
  kafkaCommand,
  topicsCommand,
  generateCommand,
  replicationsCommand(async (settings, logger) => {
    const { openReplications } = await import('./commands/replications-on-kafka.ts');
    return openReplications(settings, logger);
  }),
  initialSyncCommand(
    async (settings, logger) => {
      const { openExecutions } = await import('./commands/replications-on-kafka.ts');
      return openExecutions(settings, logger);
    },
    async (settings, logger) => {
      const { openSyncPlans } = await import('./commands/replications-on-kafka.ts');
      return openSyncPlans(settings, logger);
    },
  ),
  deadLettersCommand,
  partitionsCommand,
  snapshotCommand,
  credentialsCommand,
  completionCommand,
  doctorCommand,
  tokensCommand,
];

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

function programOf(host: CliProcess, setExitCode: SetExitCode): Command {
  const program = new Command('datamart-replication')
    .description("Replicates a datamart from Apache Kafka into each customer's own cloud, as it changes")
    .version(packageVersion(), '--version')
    // Or `create --version 2` would be taken for the program's own.
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ formatHelp: compactHelp })
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: (text) => void host.stderr.write(text),
    });
  for (const define of COMMANDS) program.addCommand(define(host, setExitCode));
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

/** The version of the package that this file belongs to, run from the sources or from `dist/`. */
function packageVersion(): string {
  const file = ['./package.json', '../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (!file) return 'unknown';
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return version;
}
