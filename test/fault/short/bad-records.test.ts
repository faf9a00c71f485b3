import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Message } from 'kafkajs';
import { startFakeEventHubs, type FakeEventHubs } from '../../../local/fake-event-hubs.ts';
import { startFakePubSub, type FakePubSub } from '../../../local/fake-pubsub.ts';
import { avroMutationWriter } from '../../../local/mutation-writer.ts';
import { SeededRandom } from '../../../local/random.ts';
import type { SampleMutation } from '../../../local/sample-mutations.ts';
import { mutationSchemaText } from '../../../schemas/mutation-schema.ts';
import { DEAD_LETTER_REASONS } from '../../../schemas/mutation.ts';
import { HttpSchemaRegistry } from '../../../schemas/schema-registry.ts';
import { brokersUnderTest, kafkaClient, produce, readAll, type StoredRecord } from '../../support/kafka.ts';
import {
  Deployment,
  type PartitionProgress,
  type ProcessorProcess,
} from '../../support/processor-process.ts';
import { sharedRegistry } from '../../support/registry.ts';

/*
 * Good, bad, good through the real consumer on the real Kafka: whatever lies on the mutation topic, the good record
 * behind it arrives, and what can't be replicated is kept with the reason.
 */

jest.setTimeout(150_000);

const DATAMART = '1649';
const HUB_DATAMART = '2';
const PUBSUB_DATAMART = '3';
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const OTHER_USER = '0e4ed0e6-5c5e-4f4e-9f5b-6d9b2f4a7c11';
const TS = 1_676_627_112_685;
const FILE = 'operations.jsonl';
const HUB = 'users';
const TOPIC = 'projects/acme/topics/users';
const MAX_MESSAGE_BYTES = 12_000_000;
const ORIGINAL_HEADERS = { origin: 'upstream', binary: Buffer.from([0, 255]) };
const MAIN = 0;

/** Which schemas the registry has. */
interface SchemaIds {
  readonly mutation: number;
  /** A record with another meaning altogether. */
  readonly foreign: number;
}

/** What becomes of a record between two good ones. */
type Fate =
  | {
      readonly becomes: 'dead letter';
      readonly reason: string;
      readonly headers?: Readonly<Record<string, unknown>>;
    }
  /** The `value` and the parts of the operation that arrives. */
  | { readonly becomes: 'operation'; readonly text: string }
  | { readonly becomes: 'nothing' };

interface Case {
  readonly title: string;
  readonly record: Buffer | string | null | ((ids: SchemaIds) => Buffer);
  readonly fate: Fate;
}

/** A JSON mutation with `changes` over its fields; undefined leaves a field out. */
function aMutation(changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    datamart_id: 1649,
    user_point_id: USER,
    ts: TS,
    op: 'UPDATE',
    doc_type: 'UserActivity',
    user_activity_id: 'a1',
    value: { $x: 1 },
    ...changes,
  });
}

/** As `aMutation`, with `value` as this text, whatever it is. */
function withValue(value: string): string {
  return aMutation().replace('{"$x":1}', () => value);
}

