import { expect, test } from '@jest/globals';
import { avroMutationWriter, jsonMutationWriter } from '../../../local/mutation-writer.ts';
import { SeededRandom } from '../../../local/random.ts';
import { sampleMutations, type SampleMutation, type SampleOptions } from '../../../local/sample-mutations.ts';
import { DOCUMENT_RULES } from '../../../schemas/document-id.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { mutationSchemaText } from '../../../schemas/mutation-schema.ts';
import { MutationView } from '../../../schemas/mutation.ts';
import { RecordDecoder } from '../../../schemas/record-decoder.ts';
import { compileWriterSchema } from '../../../schemas/writer-schema.ts';

function sample(count: number, options: Partial<SampleOptions> = {}): SampleMutation[] {
  const all = { seed: 1, users: 50, valueBytes: 1_024, startTs: 1_763_900_000_000, ...options };
  const mutations = sampleMutations(all);
  return Array.from({ length: count }, () => mutations.next().value);
}

test('makes the same mutations of the same seed, and others of another', () => {
  expect(sample(200)).toEqual(sample(200));
  expect(sample(10)).not.toEqual(sample(10, { seed: 2 }));
});

test('shows every document type within the first hundred', () => {
  const types = new Set(sample(100).map(({ docType }) => docType));

  expect([...types].sort()).toEqual([...DOCUMENT_TYPES].sort());
});

test('never lets time stand still', () => {
  const mutations = sample(1_000);

  expect(mutations.every(({ ts }, i) => i === 0 || ts > mutations[i - 1]!.ts)).toBe(true);
});

test('has the parts that each document needs', () => {
  const incomplete = sample(3_000).filter(({ docType, parts }) => {
    const { docId, optional, mentioned } = DOCUMENT_RULES[docType];
    const needed = [...docId, ...(mentioned ? [mentioned] : [])].filter((part) => part !== optional);
    return needed.some((part) => !parts[part]);
  });

  expect(incomplete).toEqual([]);
});

test('deletes only documents that are there, and carries no value then', () => {
  const present = new Set<string>();
  const wrong = sample(5_000).filter(({ userPointId, docType, parts, op, value }) => {
    const key = JSON.stringify([userPointId, docType, parts]);
    if (op === 'UPDATE') present.add(key);
    return op === 'DELETE' && (!present.delete(key) || value !== null);
  });

  expect(wrong).toEqual([]);
});

test('migrates user agents in three mutations, in order', () => {
  const mutations = sample(200);
  const start = mutations.findIndex(({ docType, op }) => docType === 'UserAgent' && op === 'DELETE');

  expect(mutations.slice(start, start + 3).map(({ op, docType }) => `${op} ${docType}`)).toEqual([
    'DELETE UserAgent',
    'UPDATE UserDevicePoint',
    'UPDATE UserDeviceTechnicalId',
  ]);
});

test('merges two different users and deletes what the absorbed one had', () => {
  const mutations = sample(3_000);
  const merge = mutations.findIndex(({ docType }) => docType === 'UserPointParent');
  const { userPointId, parts } = mutations[merge]!;

  expect(parts.kept_user_point_id).not.toBe(userPointId);
  const later = mutations.slice(merge + 1).filter((mutation) => mutation.userPointId === userPointId);
  expect(later.every(({ op }) => op === 'DELETE')).toBe(true);
  expect(later.some(({ docType }) => docType === 'UserPoint')).toBe(true);
});

test.each([512, 1_024, 10_000])('makes values of about %d bytes', (valueBytes) => {
  const sizes = sample(300, { valueBytes }).flatMap(({ value, docType }) =>
    value === null || docType === 'UserActivity' ? [] : [Buffer.byteLength(value)],
  );

  expect(Math.min(...sizes)).toBeGreaterThan(valueBytes - 4);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(valueBytes);
});

test('has numbers that a double cannot hold, nulls, dollar keys and characters beyond ASCII', () => {
  const text = sample(300)
    .map(({ value }) => value)
    .join('');

  expect(text).toMatch(/:90\d{14,}[,}]/);
  expect(text).toContain('"$type":');
  expect(text).toContain(':null');
  expect(text).toContain('é');
});

test.each(['json', 'avro'])('is decoded from %s as it was meant', (encoding) => {
  const schema = compileWriterSchema(mutationSchemaText());
  const decoder = new RecordDecoder({ get: (id) => (id === 7 ? schema : 'unknown') });
  const write = encoding === 'json' ? jsonMutationWriter('1649') : avroMutationWriter('1649', 7);
  const view = new MutationView();

  const wrong = sample(500).filter((mutation) => {
    const status = decoder.decode(write(mutation), view, () => true);
    const value = view.bytes.toString('utf8', view.valueStart, view.valueEnd);
    const isSame =
      view.datamart === 1649 &&
      view.ts === mutation.ts &&
      DOCUMENT_TYPES[view.docType] === mutation.docType &&
      view.bytes.toString('utf8', view.userPointStart, view.userPointEnd) === mutation.userPointId &&
      value === (mutation.value ?? '');
    return status !== 'ok' || !isSame;
  });

  expect(wrong).toEqual([]);
});

test('random numbers are those of their seed and spread over their range', () => {
  const random = new SeededRandom(1);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 4_000; i++) counts[random.below(4)]! += 1;

  expect(Math.min(...counts)).toBeGreaterThan(900);
  expect(new SeededRandom(5).uuid()).toBe(new SeededRandom(5).uuid());
  expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
