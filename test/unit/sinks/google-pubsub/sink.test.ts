import { protos } from '@google-cloud/pubsub';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import type { FakeTopicOptions } from '../../../../local/fake-pubsub-topic.ts';
import { startFakePubSub, type FakePubSub } from '../../../../local/fake-pubsub.ts';
import { GRPC_STATUS } from '../../../../sinks/google-pubsub/classify-error.ts';
import { googlePubSubAdapter } from '../../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import type { PublishTransport } from '../../../../sinks/google-pubsub/publish-transport.ts';
import { SinkError, type MessageOptions, type Sink } from '../../../../sinks/sink.ts';
import {
  anOperationBatch,
  binaryOperation,
  bytesOf,
  jsonOperation,
  partOf,
} from '../../../support/operation-batch.ts';
import { aServiceAccountFile } from '../../../support/service-account.ts';

const TOPIC = 'projects/acme/topics/users';
const config = { projectId: 'acme', topicId: 'users', endpoint: null };
const definition = readFileSync(
  new URL('../../../../schemas/operation-record.avsc', import.meta.url),
  'utf8',
);
/** The published golden vector: a user point. */
const GOLDEN = Buffer.from(
  '90b7c7b7c5b8fa05004834373030633835662d313765332d343330342d616137662d64633134303137336230386448343730306338356' +
    '62d313765332d343330342d616137662d6463313430313733623038640c555044415445047b7d',
  'hex',
);

const noAbort = (): AbortSignal => new AbortController().signal;

const messageOptions = (changes: Partial<MessageOptions> = {}): MessageOptions => ({
  version: 2,
  userPointParent: false,
  messageId: false,
  ordering: false,
  orderingLanes: 16,
  ...changes,
});

async function failureOf(work: Promise<unknown>): Promise<SinkError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SinkError) return error;
    throw error;
  }
  throw new Error('it should have failed');
}

