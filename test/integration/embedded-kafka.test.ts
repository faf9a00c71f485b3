import { expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka } from '../../local/embedded-kafka.ts';
import { runKafkaCommand } from '../../local/kafka-command.ts';
import { isBrokerReady } from '../../local/kafka-readiness.ts';
import {
  brokersUnderTest,
  createTopic,
  kafkaClient,
  produce,
  readAll,
  uniqueTopic,
} from '../support/kafka.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(60_000);

test('the broker of the run stores what is produced, and gives it back in order', async () => {
  const topic = uniqueTopic('embedded');
  await createTopic(topic, { partitions: 3 });

  await produce(topic, numbered(1_200));

  const records = await readAll(topic);
  expect(records).toHaveLength(1_200);
  for (const partition of [0, 1, 2]) {
    const numbers = records.filter((record) => record.partition === partition).map((r) => Number(r.value));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  }
});

test('a topic that nobody created does not appear by itself', async () => {
  const admin = kafkaClient().admin();
  await admin.connect();
  try {
    const topic = uniqueTopic('unknown');
    await expect(admin.fetchTopicMetadata({ topics: [topic] })).rejects.toThrow(
      'does not host this topic-partition',
    );
    expect(await admin.listTopics()).not.toContain(topic);
  } finally {
    await admin.disconnect();
  }
});

test('compaction leaves the newest record of a key within seconds', async () => {
  const topic = uniqueTopic('compacted');
  await createTopic(topic, {
    config: {
      'cleanup.policy': 'compact',
      'min.cleanable.dirty.ratio': 0.01,
      'segment.ms': 100,
      'max.compaction.lag.ms': 100,
    },
  });
  await produce(topic, [
    { key: 'a', value: 'old' },
    { key: 'a', value: 'new' },
  ]);

  const left = await waitFor(
    async () => {
      // The active segment is never compacted: one more record closes it.
      await produce(topic, [{ key: 'b', value: 'roll' }]);
      const values = (await readAll(topic)).map(({ value }) => String(value));
      return values.includes('old') ? null : values;
    },
    { timeoutMs: 40_000, message: 'compaction' },
  );
  expect(left).toContain('new');
});

test('committed records are read to their end, and those of an aborted transaction are not', async () => {
  const topic = uniqueTopic('transactions');
  await createTopic(topic);
  const producer = kafkaClient().producer({
    transactionalId: topic,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  try {
    for (const outcome of ['commit', 'abort'] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [{ value: outcome }] });
      await transaction[outcome]();
    }
  } finally {
    await producer.disconnect();
  }

  expect((await readAll(topic)).map(({ value }) => String(value))).toEqual(['commit']);
});

test('records outlive the broker when it restarts on the same data, also after it was killed', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'kafka-data-'));
  try {
    const topic = uniqueTopic('kept');
    const first = await startKafka({ dataDirectory });
    await createTopic(topic, {}, first.brokers);
    await produce(topic, numbered(3), first.brokers);
    await first.stop();

    const second = await startKafka({ dataDirectory });
    await produce(topic, numbered(2), second.brokers);
    second.kill();
    await second.exited;

    await using third = await startKafka({ dataDirectory });
    expect((await readAll(topic, third.brokers)).map(({ value }) => String(value))).toEqual([
      '0',
      '1',
      '2',
      '0',
      '1',
    ]);
  } finally {
    await rm(dataDirectory, { recursive: true, force: true });
  }
});

test('a suspended broker answers nothing until it is resumed', async () => {
  await using kafka = await startKafka();

  kafka.suspend();
  expect(await isBrokerReady(kafka.port)).toBe(false);
  kafka.resume();

  await waitFor(() => isBrokerReady(kafka.port), { message: 'the resumed broker' });
});

