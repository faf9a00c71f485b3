import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CONFIG_PROBLEM_CODES } from '../../../processors/config-problem.ts';
import { COMMON_FIELDS } from '../../../processors/config-record.ts';
import {
  judgeConfig,
  judgeKeptConfig,
  type ReplicationConfig,
} from '../../../processors/replication-config.ts';
import { ACCEPTED_CASES, REFUSED_CASES, keyOf, type JsonRecord } from '../../support/config-cases.ts';
import { BUILT_IN_ADAPTERS, configRules } from '../../support/config-rules.ts';

const rules = configRules();
const CODES: readonly string[] = CONFIG_PROBLEM_CODES;
const OFFSET = 9;

const FIELDS = [...COMMON_FIELDS, ...BUILT_IN_ADAPTERS.flatMap(({ fields }) => fields)];
const CASES = [...ACCEPTED_CASES, ...REFUSED_CASES];

/** What may be in force before: nothing, or any accepted case. */
const previous = fc.option(
  fc.constantFrom(...ACCEPTED_CASES).map(({ record }): ReplicationConfig => {
    const judgement = judgeConfig(keyOf(record), Buffer.from(JSON.stringify(record)), 4, null, rules);
    if (judgement.kind === 'refused') throw new Error(judgement.problem.message);
    return judgement.config;
  }),
);

/** Values from everywhere in the table of cases, whichever field they belong to, and any JSON. */
const value = fc.oneof(
  fc.constantFrom(...CASES.flatMap(({ record }) => Object.values(record))),
  fc.jsonValue({ maxDepth: 3, noUnicodeString: false }),
);

const fieldName = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...FIELDS) },
  { weight: 1, arbitrary: fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'v')) },
);

const mutatedRecord = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...ACCEPTED_CASES.map(({ record }) => record)) },
      { weight: 1, arbitrary: fc.constantFrom(...REFUSED_CASES.map(({ record }) => record)) },
    ),
    fc.array(fc.tuple(fieldName, fc.option(value, { nil: undefined })), { maxLength: 2 }),
  )
  .map(([record, changes]): JsonRecord => Object.fromEntries([...Object.entries(record), ...changes]));

/** Checks all that is promised of any judgement; says whether the record was accepted. */
function judgesSoundly(key: string, value: Buffer, before: ReplicationConfig | null): boolean {
  const judgement = judgeConfig(key, value, OFFSET, before, rules);

  expect(judgeConfig(key, value, OFFSET, before, rules)).toEqual(judgement);
  if (judgement.kind === 'refused') {
    const { code, field, message } = judgement.problem;
    expect(CODES).toContain(code);
    expect((field ?? '').length).toBeLessThanOrEqual(64);
    expect(message).toMatch(/^\P{Cc}{10,400}$/u);
    return false;
  }
  const { config } = judgement;
  const kept = JSON.parse(JSON.stringify(config.record)) as JsonRecord;
  const again = judgeKeptConfig(key, kept, OFFSET, rules);
  expect(again).toEqual({ kind: 'accepted', config: { ...config, activeSince: OFFSET } });
  return true;
}

test('any bytes are judged, and refused', () => {
  fc.assert(
    fc.property(fc.string(), fc.uint8Array({ maxLength: 200 }), previous, (key, bytes, before) => {
      expect(judgesSoundly(key, Buffer.from(bytes), before)).toBe(false);
    }),
    { numRuns: 200 },
  );
});

test('any JSON is judged, and refused', () => {
  fc.assert(
    fc.property(fc.string(), fc.json({ noUnicodeString: false }), previous, (key, json, before) => {
      expect(judgesSoundly(key, Buffer.from(json), before)).toBe(false);
    }),
    { numRuns: 300 },
  );
});

test('records that are nearly valid are judged, the same each time, and by their own record again', () => {
  let accepted = 0;
  fc.assert(
    fc.property(mutatedRecord, previous, (record, before) => {
      const bytes = Buffer.from(JSON.stringify(record));
      for (const inForce of [null, before]) {
        if (judgesSoundly(keyOf(record), bytes, inForce)) accepted += 1;
      }
    }),
    { numRuns: 500 },
  );
  expect(accepted).toBeGreaterThan(25);
});

test('a valid record with bytes flipped, cut or repeated is judged', () => {
  const valid = fc.constantFrom(...ACCEPTED_CASES.map(({ record }) => record));
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(valid, damage, fc.nat(400), fc.boolean(), (record, flips, cut, isRepeated) => {
      const bytes = Buffer.from(JSON.stringify(record));
      for (const [at, byte] of flips) if (at < bytes.length) bytes[at] = byte;
      const part = bytes.subarray(0, cut);
      judgesSoundly(keyOf(record), isRepeated ? Buffer.concat([bytes, part]) : bytes, null);
      judgesSoundly(keyOf(record), part, null);
    }),
    { numRuns: 200 },
  );
});
