import { expect, test } from '@jest/globals';
import { SyncEstimate, type ReplicationEstimate } from '../../../../processors/initial-sync/sync-estimate.ts';
import { DOCUMENT_TYPES, type DocumentType } from '../../../../schemas/document-type.ts';
import { Hash64 } from '../../../../schemas/hash64.ts';
import { fileAdapter } from '../../../../sinks/file/file-adapter.ts';
import { googlePubSubAdapter } from '../../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import { aReplicationConfig } from '../../../support/replication-config.ts';

const FILE = fileAdapter({ directory: '/var/lib/files' });
const PUBSUB = googlePubSubAdapter({ allowEmulators: false, emulatorHost: null });
const PUBSUB_FIELDS = { project_id: 'acme', topic_id: 'users', credentials_uri: 'file:google.json' };

interface Row {
  readonly type: DocumentType;
  readonly key: string;
  readonly isTombstone?: boolean;
  readonly json?: number;
  readonly avro?: number;
}

function take(estimate: SyncEstimate, rows: readonly Row[]): void {
  for (const { type, key, isTombstone = false, json = 100, avro = 60 } of rows)
    estimate.take({
      key: new Hash64().of(Buffer.from(key)),
      docType: DOCUMENT_TYPES.indexOf(type),
      laneHash: 0,
      isTombstone,
      jsonBytes: json,
      avroBytes: avro,
    });
  estimate.endPartition(AT);
}

const AT = { topic: 'snapshot', partition: 0 };

const fileReplication = (fields: object, sendsDeletions: boolean) => ({
  config: aReplicationConfig(FILE, { path: '80.jsonl', ...fields }),
  costs: FILE.costs?.(aReplicationConfig(FILE, { path: '80.jsonl' })) ?? null,
  needsDeletions: () => sendsDeletions,
});

/** What the one replication of an estimate comes to. */
function estimated(rows: readonly Row[], fields: object = {}, sendsDeletions = false): ReplicationEstimate {
  const estimate = new SyncEstimate([fileReplication(fields, sendsDeletions)]);
  take(estimate, rows);
  const found = estimate.estimates.get('80');
  if (!found) throw new Error('80 was not estimated');
  return found;
}

const counts = (map: ReadonlyMap<DocumentType, number>): object => Object.fromEntries(map);

test('counts documents by type, and the bytes of the replication’s version', () => {
  const { documents, messages, bytes } = estimated([
    { type: 'UserPoint', key: 'a' },
    { type: 'UserSegment', key: 'b', json: 70 },
    { type: 'UserSegment', key: 'c', json: 80 },
  ]);

  expect(counts(documents)).toEqual({ UserPoint: 1, UserSegment: 2 });
  expect(messages).toBe(3);
  expect(bytes).toBe(250);
});

test('of a document only the last row counts', () => {
  const estimate = new SyncEstimate([fileReplication({}, false)]);
  take(estimate, [
    { type: 'UserSegment', key: 'b', json: 70 },
    { type: 'UserSegment', key: 'c', json: 70 },
    { type: 'UserSegment', key: 'b', json: 90 },
  ]);
  const found = estimate.estimates.get('80');

  expect(found).toMatchObject({ messages: 2, bytes: 160 });
  expect(estimate.supersededRows).toBe(1);
});

test.each([
  ['a tombstone takes the row back', ['live', 'dead'], 0],
  ['a row after it brings it back', ['live', 'dead', 'live'], 1],
  ['a tombstone alone is nothing', ['dead'], 0],
])('%s', (_, states, messages) => {
  const rows = states.map((state): Row => ({ type: 'UserSegment', key: 'b', isTombstone: state === 'dead' }));

  expect(estimated(rows)).toMatchObject({ messages, bytes: messages * 100 });
  expect(counts(estimated(rows).deletions)).toEqual({});
});

test('after a gap tombstones are deletions that are sent too', () => {
  const { documents, deletions, messages, bytes } = estimated(
    [
      { type: 'UserSegment', key: 'a' },
      { type: 'UserSegment', key: 'b', isTombstone: true, json: 60 },
      { type: 'UserAgent', key: 'c', isTombstone: true, json: 60 },
    ],
    { replication_filters: [{ document: 'USER_SEGMENT', filter: null }] },
    true,
  );

  expect(counts(documents)).toEqual({ UserSegment: 1 });
  expect(counts(deletions)).toEqual({ UserSegment: 1 });
  expect(messages).toBe(2);
  expect(bytes).toBe(160);
});

