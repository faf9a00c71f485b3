import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMMON_FIELDS } from '../../../processors/config-record.ts';
import { judgeConfig } from '../../../processors/replication-config.ts';
import { FILTER_NAMES } from '../../../schemas/document-type.ts';
import {
  ACCEPTED_CASES,
  CHANGE_CASES,
  keyOf,
  NEIGHBOUR_CASES,
  REFUSED_CASES,
  SMALLEST_RECORDS,
  UNREADABLE_CASES,
  type JsonRecord,
} from '../../support/config-cases.ts';
import { BUILT_IN_ADAPTERS, configRules } from '../../support/config-rules.ts';

const root = join(import.meta.dirname, '../../..');
const FILE = 'schemas/replication.schema.json';

interface ReplicationSchema {
  readonly $id: string;
  readonly properties: Readonly<Record<string, { readonly title: string; readonly description: string }>>;
  readonly examples: readonly JsonRecord[];
}

const schema = JSON.parse(readFileSync(join(root, FILE), 'utf8')) as ReplicationSchema;
const validate = new Ajv2020({
  allErrors: false,
  strict: true,
  strictTypes: false,
  strictRequired: false,
}).compile(schema);

/** As it would be read: what is undefined isn't there. */
const asJson = (record: unknown): unknown => JSON.parse(JSON.stringify(record));

const rules = configRules();

/** Under the key that the record names, if it names one. */
function isAccepted(record: JsonRecord): boolean {
  return judgeConfig(keyOf(record), Buffer.from(JSON.stringify(record)), 0, null, rules).kind === 'accepted';
}

describe('the published schema takes', () => {
  test.each([...ACCEPTED_CASES, ...CHANGE_CASES, ...NEIGHBOUR_CASES])('$what', ({ record }) => {
    expect(validate(asJson(record)) || validate.errors).toBe(true);
  });

  test('its own examples, as the rules do', () => {
    expect(schema.examples).toHaveLength(BUILT_IN_ADAPTERS.length);
    for (const example of schema.examples) {
      expect(validate(example) || validate.errors).toBe(true);
      expect(isAccepted(example)).toBe(true);
    }
  });
});

describe('the published schema refuses', () => {
  test.each(REFUSED_CASES.filter(({ beyondSchema }) => beyondSchema === undefined))('$what', ({ record }) => {
    expect(validate(asJson(record))).toBe(false);
  });

  test.each(UNREADABLE_CASES.filter(({ field }) => field === 'v'))('$what', ({ value }) => {
    expect(validate(JSON.parse(value.toString()))).toBe(false);
  });
});

describe('the published schema takes, because it can not see it,', () => {
  test.each(REFUSED_CASES.filter(({ beyondSchema }) => beyondSchema !== undefined))(
    '$what: $beyondSchema',
    ({ record }) => {
      expect(validate(asJson(record)) || validate.errors).toBe(true);
    },
  );
});

describe('the published schema', () => {
  test('knows the fields that the rules know, each with words for people', () => {
    const fields = ['v', ...COMMON_FIELDS, ...BUILT_IN_ADAPTERS.flatMap((adapter) => adapter.fields)];

    expect(Object.keys(schema.properties).sort()).toEqual(fields.sort());
    for (const { title, description } of Object.values(schema.properties)) {
      expect(title).toMatch(/^[A-Z]/);
      expect(description).toMatch(/\.$/);
    }
  });

  test('names the documents that a filter may name', () => {
    expect(schema).toHaveProperty(
      ['properties', 'replication_filters', 'items', 'properties', 'document', 'enum'],
      FILTER_NAMES,
    );
  });

  test('is part of the package', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      readonly exports: Readonly<Record<string, unknown>>;
    };

    expect(manifest.exports['./replication.schema.json']).toBe(`./dist/${FILE}`);
  });

  test('agrees with the rules on any value of any field that no setting decides', () => {
    const settled = ['brokers', 'credentials_uri', 'topic'];
    const fields = Object.keys(schema.properties).filter((field) => !settled.includes(field));
    const text = fc.oneof(
      fc.string({ unit: 'grapheme-ascii', maxLength: 5 }),
      fc.string({ unit: 'binary', maxLength: 5 }),
      fc.string({
        unit: fc.constantFrom('.', '/', 'a', '-', '0', '\\', '\n', '\u2028', '\ud800'),
        maxLength: 8,
      }),
      fc.constantFrom(
        'ACTIVE',
        'ERROR',
        'NOW',
        'USER_EMAIL',
        'FILE',
        'KAFKA_TOPIC',
        '1649',
        'a-pubsub.googleapis.com',
      ),
      fc.nat(300).map((length) => 'x'.repeat(length)),
    );
    const value = fc.oneof(
      text,
      fc.constantFrom(null, true, false, 0, 1, 2, 3, 256, 257, 1.5, -1, 2 ** 53, 1e300, [], {}),
      fc.array(
        fc.oneof(
          text,
          fc.record({ document: fc.constantFrom(...FILTER_NAMES, 'X'), filter: fc.constant(null) }),
        ),
      ),
      fc.constantFrom<unknown>(
        ['message_id'],
        [{ document: 'USER_AGENT' }],
        [{ document: 'USER_AGENT', id: [] }],
      ),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...SMALLEST_RECORDS),
        fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 2, noNullPrototype: true }),
        (record, changes) => {
          const changed = { ...record, ...changes };
          expect({ record: changed, isTaken: validate(asJson(changed)) }).toEqual({
            record: changed,
            isTaken: isAccepted(changed),
          });
        },
      ),
      { numRuns: 300 },
    );
  });
});
