import { AvroCursor } from './avro-cursor.ts';
import { DOCUMENT_TYPES, type DocumentTypeIndex } from './document-type.ts';
import { JsonMembers } from './json-members.ts';
import { DELETE, MAX_TS, OPERATION_NAMES, UPDATE, type OperationCode } from './mutation.ts';

const OPEN_BRACE = 0x7b;
const QUOTE = 0x22;
const MICROS_PER_MILLISECOND = 1000;
const DIGITS = /^\d{1,17}$/;
/** As BigQuery prints a TIMESTAMP, and RFC 3339 in UTC. */
const UTC_TIME = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)(?: ?UTC|Z|\+00(?::?00)?)$/;

/** An operation as it lies at a destination. */
export class OperationView {
  /** Milliseconds since 1970 UTC. */
  ts = 0;
  docType: DocumentTypeIndex = 0;
  docId = '';
  op: OperationCode = UPDATE;
  /** JSON text. */
  value: Buffer = Buffer.alloc(0);
}

/**
 * Reads operations of either version, told apart by the first byte: version 1 is a JSON object, anything else is taken
 * for the bare Avro datum of version 2 (with or without `UserPointParent` among its symbols).
 *
 * JSON is taken as people and their tools bring it too: `ts` as ms, as microseconds (whatever is beyond the year 2255
 * in ms), as text of digits or as a time in UTC; `value` inline, or as a string that holds its JSON text.
 */
export class OperationReader {
  /** In words, without payload, what is wrong with the last operation read. */
  detail = '';
  readonly #members = new JsonMembers(['ts', 'doc_type', 'doc_id', 'op', 'value']);
  readonly #cursor = new AvroCursor();

  /** False when the bytes are no operation. */
  read(bytes: Buffer, into: OperationView): boolean {
    return bytes[0] === OPEN_BRACE ? this.#readJson(bytes, into) : this.#readAvro(bytes, into);
  }

  #readJson(bytes: Buffer, into: OperationView): boolean {
    const members = this.#members;
    if (!members.read(bytes)) return this.#fail('it is not one JSON object in UTF-8');
    const ts = millisecondsOf(members.parsed('ts'));
    if (ts === null) return this.#fail('ts is missing or no time');
    const docType = DOCUMENT_TYPES.indexOf(members.parsed('doc_type') as 'UserPoint');
    if (docType < 0) return this.#fail('doc_type is missing or none of the ten');
    const docId = members.parsed('doc_id');
    if (typeof docId !== 'string' || docId === '') return this.#fail('doc_id is missing');
    const op = OPERATION_NAMES.indexOf(members.parsed('op') as 'UPDATE');
    if (op < 0) return this.#fail('op is neither UPDATE nor DELETE');
    const value = members.value('value');
    if (!value) return this.#fail('value is missing');
    into.ts = ts;
    into.docType = docType;
    into.docId = docId;
    into.op = op === DELETE ? DELETE : UPDATE;
    into.value = value[0] === QUOTE ? jsonTextOf(value) : value;
    return true;
  }

  #readAvro(bytes: Buffer, into: OperationView): boolean {
    const cursor = this.#cursor;
    cursor.begin(bytes, 0);
    let micros = cursor.readInteger();
    if (cursor.isBroken) {
      // From 2112 on it is no safe integer when doubled.
      cursor.begin(bytes, 0);
      micros = Number(cursor.readLong());
    }
    into.ts = micros / MICROS_PER_MILLISECOND;
    into.docType = cursor.isBroken ? -1 : cursor.readIndex(DOCUMENT_TYPES.length);
    const hasDocId = !cursor.isBroken && cursor.readText();
    into.docId = bytes.toString('utf8', cursor.start, cursor.stop);
    const hasOp = hasDocId && cursor.readText() && cursor.readText();
    const op = OPERATION_NAMES.indexOf(bytes.toString('latin1', cursor.start, cursor.stop) as 'UPDATE');
    if (!hasOp || op < 0 || !cursor.readText() || cursor.at !== bytes.length)
      return this.#fail('it is neither JSON nor an Avro datum of the published schema');
    into.op = op === DELETE ? DELETE : UPDATE;
    into.value = bytes.subarray(cursor.start, cursor.stop);
    return true;
  }

  #fail(detail: string): false {
    this.detail = detail;
    return false;
  }
}

/**
 * A `value` that is a JSON string: it holds the JSON text of an object or a string, or it is the words of a merge
 * inline, which begin with an id.
 */
function jsonTextOf(quoted: Buffer): Buffer {
  const text = JSON.parse(quoted.toString()) as string;
  return text.startsWith('{') || text.startsWith('"') ? Buffer.from(text) : quoted;
}

function millisecondsOf(ts: unknown): number | null {
  if (typeof ts === 'string') {
    const [, date, time] = UTC_TIME.exec(ts) ?? [];
    if (date !== undefined && time !== undefined) {
      const ms = Date.parse(`${date}T${time}Z`);
      return Number.isNaN(ms) ? null : ms;
    }
    return DIGITS.test(ts) ? millisecondsOf(Number(ts)) : null;
  }
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts) || ts < 1) return null;
  return ts <= MAX_TS ? ts : ts / MICROS_PER_MILLISECOND;
}
