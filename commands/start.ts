import type { Logging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import { systemClock } from '../streams/clock.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { kafkajsTopicAdmin } from '../streams/kafka/topic-admin.ts';
import type { Logger } from '../streams/logger.ts';
import { ApiInstance } from './api-instance.ts';
import { openControlPlane } from './control-plane.ts';
import { deadLetterOperations } from './dead-letter-operations.ts';
import { openHttpServers, openTokens } from './http-servers.ts';
import type { Instance } from './instance.ts';
import { composeProcessor, openCredentials, type ProcessorEnvironment } from './processor.ts';
import type { StopSignal } from './stop-signal.ts';
import { listenForUncaughtErrors, type UncaughtErrorSource } from './uncaught-errors.ts';

export interface StartOptions {
  readonly settings: Settings;
  readonly logging: Logging;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uncaughtErrors: UncaughtErrorSource;
}

/**
 * The `start` command: runs the processor until `stop` is asked for, then drains and stops it.
 *
 * Resolves with the exit code: 0 after a clean stop, 1 when the processor couldn't go on (the log says why). What it
 * must be told by settings was checked before (exit code 2). An error that nobody caught stops it too: what was
 * acknowledged by then is committed, nothing more is sent.
 */
export async function runStart(
  { settings, logging, env, uncaughtErrors }: StartOptions,
  stop: StopSignal,
): Promise<number> {
  const { logger } = logging;
  let exitCode = 0;
  const uncaught = Promise.withResolvers<never>();
  uncaught.promise.catch(() => undefined);
  using stack = new DisposableStack();
  stack.use(
    listenForUncaughtErrors(uncaughtErrors, (error) => {
      logger.error({ error }, 'an error that nobody caught; the processor stops');
      exitCode = 1;
      uncaught.reject(new UncaughtError());
    }),
  );
  const tokens = await openTokens(settings.http, logger);
  const instance = await openInstance(settings, logger, {
    pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null,
  });
  stop.forced.addEventListener('abort', () => {
    const { message } = stop.forced.reason as Error;
    logger.error(instance.unfinished(), `${message}: the end is forced; what is left will be sent again`);
  });
  const { metrics, control, sinks, schemas } = instance;
  metrics.gauge('logs_dropped_total', 'Log lines left out because the output was not read', () => [
    { labels: {}, value: logging.logsDropped() },
  ]);
  await using plane = openControlPlane({
    settings,
    logger,
    ...control,
    sinks,
    schemas,
    checksDestinations: true,
  });
  await using deadLetters = deadLetterOperations({
    settings,
    env,
    replications: control.tables.replications,
    sinks,
    credentials: openCredentials(settings, control.tables.credentials),
    schemas,
    partitionReader: () => kafkajsPort(settings.kafka, logger).partitionReader(),
    topicAdmin: () => kafkajsTopicAdmin(settings.kafka, logger),
    clock: systemClock,
    random: Math.random,
    logger,
  });
  const servers = await openHttpServers({
    settings: settings.http,
    ops: {
      isHealthy: () => instance.isHealthy,
      readiness: () => instance.readiness(),
      metrics: () => metrics.scrape(),
      contentType: metrics.contentType,
    },
    api: settings.roles.includes('api')
      ? {
          replications: plane.operations,
          deadLetters,
          executions: plane.executions,
          plans: plane.plans,
          tokens,
        }
      : null,
    logger,
  });
  try {
    const started = instance.start();
    started.catch(() => undefined);
    const ended = Promise.race([instance.failed, uncaught.promise, aborted(stop.signal)]);
    await Promise.race([started, ended]);
    await ended;
  } catch (error) {
    exitCode = 1;
    // Nothing waits for ever, whoever asked for the stop.
    stop.stop();
    if (!(error instanceof UncaughtError))
      logger.error({ error }, error instanceof Error ? error.message : 'the instance failed');
  }
  const drainMs = exitCode === 0 ? settings.delivery.shutdownMs : 0;
  await Promise.all([instance.close(drainMs), deadLetters[Symbol.asyncDispose]()]);
  await Promise.all(servers.map((server) => server.close()));
  return exitCode;
}

/** What the roles ask for: the processor follows the tables by itself. */
async function openInstance(
  settings: Settings,
  logger: Logger,
  environment: ProcessorEnvironment,
): Promise<Instance> {
  if (!settings.roles.includes('replicate')) return ApiInstance.open(settings, logger, environment);
  const { application, metrics, sinks, schemas } = await composeProcessor(settings, logger, environment);
  return {
    metrics,
    sinks,
    schemas,
    control: {
      tables: application.control.tables,
      pins: application.control.pins,
      lists: application.control.lists,
    },
    failed: application.failed,
    get isHealthy() {
      return application.isHealthy;
    },
    readiness: () => application.readiness(),
    start: () => application.start(),
    close: (drainMs) => application.close(drainMs),
    unfinished: () => application.unfinished(),
  };
}

/** Stands for an error that was logged when it came. */
class UncaughtError extends Error {}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  return promise;
}
