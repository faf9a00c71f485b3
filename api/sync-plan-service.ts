import { parseSyncRecord } from '../processors/initial-sync/sync-request.ts';
import type { ControlState } from './control-plane.ts';
import { launchRecordOf, refusedLaunch } from './launch-body.ts';
import { launchable } from './launch-judgement.ts';
import { assertReady } from './replication-reader.ts';
import type { PlanProgress, SyncPlanOperations, SyncPlanSource } from './sync-plan-operations.ts';
import { syncPlanResource, type SyncPlanResource } from './sync-plan-resource.ts';

export interface SyncPlanServiceOptions {
  readonly state: ControlState;
  readonly source: SyncPlanSource;
  /** As the processors' own: how long a succeeded synchronization blocks the next of its replications, in ms. */
  readonly windowMs: number;
  /** Operations per second and replication; null: as fast as it goes. */
  readonly rate: number | null;
  /** ms since 1970 UTC. */
  readonly now: () => number;
}

/** Nobody sees the id of what is not launched. */
const PLANNED = { id: 'plan', caller: { name: 'plan', role: 'customer' } } as const;

/** Plans for what this instance's tables allow to be launched. */
export class SyncPlanService implements SyncPlanOperations {
  readonly #options: SyncPlanServiceOptions;

  constructor(options: SyncPlanServiceOptions) {
    this.#options = options;
  }

  async plan(
    datamartId: string,
    body: unknown,
    onProgress: (progress: PlanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlanResource> {
    const { state, source, windowMs, rate, now } = this.#options;
    assertReady(state);
    const nowMs = now();
    const { id, caller } = PLANNED;
    const record = launchRecordOf(body, { datamartId, caller, nowMs, newId: () => id });
    const parsed = parseSyncRecord(record.id, record);
    if (parsed.kind === 'refused') throw refusedLaunch(parsed.problem, nowMs);
    if (parsed.kind === 'cancel') throw new Error('planning: a launch was taken for a cancel');
    const replications = launchable(parsed.launch, state, { windowMs, nowMs });
    return syncPlanResource(await source.plan(replications, onProgress, signal), rate);
  }
}
