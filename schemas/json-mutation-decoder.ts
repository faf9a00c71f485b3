import { isUtf8 } from 'node:buffer';
import { isJsonInteger, JsonScanner, MAX_JSON_DEPTH } from './json-scanner.ts';
import { unescapeJson } from './json-unescape.ts';
import type { DecodeStatus, MutationDecoder } from './mutation-decoder.ts';
import {
  DATAMART_ID,
  datamartOf,
  DOC_TYPE,
  docTypeOf,
  FIELD_NAMES,
  fieldOf,
  IGNORED,
  isUuid,
  NONE,
  OP,
  operationOf,
  TS,
  tsOf,
  USER_POINT_ID,
  VALUE,
} from './mutation-fields.ts';
import { IS_IGNORED, NOTHING_READ, verdictOf, type FieldProblems } from './mutation-verdict.ts';
import type { DatamartKey, DeadLetterReason, MutationView, OperationCode } from './mutation.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const LETTER_N = 0x6e;
const MINUS = 0x2d;
const BACKSLASH = 0x5c;

/** The fields' names with the closing quote. */
const QUOTED_NAMES = FIELD_NAMES.map((name) => Buffer.from(`${name}"`));

/** Stands for the field before the first. */
const START = FIELD_NAMES.length;

/** What a field's value is, as far as the fields of a mutation go. */
const STRING = 0;
const INTEGER = 1;
const NULL = 2;
const OBJECT = 3;
const OTHER = 4;

/**
 * Decodes a mutation from a JSON record by one pass over its bytes: finds the ranges of the fields on its top level,
 * checks the grammar of everything, parses nothing. `value` is a range of the record, byte for byte.
 *
 * `view.datamart` is 0 when the record's datamart isn't known.
 */
export class JsonMutationDecoder implements MutationDecoder {
  detail = '';
  readonly schemaId = -1;

  private readonly scanner = new JsonScanner();
  /** By field, the known field that came after it last time: a producer writes its fields in the same order. */
  private readonly fieldAfter = new Uint8Array(FIELD_NAMES.length + 1);
  private problems: FieldProblems = 0;
  /** Where in the view's copy of the record the next unescaped text goes; 0 while there is no copy. */
  private copyEnd = 0;
  /** The range of the last string read, in the view's bytes. */
  private textStart = 0;
  private textEnd = 0;

  decode(record: Buffer, into: MutationView, isWanted: (datamart: DatamartKey) => boolean): DecodeStatus {
    const { scanner } = this;
    const end = record.length;
    scanner.begin(record, end);
    into.bytes = record;
    into.datamart = 0;
    into.parts.fill(0);
    into.valueStart = 0;
    into.valueEnd = 0;
    this.detail = '';
    this.copyEnd = 0;
    this.problems = NOTHING_READ;

    let previous = START;
    let i = scanner.skipSpace(0);
    if (i >= end || record[i] !== OPEN_BRACE) return this.broken(i);
    i = scanner.skipSpace(i + 1);
    if (i < end && record[i] === CLOSE_BRACE) {
      i++;
    } else {
      for (;;) {
        if (i >= end || record[i] !== QUOTE) return this.broken(i);
        let field = this.fieldAfter[previous] as number;
        if (startsWith(record, i + 1, QUOTED_NAMES[field] as Buffer)) {
          i += 1 + (QUOTED_NAMES[field] as Buffer).length;
        } else {
          i = this.readString(record, i + 1, into);
          if (i < 0) return this.broken(~i);
          field = fieldOf(into.bytes, this.textStart, this.textEnd);
          if (field !== NONE) this.fieldAfter[previous] = field;
        }
        if (field !== NONE) previous = field;
        i = scanner.skipSpace(i);
        if (i >= end || record[i] !== COLON) return this.broken(i);
        i = this.readField(field, record, scanner.skipSpace(i + 1), into);
        if (i < 0) return field === VALUE ? this.brokenValue(~i) : this.broken(~i);
        if (field === DATAMART_ID && into.datamart !== 0 && !isWanted(into.datamart)) return 'unwanted';
        i = scanner.skipSpace(i);
        const byte = i < end ? record[i] : 0;
        i++;
        if (byte === CLOSE_BRACE) break;
        if (byte !== COMMA) return this.broken(i - 1);
        i = scanner.skipSpace(i);
      }
    }
    i = scanner.skipSpace(i);
    if (i < end) return this.broken(i);
    if (!isUtf8(record)) return this.notUtf8(record, into);
    const { status, detail } = verdictOf(into, this.problems);
    this.detail = detail;
    return status;
  }

