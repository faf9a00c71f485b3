import { datamartKey, type DatamartKey } from '../schemas/mutation.ts';
import { judgementName, type ConfigJudgement, type StoredJudgement } from './config-judgement.ts';
import { neighbourProblem } from './config-neighbours.ts';
import { compileDatamart, EMPTY_PLAN, type DatamartPlan } from './datamart-plan.ts';
import { withDeferredStatus } from './deferred-status.ts';
import type { StatusDeferral } from './initial-sync/execution.ts';
import {
  judgeConfig,
  judgeKeptConfig,
  type ConfigProblem,
  type ConfigRules,
  type Judgement,
  type ReplicationConfig,
} from './replication-config.ts';

/** What one record of the control topic did to the table. */
export type TableChange =
  | { readonly kind: 'unchanged' }
  | {
      readonly kind: 'refused';
      readonly id: string;
      /** On the control topic. */
      readonly offset: number;
      readonly problem: ConfigProblem;
    }
  | {
      readonly kind: 'changed';
      readonly previous: ReplicationConfig | null;
      readonly next: ReplicationConfig | null;
    };

export interface ReplicationLimits {
  /** How many replications a datamart may have; default as many as it likes. */
  readonly maxPerDatamart?: number;
}

/**
 * The replications that are in force, by id, and the join compiled from them: `datamart → plan`.
 *
 * Only a changed datamart is compiled anew, and foreign replications cost a mutation nothing. A record that can't be
 * used leaves the last good one in force. While an initial synchronization of a datamart goes on, statuses there wait:
 * the table holds each config as it holds, and its judgement as it was written.
 */
export class ReplicationTable {
  readonly #rules: ConfigRules;
  readonly #maxPerDatamart: number;
  /** As their records say. */
  readonly #accepted = new Map<string, ReplicationConfig>();
  /** As they hold. */
  readonly #byId = new Map<string, ReplicationConfig>();
  /** By datamart. */
  readonly #deferrals = new Map<string, StatusDeferral>();
  readonly #byDatamart = new Map<DatamartKey, Map<string, ReplicationConfig>>();
  readonly #plans = new Map<DatamartKey, DatamartPlan>();
  /** By `judgementName`: keys that are no ids have one too. */
  readonly #judgements = new Map<string, ConfigJudgement>();
  /** Names that the control topic has a record of; null once it was read to its end. */
  #seen: Set<string> | null = null;
  #activeCount = 0;

  constructor(rules: ConfigRules, { maxPerDatamart = Infinity }: ReplicationLimits = {}) {
    this.#rules = rules;
    this.#maxPerDatamart = maxPerDatamart;
  }

  /** The rules that records are judged by. */
  get rules(): ConfigRules {
    return this.#rules;
  }

