import { expect, test } from '@jest/globals';
import type { SyncPlan } from '../../../../processors/initial-sync/sync-plan.ts';
import type { PartitionReport } from '../../../../processors/status-record.ts';
import { AvroOperationEncoder } from '../../../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../../../schemas/record-decoder.ts';
import { SinkRegistry } from '../../../../sinks/registry.ts';
import { SyncPlanner, type SyncPlannerOptions } from '../../../../streams/initial-sync/sync-planner.ts';
import { BUILT_IN_ADAPTERS } from '../../../support/config-rules.ts';
import { InMemoryKafka } from '../../../support/in-memory-kafka.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { aReplicationConfig } from '../../../support/replication-config.ts';
import { appendSnapshotRow, NO_SCHEMAS } from '../../../support/snapshot-rows.ts';
import { aMutation, USER_POINT_ID } from '../../schemas/mutation-builder.ts';

const DAY_MS = 86_400_000;
const SNAPSHOT = {
  name: 'snapshot',
  partitions: 2,
  replicationFactor: 1,
  settings: { 'delete.retention.ms': String(7 * DAY_MS) },
};

const adapterOf = (type: string) => {
  const adapter = BUILT_IN_ADAPTERS.find((each) => each.type === type);
  if (!adapter) throw new Error(`no adapter of ${type}`);
  return adapter;
};
const FILE = aReplicationConfig(adapterOf('FILE'), { path: '80.jsonl' });
const PUBSUB = aReplicationConfig(adapterOf('GOOGLE_PUBSUB'), {
  version: 2,
  project_id: 'acme',
  topic_id: 'users',
  credentials_uri: 'file:google.json',
});

class Bench {
  readonly clock = new ManualClock();
  readonly kafka = new InMemoryKafka(this.clock);

  row(partition: number, fields: Readonly<Record<string, unknown>>): void {
    appendSnapshotRow(this.kafka, { topic: 'snapshot', partition }, aMutation(fields));
  }

  async plan(
    replication: typeof FILE,
    options: Partial<SyncPlannerOptions> = {},
    signal = new AbortController().signal,
  ): Promise<SyncPlan | null> {
    const planner = new SyncPlanner({
      reader: this.kafka.instance().port.partitionReader(),
      decoder: new RecordDecoder({ get: () => 'unknown' }),
      schemas: NO_SCHEMAS,
      encoders: { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() },
      sinks: new SinkRegistry(BUILT_IN_ADAPTERS),
      reportsOf: () => [],
      snapshotOf: () => 'snapshot',
      clock: this.clock,
      random: () => 0.5,
      ...options,
    });
    return planner.plan([replication], [SNAPSHOT], () => undefined, signal);
  }
}

const segment = (id: number, fields: Readonly<Record<string, unknown>> = {}) => ({
  doc_type: 'UserSegment',
  segment_id: String(id),
  value: { rank: id },
  ...fields,
});

test('counts the documents of the datamart in all partitions, in the bytes that are sent', async () => {
  const bench = new Bench();
  bench.row(0, {});
  bench.row(0, segment(1));
  bench.row(0, segment(1, { op: 'DELETE' }));
  bench.row(1, segment(2, { value: { rank: 1 } }));
  bench.row(1, segment(2, { value: { rank: 22 } }));
  bench.row(1, { datamart_id: 1650 });
  bench.kafka.append(
    { topic: 'snapshot', partition: 1 },
    { key: Buffer.from('odd'), value: Buffer.from('x') },
  );
  const plan = await bench.plan(FILE);
  const found = plan?.replications.get('80');

  expect(Object.fromEntries(found?.estimate.documents ?? [])).toEqual({ UserPoint: 1, UserSegment: 1 });
  const lines = [
    `{"ts":1676627112685,"doc_type":"UserPoint","doc_id":"${USER_POINT_ID}","op":"UPDATE","value":{}}`,
    `{"ts":1676627112685,"doc_type":"UserSegment","doc_id":"${USER_POINT_ID}:2","op":"UPDATE","value":{"rank":22}}`,
  ];
  expect(found?.estimate.bytes).toBe(lines.join('').length);
  expect(found).toMatchObject({ estimate: { messages: 2, requests: 2 }, gap: null, billingSource: null });
  expect(plan).toMatchObject({ supersededRows: 1, unreadableRows: 0 });
});

