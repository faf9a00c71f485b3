import { expect, jest, test } from '@jest/globals';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { openSinks, openTable } from '../../commands/processor.ts';
import { loadSettings } from '../../config/load.ts';
import { startFakePubSub } from '../../local/fake-pubsub.ts';
import { SeededRandom } from '../../local/random.ts';
import { judgementKey, judgementNameOf, writeJudgement } from '../../processors/config-judgement.ts';
import type { ReplicationTable } from '../../processors/replication-table.ts';
import { compactEagerly } from '../support/compaction.ts';
import { ControlWriter, DATAMARTS } from '../support/control-writer.ts';
import { HttpApi, tokensFileOf } from '../support/http-api.ts';
import { produce, readAll, type StoredRecord } from '../support/kafka.ts';
import { Deployment, type DeploymentOptions, type ProcessorProcess } from '../support/processor-process.ts';
import { aSealedRecord, KEY, OTHER_KEY } from '../support/sealed-credentials.ts';
import { aServiceAccountFile } from '../support/service-account.ts';
import { silentLogger } from '../support/silent-logger.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(240_000);

const TOKEN = 'ops-0123456789abcdef';
const DATAMART = '1649';
const REPLICATIONS = `/v1/datamarts/${DATAMART}/replications`;
const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';

/** A deployment whose instances serve the API too. */
class ControlledDeployment implements AsyncDisposable {
  readonly deployment: Deployment;

  private constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  static async create(options: DeploymentOptions = {}): Promise<ControlledDeployment> {
    const environment = {
      ROLES: 'replicate,api',
      CREDENTIALS_KEY: KEY.toString('base64'),
      HTTP_RATE_LIMIT: '100000',
      ...options.environment,
    };
    const deployment = await Deployment.create({
      mutationTopics: [{ partitions: 3 }],
      ...options,
      environment,
    });
    await deployment.putCredentials('tokens.json', tokensFileOf(TOKEN));
    return new ControlledDeployment(deployment);
  }

