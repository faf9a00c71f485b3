import { describe, expect, test } from '@jest/globals';
import { examineRecord, type ExaminedRecord } from '../../../processors/examined-record.ts';
import { explain, type ExplanationInput } from '../../../processors/explanation.ts';
import {
  EXPLANATION_REASONS,
  type ExplanationReason,
  type ExplanationResult,
  type PartitionStanding,
  type ReplicationStanding,
} from '../../../processors/replication-explanation.ts';
import { ReplicationTable } from '../../../processors/replication-table.ts';
import { RecordDecoder } from '../../../schemas/record-decoder.ts';
import { ScriptedSinks } from '../../support/scripted-sink.ts';

const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const WRITTEN = 1_763_900_000_000;
const AT = { topic: 'mutations', partition: 3, offset: 100, timestamp: WRITTEN };

function examined(fields: Record<string, unknown> = {}): ExaminedRecord {
  const mutation = {
    datamart_id: 1649,
    user_point_id: USER,
    ts: WRITTEN,
    op: 'UPDATE',
    doc_type: 'UserPoint',
    value: { $email: 'eve@example.com' },
    ...fields,
  };
  const decoder = new RecordDecoder({ get: () => 'unknown' });
  const record = examineRecord(decoder, Buffer.from(JSON.stringify(mutation)));
  if (record.kind === 'schema_needed') throw new Error('JSON needs no schema');
  return record;
}

/** ACTIVE, and found to work by the verdict, since before the mutation was written. */
function aStanding(
  fields: Record<string, unknown> = {},
  changes: Partial<ReplicationStanding> = {},
): ReplicationStanding {
  const { adapter } = new ScriptedSinks();
  const table = new ReplicationTable({
    types: new Map([[adapter.type, adapter]]),
    checkCredentialsUri: () => null,
  });
  const record = {
    id: '80',
    datamart_id: '1649',
    type: 'SCRIPTED',
    target: 'a',
    status: 'ACTIVE',
    ...fields,
  };
  table.apply('80', Buffer.from(JSON.stringify(record)), 7, WRITTEN);
  const config = table.get('80');
  if (!config) throw new Error('the record of the test is refused');
  return {
    config,
    verdict: { configOffset: 7, credentialsVersion: null, failure: null },
    credentialsVersion: null,
    isDetached: false,
    since: WRITTEN - 1,
    own: null,
    report: null,
    ...changes,
  };
}

const failedVerdict = (reason: 'activation_failed' | 'destination_failed') => ({
  verdict: {
    configOffset: 7,
    credentialsVersion: null,
    failure: { reason, code: 'permission_denied', message: 'publishing: denied', remedy: 'grant the role' },
  },
});

const aReport = (changes: Partial<NonNullable<ReplicationStanding['report']>>) => ({
  report: {
    replicationId: '80',
    topic: AT.topic,
    partition: AT.partition,
    state: 'ACTIVE' as const,
    offset: 100,
    gap: null,
    lostOffsets: 0,
    ...changes,
  },
});

const PARTITION: PartitionStanding = {
  committed: 200,
  logStart: 0,
  logEnd: 250,
  isHeld: false,
  arePositionsKnown: true,
};

function explained(
  standing: ReplicationStanding,
  {
    partition = {},
    ...changes
  }: Partial<Omit<ExplanationInput, 'partition'>> & {
    readonly partition?: Partial<PartitionStanding> | null;
  } = {},
) {
  const explanation = explain({
    record: examined(),
    place: AT,
    partition: partition && { ...PARTITION, ...partition },
    replications: [standing],
    letters: { letters: [], incomplete: null },
    ...changes,
  });
  const [replication] = explanation.replications;
  if (!replication) throw new Error('the replication is left out');
  return { ...replication, notes: explanation.notes };
}

const PASTED = { place: null, partition: null };
const NOT_COMMITTED = { partition: { committed: 100 } };
const own = (kind: 'DETACHED' | 'PAUSED' | 'ERROR', position: number) => ({ own: { kind, position } });
const letterOf = (replicationId: string | null) => ({
  letters: {
    letters: [{ replicationId, reason: 'rejected', code: 'too_large', detail: 'too large', time: WRITTEN }],
    incomplete: null,
  },
});
const GONE = { record: { kind: 'gone' } as const, place: { ...AT, timestamp: null } };

type Case = readonly [
  string,
  ReplicationStanding,
  Parameters<typeof explained>[1],
  ExplanationResult,
  ExplanationReason,
  'certain' | 'probable',
];