describe('on the fake', () => {
  let fake: FakePubSub;
  const opened: Sink[] = [];

  const open = async (changes: Partial<MessageOptions> = {}): Promise<Sink> => {
    const adapter = googlePubSubAdapter({ allowEmulators: true, emulatorHost: fake.address });
    const sink = await adapter.open({
      config,
      options: messageOptions(changes),
      credentials: aServiceAccountFile(),
    });
    opened.push(sink);
    return sink;
  };

  beforeEach(async () => {
    fake = await startFakePubSub();
  });

  afterEach(async () => {
    for (const sink of opened.splice(0)) await sink.close();
    await fake.stop();
  });

  test('connects with the first request, not before, and leaves no connection when closed', async () => {
    fake.createTopic(TOPIC);
    const sink = await open();
    expect(fake.connectionCount()).toBe(0);

    await sink.send(anOperationBatch({ operations: [binaryOperation(1)] }), noAbort());
    expect(fake.connectionCount()).toBe(1);
    await sink.close();
    await untilTrue(() => fake.connectionCount() === 0);

    expect(fake.connectionCount()).toBe(0);
  });

  test('sends one batch as one request, routed by its topic', async () => {
    fake.createTopic(TOPIC);
    const sink = await open();

    await sink.send(anOperationBatch({ operations: [binaryOperation(1), binaryOperation(2)] }), noAbort());

    expect(fake.requests).toHaveLength(1);
    expect(fake.requests[0]).toMatchObject({
      messageCount: 2,
      routing: 'topic=projects%2Facme%2Ftopics%2Fusers',
    });
  });

  test('drops the connection of a call that was aborted', async () => {
    fake.createTopic(TOPIC);
    const sink = await open();
    await sink.send(anOperationBatch({ operations: [binaryOperation(1)] }), noAbort());
    fake.faults.storeAndHangNext(1);

    await sink.send(anOperationBatch({ operations: [binaryOperation(2)] }), AbortSignal.timeout(100));
    await untilTrue(() => fake.connectionCount() === 0);
    const outcome = await sink.send(anOperationBatch({ operations: [binaryOperation(3)] }), noAbort());

    expect(outcome).toEqual({ delivered: 1, failure: null });
    expect(fake.messages).toHaveLength(3);
  });

  test('lets other calls on that connection end in peace', async () => {
    fake.createTopic(TOPIC);
    const sink = await open();
    fake.faults.delayAll(300);

    const [aborted, other] = await Promise.all([
      sink.send(anOperationBatch({ operations: [binaryOperation(1)] }), AbortSignal.timeout(100)),
      sink.send(anOperationBatch({ operations: [binaryOperation(2)] }), noAbort()),
    ]);

    expect(aborted.failure?.code).toBe('timeout');
    expect(other).toEqual({ delivered: 1, failure: null });
  });

  test('answers unreachable, not ambiguous, when nobody listens', async () => {
    const sink = await open();
    await fake.stop();

    const outcome = await sink.send(anOperationBatch({ operations: [binaryOperation(1)] }), noAbort());

    expect(outcome.failure).toMatchObject({ kind: 'retriable', code: 'unreachable', isAmbiguous: false });
  });

  test('refuses a batch that exceeds a request as a whole without naming a record', async () => {
    const sink = await open();
    const operations = Array.from({ length: 5 }, (_, i) => binaryOperation(i, 2_100_000));

    const outcome = await sink.send(anOperationBatch({ operations }), noAbort());

    expect(outcome).toMatchObject({
      delivered: 0,
      isNext: false,
      failure: { kind: 'rejected', code: 'too_large' },
    });
    expect(fake.requests).toEqual([]);
  });

  test('delivers operations that a topic with the published schema takes, and isolates what it refuses', async () => {
    fake.createTopic(TOPIC, { schema: { definition, encoding: 'BINARY' } });
    const sink = await open();

    const good = await sink.send(anOperationBatch({ operations: [{ data: GOLDEN }] }), noAbort());
    const bad = await sink.send(
      anOperationBatch({ operations: [{ data: GOLDEN }, { data: GOLDEN.subarray(0, 50) }] }),
      noAbort(),
    );

    expect(good).toEqual({ delivered: 1, failure: null });
    expect(bad.failure).toMatchObject({ kind: 'rejected', code: 'invalid_record' });
    expect(fake.messages).toHaveLength(1);
  });

  describe('check', () => {
    const check = async (topic: FakeTopicOptions | null, changes: Partial<MessageOptions> = {}) => {
      if (topic !== null) fake.createTopic(TOPIC, topic);
      const sink = await open(changes);
      return sink.check(noAbort());
    };

    test('is content with the published schema', async () => {
      expect(await check({ schema: { definition, encoding: 'BINARY' } })).toEqual([]);
    });

    test('warns of a topic without schema, and of one that may not be read', async () => {
      expect(await check({})).toEqual([expect.stringContaining('has no schema')]);
      expect(await check({ isReadable: false })).toEqual([expect.stringContaining("can't be read")]);
    });

    test('warns that order needs a regional endpoint', async () => {
      expect(await check({ isReadable: false }, { ordering: true })).toHaveLength(2);
    });

    test('tells a missing right from a missing topic, where the topic may be read', async () => {
      const [hidden, visible] = [{ mayPublish: false, isReadable: false }, { mayPublish: false }];

      expect(await failureOf(check(hidden))).toMatchObject({
        code: 'permission_denied',
        message: expect.stringContaining("or the topic doesn't exist"),
        remedy: expect.stringMatching(/add-iam-policy-binding users.*topics create users/),
      });
      expect(await failureOf(check(visible))).toMatchObject({
        code: 'permission_denied',
        message: expect.not.stringContaining('exist'),
      });
    });

    test('goes by the revisions that the topic allows', async () => {
      const other = definition.replace('"long"', '"double"');
      const schema = { definition: other, older: [definition, other], encoding: 'BINARY' } as const;

      expect(await check({ schema })).toEqual([expect.stringContaining('not its newest one')]);
      expect(await check({ schema: { ...schema, allowed: { first: 1, last: 1 } } })).toEqual([]);
      expect(await check({ schema: { ...schema, allowed: { first: 2, last: 0 } } })).toHaveLength(1);
      expect(await failureOf(check({ schema: { ...schema, allowed: { first: 0, last: 0 } } }))).toMatchObject(
        {
          code: 'schema_mismatch',
          remedy: expect.stringContaining('--message-encoding=binary'),
        },
      );
      expect(await failureOf(check({ schema: { ...schema, allowed: { first: 2, last: 2 } } }))).toMatchObject(
        {
          code: 'schema_mismatch',
        },
      );
    });

    test('goes by the newest revision alone where the others may not be listed', async () => {
      const other = definition.replace('"long"', '"double"');
      fake.createTopic(TOPIC, { schema: { definition: other, older: [definition], encoding: 'BINARY' } });
      const sink = await open();
      fake.faults.refuseMethod('ListSchemaRevisions', GRPC_STATUS.PERMISSION_DENIED);

      expect(await failureOf(sink.check(noAbort()))).toMatchObject({ code: 'schema_mismatch' });
    });

    test('fails when the schema was deleted', async () => {
      fake.createTopic(TOPIC, { schema: { definition, encoding: 'BINARY' } });
      const sink = await open();
      fake.faults.refuseMethod('GetSchema', GRPC_STATUS.NOT_FOUND);

      expect(await failureOf(sink.check(noAbort()))).toMatchObject({
        code: 'schema_mismatch',
        message: expect.stringContaining("doesn't exist"),
      });
    });

    test('warns where permissions can not be asked for, as on an emulator', async () => {
      fake.faults.failNext(1, GRPC_STATUS.UNIMPLEMENTED);
      expect(await check({})).toContainEqual(expect.stringContaining("wasn't checked"));
    });

    test.each([
      ['the right to publish is missing', { mayPublish: false }, {}, 'permission_denied'],
      ['the topic is missing', null, {}, 'not_found'],
      ['the encoding is JSON', { schema: { definition, encoding: 'JSON' } }, {}, 'schema_mismatch'],
      [
        'the enum lacks UserPointParent',
        { schema: { definition, encoding: 'BINARY' } },
        { userPointParent: true },
        'schema_mismatch',
      ],
      [
        'version 1 meets an Avro schema',
        { schema: { definition, encoding: 'BINARY' } },
        { version: 1 },
        'schema_mismatch',
      ],
    ] as const)('fails when %s', async (_, topic, changes, code) => {
      const failure = await failureOf(check(topic, changes));

      expect(failure).toMatchObject({ kind: 'fatal', code });
    });
  });
});

