import { AvroCursor } from './avro-cursor.ts';
import { JsonScanner, MAX_JSON_DEPTH } from './json-scanner.ts';
import type { DecodeStatus, MutationDecoder } from './mutation-decoder.ts';
import {
  DATAMART_ID,
  datamartOf,
  DOC_TYPE,
  docTypeOf,
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
import {
  MAX_TS,
  type DatamartKey,
  type DeadLetterReason,
  type MutationView,
  type OperationCode,
} from './mutation.ts';
import type { FieldBranch, FieldStep, WriterSchema } from './writer-schema.ts';

/** The Confluent header: a zero byte and the schema's id as a big-endian int32. */
export const AVRO_HEADER_BYTES = 5;

const OPEN_BRACE = 0x7b;
const LETTER_N = 0x6e;
const LARGEST_NUMBER_KEY = 999_999_999_999_999;

/** Knows writer schemas by id, or that the registry doesn't have one; undefined while it hasn't been asked. */
export interface WriterSchemas {
  get(id: number): WriterSchema | 'unknown' | undefined;
}

/**
 * Decodes a mutation from an Avro record with the Confluent header, by the writer's schema: finds the ranges of the
 * fields it knows by name, passes over the others, and checks the JSON text in `value` without parsing it.
 *
 * `view.datamart` is 0 when the record's datamart isn't known.
 */
export class AvroMutationDecoder implements MutationDecoder {
  detail = '';
  schemaId = -1;

  private readonly schemas: WriterSchemas;
  private readonly cursor = new AvroCursor();
  private readonly scanner = new JsonScanner();
  private problems: FieldProblems = 0;

  constructor(schemas: WriterSchemas) {
    this.schemas = schemas;
  }

  decode(record: Buffer, into: MutationView, isWanted: (datamart: DatamartKey) => boolean): DecodeStatus {
    into.bytes = record;
    into.datamart = 0;
    into.parts.fill(0);
    into.valueStart = 0;
    into.valueEnd = 0;
    this.detail = '';
    this.schemaId = -1;
    if (record.length < AVRO_HEADER_BYTES || record[0] !== 0) {
      return this.failed('malformed_envelope', `no Avro header in ${record.length} bytes`);
    }
    this.schemaId = record.readInt32BE(1);
    const schema = this.schemas.get(this.schemaId);
    if (schema === undefined) return 'schema_needed';
    if (schema === 'unknown') {
      return this.failed('unknown_schema', `the registry has no schema ${this.schemaId}`);
    }
    if (schema.problem !== '') return this.failed('decode_failed', schema.problem);
    return this.decodeDatum(record, schema, into, isWanted);
  }

  private decodeDatum(
    record: Buffer,
    { steps }: WriterSchema,
    into: MutationView,
    isWanted: (datamart: DatamartKey) => boolean,
  ): DecodeStatus {
    const { cursor } = this;
    cursor.begin(record, AVRO_HEADER_BYTES);
    this.problems = NOTHING_READ;
    for (let s = 0; s < steps.length; s++) {
      const step = steps[s] as FieldStep;
      const isRead = step.field === NONE ? cursor.skip(step.type) : this.readField(step, into);
      if (!isRead) return this.failed('decode_failed', `the Avro datum breaks at byte ${cursor.at}`);
      if (step.field === DATAMART_ID && into.datamart !== 0 && !isWanted(into.datamart)) return 'unwanted';
    }
    if (cursor.at !== record.length) {
      return this.failed('decode_failed', `the Avro datum ends at byte ${cursor.at} of ${record.length}`);
    }
    const { status, detail } = verdictOf(into, this.problems);
    this.detail = detail;
    return status === 'ok' && into.valueStart < into.valueEnd ? this.checkValue(record, into) : status;
  }

  private readField({ field, isUnion, branches }: FieldStep, into: MutationView): boolean {
    const { cursor } = this;
    const index = isUnion ? cursor.readIndex(branches.length) : 0;
    if (index < 0) return false;
    const { kind, codes } = branches[index] as FieldBranch;
    switch (kind) {
      case 'null':
        return true;
      case 'string':
        return cursor.readRange() && this.takeText(field, into);
      case 'varint':
        return field === TS ? this.readTs(into) : this.readDatamart(into);
      case 'enum': {
        const symbol = cursor.readIndex(codes.length);
        if (symbol < 0) return false;
        this.takeCode(field, codes[symbol] as number, into);
        return true;
      }
    }
  }

  /** Takes the text at the cursor's range as a field's; false when it isn't UTF-8, which what is compared with ASCII must be. */
  private takeText(field: number, into: MutationView): boolean {
    const { cursor } = this;
    const { bytes, start, stop } = cursor;
    if (field === VALUE) {
      into.valueStart = start;
      into.valueEnd = stop;
      return true;
    }
    if (field < DATAMART_ID) {
      into.parts[field * 2] = start;
      into.parts[field * 2 + 1] = stop;
      return cursor.isText() || cursor.fail(start);
    }
    if (field === DATAMART_ID) {
      this.takeDatamart(datamartOf(bytes, start, stop), into);
    } else if (field === USER_POINT_ID) {
      into.userPointStart = start;
      into.userPointEnd = stop;
      if (isUuid(bytes, start, stop)) this.problems &= ~(1 << USER_POINT_ID);
    } else if (field === TS) {
      into.ts = tsOf(bytes, start, stop);
      if (into.ts !== NONE) this.problems &= ~(1 << TS);
    } else {
      this.takeCode(field, (field === OP ? operationOf : docTypeOf)(bytes, start, stop), into);
    }
    return (this.problems & (1 << field)) === 0 || cursor.isText() || cursor.fail(start);
  }

  private takeCode(field: number, code: number, into: MutationView): void {
    if (field === OP) into.op = code as OperationCode;
    else into.docType = code;
    if (code >= 0) this.problems &= ~(1 << field);
    if (field === DOC_TYPE && code === IGNORED) this.problems |= IS_IGNORED;
  }

  private takeDatamart(datamart: DatamartKey, into: MutationView): void {
    if (datamart === NONE) return;
    into.datamart = datamart;
    this.problems &= ~(1 << DATAMART_ID);
  }

  private readDatamart(into: MutationView): boolean {
    const { cursor } = this;
    const number = cursor.readInteger();
    if (!cursor.isBroken && number <= LARGEST_NUMBER_KEY) {
      this.takeDatamart(number > 0 ? number : NONE, into);
      return true;
    }
    const long = cursor.isBroken ? this.readLong() : BigInt(number);
    if (long > 0n) this.takeDatamart(String(long), into);
    return !cursor.isBroken;
  }

  private readTs(into: MutationView): boolean {
    const { cursor } = this;
    const number = cursor.readInteger();
    if (cursor.isBroken) {
      this.readLong();
      return !cursor.isBroken;
    }
    into.ts = number;
    if (number > 0 && number <= MAX_TS) this.problems &= ~(1 << TS);
    return true;
  }

  /** Reads a number again that was too long for `readInteger`. */
  private readLong(): bigint {
    this.cursor.isBroken = false;
    return this.cursor.readLong();
  }

  /** Checks the text of `value` and narrows its range to the object in it. */
  private checkValue(record: Buffer, into: MutationView): DecodeStatus {
    const { scanner, cursor } = this;
    const end = into.valueEnd;
    scanner.begin(record, end);
    const start = scanner.skipSpace(into.valueStart);
    const after = scanner.skipValue(start);
    const rest = after < 0 ? ~after : scanner.skipSpace(after);
    if (after < 0 || rest < end) {
      return this.failed(
        'invalid_value',
        `value is broken JSON, or nested deeper than ${MAX_JSON_DEPTH}, at byte ${rest}`,
      );
    }
    cursor.start = start;
    cursor.stop = after;
    if (!cursor.isText()) return this.failed('invalid_value', 'value is not UTF-8');
    const first = record[start];
    if (first !== OPEN_BRACE && first !== LETTER_N) {
      return this.failed('invalid_value', 'value is neither a JSON object nor null');
    }
    into.valueStart = start;
    into.valueEnd = first === LETTER_N ? start : after;
    return 'ok';
  }

  private failed(reason: DeadLetterReason, detail: string): DeadLetterReason {
    this.detail = detail;
    return reason;
  }
}
