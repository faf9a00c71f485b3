import { gapsOf, type Gap } from '../../processors/initial-sync/gaps.ts';
import { SyncEstimate, type EstimatedReplication } from '../../processors/initial-sync/sync-estimate.ts';
import type { ReplicationPlan, SyncPlan } from '../../processors/initial-sync/sync-plan.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { PartitionReport } from '../../processors/status-record.ts';
import type { MutationDecoder } from '../../schemas/mutation-decoder.ts';
import type { OperationEncoder, OperationVersion } from '../../schemas/operation-encoder.ts';
import type { SinkRegistry } from '../../sinks/registry.ts';
import type { Random } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { PartitionReader } from '../kafka-port.ts';
import { logRanges, type LogRange, type ScanPorts } from '../partition-scan.ts';
import type { SchemaLoader } from '../schema-loader.ts';
import type { ExistingTopic } from '../topics/topic-admin-port.ts';
import { findingOf, tombstonesKeptMs } from './gap-finding.ts';
import type { ScanProgress } from './scan-progress.ts';
import { estimateFromSnapshot } from './snapshot-estimate.ts';

export interface SyncPlannerOptions {
  readonly reader: PartitionReader;
  readonly decoder: MutationDecoder;
  readonly schemas: SchemaLoader;
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly sinks: SinkRegistry;
  readonly reportsOf: (replicationId: string) => Iterable<PartitionReport>;
  /** The snapshot topic of a mutation topic; undefined when there is none. */
  readonly snapshotOf: (mutationTopic: string) => string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** Plans initial synchronizations from the snapshot, and sends nothing. */
export class SyncPlanner {
  readonly #options: SyncPlannerOptions;
  readonly #ports: ScanPorts;

  constructor(options: SyncPlannerOptions) {
    const { reader, clock, random } = options;
    this.#options = options;
    this.#ports = { reader, clock, random };
  }

  /**
   * `replications` are of one datamart, `snapshots` the snapshot topics as the cluster has them. Null when `signal` has
   * aborted. Rejects with a `TopicReadError` or a `SchemaNotLoadedError`.
   */
  async plan(
    replications: readonly ReplicationConfig[],
    snapshots: readonly ExistingTopic[],
    onProgress: (progress: ScanProgress) => void,
    signal: AbortSignal,
  ): Promise<SyncPlan | null> {
    const [first] = replications;
    if (!first) return { replications: new Map(), supersededRows: 0, unreadableRows: 0 };
    const gaps = new Map(replications.map((config) => [config.id, this.#gapsOf(config)]));
    const estimated = replications.map((config) => this.#estimated(config, gaps.get(config.id) ?? []));
    const estimate = new SyncEstimate(estimated);
    const ranges = await this.#rangesOf(snapshots, signal);
    const unreadableRows = await estimateFromSnapshot(
      { ...this.#options, datamart: first.datamart, estimate, ranges, onProgress },
      signal,
    );
    if (signal.aborted) return null;
    const estimates = estimate.estimates;
    const plans = new Map<string, ReplicationPlan>();
    const known = {
      reader: this.#options.reader,
      nowMs: this.#options.clock.now(),
      tombstonesKeptMs: tombstonesKeptMs(snapshots),
    };
    for (const { config, costs } of estimated) {
      const found = estimates.get(config.id);
      if (!found) throw new Error(`planning for ${config.id}: it wasn't estimated`);
      plans.set(config.id, {
        estimate: found,
        billingSource: costs?.billing?.source ?? null,
        gap: await findingOf(gaps.get(config.id) ?? [], known),
      });
    }
    return { replications: plans, supersededRows: estimate.supersededRows, unreadableRows };
  }

  #gapsOf(config: ReplicationConfig): readonly Gap[] {
    return gapsOf(this.#options.reportsOf(config.id));
  }

  #estimated(config: ReplicationConfig, gaps: readonly Gap[]): EstimatedReplication {
    const { sinks, snapshotOf } = this.#options;
    const needing = new Set(gaps.map(({ topic, partition }) => `${snapshotOf(topic)}/${partition}`));
    return {
      config,
      costs: sinks.get(config.type)?.costs?.(config) ?? null,
      needsDeletions: ({ topic, partition }) => needing.has(`${topic}/${partition}`),
    };
  }

  async #rangesOf(snapshots: readonly ExistingTopic[], signal: AbortSignal): Promise<readonly LogRange[]> {
    const ranges = await Promise.all(
      snapshots.map(({ name, partitions }) => logRanges(name, partitions, this.#ports, signal)),
    );
    return ranges.flat();
  }
}
