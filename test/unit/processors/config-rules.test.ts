import { describe, expect, test } from '@jest/globals';
import { neighbourProblem } from '../../../processors/config-neighbours.ts';
import { CONFIG_PROBLEM_CODES, type ConfigProblem } from '../../../processors/config-problem.ts';
import {
  judgeConfig,
  judgeKeptConfig,
  type ConfigRules,
  type Judgement,
  type ReplicationConfig,
} from '../../../processors/replication-config.ts';
import type { SinkAdapter } from '../../../sinks/sink.ts';
import {
  ACCEPTED_CASES,
  CHANGE_CASES,
  EVENT_HUBS,
  FILE,
  FULL_PUBSUB,
  KAFKA_TOPIC,
  NEIGHBOUR_CASES,
  PUBSUB,
  REFUSED_CASES,
  SMALLEST_RECORDS,
  UNREADABLE_CASES,
  type JsonRecord,
} from '../../support/config-cases.ts';
import { BUILT_IN_ADAPTERS, configRules } from '../../support/config-rules.ts';

const OFFSET = 7;

function judge(
  record: JsonRecord,
  { key = String(record.id), previous = null as ReplicationConfig | null, rules = configRules() } = {},
): Judgement {
  return judgeConfig(key, Buffer.from(JSON.stringify(record)), OFFSET, previous, rules);
}

function accepted(record: JsonRecord, rules: ConfigRules = configRules()): ReplicationConfig {
  const judgement = judge(record, { rules });
  if (judgement.kind === 'refused') throw new Error(`refused: ${judgement.problem.message}`);
  return judgement.config;
}

function problemOf(judgement: Judgement): ConfigProblem {
  if (judgement.kind === 'accepted') throw new Error('accepted');
  return judgement.problem;
}

const inForce = (record?: JsonRecord): ReplicationConfig | null => (record ? accepted(record) : null);

describe('accepts', () => {
  test.each(ACCEPTED_CASES)('$what', ({ record, previous, config }) => {
    const judgement = judge(record, { previous: inForce(previous) });

    expect(judgement).toMatchObject({ kind: 'accepted', config });
  });

  test('a record with a byte order mark', () => {
    const value = Buffer.from(`\ufeff${JSON.stringify(PUBSUB)}`);

    expect(judgeConfig('80', value, OFFSET, null, configRules()).kind).toBe('accepted');
  });

  test('the last one of a repeated field', () => {
    const value = Buffer.from(`${JSON.stringify(PUBSUB).slice(0, -1)},"topic_id":"others"}`);

    expect(judgeConfig('80', value, OFFSET, null, configRules())).toMatchObject({
      config: { destination: { topicId: 'others' }, record: { topic_id: 'others' } },
    });
  });

  test('a record of 64 KiB', () => {
    const value = Buffer.from(JSON.stringify(PUBSUB).padEnd(65_536));

    expect(judgeConfig('80', value, OFFSET, null, configRules()).kind).toBe('accepted');
  });
});

describe('refuses', () => {
  test.each([...REFUSED_CASES, ...CHANGE_CASES])(
    '$what: $code',
    ({ record, key, previous, code, field, words }) => {
      const problem = problemOf(judge(record, { key, previous: inForce(previous) }));

      expect(problem).toMatchObject({ code, field, message: expect.stringContaining(words) as unknown });
    },
  );

  test.each(UNREADABLE_CASES)('$what: $code', ({ value, code, field, words }) => {
    const problem = problemOf(judgeConfig('80', value, OFFSET, null, configRules()));

    expect(problem).toMatchObject({ code, field, message: expect.stringContaining(words) as unknown });
  });

  test.each(CHANGE_CASES)('$what, which is valid by itself', ({ record }) => {
    expect(judge(record).kind).toBe('accepted');
  });

  test('what is invalid before it looks at what has changed', () => {
    const previous = accepted(PUBSUB);

    expect(judge({ ...PUBSUB, topic_id: 'others', ordering_lanes: 0 }, { previous })).toMatchObject({
      problem: { code: 'invalid_ordering_lanes' },
    });
  });

  test.each([
    [
      'an unknown field, with the fields there are',
      { ...PUBSUB, colour: 1 },
      'project_id, topic_id, endpoint',
    ],
    ['an unknown type, with how to turn it on', { ...PUBSUB, type: 'ACME_BUS' }, 'SINKS_ENABLED'],
    ['a long topic id, with an example', { ...PUBSUB, topic_id: 'projects/a/topics/b' }, 'it is users'],
    [
      'USER_POINT_PARENT, with where it comes along',
      { ...PUBSUB, replication_filters: [{ document: 'USER_POINT_PARENT' }] },
      'UserPointParent comes with USER_POINT',
    ],
  ])('%s', (_, record, hint) => {
    expect(problemOf(judge(record)).hint).toContain(hint);
  });

  test('another version, with the one that it has', () => {
    const previous = accepted({ ...PUBSUB, version: 1 });

    expect(problemOf(judge(PUBSUB, { previous })).hint).toContain('has version 1');
  });

  test.each([...SMALLEST_RECORDS, FULL_PUBSUB])(
    '$type without repeating any value in its words',
    (record) => {
      const secret = 'SharedAccessKey=\tabcdef';
      const values = [
        secret,
        [secret],
        { [secret.slice(0, 3)]: secret },
        [{ document: secret, filter: secret }],
      ];
      const fields = Object.keys(FULL_PUBSUB).concat('event_hub_name', 'topic', 'brokers', 'path', 'v');
      for (const field of fields) {
        for (const value of values) {
          const problem = problemOf(judge({ ...record, [field]: value }, { key: String(record.id) }));
          expect(JSON.stringify(problem)).not.toContain('abcdef');
        }
      }
    },
  );
});

