import avsc from 'avsc';
import { readFileSync } from 'node:fs';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import type { DecodeStatus, MutationDecoder } from '../../../schemas/mutation-decoder.ts';
import { ID_PARTS, MutationView, OPERATION_NAMES, type IdPart } from '../../../schemas/mutation.ts';

export const USER_POINT_ID = '4700c85f-17e3-4304-aa7f-dc140173b08d';
export const ABSORBED_ID = '95772db3-e762-45da-8cf1-4893debffae7';
export const TS = 1_676_627_112_685;

export type MutationFields = Readonly<Record<string, unknown>>;

/** A mutation of a user point with the given fields changed; undefined leaves a field out. */
export function aMutation(fields: MutationFields = {}): MutationFields {
  return {
    datamart_id: 1649,
    user_point_id: USER_POINT_ID,
    ts: TS,
    op: 'UPDATE',
    doc_type: 'UserPoint',
    ...fields,
  };
}

export function schemaText(name: string): string {
  return readFileSync(new URL(`../../../schemas/${name}.avsc`, import.meta.url), 'utf8');
}

export function avroType(text: string): avsc.Type {
  return avsc.Type.forSchema(JSON.parse(text) as avsc.Schema);
}

const MUTATION_TYPE = avroType(schemaText('datamart-mutation'));

/** The mutation as a record with the Confluent header; `value` may be an object, and then goes as its text. */
export function asAvro(mutation: MutationFields, type = MUTATION_TYPE, schemaId = 7): Buffer {
  const { value } = mutation;
  const isObject = typeof value === 'object' && value !== null;
  return framed(
    type.toBuffer({ ...mutation, ...(isObject ? { value: JSON.stringify(value) } : {}) }),
    schemaId,
  );
}

export function framed(datum: Buffer, schemaId = 7): Buffer {
  const header = Buffer.alloc(5);
  header.writeInt32BE(schemaId, 1);
  return Buffer.concat([header, datum]);
}

export function asJson(mutation: MutationFields): Buffer {
  return Buffer.from(JSON.stringify(mutation));
}

/** What a decoder made of a record, as text. */
export interface Decoded {
  readonly status: DecodeStatus;
  readonly detail: string;
  readonly datamart: number | string;
  readonly ts: number;
  readonly op: string | undefined;
  readonly docType: string | undefined;
  readonly userPoint: string;
  readonly parts: Partial<Record<IdPart, string>>;
  readonly value: string;
}

export function decodeWith(
  decoder: MutationDecoder,
  record: Buffer,
  isWanted: (datamart: number | string) => boolean = () => true,
): Decoded {
  const view = new MutationView();
  const status = decoder.decode(record, view, isWanted);
  const text = (start: number, end: number): string => view.bytes.toString('utf8', start, end);
  const parts: Partial<Record<IdPart, string>> = {};
  ID_PARTS.forEach((part, slot) => {
    const start = view.parts[slot * 2]!;
    const end = view.parts[slot * 2 + 1]!;
    if (start < end) parts[part] = text(start, end);
  });
  return {
    status,
    detail: decoder.detail,
    datamart: view.datamart,
    ts: view.ts,
    op: OPERATION_NAMES[view.op],
    docType: DOCUMENT_TYPES[view.docType],
    userPoint: text(view.userPointStart, view.userPointEnd),
    parts,
    value: text(view.valueStart, view.valueEnd),
  };
}
