import { describe, expect, test } from '@jest/globals';
import type { ReplicationConfig } from '../../../../processors/replication-config.ts';
import { DOCUMENT_TYPES } from '../../../../schemas/document-type.ts';
import { AvroOperationEncoder } from '../../../../schemas/operation-encoder-avro.ts';
import { JsonOperationEncoder } from '../../../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../../../schemas/record-decoder.ts';
import { TopicArrivals } from '../../../../streams/initial-sync/topic-arrivals.ts';
import {
  findDocuments,
  verifyReplication,
  type Verification,
  type VerificationOptions,
} from '../../../../streams/initial-sync/verification.ts';
import { logRanges } from '../../../../streams/partition-scan.ts';
import { BUILT_IN_ADAPTERS } from '../../../support/config-rules.ts';
import { InMemoryKafka } from '../../../support/in-memory-kafka.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { aReplicationConfig } from '../../../support/replication-config.ts';
import { appendSnapshotRow, NO_SCHEMAS, operationOf } from '../../../support/snapshot-rows.ts';
import { aMutation, TS, USER_POINT_ID, type MutationFields } from '../../schemas/mutation-builder.ts';

const ENCODERS = { 1: new JsonOperationEncoder(), 2: new AvroOperationEncoder() };
const SIGNAL = new AbortController().signal;

function configOf(version: 1 | 2, fields: object = {}): ReplicationConfig {
  const adapter = BUILT_IN_ADAPTERS.find(({ type }) => type === 'KAFKA_TOPIC');
  if (!adapter) throw new Error('no such adapter');
  return aReplicationConfig(adapter, { topic: 'acme', version, ...fields });
}

/** A snapshot and a topic that a replication writes, both of two partitions. */
class Bench {
  readonly #kafka: InMemoryKafka;
  readonly #clock = new ManualClock();
  readonly #config: ReplicationConfig;

  constructor(config: ReplicationConfig) {
    this.#kafka = new InMemoryKafka(this.#clock);
    this.#config = config;
  }

