import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { produceOneBatch } from '../support/kafka-protocol.ts';
import { brokersUnderTest, createTopic, kafkaClient, produce, readAll } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { sharedRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait-for.ts';

/* Rows of RELIABILITY section 6 on the real Kafka, each with what it says under "Expect". */

jest.setTimeout(120_000);

const DATAMART = '1649';
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const WITNESS = {
  id: 'witness',
  type: 'FILE',
  status: 'ACTIVE',
  datamart_id: DATAMART,
  path: 'witness.jsonl',
};

/** A mutation of a user point; its `ts` tells it from others. */
function aMutation(ts: number): string {
  return `{"datamart_id":${DATAMART},"user_point_id":"${USER}","ts":${ts},"op":"UPDATE","doc_type":"UserPoint"}`;
}

function operation(ts: number): string {
  return `{"ts":${ts},"doc_type":"UserPoint","doc_id":"${USER}","op":"UPDATE","value":{}}`;
}

async function send(topic: string, ...timestamps: readonly number[]): Promise<void> {
  await produce(
    topic,
    timestamps.map((ts) => ({ key: USER, value: aMutation(ts) })),
  );
}

const POISON_SCHEMA = 2 ** 31 - 1;
const POISON_RECORDS = 1_000;
const POISON = Buffer.alloc(9);
POISON.writeInt32BE(POISON_SCHEMA, 1);

let unfinished: Deployment;
let waiting: ProcessorProcess;
let registry: CountingRegistry;
let poisoned: Deployment;
let asking: ProcessorProcess;

// One looks for its topics every 30 s, one asks for a schema for 60 s: while they do, other tests run.
beforeAll(async () => {
  unfinished = await Deployment.create({ hasTopics: false });
  waiting = await unfinished.start();
  registry = await CountingRegistry.start(await sharedRegistry());
  poisoned = await Deployment.create({ environment: { KAFKA_SCHEMA_REGISTRY_URL: registry.url } });
  await poisoned.configure(WITNESS);
  asking = await poisoned.startReady();
  await send(poisoned.mutations, 51);
  await produce(
    poisoned.mutations,
    Array.from({ length: POISON_RECORDS }, (_, index) => ({ key: String(index), value: POISON })),
  );
  await send(poisoned.mutations, 52);
});

afterAll(async () => {
  await Promise.all([unfinished, poisoned].map((deployment) => deployment?.[Symbol.asyncDispose]()));
  await registry?.stop();
});

/** Stands before the run's registry, passes requests for schemas on, and counts them. */
class CountingRegistry {
  readonly #server: Server;
  requests = 0;

  private constructor(registryUrl: string) {
    this.#server = createHttpServer((request, response) => {
      this.requests += 1;
      void fetch(registryUrl + (request.url ?? '')).then(async (answer) => {
        response.writeHead(answer.status, { 'content-type': 'application/json' });
        response.end(await answer.text());
      });
    });
  }

  static async start(registryUrl: string): Promise<CountingRegistry> {
    const registry = new CountingRegistry(registryUrl);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

describe('a processor that has started', () => {
  const HUGE_BATCH = 200_000;
  let deployment: Deployment;
  let processor: ProcessorProcess;
  let hugeTopic: string;

  beforeAll(async () => {
    deployment = await Deployment.create({
      mutationTopics: [{}, { config: { 'max.message.bytes': 60_000_000 } }],
    });
    hugeTopic = deployment.topics.mutations[1] ?? '';
    await deployment.configure(WITNESS);
    processor = await deployment.startReady();
  });

  afterAll(async () => {
    await deployment?.[Symbol.asyncDispose]();
  });

  const arrivals = async (id = 'witness'): Promise<readonly string[]> => deployment.fileLines(`${id}.jsonl`);

  const untilArrived = async (...timestamps: readonly number[]): Promise<void> => {
    await processor.waitWhileRunning(async () => {
      const lines = new Set(await arrivals());
      return timestamps.every((ts) => lines.has(operation(ts)));
    }, `operations ${timestamps.join()}`);
  };

  test('delivers a record batch of 200,000 tiny records', async () => {
    const records = Array.from({ length: HUGE_BATCH }, (_, index) => ({
      key: Buffer.from(USER),
      value: Buffer.from(aMutation(1_000_000 + index)),
    }));
    await produceOneBatch(brokersUnderTest()[0] ?? '', hugeTopic, 0, records);
    await processor.waitWhileRunning(
      async () => (await processor.metric('operations_total', { result: 'delivered' })) === HUGE_BATCH,
      'all operations of the batch',
      60_000,
    );
    await deployment.waitUntilCommitted();
    const lines = await arrivals();
    expect(lines).toHaveLength(HUGE_BATCH);
    expect(lines.findIndex((line, index) => line !== operation(1_000_000 + index))).toBe(-1);
  });

  test('goes on while scrapers ask for the metrics and never read them', async () => {
    const { hostname, port } = new URL(processor.url);
    const request = `GET /metrics HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
    const scrapers: Socket[] = [];
    try {
      for (let n = 0; n < 5; n++) {
        const scraper = connect(Number(port), hostname);
        scraper.on('error', () => undefined);
        scrapers.push(scraper);
        await once(scraper, 'connect');
        scraper.pause();
        scraper.write(request.repeat(500));
      }
      await send(deployment.mutations, 11, 12, 13);
      await untilArrived(11, 12, 13);
      await deployment.waitUntilCommitted();
      expect(await processor.metric('operations_total', { result: 'delivered' })).toBeGreaterThan(0);
    } finally {
      for (const scraper of scrapers) scraper.destroy();
    }
  });

  test('follows the control topic within a second: created, paused, activated, deleted', async () => {
    const replication = { ...WITNESS, id: 'followed', path: 'followed.jsonl' };
    const stateOf = async () => {
      const samples = await processor.samples('replication_state');
      return samples.find(({ labels }) => labels.replication_id === 'followed')?.labels.state ?? null;
    };
    const takesEffect = async (isDone: (state: string | null) => boolean): Promise<void> => {
      await waitFor(async () => isDone(await stateOf()), {
        timeoutMs: 1_000,
        message: 'the change to take effect',
      });
    };
    await deployment.configure(replication);
    await takesEffect((state) => state === 'ACTIVE' || state === 'ACTIVATING');
    await send(deployment.mutations, 21);
    await untilArrived(21);
    await waitFor(async () => (await arrivals('followed')).length === 1, { message: 'the first operation' });

    await deployment.configure({ ...replication, status: 'PAUSED' });
    await takesEffect((state) => state === 'PAUSED');
    await send(deployment.mutations, 22);
    await untilArrived(22);

    await deployment.configure({ ...replication, resume: 'NOW' });
    await takesEffect((state) => state === 'ACTIVE' || state === 'ACTIVATING');
    await send(deployment.mutations, 23);
    await waitFor(async () => (await arrivals('followed')).length === 2, { message: 'the next operation' });

    await deployment.deleteReplication('followed');
    await takesEffect((state) => state === null);
    await send(deployment.mutations, 24);
    await untilArrived(24);
    await deployment.waitUntilCommitted();
    expect(await arrivals('followed')).toEqual([operation(21), operation(23)]);
    expect(await processor.metric('operations_total', { replication_id: 'followed' })).toBeNull();
  });

  test('holds a partition whose bad record can not be stored, says so, and goes on when the dead letters are back', async () => {
    const { deadLetters } = deployment.topics;
    const admin = kafkaClient().admin();
    await admin.connect();
    try {
      await admin.deleteTopics({ topics: [deadLetters] });
      await waitFor(async () => !(await admin.listTopics()).includes(deadLetters), {
        message: 'the topic to be gone',
      });
    } finally {
      await admin.disconnect();
    }
    await produce(deployment.mutations, [{ key: USER, value: 'nonsense' }]);
    await send(deployment.mutations, 31);
    const blocked = { topic: deployment.mutations, partition: '0', reason: 'dead_letters' };
    await processor.waitWhileRunning(
      async () => (await processor.metric('partition_blocked', blocked)) === 1,
      'the partition to be reported as blocked',
    );
    expect(processor.log()).toContain('dead letters can’t be stored; their partition waits');
    await send(hugeTopic, 32);
    await untilArrived(31, 32);
    const held = (await deployment.progress()).find(({ topic }) => topic === deployment.mutations);
    expect(held?.committed).toBe((held?.end ?? 0) - 2);
    expect((await processor.readiness()).status).toBe(200);

    await createTopic(deadLetters, { partitions: 8 });
    await deployment.waitUntilCommitted(45_000);
    expect(await processor.metric('partition_blocked', blocked)).toBeNull();
    const letters = await readAll(deadLetters);
    expect(letters.map(({ value }) => value?.toString())).toEqual(['nonsense']);
    await send(deployment.mutations, 33);
    await untilArrived(33);
    expect((await arrivals()).filter((line) => line === operation(31))).toHaveLength(1);
  });
});

describe('a processor that can not start', () => {
  test('without its topics is not ready, names them and the command that makes them, and stops cleanly', async () => {
    const { mutations, snapshots, deadLettersRetentionHours, ...others } = unfinished.topics;
    expect(deadLettersRetentionHours).toBeGreaterThan(0);
    const names = [...mutations, ...snapshots, ...Object.values(others)];
    await waiting.waitWhileRunning(
      async () => (await waiting.readiness()).missing.some((what) => what.startsWith('topic:')),
      'the missing topics to be reported',
    );
    const { status, missing } = await waiting.readiness();
    expect(status).toBe(503);
    expect([...missing].sort()).toEqual(names.map((name) => `topic:${name}`).sort());
    expect(await waiting.health()).toBe(200);
    expect(waiting.log()).toContain('`datamart-replication topics create`');
    for (const name of names) expect(waiting.log()).toContain(name);

    const stopped = await unfinished.start();
    await stopped.waitWhileRunning(async () => (await stopped.health()) === 200, 'the process to listen');
    const stopping = Date.now();
    expect(await stopped.stop()).toBe(0);
    expect(Date.now() - stopping).toBeLessThan(5_000);
  });

  test('because its port is taken ends with exit code 1 and says what to change', async () => {
    await using stack = new AsyncDisposableStack();
    const server = createServer().listen(0, '127.0.0.1');
    stack.defer(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const deployment = stack.use(await Deployment.create({ hasTopics: false }));
    const process = await deployment.start({ HTTP_PORT: String(port) });
    expect(await process.exited).toEqual({ code: 1, signal: null });
    expect(process.log()).toContain(
      `listening on 127.0.0.1:${port}: the port is taken by another program; change HTTP_HOST and HTTP_PORT\n`,
    );
  });

  test('because its mutation topic is compacted ends with exit code 1, the setting and the remedy', async () => {
    await using deployment = await Deployment.create({ hasTopics: false });
    await createTopic(deployment.mutations, { config: { 'cleanup.policy': 'compact' } });
    const process = await deployment.start();
    expect(await process.exited).toEqual({ code: 1, signal: null });
    expect(process.log()).toContain(`topic ${deployment.mutations}: cleanup.policy is compact; `);
    expect(process.log()).toMatch(/kafka-configs\.sh --alter .*cleanup\.policy=delete/);
  });

  test('for want of topics starts by itself once they are there, with what was produced before', async () => {
    const progress = kafkaClient().admin();
    await progress.connect();
    try {
      const { groups } = await progress.describeGroups([unfinished.groupId]);
      expect(groups[0]?.members).toEqual([]);
    } finally {
      await progress.disconnect();
    }
    await unfinished.createTopics();
    await unfinished.configure(WITNESS);
    await send(unfinished.mutations, 41);
    await waiting.waitUntilReady();
    await waiting.waitWhileRunning(
      async () => (await unfinished.fileLines('witness.jsonl')).includes(operation(41)),
      'the operation',
    );
    expect(await waiting.stop()).toBe(0);
  });
});

describe('a processor that gets records of a schema that the registry does not know', () => {
  test('holds the partition while it asks three times within a minute, then stores them all as dead letters and goes on', async () => {
    await asking.waitWhileRunning(
      async () => (await poisoned.fileLines('witness.jsonl')).includes(operation(52)),
      'the record behind',
      80_000,
    );
    await poisoned.waitUntilCommitted();
    expect(registry.requests).toBe(3);
    expect(await poisoned.fileLines('witness.jsonl')).toEqual([operation(51), operation(52)]);
    const letters = await readAll(poisoned.topics.deadLetters);
    expect(letters.map(({ key }) => Number(key)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: POISON_RECORDS }, (_, index) => index),
    );
    for (const { value, headers } of letters) {
      expect(value?.equals(POISON)).toBe(true);
      expect(String(headers.dead_letter_reason)).toBe('unknown_schema');
      expect(String(headers.dead_letter_schema_id)).toBe(String(POISON_SCHEMA));
    }
    expect(await asking.metric('dead_letters_total', { reason: 'unknown_schema' })).toBe(POISON_RECORDS);
    expect(await asking.stop()).toBe(0);
  });
});