describe('on another transport', () => {
  /** Opens sinks of one adapter. */
  const adapterOn = (call: PublishTransport['call']) => {
    const transport = { call, close: async () => undefined };
    const adapter = googlePubSubAdapter({
      allowEmulators: false,
      emulatorHost: null,
      openTransport: () => transport,
    });
    return (topicId: string, messageId = false): Promise<Sink> =>
      adapter.open({
        config: { ...config, topicId },
        options: messageOptions({ version: 1, messageId }),
        credentials: aServiceAccountFile(),
      });
  };
  const openOn = (call: PublishTransport['call']): Promise<Sink> => adapterOn(call)('users');
  const response = (count: number): Buffer => {
    const messageIds = Array.from({ length: count }, (_, i) => `${i}`);
    return Buffer.from(protos.google.pubsub.v1.PublishResponse.encode({ messageIds }).finish());
  };

  test.each([
    ['fewer ids than messages', response(1)],
    ['more ids than messages', response(3)],
    ['no ids', response(0)],
    ['bytes that are no response', Buffer.from([0x0a, 0x50])],
  ])('takes %s for an unknown outcome', async (_, bytes) => {
    const sink = await openOn(async () => bytes);

    const outcome = await sink.send(
      anOperationBatch({ operations: [jsonOperation(), jsonOperation()] }),
      noAbort(),
    );

    expect(outcome).toMatchObject({
      delivered: 0,
      failure: { kind: 'retriable', code: 'unknown', isAmbiguous: true },
    });
  });

  describe('with requests in flight', () => {
    const inFlight: {
      readonly request: readonly Buffer[];
      readonly answer: () => void;
      readonly fail: () => void;
    }[] = [];
    const onHold: PublishTransport['call'] = (call) => {
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      inFlight.push({
        request: call.request,
        answer: () => resolve(response(1)),
        fail: () => reject(new Error('cancelled')),
      });
      return promise;
    };
    const operationsOf = (i: number): Buffer => Buffer.concat(inFlight[i]!.request);

    afterEach(() => {
      inFlight.splice(0);
    });

    test('leaves their bytes alone until they have been answered', async () => {
      const sink = await openOn(onHold);
      const batches = [0, 1, 2].map((seed) =>
        anOperationBatch({ operations: [binaryOperation(seed, 2_000)] }),
      );

      const sending = batches.map((batch) => sink.send(batch, noAbort()));

      batches.forEach((batch, i) => expect(operationsOf(i).includes(bytesOf(batch, 0))).toBe(true));
      inFlight.forEach(({ answer }) => answer());
      await Promise.all(sending);
    });

    test('encodes the same operations once for all replications, but not beyond the last answer', async () => {
      const batch = anOperationBatch({ operations: [binaryOperation(1), binaryOperation(2)] });
      const adapter = adapterOn(onHold);
      const sinks = [await adapter('users'), await adapter('users-again'), await adapter('others', true)];
      const sending = sinks.map((sink) => sink.send(partOf(batch, 0, 1), noAbort()));
      sending.push(sinks[0]!.send(partOf(batch, 1), noAbort()));

      const [first, again, withIds, next] = inFlight.map(({ request }) => request[1]!);
      inFlight[0]!.answer();
      await sending[0];
      const late = anOperationBatch({ operations: [binaryOperation(3)] });
      sending.push(sinks[0]!.send(late, noAbort()));

      expect(again!.buffer).toBe(first!.buffer);
      expect(withIds!.buffer).not.toBe(first!.buffer);
      expect(next!.buffer).not.toBe(first!.buffer);
      expect(inFlight[4]!.request[1]!.buffer).not.toBe(first!.buffer);
      expect(operationsOf(1).includes(bytesOf(batch, 0))).toBe(true);
      inFlight.forEach(({ answer }) => answer());
      await Promise.all(sending);

      sending.push(sinks[0]!.send(late, noAbort()));
      const earlier = inFlight.slice(0, 5).map(({ request }) => request[1]!.buffer);
      expect(earlier.some((buffer) => buffer === inFlight[5]!.request[1]!.buffer)).toBe(true);
      inFlight[5]!.answer();
      await Promise.all(sending);
    });

    test('never uses the bytes of one that failed again, even when another was answered after it', async () => {
      const batch = anOperationBatch({ operations: [binaryOperation(1)] });
      const adapter = adapterOn(onHold);
      const sinks = [await adapter('users'), await adapter('users-again')];
      const sending = sinks.map((sink) => sink.send(batch, noAbort()));
      const { buffer } = inFlight[0]!.request[1]!;

      inFlight[0]!.fail();
      await sending[0];
      inFlight[1]!.answer();
      await sending[1];
      for (let i = 2; i < 20; i++) {
        sending.push(sinks[0]!.send(anOperationBatch({ operations: [binaryOperation(i)] }), noAbort()));
      }

      expect(inFlight).toHaveLength(20);
      for (const { request } of inFlight.slice(2)) expect(request[1]!.buffer).not.toBe(buffer);
      inFlight.forEach(({ answer }) => answer());
      await Promise.all(sending);
    });
  });
});

