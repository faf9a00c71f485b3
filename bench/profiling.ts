import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { summarizeProfile } from './profile-summary.ts';
import { runSyncTrial } from './sync-trial.ts';
import { runTrial } from './trial.ts';
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
  await mkdir(directory, { recursive: true });
  const dataset = await cluster.produce(options.records, VALUE_BYTES);
  const [delayMs = 0] = options.delaysMs;
  for (const count of options.replications) {
    const profileFile = join(directory, `processor-n${count}.cpuprofile`);
    const { cpu } = await runTrial({
      cluster,
      contestant: 'processor',
      dataset,
      replications: await cluster.replicate(count),
      delayMs,
      warmUpRecords: warmUpRecords(count),
      passes: 1,
      hasSnapshot: options.hasSnapshot,
      profileFile,
    });
    print(`N = ${count}, ${delayMs} ms: ${cpu.toFixed(2)} µs a record while profiled, ${profileFile}`);
    print(await summarizeProfile(profileFile, ROWS));
  }
}

/** The same with rows of a snapshot. */
export async function profileSync(
  cluster: BenchCluster,
  options: BenchOptions,
  directory: string,
  print: (text: string) => void,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const rows = await cluster.snapshot(options.sync.rows, VALUE_BYTES);
  for (const count of options.replications) {
    const profileFile = join(directory, `sync-n${count}.cpuprofile`);
    const { cpu } = await runSyncTrial({
      cluster,
      warmUp: await cluster.snapshot(Math.min(options.sync.rows, warmUpRecords(count)), VALUE_BYTES),
      rows,
      replications: await cluster.replicate(count),
      profileFile,
    });
    print(`sync, N = ${count}: ${cpu.toFixed(2)} µs a row while profiled, ${profileFile}`);
    print(await summarizeProfile(profileFile, ROWS));
  }
}
