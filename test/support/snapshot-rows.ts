import { documentKey } from '../../schemas/document-key.ts';
import { JsonMutationDecoder } from '../../schemas/json-mutation-decoder.ts';
import { DELETE, MutationView } from '../../schemas/mutation.ts';
import { AvroOperationEncoder } from '../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../schemas/operation-encoder-json.ts';
import type { OperationVersion } from '../../schemas/operation-encoder.ts';
import type { SchemaLoader } from '../../streams/schema-loader.ts';
import type { InMemoryKafka } from './in-memory-kafka.ts';

/** Where the schemas of JSON mutations are: nowhere. */
export const NO_SCHEMAS: SchemaLoader = {
  load: () => Promise.resolve({ status: 'unconfigured', detail: 'no registry is set' }),
};

const ENCODERS = { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() };

/** The operation that a mutation becomes in a version. */
export function operationOf(mutation: Readonly<Record<string, unknown>>, version: OperationVersion): Buffer {
  const view = viewOf(mutation);
  const encoder = ENCODERS[version];
  const target = Buffer.alloc(encoder.maxBytes(view));
  return target.subarray(0, encoder.encode(view, target, 0));
}

/** The snapshot's key of a mutation. */
export function snapshotKeyOf(mutation: Readonly<Record<string, unknown>>): string {
  return documentKey(viewOf(mutation));
}

/** Appends to a snapshot partition what the processor stores for a mutation. */
export function appendSnapshotRow(
  kafka: InMemoryKafka,
  at: { readonly topic: string; readonly partition: number },
  mutation: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): void {
  const view = viewOf(mutation);
  const value = view.op === DELETE ? null : Buffer.from(JSON.stringify(mutation));
  kafka.append(at, { key: Buffer.from(documentKey(view)), value, headers });
}

function viewOf(mutation: Readonly<Record<string, unknown>>): MutationView {
  const view = new MutationView();
  const decoder = new JsonMutationDecoder();
  const status = decoder.decode(Buffer.from(JSON.stringify(mutation)), view, () => true);
  if (status !== 'ok') throw new Error(`no mutation: ${status} ${decoder.detail}`);
  return view;
}
