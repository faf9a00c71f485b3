import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchCluster } from './bench-cluster.ts';
import type { SteadyOptions } from './bench-options.ts';
import { collectable, collectGarbage, type Collected } from './collect-garbage.ts';
import {
  IsolationFake,
  IsolationProcessor,
  IsolationProducer,
  type ProcessorGauges,
} from './isolation-children.ts';
import { until } from './until.ts';

/** What the program says of itself at one moment. */
export interface Sample extends ProcessorGauges {
  /** From the start of the measured time. */
  readonly seconds: number;
  /** What the healthy destination has got so far. */
  readonly delivered: number;
}

/** One run. */
export interface SteadyRun {
  /** How long the healthy destination's part of the backlog took. */
  readonly backlogSeconds: number;
  /** One a second, of the measured time. */
  readonly samples: readonly Sample[];
  /** Before the program settled, and after the measured time. */
  readonly collected: { readonly before: Collected; readonly after: Collected };
  /** Mutations that were produced in all. */
  readonly produced: number;
  /** What each destination has got in the end. */
  readonly delivered: { readonly healthy: number; readonly stalled: number };
}

export const VALUE_BYTES = 1_024;
export const LIVE_PER_SECOND = 1_000;

const PARTITIONS = 8;
const SETTLING_MS = 60_000;
const SAMPLE_MS = 1_000;
const WRITING_LIMIT_MS = 900_000;
const BACKLOG_LIMIT_MS = 900_000;
/** After the producer's end; its last requests may be under way. */
const LAST_DELIVERIES_MS = 60_000;
/** What V8 grants itself in a container of 1 GiB, which is what the README asks for. */
const HEAP = '--max-old-space-size=512';

/**
 * A backlog lies there, one destination never answers. Once the healthy one has got its part, mutations come at a measured
 * pace: a minute in which nothing is measured, then `minutes`.
 */
export async function runSteady(cluster: BenchCluster, options: SteadyOptions): Promise<SteadyRun> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-steady-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const replications = await cluster.replicate(2);
  const [stalled = '', healthy = ''] = replications.pubsubTopics;
  const dataset = await cluster.emptyTopic(PARTITIONS);
  const fake = stack.use(await IsolationFake.start());
  fake.setMood(stalled, { kind: 'hanging' });
  const job = {
    brokers: cluster.brokers,
    topic: dataset.topic,
    partitions: PARTITIONS,
    valueBytes: VALUE_BYTES,
  };

  say(`${options.backlog} mutations of backlog`);
  const backlog = await writeBacklog(
    new IsolationProducer({ ...job, rate: null, lead: options.backlog }),
    options.backlog,
  );
  const file = join(directory, 'collections');
  const startedMs = performance.now();
  const processor = stack.use(
    await IsolationProcessor.start(
      {
        ...cluster.settings(dataset, replications),
        KAFKA_GROUP_ID: cluster.newGroup(),
        PUBSUB_EMULATOR_HOST: fake.host,
        ...collectable(file, HEAP),
      },
      directory,
    ),
  );
  const delivered = (): number => fake.leastOf([healthy]);
  await until(() => delivered() >= backlog, BACKLOG_LIMIT_MS, 'the healthy destination to have the backlog');
  const backlogSeconds = (performance.now() - startedMs) / 1_000;
  say(`${backlog} delivered in ${backlogSeconds.toFixed(0)} s; settling`);

  const producer = stack.use(new IsolationProducer({ ...job, rate: LIVE_PER_SECOND, lead: 0 }));
  // Before the minute: the heap has grown again when it is over.
  const before = await collectGarbage(processor.pid, file, 1);
  await sleep(SETTLING_MS);
  const samples: Sample[] = [];
  const measuredMs = options.minutes * 60_000;
  const sinceMs = performance.now();
  for (let next = 0; next < measuredMs; next += SAMPLE_MS) {
    await sleep(Math.max(0, sinceMs + next - performance.now()));
    const seconds = (performance.now() - sinceMs) / 1_000;
    samples.push({ seconds, delivered: delivered(), ...(await processor.gauges()) });
    if (next > 0 && next % 60_000 === 0) say(`minute ${next / 60_000} of ${options.minutes}`);
  }
  const after = await collectGarbage(processor.pid, file, 2);
  await producer[Symbol.asyncDispose]();
  const produced = backlog + producer.produced;
  // What a killed producer had under way may be stored uncounted: at least what it counted has to arrive.
  await until(
    () => delivered() >= produced,
    LAST_DELIVERIES_MS,
    'the healthy destination to have everything',
  );
  return {
    backlogSeconds,
    samples,
    collected: { before, after },
    produced,
    delivered: { healthy: delivered(), stalled: fake.leastOf([stalled]) },
  };
}

async function writeBacklog(producer: IsolationProducer, records: number): Promise<number> {
  await using writing = producer;
  await until(() => writing.produced >= records, WRITING_LIMIT_MS, 'the backlog to be written');
  // What other senders have under way.
  let last = -1;
  while (writing.produced > last) {
    last = writing.produced;
    await sleep(SAMPLE_MS);
  }
  return last;
}

function say(text: string): void {
  process.stderr.write(`  ${text}\n`);
}
