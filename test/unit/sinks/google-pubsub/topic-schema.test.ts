import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import {
  judgeRevisions,
  type SentMessages,
  type TopicSchema,
} from '../../../../sinks/google-pubsub/topic-schema.ts';

const published = readFileSync(new URL('../../../../schemas/operation-record.avsc', import.meta.url), 'utf8');
const withParent = readFileSync(
  new URL('../../../../schemas/operation-record-with-parent.avsc', import.meta.url),
  'utf8',
);

const schema = (changes: Partial<TopicSchema> = {}): TopicSchema => ({
  type: 'AVRO',
  encoding: 'BINARY',
  definition: published,
  revisionId: '4f3a1c2b',
  ...changes,
});
const v1 = { version: 1, userPointParent: false } as const;
const v2 = { version: 2, userPointParent: false } as const;
const v2WithParent = { version: 2, userPointParent: true } as const;

/** The verdict on a topic whose schema has one revision, or none. */
const judgeTopicSchema = (topic: TopicSchema | null, sent: SentMessages) =>
  judgeRevisions(topic === null ? [] : [topic], sent);

describe('a topic with one revision of its schema', () => {
  test.each([
    ['the published schema', schema(), v2],
    ['the schema with the parent, asked for or not', schema({ definition: withParent }), v2],
    ['the schema with the parent for parents', schema({ definition: withParent }), v2WithParent],
    ['no schema for version 1', null, v1],
  ])('finds nothing in %s', (_, topic, sent) => {
    expect(judgeTopicSchema(topic, sent)).toEqual({ mismatch: null, warnings: [] });
  });

  test.each([
    ['no schema for version 2', null, v2],
    ['a protocol buffer schema for version 1', schema({ type: 'PROTOCOL_BUFFER' }), v1],
  ])('warns of %s', (_, topic, sent) => {
    const verdict = judgeTopicSchema(topic, sent);

    expect(verdict.mismatch).toBeNull();
    expect(verdict.warnings).toHaveLength(1);
  });

  test.each([
    ['an Avro schema for version 1', schema(), v1, /version 1/],
    ['JSON encoding', schema({ encoding: 'JSON' }), v2, /JSON encoding/],
    ['a protocol buffer schema for version 2', schema({ type: 'PROTOCOL_BUFFER' }), v2, /Avro/],
    ['an enum without UserPointParent', schema(), v2WithParent, /UserPointParent/],
    [
      'an enum without UserEmail',
      schema({ definition: published.replace('"UserEmail"', '"Email"') }),
      v2,
      /UserEmail/,
    ],
    [
      'symbols in another order, which would be misread',
      schema({
        definition: published.replace('"UserPoint"', '"X"').replace('"UserActivity"', '"UserPoint"'),
      }),
      v2,
      /UserPoint, UserActivity/,
    ],
    [
      'another field',
      schema({ definition: published.replace('"ctx_id"', '"context_id"') }),
      v2,
      /context_id/,
    ],
    ['another type', schema({ definition: published.replace('"long"', '"int"') }), v2, /ts: int/],
    ['no record', schema({ definition: '"string"' }), v2, /Avro record/],
    ['no JSON', schema({ definition: '{' }), v2, /Avro record/],
  ])('finds a mismatch: %s', (_, topic, sent, why) => {
    expect(judgeTopicSchema(topic, sent).mismatch).toMatch(why);
  });
});

describe('a topic that allows several revisions of its schema', () => {
  const withField = published.replace(
    /(\{\s*"name":\s*"value")/,
    '{"name": "source", "type": "string", "default": ""}, $1',
  );
  const swapped = published
    .replace('"doc_id"', '"x"')
    .replace('"ctx_id"', '"doc_id"')
    .replace('"x"', '"ctx_id"');
  const revisions = (...definitions: readonly string[]): readonly TopicSchema[] =>
    definitions.map((definition, i) => schema({ definition, revisionId: `revision-${i}` }));

  test('takes operations by its newest one, whatever the older ones are', () => {
    expect(judgeRevisions(revisions(published, withField, swapped), v2)).toEqual({
      mismatch: null,
      warnings: [],
    });
  });

  test('takes them by an older one, with a warning, where the newest can not decode them', () => {
    const verdict = judgeRevisions(revisions(withField, withField, published), v2);

    expect(verdict.mismatch).toBeNull();
    expect(verdict.warnings).toEqual([expect.stringContaining('revision-2')]);
  });

  test.each([
    ['none fits', revisions(withField, withField), /source/],
    ['the newest decodes them and takes them for something else', revisions(swapped, published), /doc_id/],
    ['one before the fitting one does', revisions(withField, swapped, published), /source/],
    ['the newest has other symbols', revisions(published, withParent), /UserPointParent/, v2WithParent],
  ] as const)('does not fit when %s', (_, topic, reason, sent: SentMessages = v2) => {
    expect(judgeRevisions(topic, sent).mismatch).toMatch(reason);
  });
});