  /** The mutation is in the snapshot; with a header, nothing but its key. */
  source(fields: MutationFields, partition = 0, headers: Readonly<Record<string, string>> = {}): void {
    appendSnapshotRow(this.#kafka, { topic: 'snapshot', partition }, aMutation(fields), headers);
  }

  /** The mutation has arrived. */
  arrive(fields: MutationFields, messageId: string | null = null, partition = 0): void {
    const value = operationOf(aMutation(fields), this.#config.version);
    this.arriveBytes(value, messageId, partition);
  }

  arriveBytes(value: Buffer | null, messageId: string | null = null, partition = 0): void {
    const headers = messageId === null ? {} : { message_id: Buffer.from(messageId) };
    this.#kafka.append({ topic: 'acme', partition }, { value, headers });
  }

  async options(fields: Partial<VerificationOptions> = {}): Promise<VerificationOptions> {
    const reader = this.#kafka.instance().port.partitionReader();
    const ports = { reader, clock: this.#clock, random: () => 0.5 };
    return {
      ...ports,
      config: this.#config,
      encoder: ENCODERS[this.#config.version],
      decoder: new RecordDecoder({ get: () => 'unknown' }),
      schemas: NO_SCHEMAS,
      snapshot: await logRanges('snapshot', 2, ports, SIGNAL),
      arrivals: new TopicArrivals(await logRanges('acme', 2, ports, SIGNAL), ports),
      isByMessageId: false,
      passes: 1,
      maxExamples: 10,
      onProgress: () => undefined,
      ...fields,
    };
  }

  async verify(fields: Partial<VerificationOptions> = {}): Promise<Verification> {
    const found = await verifyReplication(await this.options(fields), SIGNAL);
    if (!found) throw new Error('it was stopped');
    return found;
  }
}

const segment = (id: number, fields: MutationFields = {}): MutationFields => ({
  doc_type: 'UserSegment',
  segment_id: String(id),
  value: { rank: id },
  ...fields,
});

const EVERY_TYPE: readonly MutationFields[] = DOCUMENT_TYPES.map((docType) => ({
  doc_type: docType,
  user_activity_id: 'a',
  segment_id: '12',
  compartment_id: '1000',
  user_account_id: 'ins:1001:x',
  email_hash: 'hash',
  vector_id: 'vec:1',
  user_device_point_id: 'device',
  user_device_technical_id: 'mob:1',
  kept_user_point_id: '95772db3-e762-45da-8cf1-4893debffae7',
  value: { of: docType },
}));

const differencesOf = ({ examples }: Verification): readonly string[] =>
  examples.map(({ difference, docType }) => `${difference} ${DOCUMENT_TYPES[docType]}`);

describe.each([1, 2] as const)('version %d', (version) => {
  test('is equal when everything has arrived, whatever came before', async () => {
    const bench = new Bench(configOf(version, version === 2 ? { user_point_parent: true } : {}));
    for (const [i, fields] of EVERY_TYPE.entries()) {
      bench.source(fields, i % 2);
      bench.arrive({ ...fields, ts: TS - 1 }, null, i % 2);
      bench.arrive(fields, null, i % 2);
    }
    bench.source(segment(1));
    bench.source(segment(1, { op: 'DELETE' }));
    bench.arrive(segment(1));
    bench.arrive(segment(1, { op: 'DELETE' }));
    const found = await bench.verify();

    expect(differencesOf(found)).toEqual([]);
    expect(found.arrived).toBe(EVERY_TYPE.length * 2 + 2);
    expect(found.byType.reduce((sum, { source }) => sum + source, 0)).toBe(EVERY_TYPE.length);
  });

  test.each([
    ['nothing arrived', [segment(1)], [], ['missing UserSegment']],
    [
      'a deletion arrived last',
      [segment(1)],
      [segment(1), segment(1, { op: 'DELETE' })],
      ['missing UserSegment'],
    ],
    ['an older value', [segment(1)], [segment(1, { value: { rank: 0 } })], ['stale UserSegment']],
    ['an older ts', [segment(1)], [segment(1, { ts: TS - 1 })], ['stale UserSegment']],
    [
      'what is deleted',
      [segment(1), segment(1, { op: 'DELETE' })],
      [segment(1)],
      ['resurrected UserSegment'],
    ],
    ['what nobody knows', [], [segment(1)], ['extra UserSegment']],
    ['a deletion of what nobody knows', [], [segment(1, { op: 'DELETE' })], []],
  ])('finds it: %s', async (_, source, arrived, differences) => {
    const bench = new Bench(configOf(version));
    for (const fields of source) bench.source(fields);
    for (const fields of arrived) bench.arrive(fields);

    expect(differencesOf(await bench.verify())).toEqual(differences);
  });
});

test('of other datamarts nothing is expected, nor of types that the filter leaves out', async () => {
  const bench = new Bench(configOf(1, { replication_filters: [{ document: 'USER_SEGMENT', filter: null }] }));
  bench.source(segment(1));
  bench.source(segment(2, { datamart_id: 1650 }));
  bench.source({});
  bench.arrive(segment(1));
  expect(differencesOf(await bench.verify())).toEqual([]);

  bench.arrive({});
  expect(differencesOf(await bench.verify())).toEqual(['extra UserPoint']);
});

test('a merge isn’t expected where the schema can’t hold it', async () => {
  const merge = {
    doc_type: 'UserPointParent',
    kept_user_point_id: '95772db3-e762-45da-8cf1-4893debffae7',
  };
  const bench = new Bench(configOf(2));
  bench.source(merge);

  expect(differencesOf(await bench.verify())).toEqual([]);
});

test('by message id the order of arrival doesn’t matter', async () => {
  const bench = new Bench(configOf(2, { metadata: ['message_id'] }));
  bench.source(segment(1));
  bench.arrive(segment(1), '00008-0-00000000000000000007');
  bench.arrive(segment(1, { value: { rank: 0 } }), '00008-0-00000000000000000005', 1);

  expect(differencesOf(await bench.verify())).toEqual(['stale UserSegment']);
  expect(differencesOf(await bench.verify({ isByMessageId: true }))).toEqual([]);

  bench.arrive(segment(2));
  await expect(bench.verify({ isByMessageId: true })).rejects.toThrow('message_id');
});

test('what is no operation is counted, and the first one named', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1));
  bench.arrive(segment(1));
  bench.arriveBytes(Buffer.from('{"ts":1}'), null, 1);
  bench.arriveBytes(null, null, 1);
  const found = await bench.verify();

  expect(differencesOf(found)).toEqual([]);
  expect(found).toMatchObject({
    foreign: 2,
    firstForeign: { where: 'acme/1 offset 0', detail: expect.stringContaining('doc_type') },
  });
});

test('documents that were moved to another partition are compared where they are now', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1), 0, { source: '00002-0-00000000000000000009' });
  bench.source(segment(2, { value: { rank: 0 } }), 1, { source: '00001-1-00000000000000000003' });
  bench.source(segment(2, { op: 'DELETE' }), 1, { source: '00001-1-00000000000000000003', moved: '0' });
  bench.source(segment(2), 0, { source: '00002-0-00000000000000000010' });
  for (const id of [1, 2]) bench.arrive(segment(id));

  expect(differencesOf(await bench.verify())).toEqual([]);
  expect(differencesOf(await bench.verify({ passes: 3 }))).toEqual([]);
});

