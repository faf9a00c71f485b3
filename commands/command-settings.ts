import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { ConfigError } from '../config/config-error.ts';
import { loadSettings } from '../config/load.ts';
import type { Logging } from '../config/logging.ts';
import type { KafkaSettings, Settings } from '../config/settings.ts';
import type { CliProcess } from './cli-process.ts';
import { givenSettingFlags, type CommonOptions } from './setting-flags.ts';

/** How long a command's last log lines may take. */
export const FLUSH_MS = 1_000;

/** The settings of defaults, file, environment and the command's flags. Throws a ConfigError. */
export function settingsOf(command: Command, { env }: CliProcess): Settings {
  const { config } = command.opts<CommonOptions>();
  return loadSettings({
    env,
    flags: givenSettingFlags(command),
    configFile: config,
    readFile: (path) => readFileSync(path, 'utf8'),
  });
}

/** Throws a ConfigError, with a hint, when no broker is set. */
export function requireBrokers({ brokers }: KafkaSettings, hint = ''): void {
  if (brokers.length > 0) return;
  throw new ConfigError([
    'KAFKA_BROKERS (default): not set; allowed is host:port, several with commas between them. ' +
      `\`datamart-replication kafka\` starts a broker to try with${hint ? `; ${hint}` : ''}`,
  ]);
}

/** The log of a command that runs until it is stopped: standard output. */
export async function openLog({ log }: Settings, { stdout }: CliProcess): Promise<Logging> {
  const { openLogging } = await import('../config/logging.ts');
  return openLogging(log, stdout);
}

/** Commands that end by themselves keep standard output for their result and say only what went wrong. */
export async function openCommandLog({ log }: Settings, { stderr }: CliProcess): Promise<Logging> {
  const { openLogging } = await import('../config/logging.ts');
  return openLogging({ ...log, level: log.level === 'debug' ? 'debug' : 'error' }, stderr);
}
