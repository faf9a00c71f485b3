import { DOCUMENT_TYPES, USER_POINT_PARENT } from '../../schemas/document-type.ts';
import { isJsonObject } from '../../schemas/json-object.ts';
import type { OperationVersion } from '../../schemas/operation-encoder.ts';

/** What a topic says about the messages that it takes, in one revision of its schema. */
export interface TopicSchema {
  readonly type: 'AVRO' | 'PROTOCOL_BUFFER' | 'UNKNOWN';
  readonly encoding: 'BINARY' | 'JSON' | 'UNKNOWN';
  /** The schema's source text. */
  readonly definition: string;
  readonly revisionId: string;
}

/** What the replication is going to send. */
export interface SentMessages {
  readonly version: OperationVersion;
  readonly userPointParent: boolean;
}

/** What a topic's schema means for the replication: `mismatch` says why every message would be refused or misread. */
export interface SchemaVerdict {
  readonly mismatch: string | null;
  readonly warnings: readonly string[];
}

const FINE: SchemaVerdict = { mismatch: null, warnings: [] };

/** The bare Avro datum has no names in it: fields are told by their place alone. */
const OPERATION_FIELDS: readonly (readonly [name: string, type: string])[] = [
  ['ts', 'long'],
  ['doc_type', 'enum'],
  ['doc_id', 'string'],
  ['ctx_id', 'string'],
  ['op', 'string'],
  ['value', 'string'],
];

/**
 * Pure: compares the revisions of a topic's schema that it allows (the newest first; empty: it has no schema) with what
 * will be sent. Pub/Sub tries a message against one after another and takes it with the first that can decode it.
 */
export function judgeRevisions(revisions: readonly TopicSchema[], sent: SentMessages): SchemaVerdict {
  const [newest = null, ...older] = revisions;
  const verdict = judgeTopicSchema(newest, sent);
  if (newest === null || verdict.mismatch === null || canDecode(newest)) return verdict;
  for (const revision of older) {
    const { mismatch } = judgeTopicSchema(revision, sent);
    if (mismatch === null) {
      return warning(
        `operations fit revision ${revision.revisionId} of the topic's schema, but not its newest one ` +
          `(${newest.revisionId}): let the topic allow that revision, and nobody delete it`,
      );
    }
    // It would be taken for what it isn't.
    if (canDecode(revision)) return verdict;
  }
  return verdict;
}

/** Whether the bytes of an operation pass for a record of the schema, whatever its fields mean. */
function canDecode({ type, encoding, definition }: TopicSchema): boolean {
  if (type !== 'AVRO' || encoding !== 'BINARY') return false;
  const types = fieldsOf(definition)?.map((field) => wireTypeOf(baseTypeOf(field['type'])));
  return types?.join() === OPERATION_FIELDS.map(([, fieldType]) => wireTypeOf(fieldType)).join();
}

/** Avro writes these alike. */
function wireTypeOf(type: string): string {
  if (type === 'int' || type === 'long' || type === 'enum') return 'varint';
  return type === 'string' || type === 'bytes' ? 'bytes' : type;
}

/** Pure: compares one revision of a topic's schema (null: it has none) with what will be sent. */
function judgeTopicSchema(schema: TopicSchema | null, sent: SentMessages): SchemaVerdict {
  if (schema === null) {
    return sent.version === 1
      ? FINE
      : warning('the topic has no schema: nothing but this program keeps foreign messages out of it');
  }
  if (sent.version === 1) {
    return schema.type === 'AVRO'
      ? mismatch('the topic has an Avro schema, version 1 of the operations is JSON')
      : warning("the topic has a schema that isn't Avro; version 1 operations may not fit it");
  }
  if (schema.type !== 'AVRO') return mismatch("the topic's schema isn't Avro");
  if (schema.encoding !== 'BINARY')
    return mismatch("the topic's schema wants JSON encoding, operations are binary");
  return judgeDefinition(schema.definition, sent);
}

function judgeDefinition(definition: string, sent: SentMessages): SchemaVerdict {
  const fields = fieldsOf(definition);
  if (fields === null) return mismatch("the topic's schema can't be read as an Avro record");
  const found = fields.map((field) => [textAt(field, 'name'), baseTypeOf(field['type'])].join(': '));
  const wanted = OPERATION_FIELDS.map(([name, type]) => `${name}: ${type}`);
  if (found.join() !== wanted.join()) {
    return mismatch(
      `the topic's schema has the fields (${found.join(', ')}), operations are (${wanted.join(', ')})`,
    );
  }
  const docType = fields.find((field) => textAt(field, 'name') === 'doc_type')?.['type'];
  const symbols = isJsonObject(docType) && Array.isArray(docType['symbols']) ? docType['symbols'] : [];
  const sentTypes = sent.userPointParent ? DOCUMENT_TYPES : DOCUMENT_TYPES.slice(0, USER_POINT_PARENT);
  const misplaced = sentTypes.filter((name, index) => symbols[index] !== name);
  if (misplaced.length === 0) return FINE;
  return mismatch(`the enum doc_type of the topic's schema lacks, or has elsewhere: ${misplaced.join(', ')}`);
}

function fieldsOf(definition: string): readonly Readonly<Record<string, unknown>>[] | null {
  try {
    const schema: unknown = JSON.parse(definition);
    if (!isJsonObject(schema) || !Array.isArray(schema['fields'])) return null;
    const fields: readonly unknown[] = schema['fields'];
    return fields.every(isJsonObject) ? fields : null;
  } catch {
    return null;
  }
}

/** `{"type": "long", "logicalType": …}` and `"long"` are the same on the wire. */
function baseTypeOf(type: unknown): string {
  if (typeof type === 'string') return type;
  if (Array.isArray(type)) return 'union';
  return isJsonObject(type) ? baseTypeOf(type['type']) : 'unknown';
}

function textAt(record: Readonly<Record<string, unknown>>, key: string): string {
  const value = record[key];
  return typeof value === 'string' ? value : '?';
}

function mismatch(why: string): SchemaVerdict {
  return { mismatch: why, warnings: [] };
}

function warning(text: string): SchemaVerdict {
  return { mismatch: null, warnings: [text] };
}