test('stopping removes the temporary data, and may be asked for twice', async () => {
  const kafka = await startKafka();

  await kafka.stop();
  await kafka.stop();

  expect(existsSync(kafka.dataDirectory)).toBe(false);
  expect(isRunning(kafka.pid)).toBe(false);
});

test('a parent killed with SIGKILL takes its broker and the temporary data with it', async () => {
  const program = new URL('../support/broker-owner.ts', import.meta.url).pathname;
  const parent = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const broker = JSON.parse(line.toString()) as { pid: number; port: number; dataDirectory: string };
  expect(await isBrokerReady(broker.port)).toBe(true);

  parent.kill('SIGKILL');

  await waitFor(() => !isRunning(broker.pid), { message: 'the end of the broker' });
  expect(await isBrokerReady(broker.port)).toBe(false);
  await waitFor(() => !existsSync(broker.dataDirectory), { message: 'the removal of the data' });
});

test('a start that is aborted ends with the reason, and leaves its data directory to the next', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'kafka-data-'));
  try {
    const aborted = new AbortController();
    const starting = startKafka({ dataDirectory, signal: aborted.signal });
    await waitFor(() => existsSync(join(dataDirectory, 'data', 'meta.properties')), {
      message: 'the formatting',
    });

    aborted.abort(new Error('not wanted any more'));

    await expect(starting).rejects.toThrow('not wanted any more');
    await using next = await startKafka({ dataDirectory });
    expect(await isBrokerReady(next.port)).toBe(true);
  } finally {
    await rm(dataDirectory, { recursive: true, force: true });
  }
});

test('a port in use is named, with what to do about it', async () => {
  const port = Number(brokersUnderTest()[0]?.split(':')[1]);

  await expect(startKafka({ port })).rejects.toMatchObject({
    name: 'LocalServiceError',
    code: 'port_in_use',
    message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port}.*in use.*--port`)),
  });
});

test('a data directory in use is named, and its broker goes on', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'kafka-data-'));
  try {
    await using kafka = await startKafka({ dataDirectory });

    await expect(startKafka({ dataDirectory })).rejects.toMatchObject({
      code: 'data_in_use',
      message: expect.stringContaining(dataDirectory),
    });
    expect(await isBrokerReady(kafka.port)).toBe(true);
  } finally {
    await rm(dataDirectory, { recursive: true, force: true });
  }
});

test('a wrong broker property ends the start with the words of Kafka', async () => {
  await expect(startKafka({ properties: { 'num.io.threads': 'many' } })).rejects.toMatchObject({
    code: 'start_failed',
    message: expect.stringContaining('num.io.threads'),
  });
});

test('the kafka command tells how to use the broker, and ends with 0 when it is interrupted', async () => {
  const interrupted = new AbortController();
  const lines: string[] = [];
  const command = runKafkaCommand({ port: 0, registry: false }, interrupted.signal, {
    write: (line) => lines.push(line),
  });
  await waitFor(() => lines.length > 0, { timeoutMs: 30_000, message: 'the instructions' });
  const port = Number(/KAFKA_BROKERS=127\.0\.0\.1:(\d+)/.exec(lines.join(''))?.[1]);
  expect(await isBrokerReady(port)).toBe(true);

  interrupted.abort();

  expect(await command).toBe(0);
  expect(await isBrokerReady(port)).toBe(false);
});

test('the kafka command ends with 1 and one line when the port is in use', async () => {
  const port = Number(brokersUnderTest()[0]?.split(':')[1]);
  const errors: string[] = [];

  const code = await runKafkaCommand(
    { port, registry: false },
    new AbortController().signal,
    { write: () => undefined },
    { write: (line) => errors.push(line) },
  );

  expect(code).toBe(1);
  expect(errors).toEqual([expect.stringContaining(`127.0.0.1:${port}`)]);
});

function numbered(count: number): { key: string; value: string }[] {
  return Array.from({ length: count }, (_, number) => ({ key: `key-${number}`, value: String(number) }));
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // no such process
  }
}