/** As `aMutation`, with one field's value as this text. */
function withField(name: string, value: string): string {
  return aMutation({ [name]: '@' }).replace('"@"', () => value);
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function avro(ids: SchemaIds, changes: Partial<SampleMutation> = {}): Buffer {
  return avroMutationWriter(
    DATAMART,
    ids.mutation,
  )({
    userPointId: USER,
    ts: TS,
    op: 'UPDATE',
    docType: 'UserActivity',
    parts: { user_activity_id: 'a1' },
    value: '{"$x":1}',
    ...changes,
  });
}

/** The same ones in each run; the first is none that a record may begin with. */
function randomBytes(length: number): Buffer {
  const random = new SeededRandom(22);
  return Buffer.from([0xff, ...Array.from({ length: length - 1 }, () => random.below(256))]);
}

const nested = (depth: number): string => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`;

const dead = (reason: string, headers?: Readonly<Record<string, unknown>>): Fate =>
  headers ? { becomes: 'dead letter', reason, headers } : { becomes: 'dead letter', reason };

const passes = (value: string, id = 'a1'): Fate => ({
  becomes: 'operation',
  text: `{"ts":${TS},"doc_type":"UserActivity","doc_id":"${USER}:${id}","op":"UPDATE","value":${value}}`,
});

/** What becomes of `avro(ids)`. */
const avroOperation = `{"ts":${TS},"doc_type":"UserActivity","doc_id":"${USER}:a1","op":"UPDATE","value":{"$x":1}}`;

const NOTHING: Fate = { becomes: 'nothing' };

function aCase(title: string, record: Case['record'], fate: Fate): Case {
  return { title, record, fate };
}

const CASES: readonly Case[] = [
  aCase('an empty value', '', dead('malformed_envelope')),
  aCase('text that is no JSON', 'nonsense', dead('malformed_envelope')),
  aCase('row 22: foreign bytes', Buffer.from([0xff, 0xfe, 0, 1, 2, 3, 4, 5]), dead('malformed_envelope')),
  aCase('row 22: random bytes', randomBytes(500), dead('malformed_envelope')),
  aCase('a JSON array', `[${aMutation()}]`, dead('malformed_envelope')),
  aCase('a byte order mark', `\u{feff}${aMutation()}`, dead('malformed_envelope')),
  aCase('white space before another first byte', ' \n7', dead('malformed_envelope')),
  aCase('a Confluent header that is cut off', Buffer.from([0, 0, 1]), dead('malformed_envelope')),

  aCase('JSON that is cut off', aMutation().slice(0, -1), dead('decode_failed')),
  aCase('JSON that is cut off within the value', aMutation().slice(0, -5), dead('invalid_value')),
  aCase('text behind the object', `${aMutation()}x`, dead('decode_failed')),
  aCase('NaN outside the value', withField('user_activity_id', 'NaN'), dead('decode_failed')),
  aCase(
    'bad UTF-8 outside the value',
    latin1(aMutation({ user_activity_id: '\xff' })),
    dead('decode_failed'),
  ),
  aCase(
    'row 22: a valid header with truncated Avro',
    (ids) => avro(ids).subarray(0, -3),
    dead('decode_failed'),
  ),
  aCase(
    'bytes behind the Avro record',
    (ids) => Buffer.concat([avro(ids), Buffer.from([7])]),
    dead('decode_failed'),
  ),
  aCase(
    'Avro of a schema without the required fields',
    ({ foreign }) => Buffer.concat([confluentHeader(foreign), Buffer.from([2])]),
    dead('decode_failed'),
  ),

  aCase('a datamart_id of 0', aMutation({ datamart_id: 0 }), dead('invalid_datamart_id')),
  aCase('a negative datamart_id', aMutation({ datamart_id: -5 }), dead('invalid_datamart_id')),
  aCase(
    'a datamart_id of 20 digits',
    aMutation({ datamart_id: '1'.repeat(20) }),
    dead('invalid_datamart_id'),
  ),
  aCase('no datamart_id', aMutation({ datamart_id: undefined }), dead('invalid_datamart_id')),
  aCase('a user_point_id that is no UUID', aMutation({ user_point_id: 'me' }), dead('invalid_user_point_id')),
  aCase('no user_point_id', aMutation({ user_point_id: undefined }), dead('invalid_user_point_id')),

  aCase('a ts of 0', aMutation({ ts: 0 }), dead('ts_out_of_range')),
  aCase('a negative ts', aMutation({ ts: -TS }), dead('ts_out_of_range')),
  aCase('a ts in microseconds', aMutation({ ts: TS * 1_000 }), dead('ts_out_of_range')),
  aCase('a ts beyond 2^53', withField('ts', '9007199254740993'), dead('ts_out_of_range')),
  aCase('a ts with a fraction', withField('ts', '1676627112685.5'), dead('ts_out_of_range')),
  aCase('a negative ts in Avro', (ids) => avro(ids, { ts: -1 }), dead('ts_out_of_range')),

  aCase('an unknown op', aMutation({ op: 'EXPLODE' }), dead('unknown_op')),
  aCase('no op', aMutation({ op: undefined }), dead('unknown_op')),
  aCase('an unknown doc_type', aMutation({ doc_type: 'UserFoo' }), dead('unknown_doc_type')),
  aCase('no doc_type', aMutation({ doc_type: undefined }), dead('unknown_doc_type')),
  aCase('a missing part of the doc_id', aMutation({ user_activity_id: undefined }), dead('missing_id')),
  aCase('an empty part of the doc_id', aMutation({ user_activity_id: '' }), dead('missing_id')),
  aCase(
    'a merge without the kept user point',
    aMutation({ doc_type: 'UserPointParent' }),
    dead('missing_id'),
  ),

  aCase('NaN within the value', withValue('{"n":NaN}'), dead('invalid_value')),
  aCase('bad UTF-8 within the value', latin1(withValue('{"s":"\xc3"}')), dead('invalid_value')),
  aCase('a value that is over 256 deep', withValue(nested(257)), dead('invalid_value')),
  aCase('a value with unbalanced brackets', withValue('{"a":[1}'), dead('invalid_value')),
  aCase('an array as the value', withValue('[1]'), dead('invalid_value')),
  aCase('a text as the value', withValue('"{}"'), dead('invalid_value')),
  aCase('an Avro value that is no JSON', (ids) => avro(ids, { value: '{"n":NaN}' }), dead('invalid_value')),
  aCase(
    'an Avro value that is over 256 deep',
    (ids) => avro(ids, { value: nested(257) }),
    dead('invalid_value'),
  ),
  aCase(
    'several mistakes, of which the first in the table counts',
    aMutation({ ts: 0, op: 'EXPLODE' }),
    dead('ts_out_of_range'),
  ),

  aCase(
    'row 25: 1.5 MB for Event Hubs',
    aMutation({ datamart_id: HUB_DATAMART, value: { s: 'x'.repeat(1_500_000) } }),
    dead('too_large', { replication_id: 'hub', code: 'too_large' }),
  ),
  aCase(
    'row 25: 11 MB for Pub/Sub',
    aMutation({ datamart_id: PUBSUB_DATAMART, value: { s: 'x'.repeat(11_000_000) } }),
    dead('too_large', { replication_id: 'pubsub', code: 'too_large' }),
  ),
  aCase(
    'a message that the destination refuses',
    aMutation({ datamart_id: PUBSUB_DATAMART, value: { refuse: 'me' } }),
    dead('rejected', { replication_id: 'pubsub', code: 'invalid_record' }),
  ),

  aCase('row 26: a tombstone', null, NOTHING),
  aCase('a UserChoice', aMutation({ doc_type: 'UserChoice' }), NOTHING),
  aCase('a UserScenario', aMutation({ doc_type: 'UserScenario' }), NOTHING),
  aCase('a UserTrait', aMutation({ doc_type: 'UserTrait' }), NOTHING),
  aCase('a mutation of a datamart that nobody replicates', aMutation({ datamart_id: 99 }), NOTHING),

  aCase('a plain mutation in Avro', (ids) => avro(ids), passes('{"$x":1}')),
  aCase(
    '__proto__ and repeated keys',
    withValue('{"__proto__":{"a":1},"k":1,"k":2}'),
    passes('{"__proto__":{"a":1},"k":1,"k":2}'),
  ),
  aCase('a lone surrogate, escaped', withValue('{"s":"\\ud800"}'), passes('{"s":"\\ud800"}')),
  aCase(
    'numbers beyond all ranges',
    withValue('{"n":1e400,"m":9007199254740993.10}'),
    passes('{"n":1e400,"m":9007199254740993.10}'),
  ),
  aCase('white space within the value', withValue('{ "a" :\t[ 1 , 2 ] }'), passes('{ "a" :\t[ 1 , 2 ] }')),
  aCase('a value that is 255 deep', withValue(nested(255)), passes(nested(255))),
  aCase(
    'white space around the object, and unknown fields',
    ` \n${aMutation({ unknown: [1] })}\n`,
    passes('{"$x":1}'),
  ),
  aCase(
    'numbers as text, an op in lower case',
    aMutation({ datamart_id: DATAMART, ts: String(TS), op: ' upsert ' }),
    passes('{"$x":1}'),
  ),
];

let registry: string;
let eventHubs: FakeEventHubs;
let pubsub: FakePubSub;
let deployment: Deployment;
let processor: ProcessorProcess;
let ids: SchemaIds;
let deadLetters: readonly StoredRecord[];
let operations: readonly string[];
let startedAt: number;

beforeAll(async () => {
  registry = await sharedRegistry();
  eventHubs = await startFakeEventHubs({ hubs: [HUB] });
  pubsub = await startFakePubSub();
  pubsub.createTopic(TOPIC);
  pubsub.faults.rejectMessages(({ data }) => data.includes('"refuse"'));
  deployment = await Deployment.create({
    mutationTopics: [{ config: { 'max.message.bytes': MAX_MESSAGE_BYTES } }],
    environment: { KAFKA_SCHEMA_REGISTRY_URL: registry, PUBSUB_EMULATOR_HOST: pubsub.address },
  });
  ids = await registerSchemas(deployment.mutations);
  await deployment.putCredentials('azure.txt', eventHubs.connectionString());
  await deployment.configure(
    { id: 'file', type: 'FILE', status: 'ACTIVE', datamart_id: DATAMART, path: FILE },
    {
      id: 'hub',
      type: 'AZURE_EVENT_HUBS',
      status: 'ACTIVE',
      datamart_id: HUB_DATAMART,
      event_hub_name: HUB,
      credentials_uri: 'file:azure.txt',
    },
    {
      id: 'pubsub',
      type: 'GOOGLE_PUBSUB',
      status: 'ACTIVE',
      datamart_id: PUBSUB_DATAMART,
      version: 1,
      project_id: 'acme',
      topic_id: 'users',
      credentials_uri: 'file:google.json',
    },
  );
  startedAt = Date.now();
  processor = await deployment.startReady();
  await produce(
    deployment.mutations,
    CASES.flatMap(({ record }, index) => [
      good(`before-${index}`),
      badMessage(typeof record === 'function' ? record(ids) : record, index),
      good(`after-${index}`),
      good(`hub-${index}`, HUB_DATAMART),
      good(`pubsub-${index}`, PUBSUB_DATAMART),
    ]).map((message) => ({ ...message, partition: MAIN })),
  );
  await processor.waitWhileRunning(
    async () => (await progressOf(deployment, deployment.mutations)).committed === CASES.length * 5,
    'the first partition to be committed to its end',
    60_000,
  );
  deadLetters = await readAll(deployment.topics.deadLetters);
  operations = await deployment.fileLines(FILE);
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await Promise.all([eventHubs?.stop(), pubsub?.stop()]);
});

/** Of the topic's first partition. */
async function progressOf(of: Deployment, topic: string): Promise<PartitionProgress> {
  const progress = await of.progress();
  const main = progress.find((each) => each.topic === topic && each.partition === MAIN);
  if (!main) throw new Error('the topic has no first partition');
  return main;
}

async function registerSchemas(topic: string): Promise<SchemaIds> {
  const client = new HttpSchemaRegistry({ url: registry, username: null, password: null, timeoutMs: 20_000 });
  const { signal } = new AbortController();
  const foreign = { type: 'record', name: 'Foreign', fields: [{ name: 'x', type: 'long' }] };
  return {
    mutation: await client.registerSchema(`${topic}-value`, mutationSchemaText(), signal),
    foreign: await client.registerSchema(`${topic}-foreign-value`, JSON.stringify(foreign), signal),
  };
}

function confluentHeader(id: number): Buffer {
  const header = Buffer.alloc(5);
  header.writeInt32BE(id, 1);
  return header;
}

function good(id: string, datamart = DATAMART): Message {
  return {
    key: OTHER_USER,
    value: aMutation({ datamart_id: datamart, user_point_id: OTHER_USER, user_activity_id: id, value: {} }),
  };
}

/** With a value that is about `bytes` long. */
function paddedGood(id: string, bytes: number): Message {
  const value = { padding: 'x'.repeat(bytes) };
  return { key: OTHER_USER, value: aMutation({ user_point_id: OTHER_USER, user_activity_id: id, value }) };
}

function goodOperation(id: string): string {
  return `{"ts":${TS},"doc_type":"UserActivity","doc_id":"${OTHER_USER}:${id}","op":"UPDATE","value":{}}`;
}

function badMessage(value: Buffer | string | null, index: number): Message {
  return {
    key: `key-${index}`,
    value,
    headers: ORIGINAL_HEADERS,
    timestamp: String(startedAt + index),
  };
}

function headersOf({ headers }: StoredRecord): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function assertDeadLetter(
  letter: StoredRecord | undefined,
  bad: Message,
  at: { readonly partition: number; readonly offset: number },
  { reason, headers = {} }: Extract<Fate, { becomes: 'dead letter' }>,
): void {
  if (!letter) throw new Error('the record is not among the dead letters');
  expect(letter.key?.toString()).toBe(bad.key);
  // Not `toEqual`, whose report of a difference in 11 MB takes minutes.
  expect(letter.value?.equals(Buffer.from(bad.value as string))).toBe(true);
  expect(letter.timestamp).toBe(bad.timestamp);
  expect(letter.headers.binary).toEqual(ORIGINAL_HEADERS.binary);
  const ownHeaders = headersOf(letter);
  expect(ownHeaders).toMatchObject({
    origin: ORIGINAL_HEADERS.origin,
    dead_letter_reason: reason,
    dead_letter_topic: deployment.mutations,
    dead_letter_partition: String(at.partition),
    dead_letter_offset: String(at.offset),
    ...Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [`dead_letter_${name}`, String(value)]),
    ),
  });
  expect(ownHeaders.dead_letter_detail).toMatch(/./);
  expect(Number(ownHeaders.dead_letter_time)).toBeGreaterThanOrEqual(startedAt);
  expect(Number(ownHeaders.dead_letter_time)).toBeLessThanOrEqual(Date.now());
}

test.each(CASES.map((each, index) => ({ ...each, index })))(
  '$title, between two good records',
  ({ record, fate, index }) => {
    const at = operations.indexOf(goodOperation(`before-${index}`));
    const offset = index * 5 + 1;
    const letter = deadLetters.find(
      (each) =>
        headersOf(each).dead_letter_offset === String(offset) &&
        headersOf(each).dead_letter_partition === String(MAIN),
    );
    expect(at).toBeGreaterThanOrEqual(0);
    const expected = fate.becomes === 'operation' ? [Buffer.from(fate.text).toString('latin1')] : [];
    expect(operations.slice(at + 1, at + 2 + expected.length)).toEqual([
      ...expected,
      goodOperation(`after-${index}`),
    ]);
    if (fate.becomes === 'dead letter') {
      const bad = badMessage(typeof record === 'function' ? record(ids) : record, index);
      assertDeadLetter(letter, bad, { partition: MAIN, offset }, fate);
    } else expect(letter).toBeUndefined();
  },
);

test('row 25: a record that is too large for one destination, or refused by it, leaves its neighbours to it', () => {
  const wanted = (prefix: string) => CASES.map((_, index) => goodOperation(`${prefix}-${index}`));
  expect(eventHubs.events(HUB).map(({ body }) => body.toString())).toEqual(wanted('hub'));
  expect(pubsub.messages.map(({ data }) => data.toString())).toEqual(wanted('pubsub'));
});

test('every reason there is has its record here, but the unknown schema, which takes a minute (row 23)', () => {
  const reasons = CASES.flatMap(({ fate }) => (fate.becomes === 'dead letter' ? [fate.reason] : []));
  expect(new Set([...reasons, 'unknown_schema'])).toEqual(new Set(DEAD_LETTER_REASONS));
});

test('each record is counted by what became of it', async () => {
  const letters = CASES.flatMap(({ fate }) => (fate.becomes === 'dead letter' ? [fate.reason] : []));
  for (const reason of new Set(letters)) {
    expect({ reason, count: await processor.metric('dead_letters_total', { reason }) }).toEqual({
      reason,
      count: letters.filter((each) => each === reason).length,
    });
  }
  const counted = async (result: string) => processor.metric('mutations_total', { result });
  expect(await counted('tombstone')).toBe(1);
  expect(await counted('ignored')).toBe(3);
  expect(await counted('unwanted')).toBe(1);
  const byDestination = letters.filter((reason) => reason === 'too_large' || reason === 'rejected').length;
  expect(await counted('dead_lettered')).toBe(letters.length - byDestination);
});

/** While no schema registry is configured. */
const BLOCKED = { partition: '0', reason: 'registry_not_configured' };

test('without a schema registry a record in Avro holds its partition and says so; the others go on, and it is delivered once there is a registry', async () => {
  await using unconfigured = await Deployment.create({ mutationTopics: [{ partitions: 2 }] });
  const { mutations, topics } = unconfigured;
  await unconfigured.configure({
    id: 'file',
    type: 'FILE',
    status: 'ACTIVE',
    datamart_id: DATAMART,
    path: FILE,
  });
  const held = await unconfigured.startReady();
  await produce(mutations, [
    { ...good('before'), partition: 0 },
    { ...badMessage(avro(ids), 0), partition: 0 },
    { ...good('behind'), partition: 0 },
    { ...good('elsewhere'), partition: 1 },
  ]);
  await held.waitWhileRunning(
    async () => (await held.metric('partition_blocked', BLOCKED)) === 1,
    'the partition to be reported as blocked',
  );
  const committed = async () => (await unconfigured.progress()).map((each) => each.committed);
  await held.waitWhileRunning(
    async () => (await committed()).join() === '1,1',
    'the commit of what lies before the record, and of the other partition',
  );
  const before = await unconfigured.fileLines(FILE);
  expect([...before].sort()).toEqual([goodOperation('before'), goodOperation('elsewhere')].sort());
  expect((await held.readiness()).status).toBe(200);
  expect(held.logged('the partition waits: ')).toEqual([
    expect.objectContaining({
      level: 'error',
      msg: 'the partition waits: a record is in Avro and KAFKA_SCHEMA_REGISTRY_URL is not set',
      topic: mutations,
      partition: 0,
      schema_id: ids.mutation,
    }),
  ]);
  expect(await readAll(topics.deadLetters)).toEqual([]);

  held.kill();
  await held.exited;
  await unconfigured.expelDeadMembers();
  const freed = await unconfigured.startReady({ KAFKA_SCHEMA_REGISTRY_URL: registry });
  await freed.waitWhileRunning(
    async () => (await unconfigured.fileLines(FILE)).length >= before.length + 2,
    'the record and what lies behind it',
  );
  await unconfigured.waitUntilCommitted();
  expect((await unconfigured.fileLines(FILE)).slice(before.length)).toEqual([
    avroOperation,
    goodOperation('behind'),
  ]);
  expect(await freed.metric('partition_blocked', BLOCKED)).toBeNull();
  expect(await readAll(topics.deadLetters)).toEqual([]);
  expect(await freed.stop()).toBe(0);
});

const CODECS = ['gzip', 'snappy', 'lz4', 'zstd'] as const;
const TRANSACTION_TOPICS = 3;
const SMALL = 20_000;
let plain: Deployment;
let reader: ProcessorProcess;

beforeAll(async () => {
  plain = await Deployment.create({
    // The broker compresses, as Java does: with the framing that a Java producer has.
    mutationTopics: [
      ...CODECS.map((codec) => ({ config: { 'compression.type': codec } })),
      ...Array.from({ length: TRANSACTION_TOPICS }, () => ({})),
    ],
    deadLettersConfig: { 'max.message.bytes': SMALL },
  });
  await plain.configure({ id: 'file', type: 'FILE', status: 'ACTIVE', datamart_id: DATAMART, path: FILE });
  reader = await plain.startReady();
});

afterAll(async () => {
  await plain?.[Symbol.asyncDispose]();
});

const topicAt = (index: number): string => plain.topics.mutations[index] ?? '';

test.each(CODECS.map((codec, index) => ({ codec, index })))(
  'row 28: batches compressed with $codec arrive',
  async ({ codec, index }) => {
    const names = Array.from({ length: 300 }, (_, n) => `${codec}-${n}`);
    await produce(
      topicAt(index),
      names.map((name) => good(name)),
    );
    await reader.waitWhileRunning(async () => {
      const arrived = new Set(await plain.fileLines(FILE));
      return names.every((name) => arrived.has(goodOperation(name)));
    }, 'the compressed records');
  },
);

const assertTransactionPassed = async (
  topic: string,
  end: 'committed' | 'aborted',
  size: number,
): Promise<void> => {
  const messages = [1, 2, 3].map((n) => paddedGood(`${end}-${n}`, size));
  await produce(topic, [good(`${end}-before`)]);
  await transact(topic, messages, end);
  const committed = async () => {
    const { end: logEnd, committed: offset } = await progressOf(plain, topic);
    return logEnd === offset ? offset : null;
  };
  await reader.waitWhileRunning(async () => (await committed()) === 5, 'the commit behind the marker');
  await produce(topic, [good(`${end}-after`)]);
  await reader.waitWhileRunning(async () => (await committed()) === 6, 'the commit of what follows');
  const lines = await plain.fileLines(FILE);
  expect(lines).toContain(goodOperation(`${end}-before`));
  expect(lines.filter((line) => line.includes(`${end}-2"`))).toHaveLength(end === 'committed' ? 1 : 0);
  expect(lines).toContain(goodOperation(`${end}-after`));
};

