import { JsonMembers } from './json-members.ts';
import { isJsonObject } from './json-object.ts';
import { parseMutationSource, type MutationSource } from './mutation-source.ts';
import { OperationReader, type OperationView } from './operation-reader.ts';

/**
 * Reads a line of an export: what a destination got, brought to JSON lines. A line is a JSON object that is either
 * - the operation itself (`ts`, `doc_type`, `doc_id`, `op`, `value`; see `OperationReader` for how they may be written);
 *   `message_id` beside them is taken when it is one of this program's; or
 * - a message around it, as Pub/Sub's pull and its raw BigQuery tables have it: `data` (version 1 as text, or either
 *   version in base64) and `attributes` (an object, or text that holds one), from which `message_id` is taken.
 *
 * Further members are ignored.
 */
export class OperationLineReader {
  /** The mutation of the last line's operation, if the line tells. */
  source: MutationSource | null = null;
  readonly #members = new JsonMembers(['data', 'attributes', 'message_id']);
  readonly #operations = new OperationReader();
  #detail = '';

  /** In words, without payload, what is wrong with the last line. */
  get detail(): string {
    return this.#detail;
  }

  /** False when the line can't be understood. */
  read(line: Buffer, into: OperationView): boolean {
    const members = this.#members;
    this.source = null;
    if (!members.read(line)) return this.#fail('it is not one JSON object in UTF-8');
    const data = members.parsed('data');
    const id = data === null ? members.parsed('message_id') : attributeOf(members.parsed('attributes'));
    this.source = typeof id === 'string' ? parseMutationSource(id) : null;
    if (data !== null && typeof data !== 'string') return this.#fail('data is no text');
    const isRead = this.#operations.read(data === null ? line : bytesOf(data), into);
    return isRead || this.#fail(this.#operations.detail);
  }

  #fail(detail: string): false {
    this.#detail = detail;
    return false;
  }
}

function bytesOf(data: string): Buffer {
  return data.startsWith('{') ? Buffer.from(data) : Buffer.from(data, 'base64');
}

function attributeOf(attributes: unknown): unknown {
  if (typeof attributes === 'string') return attributeOf(objectOf(attributes));
  return isJsonObject(attributes) ? attributes.message_id : null;
}

function objectOf(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'string' ? null : parsed;
  } catch {
    return null;
  }
}
