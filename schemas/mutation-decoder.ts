import type { DatamartKey, DeadLetterReason, MutationView } from './mutation.ts';

/**
 * What a decoder says of one record.
 *
 * - `ok`: the view holds the mutation.
 * - `unwanted`: its datamart has no replication; nothing beyond the datamart's id was looked at.
 * - `ignored`: a document type that is known and not replicated.
 * - `schema_needed`: the record names a schema (`schemaId`) that isn't loaded yet: load it, then decode again.
 * - otherwise: why the record goes to the dead letters; `detail` says it in words, without payload.
 */
export type DecodeStatus = 'ok' | 'unwanted' | 'ignored' | 'schema_needed' | DeadLetterReason;

/** Decodes the value of a mutation record, synchronously and without allocating on the good path. Never throws on data. */
export interface MutationDecoder {
  /** In words, what is wrong with the last record decoded; empty when nothing is. */
  readonly detail: string;
  /** The schema id of the last record, or -1 when it has none. */
  readonly schemaId: number;
  decode(record: Buffer, into: MutationView, isWanted: (datamart: DatamartKey) => boolean): DecodeStatus;
}
