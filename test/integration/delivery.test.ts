import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { compareArrivals } from '../../local/arrivals.ts';
import { expectedAvro, expectedJson, operationSchemaText } from '../../local/expected-operations.ts';
import { startFakeEventHubs, type FakeEventHubs } from '../../local/fake-event-hubs.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { sampleMutations, type SampleMutation } from '../../local/sample-mutations.ts';
import { produce } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';

/** The size is 200,000: `DELIVERY_TEST_MUTATIONS=200000`. */
const MUTATIONS = Number(process.env.DELIVERY_TEST_MUTATIONS || 16_000);
const VALUE_BYTES = 1_000;
const PARTITIONS = 8;
const DATAMART_ID = '1649';
/** So many mutations are in the log and not delivered, all the time: the process has always something to do. */
const LEAD = Math.max(1_600, MUTATIONS / 20);
const WINDOW_RECORDS = Math.ceil(LEAD / PARTITIONS);
/** Each answer of a fake cloud takes so long, so that deliveries are in flight at every moment. */
const ANSWER_MS = 200;
const KILLS_AT = [0.25, 0.6];
const TRAFFIC_MS = 2_000;

jest.setTimeout(120_000 + MUTATIONS * 2);

const V1_TOPIC = 'projects/acme/topics/version-1';
const V2_TOPIC = 'projects/acme/topics/version-2';
const HUB = 'users';
const FILE = 'out/operations.jsonl';
const FILTERED_TYPES = new Set(['UserPoint', 'UserPointParent', 'UserActivity', 'UserProfile']);

let pubsub: FakePubSub;
let eventHubs: FakeEventHubs;
let deployment: Deployment;

beforeAll(async () => {
  pubsub = await startFakePubSub();
  pubsub.createTopic(V1_TOPIC);
  pubsub.createTopic(V2_TOPIC, { schema: { definition: operationSchemaText(), encoding: 'BINARY' } });
  eventHubs = await startFakeEventHubs({ hubs: [HUB] });
  deployment = await Deployment.create({
    mutationTopics: [{ partitions: PARTITIONS }],
    environment: {
      PUBSUB_EMULATOR_HOST: pubsub.address,
      DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS),
    },
  });
  await deployment.putCredentials('azure.txt', eventHubs.connectionString());
  const common = { datamart_id: DATAMART_ID, status: 'ACTIVE' };
  const google = {
    ...common,
    type: 'GOOGLE_PUBSUB',
    project_id: 'acme',
    credentials_uri: 'file:google.json',
  };
  const filters = ['USER_POINT', 'USER_ACTIVITY', 'USER_PROFILE'].map((document) => ({ document }));
  await deployment.configure(
    { ...google, id: 'v1', version: 1, topic_id: 'version-1', replication_filters: filters },
    { ...google, id: 'v2', version: 2, topic_id: 'version-2', user_point_parent: true },
    {
      ...common,
      id: 'hub',
      type: 'AZURE_EVENT_HUBS',
      event_hub_name: HUB,
      credentials_uri: 'file:azure.txt',
    },
    { ...common, id: 'file', type: 'FILE', path: FILE },
  );
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await Promise.all([pubsub?.stop(), eventHubs?.stop()]);
});

/** What a Pub/Sub topic has got, each message once; reads on from where it was. */
class DistinctArrivals {
  readonly #topic: string;
  readonly #seen = new Set<string>();
  #next = 0;

  constructor(topic: string) {
    this.#topic = topic;
  }