  /**
   * The control topic is about to be read from its start to `end`: takes over what was judged before and isn't known yet.
   * A judgement beyond the end speaks of a topic that is gone: everything on the new one is judged then.
   */
  beginRestore(
    stored: ReadonlyMap<string, StoredJudgement>,
    end: number,
  ): { readonly changes: readonly TableChange[]; readonly isMadeAnew: boolean } {
    this.#seen = new Set();
    const isBeyond = ({ judgedOffset }: { judgedOffset: number }): boolean => judgedOffset >= end;
    const isMadeAnew = this.#judgements.values().some(isBeyond) || stored.values().some(isBeyond);
    const changes: TableChange[] = [];
    for (const [name, { judgedOffset, accepted, refused }] of stored) {
      if (this.#judgements.has(name)) continue;
      const config = accepted && this.#judgeAgain(name, accepted);
      // What these rules don't take any more is judged anew.
      if (accepted && !config) continue;
      if (config) {
        changes.push({ kind: 'changed', previous: null, next: this.#add(config) });
      }
      this.#judgements.set(name, { judgedOffset, accepted: config, refused });
    }
    if (isMadeAnew)
      for (const [name, judgement] of this.#judgements)
        this.#judgements.set(name, { ...judgement, judgedOffset: -1 });
    return { changes, isMadeAnew };
  }

  /** The control topic was read to its end: a replication without a record there was deleted, its null compacted away. */
  completeRestore(): readonly TableChange[] {
    const seen = this.#seen;
    this.#seen = null;
    if (!seen) return [];
    return [...this.#judgements].flatMap(([name, { accepted }]): TableChange[] => {
      if (seen.has(name)) return [];
      this.#judgements.delete(name);
      const previous = accepted && this.#byId.get(accepted.id);
      if (!previous) return [];
      this.#remove(previous);
      return [{ kind: 'changed', previous, next: null }];
    });
  }

  /**
   * Applies a record; a null value deletes. The same code for the records read at the start and the live ones.
   * `timestamp` is Kafka's, in ms since 1970 UTC.
   */
  apply(key: string, value: Buffer | null, offset: number, timestamp: number): TableChange {
    const name = judgementName(key);
    this.#seen?.add(name);
    const known = this.#judgements.get(name);
    if (known && offset <= known.judgedOffset) return { kind: 'unchanged' };
    const previous = this.#byId.get(key) ?? null;
    if (value === null) {
      this.#judgements.delete(name);
      if (!previous) return { kind: 'unchanged' };
      this.#remove(previous);
      return { kind: 'changed', previous, next: null };
    }
    const judgement = this.judge(key, value, offset);
    if (judgement.kind === 'refused') {
      const { code, field, message } = judgement.problem;
      const refused = { offset, code, field, message, time: timestamp };
      const accepted = this.#accepted.get(key) ?? null;
      this.#judgements.set(name, { judgedOffset: offset, accepted, refused });
      return { kind: 'refused', id: key, offset, problem: judgement.problem };
    }
    this.#judgements.set(name, { judgedOffset: offset, accepted: judgement.config, refused: null });
    if (previous) this.#remove(previous);
    return { kind: 'changed', previous, next: this.#add(judgement.config) };
  }

  /**
   * An execution of the datamart goes on, or none does any more (null): statuses wait, or take effect. The same one
   * again changes nothing.
   */
  deferStatuses(datamartId: string, deferral: StatusDeferral | null): readonly TableChange[] {
    const known = this.#deferrals.get(datamartId) ?? null;
    if (known?.executionId === deferral?.executionId && known?.configOffset === deferral?.configOffset)
      return [];
    if (deferral) this.#deferrals.set(datamartId, deferral);
    else this.#deferrals.delete(datamartId);
    return this.ofDatamart(datamartId).flatMap((previous): TableChange[] => {
      const accepted = this.#accepted.get(previous.id);
      if (!accepted || isSameStatus(previous, withDeferredStatus(accepted, deferral))) return [];
      this.#remove(previous);
      return [{ kind: 'changed', previous, next: this.#add(accepted) }];
    });
  }

  /** Judges a record as `apply` would now, and changes nothing: for who wants to know before writing it. */
  judge(key: string, value: Buffer, offset: number): Judgement {
    const judgement = judgeConfig(key, value, offset, this.#accepted.get(key) ?? null, this.#rules);
    if (judgement.kind === 'refused') return judgement;
    const neighbours = { ofDatamart: this.ofDatamart(judgement.config.datamartId), all: this.all() };
    const problem = neighbourProblem(judgement.config, neighbours, this.#maxPerDatamart);
    return problem ? { kind: 'refused', problem } : judgement;
  }

  /** What is known of a key, by its `judgementName`; null when the control topic has no record of it. As it was written. */
  judgement(name: string): ConfigJudgement | null {
    return this.#judgements.get(name) ?? null;
  }

  /** The names that have a judgement. */
  judged(): IterableIterator<string> {
    return this.#judgements.keys();
  }

  /** The replications of one datamart, whatever their status. */
  ofDatamart(datamartId: string): readonly ReplicationConfig[] {
    return [...(this.#byDatamart.get(datamartKey(datamartId))?.values() ?? [])];
  }

  get(id: string): ReplicationConfig | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<ReplicationConfig> {
    return this.#byId.values();
  }

  /**
   * Whether every replication is known whose record was read: false while a record is refused that no accepted one stands
   * behind, which others may take, such as one of a kind of destination that is off here.
   */
  get isComplete(): boolean {
    return this.#judgements.values().every(({ accepted, refused }) => accepted !== null || refused === null);
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

  #judgeAgain(
    id: string,
    { record, offset }: NonNullable<StoredJudgement['accepted']>,
  ): ReplicationConfig | null {
    const judgement = judgeKeptConfig(id, record, offset, this.#rules);
    return judgement.kind === 'accepted' ? judgement.config : null;
  }

  /** Puts a config into force, as it holds now. */
  #add(accepted: ReplicationConfig): ReplicationConfig {
    const config = withDeferredStatus(accepted, this.#deferrals.get(accepted.datamartId) ?? null);
    if (config.status === 'ACTIVE') this.#activeCount += 1;
    this.#accepted.set(config.id, accepted);
    this.#byId.set(config.id, config);
    const siblings = this.#byDatamart.get(config.datamart) ?? new Map<string, ReplicationConfig>();
    siblings.set(config.id, config);
    this.#byDatamart.set(config.datamart, siblings);
    this.#plans.delete(config.datamart);
    return config;
  }

  #remove(config: ReplicationConfig): void {
    if (config.status === 'ACTIVE') this.#activeCount -= 1;
    this.#accepted.delete(config.id);
    this.#byId.delete(config.id);
    const siblings = this.#byDatamart.get(config.datamart);
    siblings?.delete(config.id);
    if (siblings?.size === 0) this.#byDatamart.delete(config.datamart);
    this.#plans.delete(config.datamart);
  }
}

function isSameStatus(a: ReplicationConfig, b: ReplicationConfig): boolean {
  return a.status === b.status && a.deferredStatus === b.deferredStatus && a.activeSince === b.activeSince;
}
