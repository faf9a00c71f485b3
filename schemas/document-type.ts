/**
 * The ten replicated document types, in the order of the published Avro enum (CONTRACT: document types).
 * A type's index in this list is its code on the hot path and, for the first nine, its Avro enum index;
 * `UserPointParent` comes last because the opt-in schema appends it.
 */
export const DOCUMENT_TYPES = [
  'UserPoint',
  'UserActivity',
  'UserProfile',
  'UserSegment',
  'UserDevicePoint',
  'UserDeviceTechnicalId',
  'UserAgent',
  'UserAccount',
  'UserEmail',
  'UserPointParent',
] as const;

export type DocumentType = (typeof DOCUMENT_TYPES)[number];

/** Index into `DOCUMENT_TYPES`. */
export type DocumentTypeIndex = number;

export const USER_POINT: DocumentTypeIndex = 0;
export const USER_POINT_PARENT: DocumentTypeIndex = 9;

/** Types that the platform writes and nobody replicates: ignored and counted, never an error. */
export const IGNORED_DOCUMENT_TYPES: ReadonlySet<string> = new Set([
  'UserChoice',
  'UserScenario',
  'UserTrait',
]);

/** The names that a replication's filter may select, by document type index (`UserPointParent` follows `USER_POINT`). */
export const FILTER_NAMES = [
  'USER_POINT',
  'USER_ACTIVITY',
  'USER_PROFILE',
  'USER_SEGMENT',
  'USER_DEVICE_POINT',
  'USER_DEVICE_TECHNICAL_ID',
  'USER_AGENT',
  'USER_ACCOUNT',
  'USER_EMAIL',
] as const;

export type FilterName = (typeof FILTER_NAMES)[number];

/** A set of document types: bit `i` stands for `DOCUMENT_TYPES[i]`. */
export type DocumentTypeMask = number;

export const ALL_DOCUMENT_TYPES: DocumentTypeMask = (1 << DOCUMENT_TYPES.length) - 1;