test('says what Pub/Sub bills, and by whose rules', async () => {
  const bench = new Bench();
  bench.row(0, {});
  const found = (await bench.plan(PUBSUB))?.replications.get('80');

  expect(found).toMatchObject({
    estimate: { bytes: 93, requests: 1, billedBytes: 1_000 },
    billingSource: 'https://cloud.google.com/pubsub/pricing',
  });
});

test('a row whose value is no mutation is counted and left out', async () => {
  const bench = new Bench();
  bench.kafka.append(
    { topic: 'snapshot', partition: 0 },
    { key: Buffer.from(`1649/UserPoint/${USER_POINT_ID}`), value: Buffer.from('{"datamart_id":1649}') },
  );

  expect(await bench.plan(FILE)).toMatchObject({ unreadableRows: 1 });
});

function report(gap: PartitionReport['gap'], lostOffsets = 0): PartitionReport {
  return {
    replicationId: '80',
    topic: 'mutations',
    partition: 0,
    state: 'ACTIVE',
    offset: 10,
    gap,
    lostOffsets,
  };
}

/** A gap of the mutations `[1, 3)`, the oldest of them so many days old. */
async function gapOf(
  days: number,
  options: Partial<SyncPlannerOptions> = {},
  lostBefore = 0,
): Promise<ReturnType<NonNullable<SyncPlan['replications']>['get']>> {
  const bench = new Bench();
  if (lostBefore > 0) bench.kafka.deleteBefore({ topic: 'mutations', partition: 0 }, lostBefore);
  for (let offset = 0; offset < 4; offset++) {
    const timestamp = bench.clock.now() - (offset === 0 ? 30 : days) * DAY_MS;
    bench.kafka.append({ topic: 'mutations', partition: 0 }, { timestamp });
  }
  bench.row(0, segment(1));
  bench.row(0, segment(2, { op: 'DELETE' }));
  const plan = await bench.plan(FILE, { reportsOf: () => [report({ from: 1, to: 3 })], ...options });
  return plan?.replications.get('80');
}

test('after a gap deletions are sent too', async () => {
  const found = await gapOf(2);

  expect(Object.fromEntries(found?.estimate.deletions ?? [])).toEqual({ UserSegment: 1 });
  expect(found).toMatchObject({
    estimate: { messages: 2 },
    gap: { offsets: 2, since: new ManualClock().now() - 2 * DAY_MS, isOlderThanTombstones: false },
  });
});

test('a gap that is older than the tombstones is told', async () => {
  expect(await gapOf(8)).toMatchObject({ gap: { isOlderThanTombstones: true } });
});

test('of a gap whose beginning retention has taken nobody knows, unless the rest is old enough', async () => {
  expect(await gapOf(2, {}, 2)).toMatchObject({ gap: { isOlderThanTombstones: null } });
  expect(await gapOf(8, {}, 2)).toMatchObject({ gap: { isOlderThanTombstones: true } });
  expect(await gapOf(2, {}, 3)).toMatchObject({ gap: { since: null, isOlderThanTombstones: null } });
});

test('deletions are sent where something is missing', async () => {
  const elsewhere = { ...report({ from: 1, to: 3 }), partition: 1 };

  expect(await gapOf(2, { reportsOf: () => [elsewhere] })).toMatchObject({ estimate: { messages: 1 } });
  expect(await gapOf(2, { snapshotOf: () => undefined })).toMatchObject({ estimate: { messages: 1 } });
});

test('the age of what retention has taken is not known', async () => {
  expect(await gapOf(2, { reportsOf: () => [report(null, 5)] })).toMatchObject({
    estimate: { messages: 2 },
    gap: { offsets: 5, since: null, isOlderThanTombstones: null },
  });
});

test('a plan that is stopped is none', async () => {
  const bench = new Bench();
  bench.row(0, {});

  expect(await bench.plan(FILE, {}, AbortSignal.abort())).toBeNull();
});
