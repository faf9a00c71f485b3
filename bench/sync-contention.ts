import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { API_TOKEN, tokensText } from './api-token.ts';
import { PARTITIONS, type BenchCluster } from './bench-cluster.ts';
import type { SyncOptions } from './bench-options.ts';
import { IsolationFake, IsolationProcessor, IsolationProducer } from './isolation-children.ts';
import { measurePhase, type Phase } from './isolation-phases.ts';
import { BENCH_DATAMART } from './sample-records.ts';

export const REPLICATIONS = 4;

/** A synchronization that takes longer doesn't progress. */
const SYNC_LIMIT_MS = 600_000;
/** What V8 grants itself in a container of 1 GiB, which is what the README asks for. */
const NODE_OPTIONS = '--max-old-space-size=512';

/** What the API says of an execution, as far as it is looked at. */
export interface SyncOutcome {
  readonly status: string;
  readonly result: {
    readonly replications: Readonly<
      Record<string, { readonly documents: Readonly<Record<string, number>>; readonly skipped_newer: number }>
    >;
  };
}

/** Live mutations with a snapshot being sent in the middle. */
export interface SyncContention {
  /** `warm-up`, `alone`, `sync` and `afterwards`. */
  readonly phases: readonly Phase[];
  readonly outcome: SyncOutcome;
}

/**
 * `start` follows an open loop of live mutations: some time alone, then until an initial synchronization of all
 * replications has ended, then alone again. The live mutations change documents of the snapshot's too.
 */
export async function runSyncContention(
  cluster: BenchCluster,
  { rows, rate, seconds }: SyncOptions,
  valueBytes: number,
): Promise<SyncContention> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-sync-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const tokensFile = join(directory, 'tokens.json');
  await writeFile(tokensFile, tokensText());
  const replications = await cluster.replicate(REPLICATIONS);
  const dataset = await cluster.snapshot(rows, valueBytes);
  const fake = stack.use(await IsolationFake.start());
  fake.watch(replications.pubsubTopics, Date.now());
  const environment = {
    ...cluster.settings(dataset, replications),
    KAFKA_GROUP_ID: cluster.newGroup(),
    PUBSUB_EMULATOR_HOST: fake.host,
    HTTP_TOKENS_FILE: tokensFile,
    INITIAL_SYNC_WINDOW_HOURS: '0',
    NODE_OPTIONS,
  };
  const processor = stack.use(await IsolationProcessor.start(environment, directory));
  const producer = stack.use(
    new IsolationProducer({
      brokers: cluster.brokers,
      topic: dataset.topic,
      partitions: PARTITIONS,
      valueBytes,
      rate,
      lead: 0,
    }),
  );

  const sources = { fake, processor, producer, brokerPid: cluster.brokerPid };
  const forSeconds = (length: number) => (elapsedMs: number) => elapsedMs >= length * 1_000;
  const phases: Phase[] = [];
  const measure = async (name: string, isOver: (ms: number) => boolean | Promise<boolean>): Promise<void> => {
    process.stderr.write(`  ${name}\n`);
    phases.push(await measurePhase(name, sources, isOver));
  };
  await measure('warm-up', forSeconds(seconds.warmUp));
  await measure('alone', forSeconds(seconds.alone));
  const { id } = await call<{ readonly id: string }>(processor.url, 'POST');
  const outcomeNow = (): Promise<SyncOutcome> => call<SyncOutcome>(processor.url, 'GET', `/${id}`);
  const hasEnded = async (): Promise<boolean> =>
    !['PENDING', 'RUNNING'].includes((await outcomeNow()).status);
  await measure('sync', async (elapsedMs) => (await hasEnded()) || elapsedMs >= SYNC_LIMIT_MS);
  await measure('afterwards', forSeconds(seconds.alone));
  return { phases, outcome: await outcomeNow() };
}

/** Calls the API of executions; rejects when that is refused. */
async function call<Answer>(url: string, method: 'GET' | 'POST', path = ''): Promise<Answer> {
  const response = await fetch(`${url}/v1/datamarts/${BENCH_DATAMART}/replication_job_executions${path}`, {
    method,
    headers: { authorization: API_TOKEN },
  });
  const { data, error } = (await response.json()) as { readonly data?: Answer; readonly error?: string };
  if (data === undefined) throw new Error(`${method} of an execution: ${response.status} ${error ?? ''}`);
  return data;
}
