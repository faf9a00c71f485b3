import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';
import type { OperationEncoder, OperationVersion } from '../schemas/operation-encoder.ts';
import { identityOf, type Destinations } from './destinations.ts';
import { Lane, type LaneContext, type LaneOwner } from './lane.ts';
import { SegmentLog } from './segment-log.ts';
import type { RecordOrigin } from './segment.ts';

export interface FanOutContext extends LaneContext {
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly destinations: Destinations;
}

interface DatamartFanOut {
  readonly plan: DatamartPlan;
  readonly logs: ReadonlyMap<string, SegmentLog>;
  /** By document type index. */
  readonly logsOf: readonly (readonly SegmentLog[])[];
}

/**
 * A task's logs and lanes: what the compiled plans of the datamarts are in this partition.
 *
 * A log is made with the first mutation that a route wants, a lane with its replication's first; both follow their plan
 * when it changes, so a replication that is paused or deleted stops at once.
 */
export class FanOut {
  readonly #context: FanOutContext;
  readonly #owner: LaneOwner;
  readonly #datamarts = new Map<DatamartKey, DatamartFanOut>();
  readonly #lanes = new Map<string, Lane>();
  readonly #touched = new Set<SegmentLog>();

  constructor(context: FanOutContext, owner: LaneOwner) {
    this.#context = context;
    this.#owner = owner;
  }

  get lanes(): IterableIterator<Lane> {
    return this.#lanes.values();
  }

  /** Encodes the mutation once for each route that wants it. */
  append(mutation: MutationView, plan: DatamartPlan, origin: RecordOrigin): void {
    let datamart = this.#datamarts.get(mutation.datamart);
    if (datamart?.plan !== plan) datamart = this.#follow(mutation.datamart, plan, datamart ?? null);
    for (const log of datamart.logsOf[mutation.docType] ?? []) {
      log.append(mutation, origin);
      this.#touched.add(log);
    }
  }

  /** Lets the lanes of all logs that were appended to send. */
  pumpTouched(nowMs: number): void {
    for (const log of this.#touched) for (const reader of log.readers) reader.pump(nowMs);
    this.#touched.clear();
  }

  /** The datamart's plan changed. */
  onPlanChanged(key: DatamartKey, plan: DatamartPlan): void {
    const datamart = this.#datamarts.get(key);
    if (datamart) this.#follow(key, plan, datamart);
  }

  /** Closes every lane. */
  close(): void {
    for (const lane of this.#lanes.values()) lane.close();
    for (const { logs } of this.#datamarts.values()) for (const log of logs.values()) log.setReaders([]);
    this.#lanes.clear();
    this.#datamarts.clear();
  }

  /** Gives every route its log and every replication its lane; those that are no longer wanted are closed. */
  #follow(key: DatamartKey, plan: DatamartPlan, previous: DatamartFanOut | null): DatamartFanOut {
    const { encoders, pool } = this.#context;
    const logs = new Map<string, SegmentLog>();
    for (const { key: route, version, orderingLanes } of plan.routes) {
      logs.set(route, previous?.logs.get(route) ?? new SegmentLog(encoders[version], orderingLanes, pool));
    }
    for (const [route, log] of previous?.logs ?? []) if (!logs.has(route)) log.setReaders([]);
    const wanted = new Set<Lane>();
    for (const { key: route, replications } of plan.routes) {
      const lanes = replications.map((replication) => this.#laneOf(replication));
      for (const lane of lanes) wanted.add(lane);
      logs.get(route)?.setReaders(lanes);
    }
    for (const replication of previous?.plan.routes.flatMap(({ replications }) => replications) ?? []) {
      const identity = identityOf(replication);
      const lane = this.#lanes.get(identity);
      if (!lane || wanted.has(lane)) continue;
      lane.close();
      this.#lanes.delete(identity);
    }
    const logsOf = plan.routesOf.map((routes) => routes.flatMap((route) => logs.get(route.key) ?? []));
    const datamart: DatamartFanOut = { plan, logs, logsOf };
    if (plan.routes.length > 0) this.#datamarts.set(key, datamart);
    else this.#datamarts.delete(key);
    return datamart;
  }

  #laneOf(replication: Parameters<Destinations['of']>[0]): Lane {
    const identity = identityOf(replication);
    const existing = this.#lanes.get(identity);
    if (existing) return existing;
    const lane = new Lane(this.#context.destinations.of(replication), this.#owner, this.#context);
    this.#lanes.set(identity, lane);
    return lane;
  }
}
