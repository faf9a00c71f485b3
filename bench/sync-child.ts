/**
 * The program as a child of the bench that sends a snapshot: each pass is one execution over the snapshot topic of a
 * mutation topic that holds nothing, measured from the moment at which it runs.
 */
import { isEnded, type Execution } from '../processors/initial-sync/execution.ts';
import { kafkajsPort } from '../streams/kafka/kafkajs-port.ts';
import { runJob, type Delivery } from './job-runner.ts';
import type { BenchJob, BenchPass } from './job.ts';
import { openProcessor, type ProcessorDelivery } from './processor-delivery.ts';
import { BENCH_DATAMART } from './sample-records.ts';
import { until } from './until.ts';

const LIMIT_MS = 60_000;
const POLL_MS = 2;

await runJob(openSync);

async function openSync(job: BenchJob, pass: BenchPass): Promise<Delivery> {
  const processor = await openProcessor(job, pass);
  const id = pass.groupId;
  const execution = (): Execution | null => processor.application.control.tables.executions.get(id);
  const hasEnded = (): boolean => {
    const now = execution();
    return now !== null && isEnded(now);
  };
  const hasBegun = (): boolean => execution()?.status === 'RUNNING' || hasEnded();
  return {
    start: async () => {
      await processor.start();
      await request(processor, id);
      await until(hasBegun, LIMIT_MS, 'the execution to run', POLL_MS);
    },
    delivered: () => processor.delivered(),
    stop: async () => {
      await until(hasEnded, LIMIT_MS, 'the execution to end');
      const { status, error } = execution() ?? {};
      if (status !== 'SUCCEEDED') throw new Error(`the execution is ${status}: ${JSON.stringify(error)}`);
      await processor.stop();
    },
  };
}

/** Asks for an initial synchronization of all replications. */
async function request({ settings, logger }: ProcessorDelivery, id: string): Promise<void> {
  const producer = kafkajsPort(settings.kafka, logger).producer();
  const value = Buffer.from(JSON.stringify({ id, datamart_id: BENCH_DATAMART }));
  await producer.send(settings.topics.initialSyncRequests, [{ key: Buffer.from(id), value, headers: {} }]);
  await producer.close();
}