  get count(): number {
    const { messages } = pubsub;
    for (; this.#next < messages.length; this.#next++) {
      const message = messages[this.#next];
      if (message?.topic === this.#topic) this.#seen.add(message.data.toString('latin1'));
    }
    return this.#seen.size;
  }
}

/** How many deliveries there were in the last moments. */
class Traffic {
  readonly #samples: { readonly at: number; readonly count: number }[] = [];

  sample(count: number): void {
    this.#samples.push({ at: Date.now(), count });
  }

  get recent(): number {
    const last = this.#samples.at(-1);
    if (!last) return 0;
    const first = this.#samples.find(({ at }) => at >= last.at - TRAFFIC_MS);
    return last.count - (first?.count ?? 0);
  }
}

test('killed twice in the middle of its work, it loses nothing, changes no byte, keeps the order and sends little twice', async () => {
  const sample = sampleMutations({ seed: 7, users: 400, valueBytes: VALUE_BYTES, startTs: Date.now() });
  const sent: SampleMutation[] = [];
  const write = jsonMutationWriter(DATAMART_ID);
  const version2 = new DistinctArrivals(V2_TOPIC);
  const version1 = new DistinctArrivals(V1_TOPIC);
  const traffic = new Traffic();
  const wantedByVersion1 = () => sent.filter(({ docType }) => FILTERED_TYPES.has(docType)).length;

  const keepLead = async (): Promise<void> => {
    const count = Math.min(MUTATIONS, version2.count + LEAD) - sent.length;
    if (count < LEAD / 10 && sent.length + count < MUTATIONS) return;
    const batch = Array.from({ length: Math.max(0, count) }, () => sample.next().value);
    await produce(
      deployment.mutations,
      batch.map((mutation) => ({ key: mutation.userPointId, value: write(mutation) })),
    );
    sent.push(...batch);
  };

  pubsub.faults.delayAll(ANSWER_MS);
  eventHubs.faults.delayNext(Number.MAX_SAFE_INTEGER, ANSWER_MS);
  await keepLead();
  let processor = await deployment.startReady();
  let duplicatesAllowed = 0;
  for (const share of KILLS_AT) {
    await processor.waitWhileRunning(
      async () => {
        await keepLead();
        traffic.sample(version2.count);
        return version2.count >= MUTATIONS * share;
      },
      `${share * 100} % of the deliveries`,
      60_000 + MUTATIONS,
    );
    processor.kill();
    await processor.exited;
    traffic.sample(version2.count);
    // The test proves nothing unless there was something left to do, of what was in the log and of the whole run.
    expect(version2.count).toBeLessThan(sent.length);
    expect(version1.count).toBeLessThan(wantedByVersion1());
    expect(sent.length).toBeLessThan(MUTATIONS);
    duplicatesAllowed += traffic.recent + WINDOW_RECORDS * PARTITIONS;
    await deployment.expelDeadMembers();
    processor = await deployment.startReady();
  }
  await processor.waitWhileRunning(
    async () => {
      await keepLead();
      return version2.count === MUTATIONS && version1.count === wantedByVersion1();
    },
    'the rest of the deliveries',
    60_000 + MUTATIONS,
  );
  // A replication that fell behind has a position of its own; the committed offset doesn't wait for it.
  await deployment.waitUntilDelivered(undefined, 60_000 + MUTATIONS);
  expect(await processor.stop()).toBe(0);

  const filtered = sent.filter(({ docType }) => FILTERED_TYPES.has(docType));
  const messagesOf = (name: string): string[] =>
    pubsub.messages.filter(({ topic }) => topic === name).map(({ data }) => data.toString('latin1'));
  const arrivals: Record<string, ReturnType<typeof compareArrivals>> = {
    v1: compareArrivals(filtered.map(expectedJson), messagesOf(V1_TOPIC)),
    v2: compareArrivals(sent.map(expectedAvro), messagesOf(V2_TOPIC)),
    hub: compareArrivals(
      sent.map(expectedJson),
      eventHubs.events(HUB).map(({ body }) => body.toString('latin1')),
    ),
    file: compareArrivals(sent.map(expectedJson), await deployment.fileLines(FILE)),
  };
  for (const [id, { duplicates, ...violations }] of Object.entries(arrivals)) {
    expect({ id, ...violations }).toEqual({ id, lost: [], unknown: [], outOfOrder: [] });
    expect(duplicates).toBeLessThanOrEqual(duplicatesAllowed);
  }
});
