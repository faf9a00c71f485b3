import { afterEach, expect, jest, test } from '@jest/globals';
import { compareArrivals } from '../../local/arrivals.ts';
import { expectedJson } from '../../local/expected-operations.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { sampleMutations, type SampleMutation } from '../../local/sample-mutations.ts';
import { produce } from '../support/kafka.ts';
import { Deployment, type DeploymentOptions, type ProcessorProcess } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';

const DATAMART_ID = '1649';
const TOPIC = 'projects/acme/topics/users';
const BATCH = 200;
const BATCHES_PER_PHASE = 10;
const STOP_MS = 15_000;
const HAND_OVER_MS = 10_000;

jest.setTimeout(120_000);

const disposables: AsyncDisposable[] = [];

afterEach(async () => {
  for (const disposable of disposables.splice(0).reverse()) await disposable[Symbol.asyncDispose]();
});

async function setUp(options: DeploymentOptions): Promise<{ pubsub: FakePubSub; deployment: Deployment }> {
  const pubsub = await startFakePubSub();
  disposables.push({ [Symbol.asyncDispose]: () => pubsub.stop() });
  pubsub.createTopic(TOPIC);
  const deployment = await Deployment.create({
    ...options,
    environment: { PUBSUB_EMULATOR_HOST: pubsub.address, ...options.environment },
  });
  disposables.push(deployment);
  await deployment.configure({
    id: 'users',
    type: 'GOOGLE_PUBSUB',
    status: 'ACTIVE',
    datamart_id: DATAMART_ID,
    version: 1,
    project_id: 'acme',
    topic_id: 'users',
    credentials_uri: 'file:google.json',
  });
  return { pubsub, deployment };
}

/** Produces sample mutations and remembers them. */
class Upstream {
  readonly sent: SampleMutation[] = [];
  readonly #topic: string;
  readonly #write = jsonMutationWriter(DATAMART_ID);
  readonly #sample = sampleMutations({ seed: 3, users: 100, valueBytes: 300, startTs: Date.now() });

  constructor(topic: string) {
    this.#topic = topic;
  }

  async send(count: number): Promise<void> {
    const batch = Array.from({ length: count }, () => this.#sample.next().value);
    await produce(
      this.#topic,
      batch.map((mutation) => ({ key: mutation.userPointId, value: this.#write(mutation) })),
    );
    this.sent.push(...batch);
  }
}

async function untilShared(
  one: ProcessorProcess,
  other: ProcessorProcess,
  partitions: number,
): Promise<void> {
  await one.waitWhileRunning(async () => {
    const owned = [await one.ownedPartitions(), await other.ownedPartitions()];
    const all = owned.flat();
    return (
      owned.every(({ length }) => length > 0) && all.length === partitions && new Set(all).size === partitions
    );
  }, 'each instance to own a part of the partitions');
}

test('two instances share the partitions, and stopping one under load hands its part over within seconds, with nothing lost or sent twice', async () => {
  const partitions = 8;
  const { pubsub, deployment } = await setUp({ mutationTopics: [{ partitions }] });
  const upstream = new Upstream(deployment.mutations);
  const staying = await deployment.startReady();
  const leaving = await deployment.startReady();
  await untilShared(staying, leaving, partitions);
  expect(await staying.samples('consumer_lag_records')).toHaveLength(partitions / 2);

  for (let batch = 0; batch < BATCHES_PER_PHASE; batch++) await upstream.send(BATCH);
  const stopping = Date.now();
  const stopped = leaving.stop();
  for (let batch = 0; batch < BATCHES_PER_PHASE; batch++) await upstream.send(BATCH);
  expect(await stopped).toBe(0);
  expect(Date.now() - stopping).toBeLessThan(STOP_MS);

  await staying.waitWhileRunning(
    async () => (await staying.ownedPartitions()).length === partitions,
    'the staying instance to own all partitions',
    HAND_OVER_MS,
  );
  await upstream.send(BATCH);
  await staying.waitWhileRunning(
    () => pubsub.messages.length >= upstream.sent.length,
    'all operations to arrive',
  );
  await deployment.waitUntilCommitted();
  expect((await staying.readiness()).status).toBe(200);
  expect(await staying.stop()).toBe(0);

  const arrived = pubsub.messages.map(({ data }) => data.toString('latin1'));
  expect(compareArrivals(upstream.sent.map(expectedJson), arrived)).toEqual({
    lost: [],
    unknown: [],
    outOfOrder: [],
    duplicates: 0,
  });
});

test('an instance without a partition is healthy and ready, and takes over when the other one leaves', async () => {
  const { pubsub, deployment } = await setUp({ mutationTopics: [{ partitions: 1 }] });
  const instances = [await deployment.startReady(), await deployment.startReady()];
  const owners = async () =>
    Promise.all(instances.map(async (instance) => (await instance.ownedPartitions()).length));
  await waitFor(async () => (await owners()).sort().join() === '0,1', { message: 'one of two to be idle' });
  const counts = await owners();
  const owner = instances[counts.indexOf(1)];
  const idle = instances[counts.indexOf(0)];
  if (!owner || !idle) throw new Error('nobody is idle');
  expect(await idle.readiness()).toMatchObject({ status: 200, state: 'RUNNING' });
  expect(await idle.health()).toBe(200);

  const upstream = new Upstream(deployment.mutations);
  await upstream.send(BATCH);
  await waitFor(() => pubsub.messages.length === BATCH, { message: 'the first operations' });
  expect(await owner.stop()).toBe(0);
  await upstream.send(BATCH);
  await idle.waitWhileRunning(
    () => pubsub.messages.length >= 2 * BATCH,
    'the idle one to take over',
    HAND_OVER_MS,
  );
  expect(await idle.stop()).toBe(0);
  const arrived = pubsub.messages.map(({ data }) => data.toString('latin1'));
  expect(compareArrivals(upstream.sent.map(expectedJson), arrived)).toMatchObject({
    lost: [],
    duplicates: 0,
  });
});

test('a second SIGTERM ends a process that still drains, with exit code 1', async () => {
  const { pubsub, deployment } = await setUp({});
  const instance = await deployment.startReady();
  const upstream = new Upstream(deployment.mutations);
  await upstream.send(1);
  await instance.waitWhileRunning(() => pubsub.messages.length === 1, 'the first operation');
  pubsub.faults.storeAndHangNext(1);
  await upstream.send(1);
  await instance.waitWhileRunning(() => pubsub.messages.length === 2, 'a delivery to be in flight');
  instance.terminate();
  await waitFor(async () => (await instance.health()) === 503, { message: 'the process to be ending' });
  expect(instance.isRunning).toBe(true);
  const forced = Date.now();
  expect(await instance.stop()).toBe(1);
  expect(Date.now() - forced).toBeLessThan(2_000);
});
