import type { ProducedRecord, RecordList } from './kafka-port.ts';

/** UTF-8 bytes that one UTF-16 unit needs at most. */
const MOST_UTF8_GROWTH = 3;

/** The lengths of a header's name and value. */
const MOST_HEADER_OVERHEAD = 10;

/** A list of records that are there. */
export class RecordArray<R extends ProducedRecord> implements RecordList<R> {
  readonly #records: readonly R[];

  constructor(records: readonly R[]) {
    this.#records = records;
  }

  get length(): number {
    return this.#records.length;
  }

  get maxBytes(): number {
    return this.#records.reduce((sum, record) => sum + maxRecordBytes(record), 0);
  }

  at(i: number): R {
    const record = this.#records[i];
    if (!record) throw new RangeError(`there is no record ${i} of ${this.length}`);
    return record;
  }

  slice(from: number, to: number): RecordList<R> {
    return new RecordArray(this.#records.slice(from, to));
  }
}

function maxRecordBytes({ key, value, headers }: ProducedRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0);
  for (const [name, header] of Object.entries(headers)) {
    for (const content of header === undefined ? [] : [header].flat())
      bytes += MOST_HEADER_OVERHEAD + (name.length + content.length) * MOST_UTF8_GROWTH;
  }
  return bytes;
}