const CASES: readonly Case[] = [
  ['below the commit, ACTIVE all the time', aStanding(), {}, 'sent', 'delivered', 'certain'],
  [
    'below the commit, ACTIVE only since later',
    aStanding({}, { since: WRITTEN + 1 }),
    {},
    'sent',
    'delivered',
    'probable',
  ],
  [
    'below the commit, whose positions can’t be read',
    aStanding(),
    { partition: { arePositionsKnown: false } },
    'sent',
    'delivered',
    'probable',
  ],
  ['not committed yet', aStanding(), NOT_COMMITTED, 'will_be_sent', 'in_flight', 'certain'],
  [
    'of a group that has committed nothing',
    aStanding(),
    { partition: { committed: null } },
    'will_be_sent',
    'not_consumed',
    'probable',
  ],
  [
    'at the position of a detached one',
    aStanding({}, { isDetached: true, ...own('DETACHED', 100) }),
    {},
    'will_be_sent',
    'detached',
    'certain',
  ],
  [
    'below the position of a detached one',
    aStanding({}, { isDetached: true, ...own('DETACHED', 101) }),
    {},
    'sent',
    'delivered',
    'certain',
  ],
  [
    'at the position of a detached one by its report alone',
    aStanding({}, { isDetached: true, ...aReport({ state: 'DETACHED', offset: 90 }) }),
    {},
    'will_be_sent',
    'detached',
    'probable',
  ],
  [
    'while ACTIVATING',
    aStanding({}, { verdict: null }),
    NOT_COMMITTED,
    'will_be_sent',
    'activating',
    'probable',
  ],
  [
    'on an added partition',
    aStanding(),
    { partition: { isHeld: true, committed: null } },
    'will_be_sent',
    'not_adopted',
    'certain',
  ],
  [
    'of a type that the filter leaves out',
    aStanding({ replication_filters: [{ document: 'USER_EMAIL' }] }),
    {},
    'not_sent',
    'filter',
    'certain',
  ],
  [
    'of a type that the schema can’t hold, still to come',
    aStanding({ version: 2 }),
    { record: examined({ doc_type: 'UserPointParent', kept_user_point_id: USER }), ...NOT_COMMITTED },
    'not_sent',
    'not_in_schema',
    'certain',
  ],
  [
    'of a type that the schema can’t hold, long passed',
    aStanding({ version: 2 }),
    { record: examined({ doc_type: 'UserPointParent', kept_user_point_id: USER }) },
    'not_sent',
    'not_in_schema',
    'probable',
  ],
  [
    'behind where a PAUSED one stopped',
    aStanding({ status: 'PAUSED' }, own('PAUSED', 90)),
    {},
    'not_sent',
    'paused',
    'certain',
  ],
  [
    'before where a PAUSED one stopped',
    aStanding({ status: 'PAUSED' }, own('PAUSED', 150)),
    {},
    'unknown',
    'before_position',
    'probable',
  ],
  ['in the gap', aStanding({}, aReport({ gap: { from: 90, to: 110 } })), {}, 'not_sent', 'gap', 'certain'],
  [
    'right behind the gap',
    aStanding({}, aReport({ gap: { from: 90, to: 100 } })),
    {},
    'sent',
    'delivered',
    'certain',
  ],
  [
    'behind where one in ERROR is parked',
    aStanding({}, { ...failedVerdict('destination_failed'), ...own('ERROR', 100) }),
    {},
    'not_sent',
    'error',
    'certain',
  ],
  [
    'before where one in ERROR is parked',
    aStanding({}, { ...failedVerdict('destination_failed'), ...own('ERROR', 101) }),
    {},
    'sent',
    'delivered',
    'probable',
  ],
  [
    'below the commit of one whose activation failed',
    aStanding({}, failedVerdict('activation_failed')),
    {},
    'unknown',
    'before_position',
    'probable',
  ],
  ['rejected', aStanding(), letterOf('80'), 'not_sent', 'dead_lettered', 'certain'],
  ['not decodable when it came', aStanding(), letterOf(null), 'not_sent', 'dead_lettered', 'certain'],
  ['rejected by another one', aStanding(), letterOf('81'), 'sent', 'delivered', 'certain'],
  [
    'written before the replication was created',
    aStanding({ created: WRITTEN + 1 }),
    {},
    'not_sent',
    'before_creation',
    'probable',
  ],
  [
    'lost before a detached one came to it',
    aStanding({}, { isDetached: true, ...own('DETACHED', 90) }),
    { ...GONE, partition: { logStart: 120 } },
    'not_sent',
    'lost',
    'certain',
  ],
  [
    'gone, where some were lost',
    aStanding({}, aReport({ lostOffsets: 5 })),
    { ...GONE, partition: { logStart: 120 } },
    'unknown',
    'lost',
    'probable',
  ],
  ['pasted', aStanding(), PASTED, 'will_be_sent', 'wanted', 'certain'],
  ['pasted, for a PAUSED one', aStanding({ status: 'PAUSED' }), PASTED, 'not_sent', 'paused', 'certain'],
  [
    'pasted, for one in ERROR',
    aStanding({}, failedVerdict('destination_failed')),
    PASTED,
    'not_sent',
    'error',
    'certain',
  ],
];