test('row 20: a transaction arrives once it is committed, and its marker at the tail does not hold the commit', async () => {
  await assertTransactionPassed(topicAt(CODECS.length), 'committed', 10);
});

test('row 20: an aborted transaction never arrives, and its marker at the tail does not hold the commit', async () => {
  await assertTransactionPassed(topicAt(CODECS.length + 1), 'aborted', 10);
});

test('row 20: an aborted transaction that is larger than one fetch does not hold what follows', async () => {
  await assertTransactionPassed(topicAt(CODECS.length + 2), 'aborted', 700_000);
});

test('a bad record that the dead letters have no room for is kept there without its value', async () => {
  const [topic = ''] = plain.topics.mutations;
  const big = `nonsense ${'x'.repeat(2 * SMALL)}`;
  await produce(topic, [{ key: 'big', value: big }, { key: 'small', value: 'nonsense' }, good('behind-big')]);
  await reader.waitWhileRunning(
    async () => (await plain.fileLines(FILE)).includes(goodOperation('behind-big')),
    'the good record',
  );
  await plain.waitUntilCommitted();
  const letters = await readAll(plain.topics.deadLetters);
  const byKey = (key: string) => letters.filter((letter) => letter.key?.toString() === key);
  expect(byKey('big').map(({ value }) => value)).toEqual([null]);
  expect(byKey('big').map(headersOf)[0]).toMatchObject({
    dead_letter_reason: 'malformed_envelope',
    dead_letter_truncated: 'true',
  });
  expect(byKey('small').map(({ value }) => value?.toString())).toEqual(['nonsense']);
  expect(byKey('small').map(headersOf)[0]).not.toHaveProperty('dead_letter_truncated');
});

async function transact(topic: string, messages: Message[], end: 'committed' | 'aborted'): Promise<void> {
  const producer = kafkaClient(brokersUnderTest()).producer({
    transactionalId: `${topic}-${end}`,
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
  });
  await producer.connect();
  try {
    const transaction = await producer.transaction();
    // One batch each: together they may be larger than the broker takes.
    for (const message of messages) await transaction.send({ topic, messages: [message] });
    if (end === 'committed') await transaction.commit();
    else await transaction.abort();
  } finally {
    await producer.disconnect();
  }
}