  /** Reads the value of a field, of a known one into the view, and returns the index after it, or where it breaks. */
  private readField(field: number, record: Buffer, at: number, into: MutationView): number {
    const first = at < record.length ? (record[at] as number) : 0;
    if (field !== NONE && field !== VALUE && first === QUOTE) {
      const after = this.readString(record, at + 1, into);
      if (after >= 0) this.takeText(field, STRING, into);
      return after;
    }
    const after = this.scanner.skipValue(at);
    if (after < 0 || field === NONE) return after;
    const kind = kindOf(record, at, after, first);
    if (field === VALUE) {
      into.valueStart = at;
      into.valueEnd = kind === NULL ? at : after;
      this.note(VALUE, kind === OBJECT || kind === NULL);
    } else {
      this.textStart = at;
      this.textEnd = after;
      this.takeText(field, kind, into);
    }
    return after;
  }

  /** Takes the text last read as a known field's. */
  private takeText(field: number, kind: number, into: MutationView): void {
    const { bytes } = into;
    const start = this.textStart;
    const end = this.textEnd;
    const isText = kind === STRING || kind === INTEGER;
    if (field < DATAMART_ID) {
      into.parts[field * 2] = isText ? start : 0;
      into.parts[field * 2 + 1] = isText ? end : 0;
      this.note(field, isText || kind === NULL);
    } else if (field === DATAMART_ID) {
      const datamart = isText ? datamartOf(bytes, start, end) : NONE;
      into.datamart = datamart === NONE ? 0 : datamart;
      this.note(field, datamart !== NONE);
    } else if (field === USER_POINT_ID) {
      into.userPointStart = start;
      into.userPointEnd = end;
      this.note(field, kind === STRING && isUuid(bytes, start, end));
    } else if (field === TS) {
      into.ts = isText ? tsOf(bytes, start, end) : NONE;
      this.note(field, into.ts !== NONE);
    } else if (field === OP) {
      const op = kind === STRING ? operationOf(bytes, start, end) : NONE;
      into.op = op as OperationCode;
      this.note(field, op !== NONE);
    } else if (field === DOC_TYPE) {
      const docType = kind === STRING ? docTypeOf(bytes, start, end) : NONE;
      into.docType = docType;
      this.note(field, docType >= 0);
      if (docType === IGNORED) this.problems |= IS_IGNORED;
      else this.problems &= ~IS_IGNORED;
    }
  }

  private note(field: number, isGood: boolean): void {
    if (isGood) this.problems &= ~(1 << field);
    else this.problems |= 1 << field;
  }

  /**
   * Reads a string's text, unescaped where needed, and returns the index after its closing quote, or where it breaks.
   * `at` is the index after its opening quote.
   */
  private readString(record: Buffer, at: number, into: MutationView): number {
    const stop = this.scanner.plainTextEnd(at);
    if (stop < record.length && record[stop] === QUOTE) {
      this.textStart = at;
      this.textEnd = stop;
      return stop + 1;
    }
    const after = this.scanner.skipString(stop);
    if (after < 0 || record[stop] !== BACKSLASH) return after;
    if (this.copyEnd === 0) {
      // Text is never longer than its escaped form, so all texts of a record fit behind a copy of it.
      into.bytes = Buffer.allocUnsafe(record.length * 2);
      record.copy(into.bytes);
      this.copyEnd = record.length;
    }
    this.textStart = this.copyEnd;
    this.copyEnd = unescapeJson(record, at, after - 1, into.bytes, this.copyEnd);
    this.textEnd = this.copyEnd;
    return after;
  }

  private broken(at: number): DeadLetterReason {
    this.detail = `not a JSON object at byte ${at}`;
    return 'decode_failed';
  }

  private brokenValue(at: number): DeadLetterReason {
    this.detail = `value is broken JSON, or nested deeper than ${MAX_JSON_DEPTH}, at byte ${at}`;
    return 'invalid_value';
  }

  private notUtf8(record: Buffer, { valueStart, valueEnd }: MutationView): DeadLetterReason {
    // The bytes around a value are ASCII, so that cutting there splits no character.
    const isRestGood = isUtf8(record.subarray(0, valueStart)) && isUtf8(record.subarray(valueEnd));
    this.detail = isRestGood ? 'value is not UTF-8' : 'not UTF-8';
    return isRestGood ? 'invalid_value' : 'decode_failed';
  }
}

function startsWith(bytes: Buffer, at: number, start: Buffer): boolean {
  if (at + start.length > bytes.length) return false;
  for (let i = 0; i < start.length; i++) {
    if (bytes[at + i] !== start[i]) return false;
  }
  return true;
}

function kindOf(record: Buffer, start: number, end: number, first: number): number {
  if (first === QUOTE) return STRING;
  if (first === OPEN_BRACE) return OBJECT;
  if (first === LETTER_N) return NULL;
  if (first === MINUS || (first >= 0x30 && first <= 0x39)) {
    return isJsonInteger(record, start, end) ? INTEGER : OTHER;
  }
  return OTHER;
}
