import { openOpsServer } from '../api/ops-server.ts';
import type { Logging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import { composeProcessor } from './processor.ts';
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
  const { application, metrics } = await composeProcessor(settings, logger, {
    pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null,
  });
  stop.forced.addEventListener('abort', () => {
    const { message } = stop.forced.reason as Error;
    logger.error(application.unfinished(), `${message}: the end is forced; what is left will be sent again`);
  });
  metrics.gauge('logs_dropped_total', 'Log lines left out because the output was not read', () => [
    { labels: {}, value: logging.logsDropped() },
  ]);
  const { host, port } = settings.http.internal ?? settings.http;
  const server = await openOpsServer(
    {
      isHealthy: () => application.isHealthy,
      readiness: () => application.readiness(),
      metrics: () => metrics.scrape(),
      contentType: metrics.contentType,
    },
    {
      host,
      port,
      logger,
      ...(settings.http.internal ? { namedBy: 'HTTP_INTERNAL_HOST and HTTP_INTERNAL_PORT' } : {}),
    },
  );
  try {
    const started = application.start();
    started.catch(() => undefined);
    const ended = Promise.race([application.failed, uncaught.promise, aborted(stop.signal)]);
    await Promise.race([started, ended]);
    await ended;
  } catch (error) {
    exitCode = 1;
    // Nothing waits for ever, whoever asked for the stop.
    stop.stop();
    if (!(error instanceof UncaughtError))
      logger.error({ error }, error instanceof Error ? error.message : 'the processor failed');
  }
  await application.close(exitCode === 0 ? settings.delivery.shutdownMs : 0);
  await server.close();
  return exitCode;
}

/** Stands for an error that was logged when it came. */
class UncaughtError extends Error {}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  return promise;
}
