import { readFileSync } from 'node:fs';
import { composeProcessor } from '../commands/processor.ts';
import { loadSettings } from '../config/load.ts';
import { openLogging } from '../config/logging.ts';
import type { Settings } from '../config/settings.ts';
import type { ReplicationApplication } from '../streams/application.ts';
import type { Logger } from '../streams/logger.ts';
import type { Delivery } from './job-runner.ts';
import type { BenchJob, BenchPass } from './job.ts';

const DRAIN_MS = 10_000;

/** The program itself, and what it was composed of. */
export interface ProcessorDelivery extends Delivery {
  readonly application: ReplicationApplication;
  readonly settings: Settings;
  readonly logger: Logger;
}

/** Composes the program for one pass as `start` composes it, without the HTTP server. */
export async function openProcessor(job: BenchJob, pass: BenchPass): Promise<ProcessorDelivery> {
  const settings = loadSettings({
    env: { ...job.settings, ...pass.settings, KAFKA_GROUP_ID: pass.groupId },
    flags: {},
    readFile: (path) => readFileSync(path, 'utf8'),
  });
  const { logger } = openLogging(settings.log, process.stderr);
  const { application, metrics } = await composeProcessor(settings, logger, {
    pubsubEmulatorHost: job.pubsubHost,
  });
  application.failed.catch((error: unknown) => {
    throw error;
  });
  return {
    application,
    settings,
    logger,
    start: () => application.start(),
    delivered: () =>
      metrics.operations
        .samples()
        .reduce((sum, { labels, value }) => (labels['result'] === 'delivered' ? sum + value : sum), 0),
    stop: () => application.close(DRAIN_MS),
  };
}
