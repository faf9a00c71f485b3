import { documentKey } from '../schemas/document-key.ts';
import { JsonMutationDecoder } from '../schemas/json-mutation-decoder.ts';
import { formatMutationSource, type MutationSource } from '../schemas/mutation-source.ts';
import { MutationView } from '../schemas/mutation.ts';

/** A record of a snapshot topic. */
export interface SnapshotRow {
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<'source', string>>;
}

const decoder = new JsonMutationDecoder();
const mutation = new MutationView();

/** The row that the program keeps of a mutation with these bytes, which stood at `source`. */
export function snapshotRow(value: Buffer, source: MutationSource): SnapshotRow {
  const status = decoder.decode(value, mutation, () => true);
  if (status !== 'ok') throw new Error(`a mutation of the bench is ${status}`);
  return { key: documentKey(mutation), value, headers: { source: formatMutationSource(source) } };
}
