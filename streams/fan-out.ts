import type { DatamartPlan } from '../processors/datamart-plan.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';
import type { OperationEncoder, OperationVersion } from '../schemas/operation-encoder.ts';
import { SegmentLog, type SegmentReader } from './segment-log.ts';
import type { SegmentLender } from './segment-pool.ts';
import type { RecordOrigin } from './segment.ts';

export interface FanOutContext {
  readonly encoders: Readonly<Record<OperationVersion, OperationEncoder>>;
  readonly pool: SegmentLender;
}

/** Who reads the logs for the replication; null when it doesn't take part. */
export type ReaderOf = (replication: ReplicationConfig) => SegmentReader | null;

interface DatamartFanOut {
  readonly plan: DatamartPlan;
  readonly logs: ReadonlyMap<string, SegmentLog>;
  /** By document type index. */
  readonly logsOf: readonly (readonly SegmentLog[])[];
}

/**
 * The logs of one stream of mutations, live or replayed, or of rows of a snapshot: what the compiled plans of the
 * datamarts are in it.
 *
 * A log is made with the first mutation that a route wants, and read for those of its replications that take part. Logs follow their plan when it changes.
 */
export class FanOut {
  readonly #context: FanOutContext;
  readonly #readerOf: ReaderOf;
  readonly #isOfRows: boolean;
  readonly #datamarts = new Map<DatamartKey, DatamartFanOut>();
  readonly #touched = new Set<SegmentLog>();

  /** `isOfRows`: every mutation that is appended is a row of a snapshot, with a `RowOrigin`. */
  constructor(context: FanOutContext, readerOf: ReaderOf, isOfRows = false) {
    this.#context = context;
    this.#readerOf = readerOf;
    this.#isOfRows = isOfRows;
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

  /** What was appended since the last `pumpTouched` is not to wait for more: there is enough where it came from. */
  sealTouched(): void {
    for (const log of this.#touched) log.sealOpen();
  }

  /** Lets the readers of all logs that were appended to send. */
  pumpTouched(nowMs: number): void {
    for (const log of this.#touched) for (const reader of log.readers) reader.pump(nowMs);
    this.#touched.clear();
  }

  /** The datamart's plan changed. */
  onPlanChanged(key: DatamartKey, plan: DatamartPlan): void {
    const datamart = this.#datamarts.get(key);
    if (datamart) this.#follow(key, plan, datamart);
  }

  /** Other replications of the datamart take part from the next mutation on; open segments are sealed (PROTOCOL A8). */
  refresh(key: DatamartKey): void {
    const datamart = this.#datamarts.get(key);
    if (datamart) this.#follow(key, datamart.plan, datamart);
  }

  /** Nobody reads any more. */
  close(): void {
    for (const { logs } of this.#datamarts.values()) for (const log of logs.values()) log.setReaders([]);
    this.#datamarts.clear();
  }

  #follow(key: DatamartKey, plan: DatamartPlan, previous: DatamartFanOut | null): DatamartFanOut {
    const { encoders, pool } = this.#context;
    const logs = new Map<string, SegmentLog>();
    for (const { key: route, version, orderingLanes } of plan.routes) {
      logs.set(
        route,
        previous?.logs.get(route) ??
          new SegmentLog(key, encoders[version], orderingLanes, pool, this.#isOfRows),
      );
    }
    for (const [route, log] of previous?.logs ?? []) if (!logs.has(route)) log.setReaders([]);
    for (const { key: route, replications } of plan.routes) {
      const readers = replications.flatMap((replication) => this.#readerOf(replication) ?? []);
      logs.get(route)?.setReaders(readers);
    }
    const logsOf = plan.routesOf.map((routes) => routes.flatMap((route) => logs.get(route.key) ?? []));
    const datamart: DatamartFanOut = { plan, logs, logsOf };
    if (plan.routes.length > 0) this.#datamarts.set(key, datamart);
    else this.#datamarts.delete(key);
    return datamart;
  }
}
