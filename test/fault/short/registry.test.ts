import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { avroMutationWriter } from '../../../local/mutation-writer.ts';
import { mutationSchemaText } from '../../../schemas/mutation-schema.ts';
import { HttpSchemaRegistry } from '../../../schemas/schema-registry.ts';
import { produce, readAll } from '../../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../../support/processor-process.ts';
import { sharedRegistry } from '../../support/registry.ts';
import { send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* The schema registry is away, or was never asked to know a schema: RELIABILITY, section 6. */

jest.setTimeout(120_000);

const DATAMART = '1649';
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const TS = 1_676_627_112_685;
const POISON_SCHEMA = 2 ** 31 - 1;
const POISON_RECORDS = 10_000;
const POISON = Buffer.alloc(9);
POISON.writeInt32BE(POISON_SCHEMA, 1);

let registryOfPoison: MoodyRegistry;
let poisoned: Deployment;
let asking: ProcessorProcess;

// The registry is asked for 60 s: while it is, the other test runs.
beforeAll(async () => {
  registryOfPoison = await MoodyRegistry.start(await sharedRegistry());
  poisoned = await Deployment.create({
    environment: { KAFKA_SCHEMA_REGISTRY_URL: `http://127.0.0.1:${registryOfPoison.port}` },
  });
  await poisoned.configure(WITNESS);
  asking = await poisoned.startReady();
  await send(poisoned, [51]);
  await produce(
    poisoned.mutations,
    Array.from({ length: POISON_RECORDS }, (_, index) => ({ key: String(index), value: POISON })),
  );
  await send(poisoned, [52]);
});

afterAll(async () => {
  await poisoned?.[Symbol.asyncDispose]();
  await registryOfPoison?.[Symbol.asyncDispose]();
});

/** Stands before the run's registry and answers as its mood is. */
class MoodyRegistry implements AsyncDisposable {
  mood: 'passes on' | 'hangs' | 'answers 500' = 'passes on';
  requests = 0;
  readonly #server: Server;

  private constructor(registryUrl: string) {
    this.#server = createServer((request, response) => {
      this.requests += 1;
      if (this.mood === 'hangs') return;
      if (this.mood === 'answers 500') {
        response.writeHead(500).end('{"error_code":50001,"message":"Error in the backend data store"}');
        return;
      }
      // A connection that was idle for long may be closed just now: the program asks again.
      fetch(registryUrl.replace(/\/+$/, '') + (request.url ?? '')).then(
        async (answer) => {
          response.writeHead(answer.status, { 'content-type': 'application/json' });
          response.end(await answer.text());
        },
        () => response.writeHead(502).end('{}'),
      );
    });
  }

  static async start(registryUrl: string): Promise<MoodyRegistry> {
    const registry = new MoodyRegistry(registryUrl);
    await registry.listen(0);
    return registry;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.close();
  }
}

test('row 24: a registry that answers 500, hangs or is down holds the partition and makes no dead letter; it goes on once it answers', async () => {
  const url = await sharedRegistry();
  await using registry = await MoodyRegistry.start(url);
  const { port } = registry;
  await using deployment = await Deployment.create({
    mutationTopics: [{ partitions: 2 }],
    environment: { KAFKA_SCHEMA_REGISTRY_URL: `http://127.0.0.1:${port}` },
  });
  const { mutations, topics } = deployment;
  await deployment.configure({
    id: 'witness',
    type: 'FILE',
    status: 'ACTIVE',
    datamart_id: DATAMART,
    path: 'witness.jsonl',
  });
  const client = new HttpSchemaRegistry({ url, username: null, password: null, timeoutMs: 20_000 });
  const { signal } = new AbortController();
  const schemaId = await client.registerSchema(`${mutations}-value`, mutationSchemaText(), signal);
  const write = avroMutationWriter(DATAMART, schemaId);
  const record = (id: string, partition: number) => ({
    key: USER,
    partition,
    value: write({
      userPointId: USER,
      ts: TS,
      op: 'UPDATE',
      docType: 'UserActivity',
      parts: { user_activity_id: id },
      value: '{}',
    }),
  });
  const json = (id: string, partition: number) => ({
    key: USER,
    partition,
    value: `{"datamart_id":${DATAMART},"user_point_id":"${USER}","ts":${TS},"op":"UPDATE","doc_type":"UserActivity","user_activity_id":"${id}","value":{}}`,
  });
  const arrived = async () =>
    (await deployment.fileLines('witness.jsonl')).map((line) => /:(\w+)","op"/.exec(line)?.[1] ?? line);

  registry.mood = 'answers 500';
  const processor = await deployment.startReady();
  await produce(mutations, [json('before', 0), record('avro', 0), json('behind', 0), json('elsewhere', 1)]);
  const blocked = async () =>
    (await processor.metric('partition_blocked', { partition: '0', reason: 'registry' })) === 1;
  const untilAskedAgain = async (mood: string): Promise<void> => {
    const { requests } = registry;
    await processor.waitWhileRunning(
      async () => registry.requests >= requests + 2 && (await blocked()),
      `the partition to wait while the registry ${mood}`,
      60_000,
    );
  };
  await untilAskedAgain('answers 500');
  registry.mood = 'hangs';
  await untilAskedAgain('hangs');
  await registry.close();
  await processor.waitWhileRunning(
    async () => (await blocked()) && (await arrived()).includes('elsewhere'),
    'the other partition to go on while the registry is down',
  );
  expect(processor.logged('the partition waits: asking for schema').length).toBeGreaterThan(0);
  expect([...(await arrived())].sort()).toEqual(['before', 'elsewhere']);
  expect(await readAll(topics.deadLetters)).toEqual([]);
  const committed = (await deployment.progress()).find(({ partition }) => partition === 0)?.committed;
  expect(committed).toBe(1);
  expect((await processor.readiness()).status).toBe(200);

  registry.mood = 'passes on';
  await registry.listen(port);
  await processor.waitWhileRunning(async () => (await arrived()).length === 4, 'the rest', 60_000);
  await deployment.waitUntilCommitted();
  expect((await arrived()).filter((id) => id !== 'elsewhere')).toEqual(['before', 'avro', 'behind']);
  expect(await readAll(topics.deadLetters)).toEqual([]);
  expect(await blocked()).toBe(false);
  expect(await processor.stop()).toBe(0);
});

test('row 23: 10,000 records of a schema that the registry does not know hold the partition while it is asked three times within a minute; then all are dead letters', async () => {
  await untilWitnessed(poisoned, asking, [52], 100_000);
  await poisoned.waitUntilCommitted();
  expect(registryOfPoison.requests).toBe(3);
  expect(await witnessed(poisoned)).toEqual([51, 52]);
  const letters = await readAll(poisoned.topics.deadLetters);
  expect(letters.map(({ key }) => Number(key)).sort((a, b) => a - b)).toEqual(
    Array.from({ length: POISON_RECORDS }, (_, index) => index),
  );
  const reasons = new Set(letters.map(({ headers }) => String(headers.dead_letter_reason)));
  const schemas = new Set(letters.map(({ headers }) => String(headers.dead_letter_schema_id)));
  expect([[...reasons], [...schemas]]).toEqual([['unknown_schema'], [String(POISON_SCHEMA)]]);
  expect(letters.filter(({ value }) => value?.equals(POISON) !== true)).toEqual([]);
  expect(await asking.metric('dead_letters_total', { reason: 'unknown_schema' })).toBe(POISON_RECORDS);
  expect(await asking.stop()).toBe(0);
});
