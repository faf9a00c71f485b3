import type { Command } from 'commander';
import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../config/config-error.ts';
import type { Settings } from '../config/settings.ts';
import type { Logger } from '../streams/logger.ts';
import type { AccessFlags } from './access-options.ts';
import type { ApiConnection } from './api-connection.ts';
import { FAILED, type CliProcess, type SetExitCode } from './cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from './command-settings.ts';
import type { ControlConnection, ControlSession } from './control-session.ts';
import { reportFailure } from './failure-report.ts';
import { listenForStop, type StopSignal } from './stop-signal.ts';

/** The two ways to what a command works with. */
export interface ControlAccess<Operations> {
  /** Over the control topics of the settings' Kafka. */
  readonly overKafka: (settings: Settings, logger: Logger) => Promise<ControlConnection<Operations>>;
  readonly overHttp: (connection: ApiConnection) => Promise<Operations>;
}

/** What a command does, once it is connected. Resolves with the exit code. */
export type ControlAction<Operations> = (
  session: ControlSession<Operations>,
  settings: Settings,
) => Promise<number>;

/** Looks at the command line and resolves with what is to be done. */
export type PrepareAction<Operations> = (
  flags: AccessFlags,
  signal: AbortSignal,
) => Promise<ControlAction<Operations>>;

/**
 * Runs a command over HTTP with `--api`, else over Kafka. Whatever goes wrong is told, as JSON with `--json`, and ends in
 * the exit code.
 */
export async function runOnControlPlane<Operations>(
  command: Command,
  host: CliProcess,
  setExitCode: SetExitCode,
  access: ControlAccess<Operations>,
  prepare: PrepareAction<Operations>,
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
    const connection = await connect(flags, settings, host, stop, access);
    try {
      const session: ControlSession<Operations> = {
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

async function connect<Operations>(
  { api, datamartId }: AccessFlags,
  settings: Settings,
  host: CliProcess,
  stop: StopSignal,
  { overKafka, overHttp }: ControlAccess<Operations>,
): Promise<ControlConnection<Operations>> {
  if (api === undefined) {
    requireBrokers(settings.kafka, '--api URL asks an API instead');
    const { logger } = await openCommandLog(settings, host);
    return overKafka(settings, logger);
  }
  if (datamartId === undefined)
    throw new ConfigError(['--datamart-id: not given, and with --api it is needed']);
  const { openApi } = await import('./open-api.ts');
  return { operations: await overHttp(openApi(api, host, stop.signal)), close: async () => undefined };
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
