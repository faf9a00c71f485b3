/**
 * The fields of a mutation record by name, and how the bytes of each are read: what the JSON and the Avro decoder share.
 * Nothing here allocates, but for a datamart id of more than 15 digits.
 */
import { DOCUMENT_TYPES, IGNORED_DOCUMENT_TYPES, type DocumentTypeIndex } from './document-type.ts';
import { DELETE, ID_PARTS, MAX_TS, UPDATE, type DatamartKey, type OperationCode } from './mutation.ts';

/** The fields that are no id part. Their numbers follow those of `ID_PARTS`, which are the parts' slots. */
export const DATAMART_ID = ID_PARTS.length;
export const USER_POINT_ID = DATAMART_ID + 1;
export const TS = DATAMART_ID + 2;
export const OP = DATAMART_ID + 3;
export const DOC_TYPE = DATAMART_ID + 4;
export const VALUE = DATAMART_ID + 5;

/** Every field's name by its number. */
export const FIELD_NAMES: readonly string[] = [
  ...ID_PARTS,
  'datamart_id',
  'user_point_id',
  'ts',
  'op',
  'doc_type',
  'value',
];

/** No such field, operation or document type. */
export const NONE = -1;
/** A document type that is known and not replicated. */
export const IGNORED = -2;

const FIELDS = lookUpOf(FIELD_NAMES.map((name, field) => ({ name, code: field })));
const DOC_TYPES = lookUpOf([
  ...DOCUMENT_TYPES.map((name, docType) => ({ name, code: docType })),
  ...[...IGNORED_DOCUMENT_TYPES].map((name) => ({ name, code: IGNORED })),
]);
const OPERATIONS = [
  { name: Buffer.from('UPDATE'), code: UPDATE },
  { name: Buffer.from('DELETE'), code: DELETE },
  { name: Buffer.from('UPSERT'), code: UPDATE },
] as const;

const HEX_DIGIT = new Uint8Array(256);
for (const byte of Buffer.from('0123456789abcdefABCDEF')) HEX_DIGIT[byte] = 1;

const DASH = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const UPPER_CASE = 0xdf;
const UUID_LENGTH = 36;
const MAX_DATAMART_DIGITS = 19;
const MAX_NUMBER_DIGITS = 15;

/** The field of that name, or `NONE`. */
export function fieldOf(bytes: Buffer, start: number, end: number): number {
  return lookUp(FIELDS, bytes, start, end);
}

/** The document type of that name, `IGNORED` or `NONE`. */
export function docTypeOf(bytes: Buffer, start: number, end: number): DocumentTypeIndex {
  return lookUp(DOC_TYPES, bytes, start, end);
}

/** The operation of that name, trimmed of ASCII white space and in any case, or `NONE`. */
export function operationOf(bytes: Buffer, start: number, end: number): OperationCode | typeof NONE {
  let from = start;
  let to = end;
  while (from < to && isSpace(bytes[from] as number)) from++;
  while (to > from && isSpace(bytes[to - 1] as number)) to--;
  for (const { name, code } of OPERATIONS) {
    if (to - from !== name.length) continue;
    let i = 0;
    while (i < name.length && ((bytes[from + i] as number) & UPPER_CASE) === name[i]) i++;
    if (i === name.length) return code;
  }
  return NONE;
}

/** Whether the range is 8-4-4-4-12 hex digits. */
export function isUuid(bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== UUID_LENGTH) return false;
  for (let i = 0; i < UUID_LENGTH; i++) {
    const byte = bytes[start + i] as number;
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (byte !== DASH) return false;
    } else if (HEX_DIGIT[byte] === 0) {
      return false;
    }
  }
  return true;
}

/** The datamart id that is written as `[1-9][0-9]{0,18}`, or `NONE`. */
export function datamartOf(bytes: Buffer, start: number, end: number): DatamartKey {
  const length = end - start;
  if (length === 0 || length > MAX_DATAMART_DIGITS || bytes[start] === ZERO) return NONE;
  let number = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < ZERO || byte > NINE) return NONE;
    number = number * 10 + (byte - ZERO);
  }
  return length <= MAX_NUMBER_DIGITS ? number : bytes.toString('latin1', start, end);
}

/** The timestamp that is written as digits only and from 1 to `MAX_TS`, or `NONE`. */
export function tsOf(bytes: Buffer, start: number, end: number): number {
  let number = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < ZERO || byte > NINE) return NONE;
    number = number * 10 + (byte - ZERO);
    if (number > MAX_TS) return NONE;
  }
  return number === 0 ? NONE : number;
}

interface NamedCode {
  readonly name: Buffer;
  readonly code: number;
}

/** Names by their length, so that few remain to be compared. */
type LookUp = readonly (readonly NamedCode[])[];

function lookUpOf(entries: readonly { readonly name: string; readonly code: number }[]): LookUp {
  const longest = Math.max(...entries.map(({ name }) => name.length));
  return Array.from({ length: longest + 1 }, (_, length) =>
    entries
      .filter(({ name }) => name.length === length)
      .map(({ name, code }) => ({ name: Buffer.from(name), code })),
  );
}

function lookUp(table: LookUp, bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length >= table.length) return NONE;
  const candidates = table[length] as readonly NamedCode[];
  for (let c = 0; c < candidates.length; c++) {
    const { name, code } = candidates[c] as NamedCode;
    let i = 0;
    while (i < length && bytes[start + i] === name[i]) i++;
    if (i === length) return code;
  }
  return NONE;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