test('a document that the snapshot was too small for is no difference', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1));
  bench.source(segment(1, { op: 'DELETE' }), 0, { omitted: 'too_large' });
  bench.arrive(segment(1, { value: { rank: 'large' } }));
  const found = await bench.verify();

  expect(differencesOf(found)).toEqual([]);
  expect(found.omittedRows).toBe(1);
});

test('line breaks in a value are white space', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1));
  bench.arriveBytes(
    Buffer.from(
      `{"ts":${TS},"doc_type":"UserSegment","doc_id":"${USER_POINT_ID}:1","op":"UPDATE","value":{"rank":1}}`,
    ),
  );

  expect(differencesOf(await bench.verify())).toEqual([]);
});

test('in several passes it finds the same', async () => {
  const bench = new Bench(configOf(1));
  for (let i = 0; i < 300; i++) bench.source(segment(i), i % 2);
  for (let i = 100; i < 400; i++) bench.arrive(segment(i, i < 150 ? { ts: TS - 1 } : {}), null, i % 2);
  const once = await bench.verify();
  const often = await bench.verify({ passes: 7 });

  expect(often.byType).toEqual(once.byType);
  expect(often.arrived).toBe(300);
  expect(often.examples).toHaveLength(30);
  expect(once.byType[DOCUMENT_TYPES.indexOf('UserSegment')]).toEqual({
    source: 300,
    copy: 300,
    missing: 100,
    stale: 50,
    resurrected: 0,
    extra: 100,
  });
});

test('the documents behind examples are found on either side', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1));
  bench.source(segment(2));
  bench.source(segment(2, { op: 'DELETE' }));
  bench.arrive(segment(2));
  bench.arrive(segment(3));
  const options = await bench.options();
  const found = await verifyReplication(options, SIGNAL);
  const hashes = found?.examples.map(({ keyHash }) => keyHash) ?? [];
  const documents = await findDocuments(options, new Set(hashes), SIGNAL);

  expect(hashes.map((hash) => documents.get(hash))).toEqual([
    `${USER_POINT_ID}:1`,
    `${USER_POINT_ID}:2`,
    `${USER_POINT_ID}:3`,
  ]);
});

test('is nothing when it is stopped', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1));

  expect(await verifyReplication(await bench.options(), AbortSignal.abort())).toBeNull();
});

test('tells how far it is', async () => {
  const bench = new Bench(configOf(1));
  bench.source(segment(1), 0);
  bench.source(segment(2), 1);
  bench.arrive(segment(1));
  const told: string[] = [];
  await bench.verify({
    onProgress: ({ reading, read, total, pass }) => told.push(`${pass} ${reading} ${read}/${total}`),
  });

  expect(told).toEqual(['0 acme 1/1', '0 snapshot 1/2', '0 snapshot 2/2']);
});
