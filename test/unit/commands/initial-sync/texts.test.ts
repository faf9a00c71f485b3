import { expect, test } from '@jest/globals';
import type { ReplicationPlanResource, SyncPlanResource } from '../../../../api/sync-plan-resource.ts';
import { syncPlanResource } from '../../../../api/sync-plan-resource.ts';
import { planText } from '../../../../commands/initial-sync/plan-text.ts';
import {
  verificationText,
  type VerificationResource,
} from '../../../../commands/initial-sync/verify-text.ts';
import type { ReplicationEstimate } from '../../../../processors/initial-sync/sync-estimate.ts';

const ESTIMATE: ReplicationEstimate = {
  documents: new Map([['UserSegment', 7]]),
  deletions: new Map([['UserSegment', 2]]),
  messages: 9,
  bytes: 900,
  requests: 1,
  billedBytes: 1_000,
  billedEvents: null,
  throughputUnitSeconds: null,
  notInSchema: 3,
};

test('a plan as it is answered', () => {
  const plan = {
    replications: new Map([
      [
        '80',
        {
          estimate: ESTIMATE,
          billingSource: 'https://cloud.google.com/pubsub/pricing',
          gap: { offsets: 40, since: 1_763_900_000_000, isOlderThanTombstones: true },
        },
      ],
    ]),
    supersededRows: 4,
    unreadableRows: 0,
  };

  expect(syncPlanResource(plan, 2)).toEqual({
    replications: {
      '80': {
        documents: { UserSegment: 7 },
        messages: 9,
        bytes: 900,
        requests: 1,
        billed_bytes: 1_000,
        throughput_unit_seconds: null,
        seconds: 5,
        billed_events: null,
        billing_source: 'https://cloud.google.com/pubsub/pricing',
        deletions: { UserSegment: 2 },
        not_in_schema: 3,
        gap: { offsets: '40', since: 1_763_900_000_000, older_than_tombstones: true },
      },
    },
    rate: 2,
    superseded_rows: 4,
    unreadable_rows: 0,
  });
  expect(syncPlanResource(plan, null)).toMatchObject({
    replications: { '80': { seconds: null } },
    rate: null,
  });
});

const PART: ReplicationPlanResource = {
  documents: { UserPoint: 5, UserSegment: 70 },
  messages: 75,
  bytes: 7_500,
  requests: 2,
  billed_bytes: 9_000,
  throughput_unit_seconds: null,
  seconds: null,
  billed_events: null,
  billing_source: 'https://cloud.google.com/pubsub/pricing',
  deletions: {},
  not_in_schema: 0,
  gap: null,
};
const PLAN: SyncPlanResource = { replications: {}, rate: null, superseded_rows: 0, unreadable_rows: 0 };

test('a plan for people', () => {
  const text = planText({
    ...PLAN,
    rate: 100,
    superseded_rows: 4,
    replications: {
      '80': { ...PART, seconds: 1 },
      '81': {
        ...PART,
        documents: { UserSegment: 70 },
        deletions: { UserSegment: 3 },
        billed_bytes: 73 * 65_536,
        billed_events: 73,
        throughput_unit_seconds: 1,
        billing_source: 'https://azure.microsoft.com/en-us/pricing/details/event-hubs/',
        seconds: 5_000,
        gap: { offsets: '40', since: null, older_than_tombstones: null },
        not_in_schema: 2,
      },
    },
  });

  expect(text).toBe(`documents             80  81
UserPoint              5   0
UserSegment           70  70
UserSegment, deleted   0   3

replication  messages  bytes  requests  billed                               time
80                 75   7500         2  9000 bytes                           1 s
81                 75   7500         2  73 events; 1 s of a throughput unit  1 h 23 min

- time at 100 operations a second for each replication
- requests and what is billed for them are the least: a slow synchronization sends smaller requests
- what is billed follows https://cloud.google.com/pubsub/pricing and https://azure.microsoft.com/en-us/pricing/details/event-hubs/
- 81: 2 UserPointParent can't be sent in its schema; "user_point_parent": true allows it
- 81: up to 40 mutations were not sent since its last synchronization, so it also gets the deletions that the snapshot still holds; whether those are all of them is not known
- 4 older rows of the same documents wait for compaction; they may be sent too
`);
});

test('a plan without a rate, of an empty snapshot', () => {
  const text = planText({ ...PLAN, replications: { '80': { ...PART, documents: {}, billed_bytes: null } } });

  expect(text).toContain('the snapshot has no document that a filter selects');
  expect(text).toContain('no rate is set');
});

test.each([
  [false, ''],
  [null, 'is not known'],
  [true, 'may not be repaired'],
])('a gap that is older than the tombstones (%s): %j', (isOlder, words) => {
  const gap = { offsets: '4', since: 1_763_900_000_000, older_than_tombstones: isOlder };
  const text = planText({ ...PLAN, replications: { '80': { ...PART, gap } } });

  expect(text).toContain('(from 2025-11-23T12:13:20.000Z on)');
  expect(text).toContain(`the snapshot still holds${isOlder === false ? '\n' : '; '}`);
  expect(text).toContain(words);
});

const EQUAL: VerificationResource = {
  replication_id: '91',
  datamart_id: '1649',
  folded_by: 'arrival',
  is_equal: true,
  missing: 0,
  stale: 0,
  resurrected: 0,
  extra: 0,
  documents: { UserPoint: { source: 5, destination: 5, missing: 0, stale: 0, resurrected: 0, extra: 0 } },
  examples: [],
  arrived: 9,
  foreign: 0,
  first_foreign: null,
  unreadable_rows: 0,
  omitted_rows: 0,
  until: 'snapshot/0:9',
  moved: false,
};

test('a destination that is equal', () => {
  expect(verificationText(EQUAL)).toBe(`documents  snapshot  destination  missing  stale  resurrected  extra
UserPoint         5            5        0      0            0      0

replication 91, folded by arrival: the destination has what the snapshot says
- to read the same again: --until snapshot/0:9
`);
});

test('a destination that differs', () => {
  const text = verificationText({
    ...EQUAL,
    folded_by: 'message_id',
    is_equal: false,
    missing: 2,
    extra: 1,
    examples: [
      { difference: 'missing', doc_type: 'UserPoint', document: '00112233aabbccdd' },
      {
        difference: 'extra',
        doc_type: 'UserSegment',
        document: 'ffeeddcc00112233',
        doc_id: 'u:\u001b[31m12',
      },
    ],
    foreign: 3,
    first_foreign: 'acme/0 offset 7: op is neither UPDATE nor DELETE',
    unreadable_rows: 1,
    omitted_rows: 2,
    moved: true,
  });

  expect(text).toContain('missing      UserPoint    00112233aabbccdd\nextra        UserSegment  u: [31m12\n');
  expect(text).toContain('replication 91, folded by message id: 2 missing, 1 extra\n');
  expect(text).toContain('- the snapshot has grown meanwhile');
  expect(text).toContain('the first: acme/0 offset 7: op is neither UPDATE nor DELETE');
  expect(text).toContain('- 1 rows of the snapshot');
  expect(text).toContain('- 2 mutations were larger than the snapshot takes');
});

test('nothing on either side', () => {
  expect(verificationText({ ...EQUAL, documents: {}, until: '' })).toBe(
    'neither the snapshot nor the destination has a document of it\n\n' +
      'replication 91, folded by arrival: the destination has what the snapshot says\n',
  );
});