describe('for one replication', () => {
  test.each(CASES)('a mutation %s', (_, standing, changes, result, reason, certainty) => {
    const { message, ...replication } = explained(standing, changes);

    expect(replication).toMatchObject({ result, reason, certain: certainty === 'certain' });
    expect(message).not.toBe('');
  });

  test('every reason has a case', () => {
    const seen = new Set(CASES.map(([, , , , reason]) => reason));

    expect(EXPLANATION_REASONS.filter((reason) => !seen.has(reason))).toEqual([]);
  });

  test('tells the document type of a filter, the remedy of an ERROR, the lag of a position', () => {
    const filtered = explained(aStanding({ replication_filters: [{ document: 'USER_EMAIL' }] }));
    const stopped = explained(aStanding({}, { ...failedVerdict('destination_failed'), ...own('ERROR', 90) }));

    expect(filtered.message).toContain('USER_POINT');
    expect(stopped).toMatchObject({
      state: 'ERROR',
      position: '90',
      lag_records: 160,
      message: expect.stringContaining('permission_denied'),
      remedy: expect.stringContaining('grant the role'),
    });
  });

  test('says of a PAUSED one whether the mutation will be in the gap', () => {
    const fromNow = explained(aStanding({ status: 'PAUSED' }, own('PAUSED', 90)));
    const fromThere = explained(aStanding({ status: 'PAUSED', resume: 'WHERE_STOPPED' }, own('PAUSED', 90)));

    expect(fromNow.message).toContain('belongs to the gap');
    expect(fromThere.message).toContain('goes on from where it stopped');
  });

  test('notes what limits it', () => {
    const { notes } = explained(aStanding(), {
      letters: { letters: [], incomplete: 'not all dead letters' },
      partition: { arePositionsKnown: false },
    });

    expect(notes).toEqual([
      'not all dead letters',
      expect.stringContaining('no positions that can be read'),
      expect.stringContaining('only the last gap'),
    ]);
  });
});

describe('for nobody', () => {
  const alone = (record: ExaminedRecord, changes: Partial<ExplanationInput> = {}) =>
    explain({
      record,
      place: AT,
      partition: PARTITION,
      replications: [],
      letters: { letters: [], incomplete: null },
      ...changes,
    });

  test('a datamart without replications', () => {
    expect(alone(examined())).toMatchObject({
      record: 'mutation',
      datamart_id: '1649',
      message: expect.stringContaining('no replication is configured for datamart 1649'),
    });
  });

  test('a document type that is never replicated', () => {
    const record = examined({ doc_type: 'UserChoice' });

    expect(alone(record, { replications: [aStanding()] })).toMatchObject({
      record: 'ignored',
      replications: [],
      message: expect.stringContaining('UserChoice'),
    });
  });

  test('a record without value', () => {
    expect(alone({ kind: 'tombstone' })).toMatchObject({ record: 'tombstone', datamart_id: null });
  });

  test.each([
    ['with its dead letter', letterOf(null), 'It is a dead letter since 2025-11-23'],
    ['long passed, without one', {}, 'No dead letter of it was found'],
    ['still to come', { partition: { ...PARTITION, committed: 100 } }, 'It goes to the dead letters'],
  ])('one that can’t be decoded, %s', (_, changes, words) => {
    expect(alone(examined({ op: 'REPLACE' }), changes)).toMatchObject({
      record: 'undecodable',
      reason: 'unknown_op',
      message: expect.stringContaining(words),
    });
  });

  test('one whose schema can’t be had', () => {
    expect(alone({ kind: 'schema_unavailable', detail: 'no registry' })).toMatchObject({
      record: 'schema_unavailable',
      remedy: expect.stringContaining('KAFKA_SCHEMA_REGISTRY_URL'),
    });
  });
});

test('no payload and no id of a user is told', () => {
  const text = JSON.stringify(
    explain({
      record: examined(),
      place: AT,
      partition: PARTITION,
      replications: [aStanding()],
      letters: { letters: [], incomplete: null },
    }),
  );

  expect(text).not.toContain(USER);
  expect(text).not.toContain('eve@example.com');
});
