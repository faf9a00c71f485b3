import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  CREDENTIALS_FILE,
  PARTITIONS,
  PROJECT_ID,
  type BenchCluster,
  type Dataset,
  type ReplicationSet,
} from './bench-cluster.ts';
import { startFakeProcess } from './fake-process.ts';
import type { BenchJob, BenchReport } from './job.ts';

/** Who is measured. */
export type Contestant = 'processor' | 'tuned-loop';

export interface TrialOptions {
  readonly cluster: BenchCluster;
  readonly contestant: Contestant;
  /** Of this program: another checkout that it is run from, with modules of its own. Default: this one. */
  readonly checkout?: string;
  readonly dataset: Dataset;
  readonly replications: ReplicationSet;
  readonly delayMs: number;
  /** Read before anything is measured. */
  readonly warmUpRecords: number;
  /** How often the whole dataset is read. */
  readonly passes: number;
  readonly profileFile?: string;
  /** Of this program: whether it keeps the snapshot. */
  readonly hasSnapshot?: boolean;
}

/** One run of one contestant. */
export interface Trial {
  /** CPU time per record in µs. */
  readonly cpu: number;
  /** The main thread's share of it, in µs. */
  readonly mainThreadCpu: number;
  readonly recordsPerSecond: number;
  readonly majorGcsPerSecond: number;
  readonly peakRssMb: number;
  /** The fake's CPU time per message in µs, warm-up included. */
  readonly fakeCpu: number;
  readonly messagesPerRequest: number;
}

/** The same for everything that is compared: see PERFORMANCE, finding 2. The heap is that of a container of 1 GiB. */
const V8_FLAGS = [
  '--external-memory-accounted-in-global-limit',
  '--max-old-space-size=512',
  '--disable-warning=ExperimentalWarning',
  // Of kafkajs, once a connection.
  '--disable-warning=TimeoutNegativeWarning',
];

const ROOT = join(import.meta.dirname, '..');

/** More flags for both contestants, to try what they bring. */
const moreFlags = (): string[] =>
  (process.env['BENCH_V8_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');

const run = promisify(execFile);

/** Runs one contestant in a process of its own against a fresh fake. Rejects unless exactly the right bytes arrived. */
export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { cluster, contestant, dataset, replications } = options;
  const warmUpRecords = Math.min(
    options.warmUpRecords - (options.warmUpRecords % PARTITIONS),
    dataset.records,
  );
  const warmUp = { groupId: cluster.newGroup(), records: warmUpRecords };
  await cluster.startBehind(warmUp.groupId, dataset, warmUpRecords);
  const passes = Array.from({ length: options.passes }, () => ({
    groupId: cluster.newGroup(),
    records: dataset.records,
  }));
  const trial = await runChild({
    script: join(options.checkout ?? ROOT, 'bench', `${contestant}-child.ts`),
    delayMs: options.delayMs,
    job: {
      settings: {
        ...cluster.settings(dataset, replications),
        SNAPSHOT_ENABLED: String(options.hasSnapshot ?? false),
      },
      mutationTopic: dataset.topic,
      projectId: PROJECT_ID,
      credentialsFile: CREDENTIALS_FILE,
      pubsubTopics: replications.pubsubTopics,
      warmUp,
      passes,
      profileFile: options.profileFile ?? null,
    },
    checksumOfEach:
      dataset.checksumOfLast(warmUpRecords) + dataset.checksumOfLast(dataset.records) * options.passes,
  });
  for (const { groupId } of passes) await cluster.assertCommitted(groupId, dataset);
  return trial;
}

export interface ChildOptions {
  /** The child's path. */
  readonly script: string;
  /** Until the fake answers. */
  readonly delayMs: number;
  readonly job: Omit<BenchJob, 'pubsubHost'>;
  /** The sum of the checksums of what each Pub/Sub topic must get in all. */
  readonly checksumOfEach: number;
}

/** Has a child do a job against a fresh fake. Rejects unless exactly the right bytes arrived. */
export async function runChild({ script, delayMs, job, checksumOfEach }: ChildOptions): Promise<Trial> {
  const fake = await startFakeProcess(delayMs);
  let isStopped = false;
  try {
    const { stdout, stderr } = await run(process.execPath, [
      ...V8_FLAGS,
      ...moreFlags(),
      script,
      JSON.stringify({ ...job, pubsubHost: fake.host } satisfies BenchJob),
    ]);
    if (stderr !== '') process.stderr.write(stderr);
    const report = JSON.parse(stdout) as BenchReport;
    isStopped = true;
    const arrived = await fake.stop();
    const topics = job.pubsubTopics.length;
    const messages = (job.warmUp.records + report.records) * topics;
    const checksum = (checksumOfEach * topics) % 2 ** 32;
    if (arrived.messages !== messages || arrived.checksum !== checksum) {
      throw new Error(
        `${script}: ${arrived.messages} messages with checksum ${arrived.checksum} arrived; ` +
          `expected were ${messages} with ${checksum}`,
      );
    }
    return {
      cpu: report.cpuMicros / report.records,
      mainThreadCpu: report.mainThreadCpuMicros / report.records,
      recordsPerSecond: (report.records * 1_000) / report.wallMs,
      majorGcsPerSecond: (report.majorGcs * 1_000) / report.wallMs,
      peakRssMb: report.peakRssBytes / 1024 / 1024,
      fakeCpu: arrived.cpuMicros / arrived.messages,
      messagesPerRequest: arrived.messages / arrived.requests,
    };
  } finally {
    if (!isStopped) await fake.stop().catch(() => undefined);
  }
}
