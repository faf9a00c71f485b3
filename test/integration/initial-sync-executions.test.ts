import { expect, jest, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { runCli } from '../../cli.ts';
import { HttpApi, tokensFileOf } from '../support/http-api.ts';
import { produce, readAll } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { RecordedOutput } from '../support/recorded-output.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(240_000);

const TOKEN = 'ops-0123456789abcdef';
const DATAMART = '1649';
const EXECUTIONS = `/v1/datamarts/${DATAMART}/replication_job_executions`;
const REPLICATION = `/v1/datamarts/${DATAMART}/replications/90`;
const ROWS = 40;
const LONG = { timeoutMs: 60_000 };

interface Instance {
  readonly process: ProcessorProcess;
  readonly api: HttpApi;
}

type Fields = Readonly<Record<string, unknown>>;

/** A replication to a file that is ACTIVE, and a snapshot of more rows than a budget of one lets through. */
async function aDeployment(): Promise<Deployment> {
  const deployment = await Deployment.create({
    mutationTopics: [{ partitions: 2 }],
    environment: { ROLES: 'replicate,api', HTTP_RATE_LIMIT: '100000', SNAPSHOT_ENABLED: 'false' },
  });
  await deployment.putCredentials('tokens.json', tokensFileOf(TOKEN));
  await configure(deployment, 'ACTIVE');
  const rows = Array.from({ length: ROWS }, (_, n) => {
    const user = `4700c85f-17e3-4304-aa7f-${String(n).padStart(12, '0')}`;
    const mutation = {
      datamart_id: 1649,
      user_point_id: user,
      ts: 1_676_627_112_685,
      op: 'UPDATE',
      doc_type: 'UserPoint',
    };
    return { key: `${DATAMART}/UserPoint/${user}`, value: JSON.stringify(mutation) };
  });
  await produce(deployment.topics.snapshots[0]!, rows, deployment.brokers);
  return deployment;
}

function configure(deployment: Deployment, status: 'ACTIVE' | 'PAUSED'): Promise<void> {
  return deployment.configure({ id: '90', datamart_id: DATAMART, type: 'FILE', path: '90.jsonl', status });
}

async function start(deployment: Deployment): Promise<Instance> {
  const file = join(deployment.credentialsDirectory, 'tokens.json');
  const process = await deployment.startReady({ HTTP_TOKENS_FILE: file });
  return { process, api: new HttpApi(process.url, TOKEN) };
}

/** Waits until what the instance answers has these fields. */
async function answers({ process, api }: Instance, path: string, fields: Fields): Promise<void> {
  let data: Fields = {};
  await waitFor(
    async () => {
      ({ data } = await api.call('GET', path));
      return Object.entries(fields).every(([field, value]) => {
        const given = data[field];
        const isPart = typeof value === 'object' && value !== null && typeof given === 'object';
        return isDeepStrictEqual(isPart ? { ...given, ...value } : value, given);
      });
    },
    {
      ...LONG,
      message: () => `${JSON.stringify(fields)}, not ${JSON.stringify(data)}; ${process.describe()}`,
    },
  );
}

/** Runs a command over the deployment's Kafka. */
async function command(deployment: Deployment, ...args: readonly string[]) {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const code = await runCli({
    args,
    env: { ...deployment.settings, LOG_LEVEL: 'error' },
    stdout,
    stderr,
    signals: new EventEmitter(),
    exit: () => undefined,
  });
  return { code, out: stdout.text, errors: stderr.text };
}

test('an execution is led by whoever coordinates, seen by every instance, and never runs twice', async () => {
  await using deployment = await aDeployment();
  const [one, other] = await Promise.all([start(deployment), start(deployment)]);
  for (const instance of [one, other])
    await answers(instance, REPLICATION, { observed: { state: 'ACTIVE' } });

  // Launched once, however often it is asked for.
  const body = { id: 'sync-1', replication_ids: ['90'], max_operations: 1 };
  const launched = await one.api.call('POST', EXECUTIONS, body);
  expect(launched).toMatchObject({
    status: 201,
    data: { id: 'sync-1', status: 'PENDING', num_tasks: 2, user_id: 'ops' },
  });
  for (const instance of [one, other]) await answers(instance, `${EXECUTIONS}/sync-1`, { status: 'RUNNING' });
  expect(await other.api.call('POST', EXECUTIONS, body)).toMatchObject({
    status: 201,
    data: { status: 'RUNNING' },
  });
  expect(await other.api.call('POST', EXECUTIONS, { replication_ids: ['90'] })).toMatchObject({
    status: 409,
    code: 'sync_already_running',
  });

  // Statuses wait.
  expect(await other.api.call('PUT', REPLICATION, { status: 'PAUSED' })).toMatchObject({
    status: 409,
    code: 'sync_in_progress',
  });
  await configure(deployment, 'PAUSED');
  const waits = { state: 'ACTIVE', deferred_status: 'PAUSED' };
  for (const instance of [one, other]) await answers(instance, REPLICATION, { observed: waits });

  // Whoever coordinates dies.
  const coordinator = (await one.process.ownedPartitions()).includes(`${deployment.mutations}/0`)
    ? one
    : other;
  const survivor = coordinator === one ? other : one;
  coordinator.process.kill();
  await coordinator.process.exited;
  await deployment.expelDeadMembers();
  await survivor.process.waitWhileRunning(
    async () => (await survivor.process.ownedPartitions()).length === 2,
    'the survivor to own every partition',
    60_000,
  );
  const again = await start(deployment);
  for (const instance of [survivor, again]) await answers(instance, REPLICATION, { observed: waits });
  await answers(again, `${EXECUTIONS}/sync-1`, { status: 'RUNNING' });
  expect(await again.process.metric('initial_sync_tasks', { execution_id: 'sync-1' })).toBe(2);

  // It ends, and with it what waited for it.
  const canceled = await again.api.call('DELETE', `${EXECUTIONS}/sync-1`);
  expect(canceled).toMatchObject({ status: 200, data: { status: 'CANCELED' } });
  for (const instance of [survivor, again]) {
    await answers(instance, `${EXECUTIONS}/sync-1`, { status: 'CANCELED' });
    await answers(instance, REPLICATION, { observed: { state: 'PAUSED', deferred_status: null } });
  }
  expect(await again.process.metric('initial_sync_tasks', { execution_id: 'sync-1' })).toBeNull();
  expect(await again.api.call('DELETE', `${EXECUTIONS}/sync-1`)).toMatchObject({ code: 'execution_ended' });

  // Nothing of it runs again after a restart of everybody.
  const written = async (): Promise<number> =>
    (await readAll(deployment.topics.initialSyncExecutions)).length;
  for (const { process } of [survivor, again]) expect(await process.stop()).toBe(0);
  const before = await written();
  const last = await start(deployment);
  await answers(last, `${EXECUTIONS}/sync-1`, { status: 'CANCELED' });
  expect((await last.api.call('GET', EXECUTIONS)).body).toMatchObject({ total: 1 });
  expect(await written()).toBe(before);

  // What is refused over the topic is told like over HTTP.
  await produce(deployment.topics.initialSyncRequests, [
    {
      key: 'paused',
      value: JSON.stringify({ id: 'paused', datamart_id: DATAMART, replication_ids: ['90'] }),
    },
  ]);
  await answers(last, `${EXECUTIONS}/paused`, { status: 'FAILED' });
  expect((await last.api.call('GET', `${EXECUTIONS}/paused`)).data.error).toMatchObject({
    code: 'replication_not_active',
    replication_ids: ['90'],
  });

  // The command line sees the same over Kafka.
  const list = await command(deployment, 'initial-sync', 'list', '--json');
  expect(list).toMatchObject({ code: 0 });
  expect(
    (JSON.parse(list.out) as { id: string; status: string }[]).map(({ id, status }) => [id, status]),
  ).toEqual([
    ['paused', 'FAILED'],
    ['sync-1', 'CANCELED'],
  ]);
  expect(await command(deployment, 'initial-sync', 'watch', 'sync-1')).toMatchObject({ code: 1 });
  const refused = await command(deployment, 'initial-sync', 'start', '--datamart-id', DATAMART, '--json');
  expect(refused).toMatchObject({ code: 1 });
  expect(JSON.parse(refused.errors)).toMatchObject({ code: 'no_active_replication' });

  // A null request takes the records with it.
  await produce(deployment.topics.initialSyncRequests, [{ key: 'sync-1', value: null }]);
  await waitFor(async () => (await last.api.call('GET', `${EXECUTIONS}/sync-1`)).status === 404, {
    ...LONG,
    message: 'the execution to be gone',
  });
  expect(await last.process.stop()).toBe(0);
});
