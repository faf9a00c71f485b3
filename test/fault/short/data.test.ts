import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { produceOneBatch } from '../../support/kafka-protocol.ts';
import { brokersUnderTest, createTopic, kafkaClient, produce, readAll } from '../../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../../support/processor-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { mutation, send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* Something is in the way of a processor that has started: RELIABILITY, section 6. */

jest.setTimeout(120_000);

const HUGE_BATCH = 200_000;
const FIRST_OF_BATCH = 1_000_000;

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

test('row 27: a record batch of 200,000 tiny records is delivered', async () => {
  const records = Array.from({ length: HUGE_BATCH }, (_, index) => {
    const { key, value } = mutation(FIRST_OF_BATCH + index);
    return { key: Buffer.from(key), value: Buffer.from(value) };
  });
  await produceOneBatch(brokersUnderTest()[0] ?? '', hugeTopic, 0, records);
  await processor.waitWhileRunning(
    async () => (await processor.metric('operations_total', { result: 'delivered' })) === HUGE_BATCH,
    'all operations of the batch',
    60_000,
  );
  await deployment.waitUntilCommitted();
  const seen = await witnessed(deployment);
  expect(seen).toHaveLength(HUGE_BATCH);
  expect(seen.findIndex((ts, index) => ts !== FIRST_OF_BATCH + index)).toBe(-1);
});

test('row 55: scrapers that ask for the metrics and never read them don’t hold up the data', async () => {
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
    await send(deployment, [11, 12, 13]);
    await untilWitnessed(deployment, processor, [11, 12, 13]);
    await deployment.waitUntilCommitted();
    expect(await processor.metric('operations_total', { result: 'delivered' })).toBeGreaterThan(0);
  } finally {
    for (const scraper of scrapers) scraper.destroy();
  }
});

test('row 51: without the topic of the dead letters a partition with a bad record waits and says so, and goes on when the topic is back', async () => {
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
  await produce(deployment.mutations, [{ ...mutation(0), value: 'nonsense' }]);
  await send(deployment, [31]);
  const blocked = { topic: deployment.mutations, partition: '0', reason: 'dead_letters' };
  await processor.waitWhileRunning(
    async () => (await processor.metric('partition_blocked', blocked)) === 1,
    'the partition to be reported as blocked',
  );
  expect(processor.log()).toContain('dead letters can’t be stored; their partition waits');
  await produce(hugeTopic, [mutation(32)]);
  await untilWitnessed(deployment, processor, [31, 32]);
  const held = (await deployment.progress()).find(({ topic }) => topic === deployment.mutations);
  expect(held?.committed).toBe((held?.end ?? 0) - 2);
  expect((await processor.readiness()).status).toBe(200);

  await createTopic(deadLetters, { partitions: 8 });
  await deployment.waitUntilCommitted(45_000);
  expect(await processor.metric('partition_blocked', blocked)).toBeNull();
  const letters = await readAll(deadLetters);
  expect(letters.map(({ value }) => value?.toString())).toEqual(['nonsense']);
  await send(deployment, [33]);
  await untilWitnessed(deployment, processor, [33]);
  expect((await witnessed(deployment)).filter((ts) => ts === 31)).toHaveLength(1);
});
