import type { Command } from 'commander';
import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../../config/config-error.ts';
import type { Settings } from '../../config/settings.ts';
import type { Logger } from '../../streams/logger.ts';
import type { AccessFlags } from '../access-options.ts';
import { FAILED, type CliProcess, type SetExitCode } from '../cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from '../command-settings.ts';
import { reportFailure } from '../failure-report.ts';
import { listenForStop, type StopSignal } from '../stop-signal.ts';
import type { ReplicationsConnection, ReplicationsSession } from './session.ts';

/** Opens replications over the control topics of the settings' Kafka. */
export type OpenReplications = (settings: Settings, logger: Logger) => Promise<ReplicationsConnection>;

/** What a command does, once replications can be reached. Resolves with the exit code. */
export type ReplicationsAction = (session: ReplicationsSession, settings: Settings) => Promise<number>;

/**
 * Runs a command on replications: over HTTP with `--api`, else over Kafka. Whatever goes wrong is told, as JSON with
 * `--json`, and ends in the exit code.
 */
export async function runOnReplications(
  command: Command,
  host: CliProcess,
  setExitCode: SetExitCode,
  openOverKafka: OpenReplications | null,
  prepare: (flags: AccessFlags, signal: AbortSignal) => Promise<ReplicationsAction>,
): Promise<void> {
  const flags = command.opts<AccessFlags>();
  const { json: isJson = false, api, datamartId = null } = flags;
  using stop = listenForStop(host.signals, () => {
    host.exit(FAILED);
  });
  try {
    const settings = settingsOf(command, host);
    // What is wrong with the command line is told before anyone is asked.
    const action = await prepare(flags, stop.signal);
    const connection = await connect(flags, settings, host, stop, openOverKafka);
    try {
      const session: ReplicationsSession = {
        operations: connection.operations,
        caller: { name: `cli:${userName()}`, role: 'operator' },
        datamartId,
        flagsText: `${api === undefined ? '' : ` --api ${api}`}${datamartId === null ? '' : ` --datamart-id ${datamartId}`}`,
        isJson,
        out: host.stdout,
        errors: host.stderr,
        signal: stop.signal,
        now: () => performance.now(),
        sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
      };
      setExitCode(await action(session, settings));
    } finally {
      await connection.close();
    }
  } catch (error) {
    setExitCode(reportFailure(error, isJson, host.stderr));
  }
}

async function connect(
  { api, datamartId }: AccessFlags,
  settings: Settings,
  host: CliProcess,
  stop: StopSignal,
  openOverKafka: OpenReplications | null,
): Promise<ReplicationsConnection> {
  if (api === undefined) {
    if (!openOverKafka)
      throw new ConfigError(['--api: not given, and there is no other way to replications here']);
    requireBrokers(settings.kafka, '--api URL asks an API instead');
    const { logger } = await openCommandLog(settings, host);
    return openOverKafka(settings, logger);
  }
  if (datamartId === undefined)
    throw new ConfigError(['--datamart-id: not given, and with --api it is needed']);
  const { openApi } = await import('../open-api.ts');
  const { ApiReplications } = await import('../api-client.ts');
  const operations = new ApiReplications(openApi(api, host, stop.signal));
  return { operations, close: async () => undefined };
}

/** For the audit log. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a user that has no name.
    return String(process.getuid?.() ?? 'unknown');
  }
}
