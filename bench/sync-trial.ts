import { join } from 'node:path';
import {
  CREDENTIALS_FILE,
  PROJECT_ID,
  type BenchCluster,
  type Dataset,
  type ReplicationSet,
} from './bench-cluster.ts';
import type { BenchPass } from './job.ts';
import { runChild, type Trial } from './trial.ts';

export interface SyncTrialOptions {
  readonly cluster: BenchCluster;
  /** A snapshot whose rows are sent before anything is measured. */
  readonly warmUp: Dataset;
  /** The snapshot whose rows are measured. */
  readonly rows: Dataset;
  readonly replications: ReplicationSet;
  readonly profileFile?: string;
}

/** Brings a snapshot to the replications, in a process of its own. Rejects unless exactly the right bytes arrived. */
export function runSyncTrial({ cluster, warmUp, rows, ...options }: SyncTrialOptions): Promise<Trial> {
  const { replications, profileFile } = options;
  const passOf = (snapshot: Dataset): BenchPass => ({
    groupId: cluster.newGroup(),
    records: snapshot.records,
    settings: { ...cluster.settings(snapshot, replications), INITIAL_SYNC_WINDOW_HOURS: '0' },
  });
  return runChild({
    script: join(import.meta.dirname, 'sync-child.ts'),
    delayMs: 0,
    job: {
      settings: {},
      mutationTopic: rows.topic,
      projectId: PROJECT_ID,
      credentialsFile: CREDENTIALS_FILE,
      pubsubTopics: replications.pubsubTopics,
      warmUp: passOf(warmUp),
      passes: [passOf(rows)],
      profileFile: profileFile ?? null,
    },
    checksumOfEach: warmUp.checksumOfLast(warmUp.records) + rows.checksumOfLast(rows.records),
  });
}
