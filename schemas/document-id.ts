import { DOCUMENT_TYPES, type DocumentType, type DocumentTypeIndex } from './document-type.ts';
import { ID_PARTS, type IdPart } from './mutation.ts';

/**
 * What an operation carries as its value: the mutation's own, the empty object, or for `UserPointParent` the words
 * that tell of the merge. A DELETE carries the empty object, whatever its type.
 */
export type ValueRule = 'carried' | 'empty' | 'merge_message';

/** How a document type's id and value are made of a mutation (CONTRACT: document types). */
export interface DocumentRule {
  /** The parts that follow `user_point_id` in the `doc_id`, in order. */
  readonly docId: readonly IdPart[];
  /** The part of `docId` that may be missing; it is then left out with its colon. */
  readonly optional: IdPart | null;
  /** A part that the value is made of, and that must be there too. */
  readonly mentioned: IdPart | null;
  readonly value: ValueRule;
}

/** One rule per document type. */
export const DOCUMENT_RULES: Readonly<Record<DocumentType, DocumentRule>> = {
  UserPoint: rule('empty', []),
  UserActivity: rule('carried', ['user_activity_id']),
  UserProfile: rule('carried', ['compartment_id', 'user_account_id'], { optional: 'user_account_id' }),
  UserSegment: rule('carried', ['segment_id']),
  UserDevicePoint: rule('carried', ['user_device_point_id']),
  UserDeviceTechnicalId: rule('empty', ['user_device_point_id', 'user_device_technical_id']),
  UserAgent: rule('carried', ['vector_id']),
  UserAccount: rule('empty', ['compartment_id', 'user_account_id']),
  UserEmail: rule('carried', ['email_hash']),
  UserPointParent: rule('merge_message', [], { mentioned: 'kept_user_point_id' }),
};

/** A rule as the hot path reads it: the slots of `MutationView.parts` by number. */
export interface CompiledDocumentRule {
  /** Slots of the parts that follow `user_point_id` in the `doc_id`, in order. */
  readonly docIdSlots: readonly number[];
  /** Slots whose parts must be there. */
  readonly neededSlots: readonly number[];
  /** Bit `slot` is set for every part that the rule uses at all. */
  readonly usedMask: number;
  readonly value: ValueRule;
}

/** `DOCUMENT_RULES` by document type index. */
export const COMPILED_DOCUMENT_RULES: readonly CompiledDocumentRule[] = DOCUMENT_TYPES.map((type) => {
  const { docId, optional, mentioned, value } = DOCUMENT_RULES[type];
  const used = mentioned === null ? docId : [...docId, mentioned];
  return {
    docIdSlots: docId.map(slotOf),
    neededSlots: used.filter((part) => part !== optional).map(slotOf),
    usedMask: used.reduce((mask, part) => mask | (1 << slotOf(part)), 0),
    value,
  };
});

/** The compiled rule of a document type. */
export function documentRule(docType: DocumentTypeIndex): CompiledDocumentRule {
  return COMPILED_DOCUMENT_RULES[docType] as CompiledDocumentRule;
}

function rule(
  value: ValueRule,
  docId: readonly IdPart[],
  exceptions: { readonly optional?: IdPart; readonly mentioned?: IdPart } = {},
): DocumentRule {
  return { docId, optional: exceptions.optional ?? null, mentioned: exceptions.mentioned ?? null, value };
}

function slotOf(part: IdPart): number {
  return ID_PARTS.indexOf(part);
}
