import type { SyncPlanOperations } from '../../api/sync-plan-operations.ts';
import { planAtRate } from '../../api/sync-plan-resource.ts';
import { ConfigError } from '../../config/config-error.ts';
import { DONE } from '../cli-process.ts';
import type { ControlSession } from '../control-session.ts';
import { ProgressLine } from '../progress-line.ts';
import { writeJson } from '../text-output.ts';
import { planText } from './plan-text.ts';

export interface PlanOptions {
  /** Null for every ACTIVE one. */
  readonly replicationIds: readonly string[] | null;
  /** Operations per second and replication; null: that of the settings. */
  readonly rate: number | null;
}

/** `initial-sync plan`: what one would send. */
export async function runPlan(
  { replicationIds, rate }: PlanOptions,
  session: ControlSession<SyncPlanOperations>,
): Promise<number> {
  const { operations, datamartId, isJson, out, errors, now, signal } = session;
  if (datamartId === null) throw new ConfigError(['--datamart-id: not given; whose replications?']);
  const progress = new ProgressLine({ errors, now, isPlainToo: false });
  const body = replicationIds === null ? {} : { replication_ids: replicationIds };
  try {
    const onProgress = ({ read, total }: { read: number; total: number }): void => {
      progress.maybeShow(() => `reading the snapshot: ${Math.floor((read / Math.max(1, total)) * 100)} %`);
    };
    const planned = await operations.plan(datamartId, body, onProgress, signal);
    const plan = rate === null ? planned : planAtRate(planned, rate);
    progress.clear();
    if (isJson) writeJson(out, plan);
    else out.write(planText(plan));
    return DONE;
  } finally {
    progress.clear();
  }
}
