import { expect, jest, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { runCli } from '../../cli.ts';
import { PlantedSources, type SourceEdit } from '../simulation/planted-sources.ts';
import { createTopic, produce, readAll, uniqueTopic } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';
import { RecordedOutput } from '../support/recorded-output.ts';
import { waitFor } from '../support/wait-for.ts';

/* What an initial synchronization loses when its memory of live mutations is no good, and that `verify` says so. */

jest.setTimeout(240_000);

const PROGRAM = [
  'bin.ts',
  'cli.ts',
  'package.json',
  'api',
  'commands',
  'config',
  'local',
  'processors',
  'schemas',
  'sinks',
  'streams',
];
/** Of which every other one is changed while the synchronization runs. */
const DOCUMENTS = 6_000;
const LONG = { timeoutMs: 90_000 };

/** Of 3,000 documents that were not changed one in 22 has the 16 bits of one that was. */
const CUT_TO_16_BITS: readonly SourceEdit[] = [
  {
    file: 'streams/initial-sync/touched-documents.ts',
    find: 'this.#set.add(high, low);',
    replace: 'this.#set.add(high & 0xffff, 0);',
  },
  {
    file: 'streams/initial-sync/touched-documents.ts',
    find: 'this.#set.has(high, low);',
    replace: 'this.#set.has(high & 0xffff, 0);',
  },
];

const activity = (n: number, version: number) => {
  const user = `4700c85f-17e3-4304-aa7f-${String(n % 100).padStart(12, '0')}`;
  const mutation = {
    datamart_id: 1649,
    user_point_id: user,
    ts: 1_676_627_112_685,
    op: 'UPDATE',
    doc_type: 'UserActivity',
    user_activity_id: String(n),
    value: { version },
  };
  return { key: user, value: JSON.stringify(mutation) };
};

const activities = (version: number, step = 1) =>
  Array.from({ length: DOCUMENTS / step }, (_, i) => activity(i * step, version));

async function execution(deployment: Deployment): Promise<Readonly<Record<string, unknown>>> {
  const records = await readAll(deployment.topics.initialSyncExecutions);
  const newest = records.findLast(({ key }) => key?.toString() === 'sync-1');
  return JSON.parse(newest?.value?.toString() ?? '{}') as Record<string, unknown>;
}

async function waitForExecution(deployment: Deployment, fields: Readonly<Record<string, unknown>>) {
  let last: Readonly<Record<string, unknown>> = {};
  await waitFor(
    async () => {
      last = await execution(deployment);
      return Object.entries(fields).every(([field, value]) => last[field] === value);
    },
    { ...LONG, message: () => `${JSON.stringify(fields)}, not ${JSON.stringify(last)}` },
  );
}

async function launch(deployment: Deployment, maxOperations: number): Promise<void> {
  const request = { id: 'sync-1', datamart_id: '1649', max_operations: maxOperations };
  await produce(deployment.topics.initialSyncRequests, [{ key: 'sync-1', value: JSON.stringify(request) }]);
}

/** Synchronizes a topic while every other document changes; resolves with what `verify` finds there. */
async function synchronized(sources?: string): Promise<{ readonly code: number; readonly found: unknown }> {
  await using deployment = await Deployment.create(sources === undefined ? {} : { sources });
  await produce(deployment.mutations, activities(1));
  const processor = await deployment.startReady();
  await deployment.waitUntilCommitted(60_000);
  const topic = uniqueTopic('acme');
  await createTopic(topic);
  await deployment.configure({ id: '80', datamart_id: '1649', type: 'KAFKA_TOPIC', topic, status: 'ACTIVE' });
  await waitFor(
    async () =>
      (await readAll(deployment.topics.replicationStatus)).some(({ value }) =>
        value?.toString().includes('"state":"ACTIVE"'),
      ),
    { ...LONG, message: () => `the activation; ${processor.describe()}` },
  );
  // One row and no more until every other document was changed.
  await launch(deployment, 1);
  await waitForExecution(deployment, { status: 'RUNNING', held: 'budget' });
  await produce(deployment.mutations, activities(2, 2));
  await deployment.waitUntilDelivered();
  await launch(deployment, 1_000_000);
  await waitForExecution(deployment, { status: 'SUCCEEDED' });
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const code = await runCli({
    args: ['initial-sync', 'verify', '--replication-id', '80', '--json'],
    env: { ...deployment.settings, LOG_LEVEL: 'error' },
    stdout,
    stderr,
    signals: new EventEmitter(),
    exit: () => undefined,
  });
  expect(stderr.text).toBe('');
  return { code, found: JSON.parse(stdout.text) };
}

test('documents that live mutations change meanwhile are the only ones whose rows are left out', async () => {
  expect(await synchronized()).toMatchObject({
    code: 0,
    found: { is_equal: true, missing: 0, stale: 0, resurrected: 0, extra: 0 },
  });
});

test('the hashes of changed documents cut to 16 bits: verify tells of the documents that are missing', async () => {
  using sources = new PlantedSources('hashes of 16 bits', PROGRAM, CUT_TO_16_BITS);
  const { code, found } = await synchronized(sources.directory);

  expect(code).toBe(1);
  expect(found).toMatchObject({ is_equal: false, stale: 0, resurrected: 0, extra: 0 });
  const { missing } = found as { readonly missing: number };
  process.stdout.write(`${missing} of ${DOCUMENTS} documents were missing\n`);
  expect(missing).toBeGreaterThan(DOCUMENTS / 200);
});
