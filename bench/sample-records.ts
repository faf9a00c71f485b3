import avsc, { type Schema } from 'avsc';
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { mutationJson } from '../local/mutation-writer.ts';
import { SeededRandom } from '../local/random.ts';
import type { SampleMutation } from '../local/sample-mutations.ts';

/** The datamart of every mutation of the bench. */
export const BENCH_DATAMART = '1649';

/** A mutation as it is produced, and the CRC-32 of the version 2 operation that has to arrive for it. */
export interface SampleRecord {
  readonly key: string;
  readonly value: Buffer;
  readonly checksum: number;
}

const START_TS = 1_676_627_112_685;
const USERS = 50_000;
const VALUES = 500;

const operationType = avsc.Type.forSchema(
  JSON.parse(readFileSync(new URL('../schemas/operation-record.avsc', import.meta.url), 'utf8')) as Schema,
);

/**
 * Mutations without end whose `value` has exactly `valueBytes` bytes, of random users and four document types; the same
 * ones every time. What is expected of them is encoded with avsc, not with the program's own encoder.
 */
export function* sampleRecords(valueBytes: number): Generator<SampleRecord, never, void> {
  const random = new SeededRandom(valueBytes);
  const users = Array.from({ length: USERS }, () => random.uuid());
  const values = Array.from({ length: VALUES }, () => sampleValue(random, valueBytes));
  for (let i = 0; ; i++) {
    const userPointId = users[random.below(USERS)]!;
    const { docType, parts, id } = sampleDocument(random, i % 4);
    const value = values[random.below(VALUES)]!;
    const mutation: SampleMutation = { userPointId, ts: START_TS + i, op: 'UPDATE', docType, parts, value };
    const operation = operationType.toBuffer({
      ts: mutation.ts * 1_000,
      doc_type: docType,
      doc_id: `${userPointId}:${id}`,
      ctx_id: userPointId,
      op: 'UPDATE',
      value,
    });
    yield {
      key: userPointId,
      value: Buffer.from(mutationJson(BENCH_DATAMART, mutation)),
      checksum: crc32(operation),
    };
  }
}

function sampleDocument(
  random: SeededRandom,
  kind: number,
): Pick<SampleMutation, 'docType' | 'parts'> & { readonly id: string } {
  if (kind === 0) {
    const id = `vec:${10_000_000_000 + random.uint32()}`;
    return { docType: 'UserAgent', parts: { vector_id: id }, id };
  }
  if (kind === 1) {
    const id = String(10_000 + random.below(50));
    return { docType: 'UserSegment', parts: { segment_id: id }, id };
  }
  if (kind === 2) {
    const id = random.hex(64);
    return { docType: 'UserEmail', parts: { email_hash: id }, id };
  }
  const id = random.uuid();
  return { docType: 'UserActivity', parts: { user_activity_id: id }, id };
}

/** A document with the page's custom fields and events; padded to its exact size. */
function sampleValue(random: SeededRandom, bytes: number): string {
  const document: Record<string, unknown> = {
    $os_family: random.pick(['LINUX', 'WINDOWS', 'ANDROID']),
    $brand: null,
    $form_factor: 'PERSONAL_COMPUTER',
    $creation_ts: START_TS - random.below(1_000_000),
  };
  const events: object[] = [];
  const add = (): void => {
    events.push({
      $event_name: random.pick(['page_view', 'add_to_cart', 'purchase']),
      $ts: START_TS + random.below(1_000_000),
      $properties: {
        url: `https://www.example.com/products/item-${random.below(100_000)}?campaign=${random.hex(8)}`,
        price: random.below(100_000) / 100,
        is_new: random.chance(0.5),
        tags: ['summer', random.hex(6)],
      },
    });
  };
  const length = (): number => Buffer.byteLength(JSON.stringify({ ...document, note: '' }));
  for (;;) {
    add();
    document['$events'] = events;
    if (length() <= bytes) continue;
    events.pop();
    break;
  }
  if (events.length === 0) delete document['$events'];
  return JSON.stringify({ ...document, note: 'n'.repeat(bytes - length()) });
}