  async startReady(): Promise<Instance> {
    const file = join(this.deployment.credentialsDirectory, 'tokens.json');
    const process = await this.deployment.startReady({ HTTP_TOKENS_FILE: file });
    return { process, api: new HttpApi(process.url, TOKEN) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.deployment[Symbol.asyncDispose]();
  }
}

type Fields = Readonly<Record<string, unknown>>;

interface Instance {
  readonly process: ProcessorProcess;
  readonly api: HttpApi;
}

/** The product page's example, its missing name filled in and what stands for more entries left out. */
const PRINTED = `{
	"status": "PAUSED",
	"name": "users",
	"project_id": "test",
	"topic_id": "test",
	"datamart_id": "1649",
	"type": "GOOGLE_PUBSUB",
	"replication_filters": [{
		"document": "USER_SEGMENT",
		"filter": null
	}, {
		"document": "USER_ACCOUNT",
		"filter": null
	}]
}`;

test('the product page’s calls work at any instance, to a replication that is ACTIVE, repaired by credentials alone, and deleted', async () => {
  const pubsub = await startFakePubSub();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => pubsub.stop());
  pubsub.createTopic('projects/test/topics/test');
  const controlled = stack.use(
    await ControlledDeployment.create({ environment: { PUBSUB_EMULATOR_HOST: pubsub.address } }),
  );
  const { deployment } = controlled;
  const [one, other] = await Promise.all([controlled.startReady(), controlled.startReady()]);

  const created = await one.api.call('POST', REPLICATIONS, PRINTED);
  expect(created).toMatchObject({ status: 201, data: { version: 2, status: 'PAUSED', name: 'users' } });
  const id = String(created.data.id);
  const path = `${REPLICATIONS}/${id}`;
  const seen = async (answers: Fields): Promise<void> => {
    let observed: Fields = {};
    for (const { process, api } of [one, other])
      await waitFor(
        async () => {
          observed = await observedOf(api, path);
          return isDeepStrictEqual({ ...observed, ...answers }, observed);
        },
        {
          timeoutMs: 20_000,
          message: () => `${JSON.stringify(answers)}, not ${JSON.stringify(observed)}; ${process.describe()}`,
        },
      );
  };
  await seen({ state: 'PAUSED' });
  expect(await one.api.call('PUT', path, { status: 'ACTIVE' })).toMatchObject({
    code: 'credentials_missing',
  });

  const uploaded = await other.api.upload(`${path}/credentials`, aServiceAccountFile());
  expect(uploaded).toMatchObject({ status: 200, data: { credentials_uri: `sealed:${id}` } });
  expect(await other.api.call('GET', path)).toMatchObject({
    status: 200,
    data: {
      id,
      version: 2,
      status: 'PAUSED',
      name: 'users',
      project_id: 'test',
      topic_id: 'test',
      datamart_id: DATAMART,
      type: 'GOOGLE_PUBSUB',
      credentials_uri: `sealed:${id}`,
      replication_filters: [
        { id: '1', replication_id: id, document: 'USER_SEGMENT', filter: null },
        { id: '2', replication_id: id, document: 'USER_ACCOUNT', filter: null },
      ],
    },
  });
  const executions = `/v1/datamarts/${DATAMART}/replication_job_executions`;
  expect(await one.api.call('POST', executions, { replication_ids: [id] })).toMatchObject({
    status: 409,
    code: 'replication_not_active',
  });

  const activated = await other.api.call('PUT', path, { status: 'ACTIVE' });
  expect(activated).toMatchObject({ status: 200, data: { status: 'ACTIVE' } });
  await seen({ state: 'ACTIVE' });
  await send(deployment, 1);
  await one.process.waitWhileRunning(() => pubsub.messages.length === 2, 'the first operations');

  // Credentials that nobody can open: the destination in use goes on, until it is activated anew.
  const owner = { replicationId: id, datamartId: DATAMART };
  const unknown = aSealedRecord({ ...owner, version: 7, key: OTHER_KEY, text: aServiceAccountFile() });
  await produce(deployment.topics.replicationCredentials, [{ key: id, value: unknown }]);
  await waitFor(
    async () => {
      // Until this instance has read the credentials, the old ones pass the check.
      await one.api.call('PUT', path, { status: 'PAUSED' });
      return (await one.api.call('PUT', path, { status: 'ACTIVE' })).code === 'activation_failed';
    },
    { message: 'the API to refuse the activation' },
  );
  const records = await readAll(deployment.topics.replicationConfig);
  const last = JSON.parse(records.at(-1)?.value?.toString() ?? '') as { readonly status: string; id: string };
  expect(last.status).toBe('PAUSED');
  await deployment.configure({ ...last, status: 'ACTIVE' });
  await seen({ state: 'ERROR', reason: 'activation_failed', code: 'credential_decrypt_failed' });
  expect((await other.api.call('GET', path)).data.status).toBe('ERROR');

  const repaired = await one.api.upload(`${path}/credentials`, aServiceAccountFile());
  expect(repaired.status).toBe(200);
  await seen({ state: 'ACTIVE', code: null });
  await send(deployment, 2);
  await one.process.waitWhileRunning(() => pubsub.messages.length === 4, 'the operations after the repair');

  expect(await other.api.call('DELETE', path)).toMatchObject({ status: 200, data: { id } });
  const newest = async (): Promise<StoredRecord | undefined> =>
    (await readAll(deployment.topics.replicationCredentials)).findLast(({ key }) => String(key) === id);
  await one.process.waitWhileRunning(
    async () => (await newest())?.value === null,
    'the credentials to be shredded',
  );
  await one.process.waitWhileRunning(
    async () => (await one.api.call('GET', path)).code === 'not_found',
    'the delete to be seen by the other instance',
  );
  for (const { process } of [one, other]) {
    expect(process.log()).not.toContain('PRIVATE KEY');
    expect(process.logged('nobody caught')).toEqual([]);
  }
  expect(await Promise.all([one.process.stop(), other.process.stop()])).toEqual([0, 0]);
});

async function observedOf(api: HttpApi, path: string): Promise<Readonly<Record<string, unknown>>> {
  const { data } = await api.call('GET', path);
  return { ...(data.observed as Fields | undefined) };
}

/** A user point, which the printed filters leave out, a segment and an account. */
async function send(deployment: Deployment, ts: number): Promise<void> {
  const shared = { datamart_id: DATAMART, user_point_id: USER, ts, op: 'UPDATE' };
  const mutations = [
    { ...shared, doc_type: 'UserPoint' },
    { ...shared, doc_type: 'UserSegment', segment_id: '1', value: { segment: 1 } },
    { ...shared, doc_type: 'UserAccount', compartment_id: '1', user_account_id: 'x' },
  ];
  await produce(
    deployment.mutations,
    mutations.map((mutation) => ({ key: USER, value: JSON.stringify(mutation) })),
  );
}

