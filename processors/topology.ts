import { USER_POINT_PARENT } from '../schemas/document-type.ts';
import type { DecodeStatus, MutationDecoder } from '../schemas/mutation-decoder.ts';
import { MutationView, type DatamartKey } from '../schemas/mutation.ts';
import { EMPTY_PLAN, type DatamartPlan } from './datamart-plan.ts';
import type { ReplicationTable } from './replication-table.ts';

/** What the topology made of one record. */
export type TopologyStatus = DecodeStatus | 'tombstone' | 'not_in_schema';

/**
 * The processor topology of one task: decode → join → fan-out plan. Mapping to an operation is the encoders' work, which
 * the task calls once for each route of the plan.
 *
 * One topology is used again for every record; `mutation` and `plan` hold until the next `process`.
 */
export class Topology {
  readonly mutation = new MutationView();
  readonly #decoder: MutationDecoder;
  readonly #table: ReplicationTable;
  readonly #isWanted: (datamart: DatamartKey) => boolean;
  #plan: DatamartPlan = EMPTY_PLAN;
  #isDecoded = false;

  /** `isWanted` tells the datamarts whose mutations are decoded at all: by default those that have a replication. */
  constructor(
    decoder: MutationDecoder,
    table: ReplicationTable,
    isWanted: (datamart: DatamartKey) => boolean = (datamart) => table.has(datamart),
  ) {
    this.#decoder = decoder;
    this.#table = table;
    this.#isWanted = isWanted;
  }

  /** Whether the last record was a mutation of a datamart whose mutations are decoded: `mutation` holds it. */
  get isDecoded(): boolean {
    return this.#isDecoded;
  }

  /** The routes of the mutation's datamart. */
  get plan(): DatamartPlan {
    return this.#plan;
  }

  /** In words, without payload, what was wrong with the record. */
  get detail(): string {
    return this.#decoder.detail;
  }

  /** The record's Avro schema id, or -1. */
  get schemaId(): number {
    return this.#decoder.schemaId;
  }

  /** Processes the value of one record. Never throws on data. `ok` means that at least one route wants it,
   * `not_in_schema` that only replications do whose schema can't hold it. */
  process(value: Buffer | null): TopologyStatus {
    this.#isDecoded = false;
    if (value === null) return 'tombstone';
    const status = this.#decoder.decode(value, this.mutation, this.#isWanted);
    if (status !== 'ok') return status;
    this.#isDecoded = true;
    this.#plan = this.#table.plan(this.mutation.datamart);
    const routes = this.#plan.routesOf[this.mutation.docType];
    if (routes && routes.length > 0) return 'ok';
    return this.mutation.docType === USER_POINT_PARENT && this.#plan.parentNotInSchema.length > 0
      ? 'not_in_schema'
      : 'unwanted';
  }
}
