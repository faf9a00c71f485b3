import { openOpsServer } from '../api/ops-server.ts';
import type { Logging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import { composeProcessor } from './processor.ts';

export interface StartOptions {
  readonly settings: Settings;
  readonly logging: Logging;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The `start` command: runs the processor until `signal` aborts, then drains and stops it.
 *
 * Resolves with the exit code: 0 after a clean stop, 1 when the processor couldn't go on (the log says why). What it
 * must be told by settings was checked before (exit code 2).
 */
export async function runStart(
  { settings, logging, env }: StartOptions,
  signal: AbortSignal,
): Promise<number> {
  const { logger } = logging;
  const { application, metrics } = await composeProcessor(settings, logger, {
    pubsubEmulatorHost: env.PUBSUB_EMULATOR_HOST || null,
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
  const stopped = Promise.withResolvers<void>();
  signal.addEventListener(
    'abort',
    () => {
      stopped.resolve();
    },
    { once: true },
  );
  if (signal.aborted) stopped.resolve();
  let exitCode = 0;
  try {
    const started = application.start();
    started.catch(() => undefined);
    await Promise.race([started, application.failed, stopped.promise]);
    await Promise.race([application.failed, stopped.promise]);
  } catch (error) {
    exitCode = 1;
    logger.error({ error }, error instanceof Error ? error.message : 'the processor failed');
  }
  await application.close(exitCode === 0 ? settings.delivery.shutdownMs : 0);
  await server.close();
  return exitCode;
}