const WRITERS = 10;
const CHANGES_EACH = 20;
const KEPT = { id: 'kept', datamart_id: DATAMART, type: 'FILE', path: 'kept.jsonl', name: 'good' };

test('ten writers at once leave all instances with the last valid records, also after compaction and a restart, and a late one', async () => {
  await using controlled = await ControlledDeployment.create({
    environment: { LIMITS_REPLICATIONS_PER_DATAMART: '8' },
  });
  const { deployment } = controlled;
  const { replicationConfig, replicationStatus } = deployment.topics;
  await deployment.configure(KEPT);
  const [one, other] = await Promise.all([controlled.startReady(), controlled.startReady()]);

  const created: string[] = [];
  const writers = Array.from({ length: WRITERS }, (_, seed) => {
    const shared = { controlTopic: replicationConfig, apis: [one.api, other.api] as const, created };
    return new ControlWriter(new SeededRandom(seed), shared);
  });
  await Promise.all(
    writers.map(async (writer) => {
      for (let i = 0; i < CHANGES_EACH; i += 1) await writer.change();
    }),
  );
  // Its good record is the one that compaction takes.
  await deployment.configure({ ...KEPT, path: 'another.jsonl' });

  const log = await readAll(replicationConfig);
  const { table, accepted, refused } = await replayed(log, deployment);
  const answers = writers.flatMap((writer) => writer.answers);
  process.stdout.write(
    `${log.length} records: ${accepted.size} accepted, ${refused} refused, ${table.size} replications left; ` +
      `${answers.length} calls: ${countsOf(answers.map(({ answer }) => answer.code ?? String(answer.status)))}\n`,
  );
  expect(answers.filter(({ answer }) => answer.status >= 500)).toEqual([]);
  expect(accepted.size).toBeGreaterThan(30);
  expect(refused).toBeGreaterThan(20);
  // What was answered as done is in the log, and was accepted.
  const confirmed = answers.flatMap(({ answer }) => (answer.etag === null ? [] : [Number(answer.etag)]));
  expect(confirmed.filter((offset) => !accepted.has(offset))).toEqual([]);

  const expected = expectedOf(table);
  await untilEach([one, other], expected);
  await untilJudged(replicationStatus, table);

  await compactEagerly(replicationConfig);
  const isErased = async (): Promise<boolean> => {
    // Closes the active segment, which is never compacted; there is nothing to delete.
    await produce(replicationConfig, [{ key: 'closing', value: null }]);
    const left = await readAll(replicationConfig);
    const keys = left.filter(({ key }) => String(key) !== 'closing').map(({ key }) => String(key));
    return new Set(keys).size === keys.length;
  };
  await waitFor(isErased, { timeoutMs: 60_000, message: 'the control topic to be compacted' });
  const left = await readAll(replicationConfig);
  expect(left.length).toBeLessThan(log.length);
  expect(left.filter(({ key }) => String(key) === KEPT.id)).toHaveLength(1);

  expect(await one.process.stop()).toBe(0);
  const [again, late] = await Promise.all([controlled.startReady(), controlled.startReady()]);
  await untilEach([again, other, late], expected);
  await untilJudged(replicationStatus, table);
  expect(await again.api.call('GET', `${REPLICATIONS}/kept`)).toMatchObject({
    etag: '0',
    data: {
      name: 'good',
      path: 'kept.jsonl',
      observed: { refused: { code: 'immutable_field', field: 'path' } },
    },
  });

  // They go on from there: judged against what compaction has erased.
  await deployment.configure({ ...KEPT, name: 'better' });
  for (const { process, api } of [again, other, late])
    await process.waitWhileRunning(
      async () => (await api.call('GET', `${REPLICATIONS}/kept`)).data.name === 'better',
      'a later change',
    );
  for (const { process } of [again, other, late]) expect(process.logged('nobody caught')).toEqual([]);
  const codes = await Promise.all([again, other, late].map(({ process }) => process.stop()));
  expect(codes).toEqual([0, 0, 0]);
});

