import type { DatamartKey } from '../schemas/mutation.ts';
import { compileDatamart, EMPTY_PLAN, type DatamartPlan } from './datamart-plan.ts';
import {
  judgeConfig,
  type ConfigProblem,
  type ConfigRules,
  type ReplicationConfig,
} from './replication-config.ts';

/** What one record of the control topic did to the table. */
export type TableChange =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly id: string; readonly problem: ConfigProblem }
  | {
      readonly kind: 'changed';
      readonly previous: ReplicationConfig | null;
      readonly next: ReplicationConfig | null;
    };

/**
 * The replications that are in force, by id, and the join compiled from them: `datamart → plan`.
 *
 * Only a changed datamart is compiled anew, and foreign replications cost a mutation nothing. A record that can't be
 * used leaves the last good one in force.
 */
export class ReplicationTable {
  readonly #rules: ConfigRules;
  readonly #byId = new Map<string, ReplicationConfig>();
  readonly #byDatamart = new Map<DatamartKey, Map<string, ReplicationConfig>>();
  readonly #plans = new Map<DatamartKey, DatamartPlan>();
  #activeCount = 0;

  constructor(rules: ConfigRules) {
    this.#rules = rules;
  }

  /** Applies a record; a null value deletes. The same code for the records read at the start and the live ones. */
  apply(key: string, value: Buffer | null, offset: number): TableChange {
    const previous = this.#byId.get(key) ?? null;
    if (value === null) {
      if (!previous) return { kind: 'unchanged' };
      this.#remove(previous);
      return { kind: 'changed', previous, next: null };
    }
    const judgement = judgeConfig(key, value, offset, previous, this.#rules);
    if (judgement.kind === 'refused') return { kind: 'refused', id: key, problem: judgement.problem };
    const next = judgement.config;
    if (previous) this.#remove(previous);
    this.#add(next);
    return { kind: 'changed', previous, next };
  }

  get(id: string): ReplicationConfig | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<ReplicationConfig> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  /** How many replications want to be ACTIVE. */
  get activeCount(): number {
    return this.#activeCount;
  }

  /** Whether any replication of the datamart exists, whatever its status. */
  has(datamart: DatamartKey): boolean {
    return this.#byDatamart.has(datamart);
  }

  /** The compiled join of one datamart. The same object until one of the datamart's replications changes. */
  plan(datamart: DatamartKey): DatamartPlan {
    let plan = this.#plans.get(datamart);
    if (plan) return plan;
    const replications = this.#byDatamart.get(datamart);
    if (!replications) return EMPTY_PLAN;
    plan = compileDatamart([...replications.values()]);
    this.#plans.set(datamart, plan);
    return plan;
  }

  #add(config: ReplicationConfig): void {
    if (config.status === 'ACTIVE') this.#activeCount += 1;
    this.#byId.set(config.id, config);
    const siblings = this.#byDatamart.get(config.datamart) ?? new Map<string, ReplicationConfig>();
    siblings.set(config.id, config);
    this.#byDatamart.set(config.datamart, siblings);
    this.#plans.delete(config.datamart);
  }

  #remove(config: ReplicationConfig): void {
    if (config.status === 'ACTIVE') this.#activeCount -= 1;
    this.#byId.delete(config.id);
    const siblings = this.#byDatamart.get(config.datamart);
    siblings?.delete(config.id);
    if (siblings?.size === 0) this.#byDatamart.delete(config.datamart);
    this.#plans.delete(config.datamart);
  }
}
