import avsc, { type Schema } from 'avsc';
import { readFileSync } from 'node:fs';
import type { ExpectedOperation } from './arrivals.ts';
import type { SampleMutation } from './sample-mutations.ts';

/** Document types whose value is all in their ids. */
const EMPTY_VALUED = new Set(['UserPoint', 'UserDeviceTechnicalId', 'UserAccount']);

const ID_PARTS_OF = {
  UserPoint: [],
  UserActivity: ['user_activity_id'],
  UserProfile: ['compartment_id', 'user_account_id'],
  UserSegment: ['segment_id'],
  UserDevicePoint: ['user_device_point_id'],
  UserDeviceTechnicalId: ['user_device_point_id', 'user_device_technical_id'],
  UserAgent: ['vector_id'],
  UserAccount: ['compartment_id', 'user_account_id'],
  UserEmail: ['email_hash'],
  UserPointParent: [],
} as const satisfies Record<SampleMutation['docType'], readonly string[]>;

/**
 * What a version 1 destination must get of a sample mutation. Written from the contract's tables and nothing else, so
 * that it can disagree with the program.
 */
export function expectedJson(mutation: SampleMutation): ExpectedOperation {
  const { ts, docType, op, userPointId } = mutation;
  const head = `{"ts":${ts},"doc_type":"${docType}","doc_id":${JSON.stringify(documentId(mutation))}`;
  const text = `${head},"op":"${docType === 'UserPointParent' ? 'UPDATE' : op}","value":${valueText(mutation)}}`;
  return { ctxId: userPointId, bytes: Buffer.from(text).toString('latin1') };
}

/** What a version 2 destination with `"user_point_parent": true` must get, written by the avsc package. */
export function expectedAvro(mutation: SampleMutation): ExpectedOperation {
  const bytes = operationType().toBuffer({
    ts: mutation.ts * 1_000,
    doc_type: mutation.docType,
    doc_id: documentId(mutation),
    ctx_id: mutation.userPointId,
    op: mutation.docType === 'UserPointParent' ? 'UPDATE' : mutation.op,
    value: valueText(mutation),
  });
  return { ctxId: mutation.userPointId, bytes: bytes.toString('latin1') };
}

/** The schema of version 2 with `UserPointParent`, as text. */
export function operationSchemaText(): string {
  return readFileSync(new URL('../schemas/operation-record-with-parent.avsc', import.meta.url), 'utf8');
}

let cachedType: avsc.Type | null = null;

function operationType(): avsc.Type {
  cachedType ??= avsc.Type.forSchema(JSON.parse(operationSchemaText()) as Schema);
  return cachedType;
}

/** A version 2 message for people. */
export function decodeAvroOperation(bytes: Buffer): unknown {
  return operationType().fromBuffer(bytes);
}

function documentId({ userPointId, docType, parts }: SampleMutation): string {
  const ids = ID_PARTS_OF[docType].flatMap((part) => (parts as Partial<Record<string, string>>)[part] ?? []);
  return [userPointId, ...ids].join(':');
}

function valueText({ userPointId, docType, op, parts, value }: SampleMutation): string {
  if (docType === 'UserPointParent') {
    return JSON.stringify(`${userPointId} merged with ${parts.kept_user_point_id ?? ''}`);
  }
  return op === 'DELETE' || EMPTY_VALUED.has(docType) || value === null ? '{}' : value;
}