test('a document that has gone elsewhere is neither there nor deleted', () => {
  const estimate = new SyncEstimate([fileReplication({}, true)]);
  estimate.take({
    key: new Hash64().of(Buffer.from('b')),
    docType: DOCUMENT_TYPES.indexOf('UserSegment'),
    laneHash: 0,
    isTombstone: false,
    jsonBytes: 100,
    avroBytes: 60,
  });
  estimate.forget(new Hash64().of(Buffer.from('b')));
  estimate.forget(new Hash64().of(Buffer.from('never there')));
  estimate.endPartition(AT);

  expect(estimate.estimates.get('80')).toMatchObject({ messages: 0, bytes: 0 });
});

test('only the deletions of the partitions that something is missing from', () => {
  const estimate = new SyncEstimate([
    { ...fileReplication({}, false), needsDeletions: ({ partition }) => partition === 1 },
  ]);
  for (const partition of [0, 1, 2]) {
    estimate.take({
      key: new Hash64().of(Buffer.from('b')),
      docType: DOCUMENT_TYPES.indexOf('UserSegment'),
      laneHash: 0,
      isTombstone: true,
      jsonBytes: 60,
      avroBytes: 60,
    });
    estimate.endPartition({ topic: 'snapshot', partition });
  }

  expect(estimate.estimates.get('80')).toMatchObject({ messages: 1, bytes: 60 });
});

test('a filter selects, and UserPointParent follows USER_POINT', () => {
  const rows: readonly Row[] = [
    { type: 'UserPoint', key: 'a' },
    { type: 'UserPointParent', key: 'b' },
    { type: 'UserSegment', key: 'c' },
  ];

  expect(
    counts(estimated(rows, { replication_filters: [{ document: 'USER_POINT', filter: null }] }).documents),
  ).toEqual({ UserPoint: 1, UserPointParent: 1 });
  expect(
    counts(estimated(rows, { replication_filters: [{ document: 'USER_SEGMENT', filter: null }] }).documents),
  ).toEqual({ UserSegment: 1 });
});

test('what the schema of version 2 can’t hold is counted apart', () => {
  const estimateOf = (fields: object): ReplicationEstimate | undefined => {
    const config = aReplicationConfig(PUBSUB, { ...PUBSUB_FIELDS, version: 2, ...fields });
    const estimate = new SyncEstimate([{ config, costs: null, needsDeletions: () => false }]);
    take(estimate, [
      { type: 'UserPoint', key: 'a', avro: 60 },
      { type: 'UserPointParent', key: 'b', avro: 90 },
    ]);
    return estimate.estimates.get('80');
  };

  expect(estimateOf({})).toMatchObject({ messages: 1, bytes: 60, notInSchema: 1 });
  expect(estimateOf({ user_point_parent: true })).toMatchObject({ messages: 2, bytes: 150, notInSchema: 0 });
});

test('partitions add up, and a key of one is another document in the next', () => {
  const estimate = new SyncEstimate([fileReplication({}, false)]);
  take(estimate, [{ type: 'UserSegment', key: 'b' }]);
  take(estimate, [{ type: 'UserSegment', key: 'b' }]);

  expect(estimate.estimates.get('80')).toMatchObject({ messages: 2, requests: 2 });
  expect(estimate.supersededRows).toBe(0);
});

test('keeps tens of thousands of documents apart', () => {
  const rows = Array.from({ length: 50_000 }, (_, i): Row => ({ type: 'UserSegment', key: `k${i}` }));

  expect(estimated([...rows, ...rows])).toMatchObject({ messages: 50_000, bytes: 5_000_000, requests: 50 });
});

test('tells what has to be read for it', () => {
  const estimate = new SyncEstimate([
    fileReplication({ replication_filters: [{ document: 'USER_SEGMENT', filter: null }] }, true),
    {
      config: aReplicationConfig(PUBSUB, {
        ...PUBSUB_FIELDS,
        version: 2,
        replication_filters: [{ document: 'USER_EMAIL', filter: null }],
      }),
      costs: null,
      needsDeletions: () => false,
    },
  ]);
  const maskOf = (...types: readonly DocumentType[]): number =>
    types.reduce((mask, type) => mask | (1 << DOCUMENT_TYPES.indexOf(type)), 0);

  expect(estimate.wanted).toBe(maskOf('UserSegment', 'UserEmail'));
  expect(estimate.versions).toEqual(new Set([1, 2]));
});
