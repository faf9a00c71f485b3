import { DOCUMENT_TYPES, type DocumentType, type DocumentTypeIndex } from '../schemas/document-type.ts';
import type { MutationDecoder } from '../schemas/mutation-decoder.ts';
import {
  MutationView,
  OPERATION_NAMES,
  type DatamartKey,
  type DeadLetterReason,
} from '../schemas/mutation.ts';

/** What may be told of a mutation: no ids of users and no payload. */
export interface MutationSummary {
  readonly datamartId: string;
  readonly docType: DocumentType;
  readonly docTypeIndex: DocumentTypeIndex;
  readonly op: (typeof OPERATION_NAMES)[number];
  /** Milliseconds since 1970 UTC. */
  readonly ts: number;
}

/**
 * What a record of a mutation topic is, whoever wants it.
 * - `ignored`: its document type is known and never replicated.
 * - `schema_unavailable`: it names a schema that can't be had now, so nobody can tell.
 * - `gone`: retention has taken it.
 */
export type ExaminedRecord =
  | { readonly kind: 'mutation'; readonly mutation: MutationSummary }
  | { readonly kind: 'ignored'; readonly datamartId: string | null }
  | { readonly kind: 'tombstone' }
  | {
      readonly kind: 'undecodable';
      readonly reason: DeadLetterReason;
      readonly detail: string;
      readonly datamartId: string | null;
    }
  | { readonly kind: 'schema_unavailable'; readonly detail: string }
  | { readonly kind: 'gone' };

/** The record names a schema that has to be loaded first. */
export interface SchemaNeeded {
  readonly kind: 'schema_needed';
  readonly schemaId: number;
}

/** Decodes a record's value whole, as the topology does for a datamart that has replications. Never throws on data. */
export function examineRecord(decoder: MutationDecoder, value: Buffer | null): ExaminedRecord | SchemaNeeded {
  if (value === null) return { kind: 'tombstone' };
  const view = new MutationView();
  const status = decoder.decode(value, view, () => true);
  const datamartId = idOf(view.datamart);
  switch (status) {
    case 'ok':
    case 'unwanted':
      return { kind: 'mutation', mutation: summaryOf(view) };
    case 'ignored':
      return { kind: 'ignored', datamartId };
    case 'schema_needed':
      return { kind: 'schema_needed', schemaId: decoder.schemaId };
    default:
      return { kind: 'undecodable', reason: status, detail: decoder.detail, datamartId };
  }
}

/** The datamart that the record names; null when it names none that can be read. */
export function datamartOf(record: ExaminedRecord): string | null {
  switch (record.kind) {
    case 'mutation':
      return record.mutation.datamartId;
    case 'ignored':
    case 'undecodable':
      return record.datamartId;
    case 'tombstone':
    case 'schema_unavailable':
    case 'gone':
      return null;
  }
}

function summaryOf({ datamart, docType, op, ts }: MutationView): MutationSummary {
  return {
    datamartId: String(datamart),
    docType: DOCUMENT_TYPES[docType] ?? 'UserPoint',
    docTypeIndex: docType,
    op: OPERATION_NAMES[op],
    ts,
  };
}

/** A decoder that has read no id leaves 0. */
function idOf(datamart: DatamartKey): string | null {
  return datamart === 0 ? null : String(datamart);
}
