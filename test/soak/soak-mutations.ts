import { expectedAvro, expectedJson } from '../../local/expected-operations.ts';
import { mutationJson } from '../../local/mutation-writer.ts';
import { SeededRandom } from '../../local/random.ts';
import type { SampleMutation } from '../../local/sample-mutations.ts';

/** The datamart of every mutation and replication of a soak. */
export const SOAK_DATAMART = '1649';

/** Stands in for the document of a mutation that can't be decoded. */
export const NO_DOCUMENT = 0xffff_ffff;

/** The kinds of documents that each user has, one of each. */
export const DOCUMENT_KINDS = [
  'UserPoint',
  'UserProfile',
  'UserSegment',
  'UserActivity',
  'UserEmail',
  'UserAgent',
] as const;

const START_TS = 1_700_000_000_000;
const TS_DIGITS = 13;
const BROKEN_EVERY = 4_001;
const DELETE_SHARE = 0.05;
const GOLDEN = 0x9e37_79b9;

/**
 * The mutations of a soak, by their number: each can be made again at any time, so none has to be kept. A mutation's
 * `ts` is its number, so that whatever arrives tells which one it is.
 */
export class SoakMutations {
  readonly #seed: number;
  readonly #valueBytes: number;
  readonly #users: readonly string[];

  constructor(options: { readonly seed: number; readonly users: number; readonly valueBytes: number }) {
    const random = new SeededRandom(options.seed);
    this.#seed = options.seed;
    this.#valueBytes = options.valueBytes;
    this.#users = Array.from({ length: options.users }, () => random.uuid());
  }

  /** How many documents there are. */
  get documents(): number {
    return this.#users.length * DOCUMENT_KINDS.length;
  }

  /** The user of a document. */
  userOf(document: number): number {
    return Math.floor(document / DOCUMENT_KINDS.length);
  }

  /** Which document mutation `index` changes; `NO_DOCUMENT` when nobody can tell. */
  documentOf(index: number): number {
    return index % BROKEN_EVERY === BROKEN_EVERY - 1
      ? NO_DOCUMENT
      : this.#randomOf(index).below(this.documents);
  }

  /** The record to produce. */
  record(index: number): { readonly user: number; readonly key: string; readonly value: string } {
    const document = this.documentOf(index);
    const user = this.userOf(document === NO_DOCUMENT ? index % this.documents : document);
    const json = mutationJson(SOAK_DATAMART, this.#mutation(index, user * DOCUMENT_KINDS.length));
    const value =
      document === NO_DOCUMENT
        ? json.slice(0, -1)
        : mutationJson(SOAK_DATAMART, this.#mutation(index, document));
    return { user, key: this.#users[user] ?? '', value };
  }

  /** What a destination of that version must get of it. */
  expected(index: number, version: 1 | 2): Buffer {
    const mutation = this.#mutation(index, this.documentOf(index));
    const { bytes } = version === 1 ? expectedJson(mutation) : expectedAvro(mutation);
    return Buffer.from(bytes, 'latin1');
  }

  #mutation(index: number, document: number): SampleMutation {
    const random = this.#randomOf(index);
    random.uint32();
    const docType = DOCUMENT_KINDS[document % DOCUMENT_KINDS.length] ?? 'UserPoint';
    const isDeletion = docType !== 'UserPoint' && random.chance(DELETE_SHARE);
    const padding = random.hex(8).repeat(Math.ceil((random.below(this.#valueBytes) + 1) / 8));
    return {
      userPointId: this.#users[this.userOf(document)] ?? '',
      ts: START_TS + index,
      op: isDeletion ? 'DELETE' : 'UPDATE',
      docType,
      parts: PARTS[docType],
      value: isDeletion || docType === 'UserPoint' ? null : `{"$number":${index},"$padding":"${padding}"}`,
    };
  }

  #randomOf(index: number): SeededRandom {
    return new SeededRandom((this.#seed + Math.imul(index + 1, GOLDEN)) >>> 0);
  }
}

const PARTS = {
  UserPoint: {},
  UserProfile: { compartment_id: '1000' },
  UserSegment: { segment_id: '10001' },
  UserActivity: { user_activity_id: 'last' },
  UserEmail: { email_hash: 'c0ffee' },
  UserAgent: { vector_id: 'vec:1' },
} as const;

/** The number of the mutation that an operation was made of; NaN when it can't be one. */
export function indexOfOperation(bytes: Buffer, version: 1 | 2): number {
  if (version === 1) return indexOfText(bytes.subarray(0, 32).toString('latin1'));
  let zigzag = 0;
  let factor = 1;
  for (let at = 0; at < 9; at += 1) {
    const byte = bytes[at] ?? 0;
    zigzag += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
    factor *= 128;
  }
  return zigzag / 2 / 1_000 - START_TS;
}

/** The number of a mutation or version 1 operation, also of a broken one. */
export function indexOfText(text: string): number {
  const at = text.indexOf('"ts":') + 5;
  return Number(text.slice(at, at + TS_DIGITS)) - START_TS;
}
