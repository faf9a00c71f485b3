import { ALL_DOCUMENT_TYPES, DOCUMENT_TYPES, type DocumentTypeMask } from '../schemas/document-type.ts';
import type { DatamartKey, MutationView } from '../schemas/mutation.ts';

/**
 * Where a task last saw a mutation of each document type of each datamart, so that the position of a replication that is
 * not served moves over what it doesn't want (PROTOCOL C5). Without that, retention would pass a position behind which
 * nothing was ever missing, and the replication would ask for an initial synchronization.
 */
export class SeenMutations {
  readonly #lastOf = new Map<DatamartKey, Float64Array>();
  #datamart: DatamartKey | null = null;
  #last: Float64Array = new Float64Array(0);

  /** The task dispatches the mutation at `offset`. On the hot path. */
  note({ datamart, docType }: MutationView, offset: number): void {
    if (datamart !== this.#datamart) this.#moveTo(datamart);
    this.#last[docType] = offset;
  }

  /** Whether a mutation of the datamart and one of these types (null: of any) was seen at `offset` or behind it. */
  hasSince(offset: number, datamart: DatamartKey, documents: DocumentTypeMask | null): boolean {
    const wanted = documents ?? ALL_DOCUMENT_TYPES;
    return (this.#lastOf.get(datamart) ?? []).some(
      (last, docType) => last >= offset && wanted & (1 << docType),
    );
  }

  #moveTo(datamart: DatamartKey): void {
    const last = this.#lastOf.get(datamart) ?? new Float64Array(DOCUMENT_TYPES.length).fill(-1);
    this.#lastOf.set(datamart, last);
    this.#datamart = datamart;
    this.#last = last;
  }
}
