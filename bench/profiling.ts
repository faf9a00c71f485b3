import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { summarizeProfile } from './profile-summary.ts';
import { runSyncTrial } from './sync-trial.ts';
import { runTrial, type Trial } from './trial.ts';
import { warmUpRecords } from './warm-up.ts';

const VALUE_BYTES = 1_024;
const ROWS = 25;

/** Profiles the program with live mutations at each number of replications and shows where the time goes. */
export async function profileProcessor(
  cluster: BenchCluster,
  options: BenchOptions,
  directory: string,
  print: (text: string) => void,
): Promise<void> {
  const dataset = await cluster.produce(options.records, VALUE_BYTES);
  const [delayMs = 0] = options.delaysMs;
  await profileEach(options, directory, print, {
    file: 'processor',
    title: (count) => `N = ${count}, ${delayMs} ms`,
    record: 'record',
    trial: async (count, profileFile) =>
      runTrial({
        cluster,
        contestant: 'processor',
        dataset,
        replications: await cluster.replicate(count),
        delayMs,
        warmUpRecords: warmUpRecords(count),
        passes: 1,
        hasSnapshot: options.hasSnapshot,
        profileFile,
      }),
  });
}

/** The same with rows of a snapshot. */
export async function profileSync(
  cluster: BenchCluster,
  options: BenchOptions,
  directory: string,
  print: (text: string) => void,
): Promise<void> {
  const rows = await cluster.snapshot(options.sync.rows, VALUE_BYTES);
  await profileEach(options, directory, print, {
    file: 'sync',
    title: (count) => `sync, N = ${count}`,
    record: 'row',
    trial: async (count, profileFile) =>
      runSyncTrial({
        cluster,
        warmUp: await cluster.snapshot(Math.min(options.sync.rows, warmUpRecords(count)), VALUE_BYTES),
        rows,
        replications: await cluster.replicate(count),
        profileFile,
      }),
  });
}

interface Profiled {
  readonly file: string;
  readonly title: (replications: number) => string;
  /** What the CPU time is told for. */
  readonly record: string;
  readonly trial: (replications: number, profileFile: string) => Promise<Trial>;
}

async function profileEach(
  { replications }: BenchOptions,
  directory: string,
  print: (text: string) => void,
  { file, title, record, trial }: Profiled,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const count of replications) {
    const profileFile = join(directory, `${file}-n${count}.cpuprofile`);
    const { cpu } = await trial(count, profileFile);
    print(`${title(count)}: ${cpu.toFixed(2)} µs a ${record} while profiled, ${profileFile}`);
    print(await summarizeProfile(profileFile, ROWS));
  }
}
