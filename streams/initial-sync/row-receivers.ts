import type { DatamartPlan } from '../../processors/datamart-plan.ts';
import type { SyncPart } from './sync-part.ts';

/** Who of some parts is sent a row of the snapshot, worked out once for each document type while the plan stays. */
export class RowReceivers {
  readonly #parts: readonly SyncPart[];
  #plan: DatamartPlan | null = null;
  /** Both by document type index. */
  #ofDocuments: readonly (readonly SyncPart[])[] = [];
  #ofDeletions: readonly (readonly SyncPart[])[] = [];

  constructor(parts: readonly SyncPart[]) {
    this.#parts = parts;
  }

  /** A deletion only goes to replications that have missed some (PROTOCOL B7). */
  of(docType: number, plan: DatamartPlan, isDeletion: boolean): readonly SyncPart[] {
    if (plan !== this.#plan) this.#follow(plan);
    return (isDeletion ? this.#ofDeletions : this.#ofDocuments)[docType] ?? [];
  }

  #follow(plan: DatamartPlan): void {
    this.#plan = plan;
    this.#ofDocuments = plan.routesOf.map((routes) => {
      const wanting = new Set(routes.flatMap(({ replications }) => replications.map(({ id }) => id)));
      return this.#parts.filter(({ replicationId }) => wanting.has(replicationId));
    });
    this.#ofDeletions = this.#ofDocuments.map((parts) =>
      parts.filter(({ needsDeletions }) => needsDeletions),
    );
  }
}