describe('the table of cases', () => {
  const refusals = [
    ...REFUSED_CASES,
    ...CHANGE_CASES,
    ...UNREADABLE_CASES,
    ...NEIGHBOUR_CASES.flatMap(({ refusal }) => refusal ?? []),
  ];

  test('has each code', () => {
    expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(CONFIG_PROBLEM_CODES));
  });

  test('has each row that can come over the control topic', () => {
    const rows = [...ACCEPTED_CASES, ...REFUSED_CASES, ...CHANGE_CASES, ...UNREADABLE_CASES].map(
      ({ row }) => row,
    );

    expect([...new Set(rows)].filter((row) => row !== undefined).sort((a, b) => a - b)).toEqual([
      2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 39, 40,
    ]);
  });

  test("has each field of each kind's own", () => {
    const fields = BUILT_IN_ADAPTERS.flatMap((adapter) => adapter.fields);

    expect(refusals.map(({ field }) => field)).toEqual(expect.arrayContaining(fields));
  });
});

describe('an accepted config', () => {
  test('keeps the record as it was written', () => {
    expect(accepted({ ...PUBSUB, id: 80, name: null }).record).toEqual({ ...PUBSUB, id: 80, name: null });
  });

  test('is judged again by the record that was kept, though that has become longer', () => {
    const numbers = `[${'1e20,'.repeat(13_000)}0]`;
    const filters = `[{"document":"USER_EMAIL","id":${numbers}}]`;
    const value = Buffer.from(`${JSON.stringify(PUBSUB).slice(0, -1)},"replication_filters":${filters}}`);
    const judgement = judgeConfig('80', value, OFFSET, null, configRules());
    const kept = judgement.kind === 'accepted' ? judgement.config.record : {};

    expect(value.length).toBeGreaterThan(65_000);
    expect(value.length).toBeLessThan(JSON.stringify(kept).length);
    expect(judgeKeptConfig('80', kept, OFFSET, configRules())).toEqual(judgement);
  });

  test('is ACTIVE since the first of its records that said so', () => {
    const active = { ...PUBSUB, status: 'ACTIVE' };
    const previous = { ...accepted(active), offset: 3, activeSince: 2 };

    expect(judge({ ...active, name: 'x' }, { previous })).toMatchObject({
      config: { offset: OFFSET, activeSince: 2 },
    });
    expect(judge({ ...active, created: 2 }, { previous })).toMatchObject({ config: { activeSince: OFFSET } });
    expect(judge(PUBSUB, { previous })).toMatchObject({ config: { activeSince: OFFSET } });
  });
});

describe('a kind of destination of a third party', () => {
  const bus: SinkAdapter = {
    type: 'ACME_BUS',
    versions: [2],
    fields: ['bus'],
    options: { messageId: false, ordering: null, orderingLanes: false },
    credentials: 'none',
    parseConfig: ({ bus }) => ({ config: bus }),
    checkCredentials: () => null,
    open: () => Promise.reject(new Error('not opened here')),
  };
  const record = { id: '95', datamart_id: '1', type: 'ACME_BUS', bus: { line: 4, stops: [1] } };

  test('brings its fields and rules', () => {
    const rules = configRules(bus);

    expect(accepted(record, rules)).toMatchObject({ version: 2, destination: record.bus, exclusive: null });
    expect(judge({ ...record, ordering: true }, { rules })).toMatchObject({
      problem: { code: 'field_not_applicable' },
    });
    expect(judge(record)).toMatchObject({ problem: { code: 'unsupported_type' } });
  });

  test('may have its fields written in another order, and not changed', () => {
    const rules = configRules(bus);
    const previous = accepted(record, rules);

    expect(judge({ ...record, bus: { stops: [1], line: 4 } }, { previous, rules }).kind).toBe('accepted');
    expect(judge({ ...record, bus: { stops: [2], line: 4 } }, { previous, rules })).toMatchObject({
      problem: { code: 'immutable_field', field: 'bus' },
    });
  });

  test.each([
    ['reads a record', { ...bus, parseConfig: () => JSON.parse('{') as never }],
    [
      'says what is exclusive',
      { ...bus, exclusive: { field: 'bus', value: () => JSON.parse('{') as never } },
    ],
  ])('may fail while it %s: the record is refused', (_, failing: SinkAdapter) => {
    expect(judge(record, { rules: configRules(failing) })).toMatchObject({
      problem: {
        code: 'config_unparseable',
        message: expect.stringContaining('the adapter of ACME_BUS') as unknown,
      },
    });
  });
});

describe('beside other replications', () => {
  test.each(NEIGHBOUR_CASES)('judges $what', ({ others, record, maxPerDatamart, refusal }) => {
    const candidate = accepted(record);
    const all = others.map((other) => accepted(other));
    const ofDatamart = all.filter(({ datamartId }) => datamartId === candidate.datamartId);

    const problem = neighbourProblem(candidate, { ofDatamart, all }, maxPerDatamart);

    expect(problem && { code: problem.code, field: problem.field }).toEqual(
      refusal && { code: refusal.code, field: refusal.field },
    );
    expect(problem?.message ?? '').toContain(refusal?.words ?? '');
  });

  test('lets kinds that share nothing have equal values', () => {
    const all = [accepted({ ...KAFKA_TOPIC, topic: 'users' }), accepted(EVENT_HUBS)];

    expect(neighbourProblem(accepted(FILE), { ofDatamart: [], all }, 100)).toBeNull();
  });
});
