import { copyBytes, writeAvroLong, writeConstant } from './byte-writer.ts';
import { documentRule } from './document-id.ts';
import { MAX_ESCAPE_GROWTH, writeAsUtf8 } from './json-escape.ts';
import { ID_PARTS, OPERATION_NAMES, type MutationView } from './mutation.ts';
import type { OperationEncoder } from './operation-encoder.ts';
import { operationValueLength, writeOperationValue } from './operation-value.ts';

const COLON = 0x3a;
const MICROS_PER_MILLISECOND = 1000;

/** The length as an Avro long, then the text. */
const OPERATIONS = OPERATION_NAMES.map((name) => Buffer.from([name.length * 2, ...Buffer.from(name)]));

/** What is left of an operation without ids and value, at most: timestamp, symbol, lengths, operation, the words of a merge. */
const FIXED_BYTES = 80;

/**
 * Writes version 2: the bare Avro datum of `operation-record.avsc`, without header.
 *
 * The symbols of `operation-record-with-parent.avsc` are the same with `UserPointParent` after them, so that this
 * writes that schema too; whether a replication takes a `UserPointParent` is for the caller to know.
 */
export class AvroOperationEncoder implements OperationEncoder {
  readonly version = 2;

  maxBytes({ userPointStart, userPointEnd, parts, valueStart, valueEnd }: MutationView): number {
    let bytes = (userPointEnd - userPointStart) * 3 + (valueEnd - valueStart);
    for (let slot = 0; slot < ID_PARTS.length; slot++) {
      bytes += ((parts[slot * 2 + 1] as number) - (parts[slot * 2] as number)) * (MAX_ESCAPE_GROWTH + 1) + 1;
    }
    return FIXED_BYTES + bytes;
  }

  encode(mutation: MutationView, target: Buffer, at: number): number {
    const { bytes, parts, docType, op, userPointStart, userPointEnd } = mutation;
    const { docIdSlots } = documentRule(docType);
    const userPointLength = userPointEnd - userPointStart;
    let docIdLength = userPointLength;
    for (let s = 0; s < docIdSlots.length; s++) {
      const slot = docIdSlots[s] as number;
      const length = (parts[slot * 2 + 1] as number) - (parts[slot * 2] as number);
      if (length > 0) docIdLength += length + 1;
    }

    let to = writeAvroLong(mutation.ts * MICROS_PER_MILLISECOND, target, at);
    target[to++] = docType * 2;
    to = writeAvroLong(docIdLength, target, to);
    to = copyBytes(bytes, userPointStart, userPointEnd, target, to);
    for (let s = 0; s < docIdSlots.length; s++) {
      const slot = docIdSlots[s] as number;
      const start = parts[slot * 2] as number;
      const end = parts[slot * 2 + 1] as number;
      if (start === end) continue;
      target[to++] = COLON;
      to = writeAsUtf8(bytes, start, end, target, to);
    }
    to = writeAvroLong(userPointLength, target, to);
    to = copyBytes(bytes, userPointStart, userPointEnd, target, to);
    to = writeConstant(OPERATIONS[op] as Buffer, target, to);
    to = writeAvroLong(operationValueLength(mutation), target, to);
    return writeOperationValue(mutation, target, to);
  }
}
