/** The program itself as a child of the bench: composed as `start` composes it, without the HTTP server. */
import { readFileSync } from 'node:fs';
import { composeProcessor } from '../commands/processor.ts';
import { loadSettings } from '../config/load.ts';
import { openLogging } from '../config/logging.ts';
import { runJob, type Delivery } from './job-runner.ts';
import type { BenchJob } from './job.ts';

const DRAIN_MS = 10_000;

await runJob(openProcessor);

async function openProcessor(job: BenchJob, groupId: string): Promise<Delivery> {
  const settings = loadSettings({
    env: { ...job.settings, KAFKA_GROUP_ID: groupId },
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
    start: () => application.start(),
    delivered: () =>
      metrics.operations
        .samples()
        .reduce((sum, { labels, value }) => (labels['result'] === 'delivered' ? sum + value : sum), 0),
    stop: () => application.close(DRAIN_MS),
  };
}
