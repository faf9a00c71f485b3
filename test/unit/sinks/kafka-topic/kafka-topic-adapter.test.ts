import { describe, expect, test } from '@jest/globals';
import { kafkaTopicAdapter } from '../../../../sinks/kafka-topic/kafka-topic-adapter.ts';
import type { KafkaCredentials } from '../../../../sinks/kafka-topic/record-producer.ts';
import type { MessageOptions, Sink } from '../../../../sinks/sink.ts';
import { anOperationBatch, binaryOperation, bytesOf, partOf } from '../../../support/operation-batch.ts';
import { RecordProducerInMemory } from '../../../support/record-producer-in-memory.ts';

const OPTIONS: MessageOptions = {
  version: 2,
  userPointParent: false,
  messageId: false,
  ordering: false,
  orderingLanes: 16,
};
const BROKERS = ['kafka.acme.example:9092'];
const noAbort = new AbortController().signal;

const adapterOver = (producer: RecordProducerInMemory): ReturnType<typeof kafkaTopicAdapter> =>
  kafkaTopicAdapter({
    producers: () => producer,
    ownTopics: ['datamart-mutations', 'replication-status'],
    allowedBrokers: ['Kafka.acme.example:9092', 'kafka2.acme.example:9092'],
  });

const adapter = adapterOver(new RecordProducerInMemory({}));

const openOver = (producer: RecordProducerInMemory, changes: Partial<MessageOptions> = {}): Promise<Sink> =>
  adapterOver(producer).open({
    config: { topic: 'users', brokers: null },
    options: { ...OPTIONS, ...changes },
    credentials: null,
  });

describe('the config of KAFKA_TOPIC', () => {
  test('takes a topic of the own cluster, or of allowed brokers whatever their case', () => {
    expect(adapter.parseConfig({ topic: 'acme-operations' })).toEqual({
      config: { topic: 'acme-operations', brokers: null },
    });
    expect(adapter.parseConfig({ topic: 'a.b_c', brokers: ['KAFKA.acme.example:9092'] })).toEqual({
      config: { topic: 'a.b_c', brokers: BROKERS },
    });
  });

  test.each([
    ['invalid_topic', { topic: 'datamart-mutations' }],
    ['invalid_topic', { topic: 'replication-status', brokers: BROKERS }],
    ['invalid_topic', { topic: '__consumer_offsets' }],
    ['invalid_topic', { topic: '' }],
    ['invalid_topic', { topic: '..' }],
    ['invalid_topic', { topic: 'a b' }],
    ['invalid_topic', { topic: 'x'.repeat(250) }],
    ['missing_field', {}],
    ['field_not_applicable', { topic: 'users', credentials_uri: 'file:acme.json' }],
    ['invalid_brokers', { topic: 'users', brokers: [] }],
    ['invalid_brokers', { topic: 'users', brokers: 'kafka.acme.example:9092' }],
    ['invalid_brokers', { topic: 'users', brokers: [9092] }],
    ['invalid_brokers', { topic: 'users', brokers: ['kafka.acme.example:9093'] }],
    ['invalid_brokers', { topic: 'users', brokers: [...BROKERS, '169.254.169.254:9092'] }],
  ])('refuses with %s: %j', (code, record) => {
    expect(adapter.parseConfig(record)).toMatchObject({ problem: { code } });
  });
});

describe('the credentials of KAFKA_TOPIC', () => {
  const problemOf = (text: string, brokers: readonly string[] | null = BROKERS): string | null =>
    adapter.checkCredentials(text, { topic: 'users', brokers })?.code ?? null;

  const SASL = { mechanism: 'SCRAM-SHA-512', username: 'acme', password: 'secret' };

  test.each(['{}', '{"ssl":true}', `\ufeff{"ssl":true,"sasl":${JSON.stringify(SASL)}}\r\n`])(
    'take %s',
    (text) => {
      expect(problemOf(text)).toBeNull();
    },
  );

  test.each([
    ['credential_kind_mismatch', 'Endpoint=sb://acme.servicebus.windows.net/'],
    ['credential_kind_mismatch', '{"type":"service_account"}'],
    ['invalid_credentials', '{"ssl":'],
    ['invalid_credentials', '{"ssl":"yes"}'],
    ['invalid_credentials', '{"tls":true}'],
    ['invalid_credentials', '{"sasl":"acme:secret"}'],
    ['invalid_credentials', `{"sasl":${JSON.stringify({ ...SASL, mechanism: 'oauthbearer' })}}`],
    ['invalid_credentials', `{"sasl":${JSON.stringify({ ...SASL, password: '' })}}`],
    ['invalid_credentials', `{"sasl":${JSON.stringify({ ...SASL, username: 7 })}}`],
  ])('are refused with %s: %s', (code, text) => {
    expect(problemOf(text)).toBe(code);
  });

  test('do not apply to the own cluster', () => {
    expect(problemOf('{"ssl":true}', null)).toBe('field_not_applicable');
  });

  test('reach the producer, parsed, with the brokers', async () => {
    const asked: [readonly string[] | null, KafkaCredentials | null][] = [];
    const recording = kafkaTopicAdapter({
      producers: (...given) => {
        asked.push(given);
        return new RecordProducerInMemory({});
      },
      ownTopics: [],
      allowedBrokers: BROKERS,
    });
    const config = { topic: 'users', brokers: BROKERS };

    await recording.open({
      config,
      options: OPTIONS,
      credentials: `{"ssl":true,"sasl":${JSON.stringify(SASL)}}`,
    });
    await recording.open({ config, options: OPTIONS, credentials: null });

    expect(asked).toEqual([
      [BROKERS, { ssl: true, sasl: { ...SASL, mechanism: 'scram-sha-512' } }],
      [BROKERS, null],
    ]);
    await expect(recording.open({ config, options: OPTIONS, credentials: 'x' })).rejects.toMatchObject({
      kind: 'fatal',
      code: 'credentials_invalid',
    });
  });
});

