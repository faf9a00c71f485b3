import avsc, { type Schema } from 'avsc';
import { mutationSchemaText } from '../schemas/mutation-schema.ts';
import { ID_PARTS } from '../schemas/mutation.ts';
import type { SampleMutation } from './sample-mutations.ts';

/** Writes a sample mutation as the value of a Kafka record. */
export type MutationWriter = (mutation: SampleMutation) => Buffer;

/** JSON text; `value` goes in as it is, so that its numbers keep all their digits. */
export function mutationJson(datamartId: string, mutation: SampleMutation): string {
  const parts = Object.entries(mutation.parts).map(
    ([name, id]) => `${JSON.stringify(name)}:${JSON.stringify(id)},`,
  );
  return (
    `{"datamart_id":${datamartId},"user_point_id":"${mutation.userPointId}","ts":${mutation.ts},` +
    `"op":"${mutation.op}","doc_type":"${mutation.docType}",${parts.join('')}"value":${mutation.value ?? 'null'}}`
  );
}

/** Mutations as JSON. */
export function jsonMutationWriter(datamartId: string): MutationWriter {
  return (mutation) => Buffer.from(mutationJson(datamartId, mutation));
}

/** Mutations as Avro with the Confluent header, by the published schema, which is registered under `schemaId`. */
export function avroMutationWriter(datamartId: string, schemaId: number): MutationWriter {
  const type = avsc.Type.forSchema(JSON.parse(mutationSchemaText()) as Schema);
  const header = Buffer.alloc(5);
  header.writeInt32BE(schemaId, 1);
  const noParts = Object.fromEntries(ID_PARTS.map((part) => [part, null] as const));
  return ({ userPointId, ts, op, docType, parts, value }) => {
    const record = {
      ...noParts,
      ...parts,
      datamart_id: Number(datamartId),
      user_point_id: userPointId,
      ts,
      op,
      doc_type: docType,
      value,
    };
    return Buffer.concat([header, type.toBuffer(record)]);
  };
}
