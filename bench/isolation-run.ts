import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PubSubMood } from '../local/moody-pubsub.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { IsolationOptions } from './bench-options.ts';
import { IsolationFake, IsolationProcessor, IsolationProducer } from './isolation-children.ts';
import { measurePhase, type Phase } from './isolation-phases.ts';

/** What becomes of the first four of eight replications; the others stay healthy. */
export const FAULTS: readonly {
  readonly name: string;
  readonly mood: PubSubMood;
  readonly afterMs: number;
}[] = [
  // Answers for a while after the others have failed, then stores and says nothing.
  { name: 'stalled', mood: { kind: 'forgetful' }, afterMs: 10_000 },
  { name: 'slow', mood: { kind: 'slow', delayMs: 5_000 }, afterMs: 0 },
  { name: 'refused', mood: { kind: 'refusing', status: 14 }, afterMs: 0 },
  { name: 'never answers', mood: { kind: 'hanging' }, afterMs: 0 },
];

export const REPLICATIONS = 8;
export const VALUE_BYTES = 1_024;
/** At full load: more than the windows of all partitions hold. */
const LEAD_RECORDS = 150_000;
const FEED_MS = 50;
/** A replication that wasn't detached before the repair has time to be. */
const SETTLED_MS = 2_000;
/** What V8 grants itself in a container of 1 GiB, which is what the README asks for; it grows into what there is. */
const NODE_OPTIONS = '--max-old-space-size=512';

/** One run through all phases. */
export interface IsolationRun {
  readonly phases: readonly Phase[];
  readonly healthy: readonly string[];
  readonly faulty: readonly string[];
  /** From the repair until nobody was detached any more; null when that was not reached. */
  readonly caughtUpSeconds: number | null;
}

/** Runs all phases with a fresh topic, group, fake and process; `rate` null is full load. */
export async function runIsolation(
  cluster: BenchCluster,
  options: IsolationOptions,
  rate: number | null,
): Promise<IsolationRun> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-isolation-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const replications = await cluster.replicate(REPLICATIONS);
  const dataset = await cluster.emptyTopic(options.partitions);
  const faulty = replications.pubsubTopics.slice(0, FAULTS.length);
  const healthy = replications.pubsubTopics.slice(FAULTS.length);
  const fake = stack.use(await IsolationFake.start());
  fake.watch(healthy);
  const settings = cluster.settings(dataset, replications);
  const environment = { KAFKA_GROUP_ID: cluster.newGroup(), PUBSUB_EMULATOR_HOST: fake.host, NODE_OPTIONS };
  const processor = stack.use(await IsolationProcessor.start({ ...settings, ...environment }, directory));
  const producer = stack.use(
    new IsolationProducer({
      brokers: cluster.brokers,
      topic: dataset.topic,
      partitions: options.partitions,
      valueBytes: VALUE_BYTES,
      rate,
      lead: LEAD_RECORDS,
    }),
  );
  const feeding = setInterval(() => producer.tellDelivered(fake.leastOf(healthy)), FEED_MS);
  stack.defer(() => clearInterval(feeding));

  const sources = { fake, processor, producer, brokerPid: cluster.brokerPid };
  const { seconds } = options;
  const forSeconds = (length: number) => (elapsedMs: number) => elapsedMs >= length * 1_000;
  const say = (text: string): void => void process.stderr.write(`  ${text}\n`);
  const phases: Phase[] = [];
  const measure = async (name: string, isOver: (ms: number) => boolean | Promise<boolean>): Promise<void> => {
    say(name);
    phases.push(await measurePhase(name, sources, isOver));
  };

  await measure('warm-up', forSeconds(seconds.warmUp));
  await measure('all healthy', forSeconds(seconds.healthy));
  const timers = FAULTS.map(({ mood, afterMs }, i) =>
    setTimeout(() => fake.setMood(faulty[i] ?? '', mood), Math.min(afterMs, seconds.fault * 200)),
  );
  stack.defer(() => {
    for (const timer of timers) clearTimeout(timer);
  });
  await measure('fault', forSeconds(seconds.fault));
  await measure('detached', forSeconds(seconds.detached));
  for (const topic of faulty) fake.setMood(topic, { kind: 'healthy' });
  const repairedMs = performance.now();
  let caughtUpSeconds: number | null = null;
  await measure('catch-up', async (elapsedMs) => {
    const { detachedPartitions } = await processor.gauges();
    const isOver = elapsedMs >= SETTLED_MS && [...detachedPartitions.values()].every((count) => count === 0);
    if (isOver) caughtUpSeconds = (performance.now() - repairedMs) / 1_000;
    return isOver || elapsedMs >= seconds.catchUp * 1_000;
  });
  if (caughtUpSeconds !== null) await measure('afterwards', forSeconds(seconds.healthy / 2));
  return { phases, healthy, faulty, caughtUpSeconds };
}
