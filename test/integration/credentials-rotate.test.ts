import { expect, jest, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { CredentialsTable } from '../../processors/credentials-table.ts';
import { kekIdOf, openCredentials } from '../../sinks/sealed-credentials.ts';
import { createTopic, produce, readAll, uniqueTopic, brokersUnderTest } from '../support/kafka.ts';
import { aSealedRecord, KEY, keyRing, OTHER_KEY, type SealedOptions } from '../support/sealed-credentials.ts';

jest.setTimeout(120_000);

const BIN = join(import.meta.dirname, '../../bin.ts');

interface Run {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly errors: string;
}

async function rotate(
  topic: string,
  keys: { readonly key: Buffer; readonly oldKeys: readonly Buffer[] },
  ...args: readonly string[]
): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  const env = {
    PATH: process.env.PATH,
    KAFKA_BROKERS: brokersUnderTest().join(','),
    TOPICS_REPLICATION_CREDENTIALS: topic,
    CREDENTIALS_KEY: keys.key.toString('base64'),
    CREDENTIALS_OLD_KEYS: keys.oldKeys.map((key) => key.toString('base64')).join(','),
  };
  execFile(process.execPath, [BIN, 'credentials', 'rotate', ...args], { env }, (error, out, errors) => {
    resolve({ code: error ? error.code : 0, out, errors });
  });
  return promise;
}

async function upload(topic: string, ...records: readonly SealedOptions[]): Promise<void> {
  const messages = records.map((options) => ({
    key: options.replicationId ?? '',
    value: aSealedRecord({ ...options, text: `${options.replicationId} v${options.version}` }),
  }));
  await produce(topic, messages);
}

async function tableOf(topic: string): Promise<CredentialsTable> {
  const table = new CredentialsTable();
  for (const { key, value } of await readAll(topic)) table.apply(key?.toString() ?? '', value);
  return table;
}

test('sealed credentials go over to a new key, beside uploads, and the old one isn’t needed any more', async () => {
  const topic = uniqueTopic('credentials');
  await createTopic(topic, { config: { 'cleanup.policy': 'compact' } });
  const ids = Array.from({ length: 300 }, (_, i) => String(1_000 + i));
  await upload(topic, ...ids.map((replicationId) => ({ replicationId, version: 3, key: OTHER_KEY })));
  await upload(topic, { replicationId: 'deleted', version: 1, key: OTHER_KEY });
  await produce(topic, [{ key: 'deleted', value: null }]);
  const withBoth = { key: KEY, oldKeys: [OTHER_KEY] };

  const missing = await rotate(topic, { key: KEY, oldKeys: [] }, '--json');
  expect(missing.code).toBe(1);
  expect(JSON.parse(missing.out)).toMatchObject({
    status: 'error',
    rewrapped: 0,
    unopened: ids.map((id) => ({ replication_id: id, kek_id: kekIdOf(OTHER_KEY) })),
  });
  const planned = await rotate(topic, withBoth, '--dry-run', '--json');
  expect([planned.code, JSON.parse(planned.out)]).toEqual([
    0,
    expect.objectContaining({ status: 'ok', dry_run: true, rewrapped: 300, current: 0 }),
  ]);

  // Instances that know the new key, and those that don't yet, take uploads meanwhile.
  const rotation = rotate(topic, withBoth);
  const uploaded: string[] = [];
  for (let i = 0; i < 60; i += 1) {
    const replicationId = ids[i * 5] ?? '';
    uploaded.push(replicationId);
    await upload(topic, { replicationId, version: 4, key: i % 2 === 0 ? KEY : OTHER_KEY });
  }
  expect(await rotation).toMatchObject({ code: 0, errors: '' });
  expect(await rotate(topic, withBoth)).toMatchObject({ code: 0 });

  const table = await tableOf(topic);
  expect([...table.ids()].sort()).toEqual(ids);
  const texts = ids.map((id) => {
    const record = table.get(id);
    return record && openCredentials(record, keyRing(KEY));
  });
  expect(texts).toEqual(ids.map((id) => `${id} v${uploaded.includes(id) ? 4 : 3}`));
  expect(await rotate(topic, { key: KEY, oldKeys: [] })).toEqual({
    code: 0,
    errors: '',
    out: "re-wrapped under the key 3eb1bd439947eb76: 0\nunder it already: 300\ncan't be opened: 0\n",
  });
});

test('a topic that isn’t there is named', async () => {
  const topic = uniqueTopic('credentials');

  expect(await rotate(topic, { key: KEY, oldKeys: [] })).toMatchObject({
    code: 1,
    errors: expect.stringContaining(`topic ${topic} isn't there; \`topics create\` makes it`),
  });
});