describe('the sink of KAFKA_TOPIC', () => {
  test('keys each record by its own ordering lane', async () => {
    const producer = new RecordProducerInMemory({ users: 4 });
    const sink = await openOver(producer, { orderingLanes: 5 });
    const laneHashes = [673_718_448, 7, 10, 2_147_483_647];
    const operations = laneHashes.map((laneHash, i) => ({ ...binaryOperation(i), laneHash }));

    await sink.send(anOperationBatch({ operations }), noAbort);

    expect(producer.stored.map((record) => record.key)).toEqual(['3', '2', '0', '2']);
  });

  test('sends at most 500 records and 900,000 bytes a request, and leaves the rest', async () => {
    const producer = new RecordProducerInMemory({ users: 4 });
    const sink = await openOver(producer);
    const many = anOperationBatch({ operations: Array.from({ length: 501 }, (_, i) => binaryOperation(i)) });
    const large = anOperationBatch({ operations: [1, 2, 3].map((seed) => binaryOperation(seed, 400_000)) });

    expect(await sink.send(many, noAbort)).toEqual({ delivered: 500, failure: null });
    expect(await sink.send(partOf(many, 500), noAbort)).toEqual({ delivered: 1, failure: null });
    expect(await sink.send(large, noAbort)).toEqual({ delivered: 2, failure: null });
  });

  test('hands over bytes that stay when the batch is used again', async () => {
    const producer = new RecordProducerInMemory({ users: 4 });
    const sink = await openOver(producer);
    const batch = anOperationBatch({ operations: [binaryOperation(1), binaryOperation(2)] });
    const before = Buffer.from(bytesOf(batch, 1));

    await sink.send(batch, noAbort);
    batch.data.fill(0);

    expect(producer.stored[1]?.value.equals(before)).toBe(true);
  });

  test('finds a missing topic when checked, and never creates it', async () => {
    const sink = await openOver(new RecordProducerInMemory({ other: 1 }));

    await expect(sink.check(noAbort)).rejects.toMatchObject({ kind: 'fatal', code: 'not_found' });
  });

  test.each([
    ['unauthenticated', { name: 'KafkaJSSASLAuthenticationError' }, 'password'],
    ['permission_denied', { type: 'TOPIC_AUTHORIZATION_FAILED' }, 'kafka-acls.sh --add'],
    ['not_found', { type: 'UNKNOWN_TOPIC_OR_PARTITION' }, 'kafka-topics.sh --create --topic users'],
    ['precondition_failed', { type: 'POLICY_VIOLATION' }, 'policies'],
  ] as const)('is refused by the check as %s, with what helps', async (code, fields, remedy) => {
    const cluster = new RecordProducerInMemory({ users: 8 });
    const sink = await openOver(cluster);
    cluster.rejectNext(fields);

    await expect(sink.check(noAbort)).rejects.toMatchObject({
      kind: 'fatal',
      code,
      remedy: expect.stringContaining(remedy),
    });
  });

  test('keeps to the limit of a topic that takes less, and says so', async () => {
    const cluster = new RecordProducerInMemory({ users: 8 });
    cluster.maxMessageBytes = 100_000;
    const sink = await openOver(cluster);

    expect(await sink.check(noAbort)).toEqual([expect.stringContaining('100000 bytes')]);
    expect(sink.limits.maxBytes).toBeLessThan(100_000);
    const operations = Array.from({ length: 10 }, (_, i) => binaryOperation(i, 30_000));
    expect(await sink.send(anOperationBatch({ operations }), noAbort)).toEqual({
      delivered: 3,
      failure: null,
    });
  });

  test('has no limit of its own where the topic takes more, or may not be asked', async () => {
    const cluster = new RecordProducerInMemory({ users: 8 });
    const sink = await openOver(cluster);
    for (const limit of [null, 10_000_000]) {
      cluster.maxMessageBytes = limit;
      expect(await sink.check(noAbort)).toEqual([]);
      expect(sink.limits.maxBytes).toBe(900_000);
    }
  });

  test('closes its producer once', async () => {
    const producer = new RecordProducerInMemory({ users: 1 });
    const sink = await openOver(producer);

    await Promise.all([sink.close(), sink.close()]);

    expect(producer.closeCount).toBe(1);
  });
});