/** The table that the log's records make, in their order, by the program's own rules. */
async function replayed(
  log: readonly StoredRecord[],
  deployment: Deployment,
): Promise<{ table: ReplicationTable; accepted: ReadonlySet<number>; refused: number }> {
  const settings = loadSettings({ env: deployment.settings, flags: {}, readFile: () => '' });
  const sinks = await openSinks(settings, silentLogger, { pubsubEmulatorHost: null });
  const table = openTable(sinks, settings);
  const accepted = new Set<number>();
  let refused = 0;
  for (const { key, value, offset, timestamp } of log) {
    const change = table.apply(String(key), value, Number(offset), Number(timestamp));
    if (change.kind === 'refused') refused += 1;
    if (change.kind === 'changed' && change.next) accepted.add(change.next.offset);
  }
  return { table, accepted, refused };
}

/** A replication as it is compared: the record in force by its offset, and why a newer one isn't. */
interface Seen {
  readonly id: string;
  readonly datamart_id: string;
  readonly name: string;
  readonly type: string;
  readonly version: number;
  readonly etag: string | null;
  readonly refused: unknown;
}

function expectedOf(table: ReplicationTable): readonly Seen[] {
  const all = [...table.all()].map((config): Seen => {
    const { id, datamartId, name, type, version, offset } = config;
    const refused = table.judgement(id)?.refused ?? null;
    return {
      id,
      datamart_id: datamartId,
      name,
      type,
      version,
      etag: String(offset),
      refused: refused && { ...refused, offset: String(refused.offset) },
    };
  });
  return sorted(all);
}

async function seenBy({ api }: Instance): Promise<readonly Seen[]> {
  const all: Seen[] = [];
  for (const datamart of DATAMARTS) {
    const path = `/v1/datamarts/${datamart}/replications`;
    const { list } = await api.call('GET', `${path}?max_results=1000`);
    for (const { id, datamart_id, name, type, version, observed } of list) {
      const { etag } = await api.call('GET', `${path}/${String(id)}`);
      const { refused } = observed as { readonly refused: unknown };
      all.push({ id, datamart_id, name, type, version, etag, refused } as Seen);
    }
  }
  return sorted(all);
}

/** Everything that the lists say of what was observed, but for how far Kafka is. */
async function statesSeenBy({ api }: Instance): Promise<readonly object[]> {
  const lists = await Promise.all(
    DATAMARTS.map((datamart) => api.call('GET', `/v1/datamarts/${datamart}/replications?max_results=1000`)),
  );
  return lists.flatMap(({ list }) =>
    list.map((resource) => {
      const observed = { ...(resource.observed as object), lag_records: null, lag_seconds: null };
      return { ...resource, observed };
    }),
  );
}

/** Waits until every instance holds this, and they agree on what was observed. */
async function untilEach(instances: readonly Instance[], expected: readonly Seen[]): Promise<void> {
  const agree = async (): Promise<boolean> => {
    const seen = await Promise.all(instances.map(seenBy));
    if (!seen.every((of) => isDeepStrictEqual(of, expected))) return false;
    const states = await Promise.all(instances.map(statesSeenBy));
    return states.every((of) => isDeepStrictEqual(of, states[0]));
  };
  await waitFor(agree, { timeoutMs: 20_000 }).catch(() => undefined);
  for (const instance of instances) expect(await seenBy(instance)).toEqual(expected);
  const [first, ...others] = await Promise.all(instances.map(statesSeenBy));
  for (const states of others) expect(states).toEqual(first);
}

/** Waits until `replication-status` holds every judgement, also of keys that have no replication. */
async function untilJudged(topic: string, table: ReplicationTable): Promise<void> {
  const expected = new Map(
    [...table.judged()].sort().map((name) => {
      const judgement = table.judgement(name);
      return [judgementKey(name), judgement && writeJudgement(name, judgement).toString()];
    }),
  );
  const stored = async (): Promise<Map<string, string>> => {
    const newest = new Map<string, string>();
    for (const { key, value } of await readAll(topic)) {
      if (judgementNameOf(String(key)) === null) continue;
      if (value === null) newest.delete(String(key));
      else newest.set(String(key), value.toString());
    }
    return new Map([...newest].sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  await waitFor(async () => isDeepStrictEqual(await stored(), expected), { timeoutMs: 10_000 }).catch(
    () => undefined,
  );
  expect(await stored()).toEqual(expected);
}

function sorted(all: readonly Seen[]): readonly Seen[] {
  return [...all].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function countsOf(names: readonly string[]): string {
  return [...Map.groupBy(names, (name) => name)]
    .map(([name, of]) => `${of.length} ${name}`)
    .sort()
    .join(', ');
}