describe('googlePubSubAdapter', () => {
  const settings = { allowEmulators: false, emulatorHost: 'localhost:8085' };

  test('never opens without credentials of the replication', async () => {
    const opening = googlePubSubAdapter(settings).open({
      config,
      options: messageOptions(),
      credentials: null,
    });

    expect(await failureOf(opening)).toMatchObject({ kind: 'fatal', code: 'credentials_missing' });
  });

  test('checks the credentials on an emulator too', async () => {
    const adapter = googlePubSubAdapter({ ...settings, allowEmulators: true });

    const opening = adapter.open({
      config,
      options: messageOptions(),
      credentials: '{"type":"authorized_user"}',
    });

    expect(await failureOf(opening)).toMatchObject({ kind: 'fatal', code: 'credentials_invalid' });
  });

  test.each([
    [null, 'pubsub.googleapis.com'],
    ['europe-west1-pubsub.googleapis.com', 'europe-west1-pubsub.googleapis.com'],
  ])(
    'goes to Google (endpoint %s), whatever the emulator, unless emulators are allowed',
    async (endpoint, host) => {
      const targets: unknown[] = [];
      const adapter = googlePubSubAdapter({
        ...settings,
        openTransport: (target) => {
          targets.push(target);
          return { call: async () => Buffer.alloc(0), close: async () => undefined };
        },
      });

      await adapter.open({
        config: { ...config, endpoint },
        options: messageOptions(),
        credentials: aServiceAccountFile(),
      });

      expect(targets).toEqual([{ host, port: 443, isEmulator: false }]);
    },
  );

  test.each(['localhost', 'http://localhost:8085', 'localhost:99999999', ''])(
    'refuses emulator %j',
    (emulatorHost) => {
      expect(() => googlePubSubAdapter({ allowEmulators: true, emulatorHost })).toThrow('host:port');
    },
  );
});

/** Waits for the other side of a connection to notice that it has ended. */
async function untilTrue(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
}
