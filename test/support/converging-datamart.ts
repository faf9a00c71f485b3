import { setTimeout as sleep } from 'node:timers/promises';
import { decodeAvroOperation, expectedJson } from '../../local/expected-operations.ts';
import { startFakeEventHubs, type FakeEventHubs } from '../../local/fake-event-hubs.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { SeededRandom } from '../../local/random.ts';
import type { SampleMutation } from '../../local/sample-mutations.ts';
import { replicationKey } from '../../processors/status-record.ts';
import type { DocumentType } from '../../schemas/document-type.ts';
import { createTopic, kafkaClient, produce, readAll, uniqueTopic } from './kafka.ts';
import { Deployment, type DeploymentOptions, type ProcessorProcess } from './processor-process.ts';
import { waitFor } from './wait-for.ts';

const DATAMART_ID = '1649';
const PARTITIONS = 8;
const HUB = 'events';
const MAX_SEND = 500;
const START_TS = 1_763_900_000_000;

export const REPLICATIONS = ['json', 'avro', 'events', 'copy'] as const;
export type ReplicationId = (typeof REPLICATIONS)[number];

/** The documents of one user, by type: how many, and how their ids are made. */
const DOCUMENTS_OF_A_USER: readonly (readonly [
  DocumentType,
  number,
  (n: number) => SampleMutation['parts'],
])[] = [
  ['UserPoint', 1, () => ({})],
  ['UserActivity', 6, (n) => ({ user_activity_id: `activity-${n}` })],
  ['UserProfile', 2, (n) => ({ compartment_id: `${1000 + n}`, user_account_id: `account "${n}"` })],
  ['UserSegment', 4, (n) => ({ segment_id: `${200 + n}` })],
  ['UserDevicePoint', 1, () => ({ user_device_point_id: 'udp:1' })],
  [
    'UserDeviceTechnicalId',
    2,
    (n) => ({ user_device_point_id: 'udp:1', user_device_technical_id: `tid:${n}` }),
  ],
  ['UserAgent', 1, () => ({ vector_id: 'vec:1' })],
  ['UserAccount', 1, () => ({ compartment_id: '1000', user_account_id: 'a/b' })],
  ['UserEmail', 1, () => ({ email_hash: 'ab/cd==' })],
  ['UserPointParent', 1, () => ({ kept_user_point_id: '4700c85f-17e3-4304-aa7f-dc140173b08d' })],
];

/** The newest mutation of a document. */
interface Document {
  newest: SampleMutation;
  changes: number;
}

/** What a fold has come to: by document the text of its value; null where the last word is a deletion. */
export type Fold = ReadonlyMap<string, string | null>;

/** How a destination's fold differs from the source's. */
export interface Divergence {
  readonly missing: number;
  readonly stale: number;
  readonly resurrected: number;
  readonly extra: number;
  readonly examples: readonly string[];
}

/**
 * A datamart whose documents are all in the snapshot, upstream of it the source of truth, and four replications that
 * have got nothing of it: Pub/Sub version 1 and 2, Event Hubs and a Kafka topic.
 */
export class ConvergingDatamart implements AsyncDisposable {
  readonly deployment: Deployment;
  readonly pubsub: FakePubSub;
  readonly eventHubs: FakeEventHubs;
  readonly #copyTopic: string;
  readonly #stack: AsyncDisposableStack;
  readonly #producer = kafkaClient().producer({ allowAutoTopicCreation: false });
  readonly #write = jsonMutationWriter(DATAMART_ID);
  readonly #random = new SeededRandom(7);
  readonly #documents: Document[] = [];
  /** When each change with a value was about to be sent, by `arrivalKey`. */
  readonly #sentAt = new Map<string, number>();
  #isChanging = false;
  #changing: Promise<void> = Promise.resolve();

  private constructor(
    deployment: Deployment,
    pubsub: FakePubSub,
    eventHubs: FakeEventHubs,
    copyTopic: string,
    stack: AsyncDisposableStack,
  ) {
    this.deployment = deployment;
    this.pubsub = pubsub;
    this.eventHubs = eventHubs;
    this.#copyTopic = copyTopic;
    this.#stack = stack;
  }

  /** Topics and fakes are there; nothing is written, nothing runs, nothing is configured. */
  static async create(options: DeploymentOptions = {}): Promise<ConvergingDatamart> {
    await using stack = new AsyncDisposableStack();
    const pubsub = await startFakePubSub();
    stack.defer(() => pubsub.stop());
    for (const id of ['json', 'avro']) pubsub.createTopic(topicOf(id));
    const eventHubs = await startFakeEventHubs({ hubs: [HUB] });
    stack.defer(() => eventHubs.stop());
    const environment = { PUBSUB_EMULATOR_HOST: pubsub.address, ...options.environment };
    const mutationTopics = [{ partitions: PARTITIONS }];
    const deployment = stack.use(await Deployment.create({ mutationTopics, ...options, environment }));
    await deployment.putCredentials('hub.txt', eventHubs.connectionString());
    const copyTopic = uniqueTopic('copy');
    await createTopic(copyTopic, { partitions: PARTITIONS });
    const datamart = new ConvergingDatamart(
      deployment,
      pubsub,
      eventHubs,
      copyTopic,
      new AsyncDisposableStack(),
    );
    await datamart.#producer.connect();
    stack.defer(() => datamart.#producer.disconnect());
    datamart.#stack.use(stack.move());
    return datamart;
  }

  /** Writes so many documents of all types; resolves when Kafka has stored them. */
  async fill(documents: number): Promise<void> {
    while (this.#documents.length < documents) {
      const userPointId = this.#random.uuid();
      for (const [docType, count, partsOf] of DOCUMENTS_OF_A_USER) {
        for (let n = 0; n < count; n += 1) {
          const place = { userPointId, docType, parts: partsOf(n) };
          const newest = { ...place, ts: START_TS, op: 'UPDATE' as const, value: valueOf(docType, 0) };
          this.#documents.push({ newest, changes: 0 });
        }
      }
    }
    await this.#send(this.#documents.map(({ newest }) => newest));
  }

  /** Configures the replications; resolves when they are ACTIVE, and follow the live mutations. */
  async replicate(): Promise<void> {
    const common = { datamart_id: DATAMART_ID, status: 'ACTIVE' };
    const google = {
      ...common,
      type: 'GOOGLE_PUBSUB',
      project_id: 'acme',
      credentials_uri: 'file:google.json',
    };
    await this.deployment.configure(
      { ...google, id: 'json', version: 1, topic_id: 'json' },
      { ...google, id: 'avro', version: 2, topic_id: 'avro', user_point_parent: true },
      {
        ...common,
        id: 'events',
        type: 'AZURE_EVENT_HUBS',
        event_hub_name: HUB,
        credentials_uri: 'file:hub.txt',
      },
      { ...common, id: 'copy', type: 'KAFKA_TOPIC', version: 1, topic: this.#copyTopic },
    );
    let active: readonly ReplicationId[] = [];
    await waitFor(async () => (active = await this.#active()).length === REPLICATIONS.length, {
      timeoutMs: 60_000,
      message: () => `all replications to be ACTIVE, not only ${active.join()}`,
    });
  }

  /** Writes a request of an initial synchronization, with these fields. */
  async launch(id: string, fields: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const request = { id, datamart_id: DATAMART_ID, ...fields };
    const { initialSyncRequests } = this.deployment.topics;
    await produce(
      initialSyncRequests,
      [{ key: id, value: JSON.stringify(request) }],
      this.deployment.brokers,
    );
  }

  /** The execution's newest record; null before there is one. */
  async execution(id: string): Promise<Readonly<Record<string, unknown>> | null> {
    const records = await readAll(this.deployment.topics.initialSyncExecutions, this.deployment.brokers);
    const newest = records.findLast(({ key }) => key?.toString() === id);
    return newest?.value ? (JSON.parse(newest.value.toString()) as Record<string, unknown>) : null;
  }

  async waitForStatus(id: string, status: string, timeoutMs: number): Promise<void> {
    let last: unknown = null;
    await waitFor(async () => (last = await this.execution(id)) !== null && hasStatus(last, status), {
      timeoutMs,
      message: () => `the execution to be ${status}, not ${JSON.stringify(last)}`,
    });
  }

  /**
   * Changes documents at random, so many a second, until `stopChanges`: updates, deletions, and documents that come
   * back; one in five has the `ts` of the change before.
   */
  startChanges(perSecond: number): void {
    this.#isChanging = true;
    const batch = Math.max(1, Math.round(perSecond / 20));
    this.#changing = (async () => {
      while (this.#isChanging) {
        const changes = Array.from({ length: batch }, () => this.#change());
        for (const change of changes) this.#noteSent(change);
        await this.#send(changes);
        await sleep(50);
      }
    })();
  }

  /** Changes so many documents, one after the other; resolves when Kafka has stored it. */
  async change(count: number): Promise<void> {
    await this.#send(Array.from({ length: count }, () => this.#change()));
  }

  async stopChanges(): Promise<void> {
    this.#isChanging = false;
    await this.#changing;
  }

  /** How many documents have been changed since they were written. */
  get changed(): number {
    return this.#documents.filter(({ changes }) => changes > 0).length;
  }

  /** Waits until everything is committed and nothing is detached. */
  async waitUntilDelivered(timeoutMs = 120_000): Promise<void> {
    await this.deployment.waitUntilDelivered(() => true, timeoutMs);
  }

  /** How what has arrived at each replication, folded in the order of arrival, differs from the source. */
  async divergences(): Promise<Readonly<Record<ReplicationId, Divergence | null>>> {
    const source = this.#sourceFold();
    const entries = await Promise.all(
      REPLICATIONS.map(async (id) => [id, divergenceOf(source, await this.#arrivals(id))] as const),
    );
    return Object.fromEntries(entries) as Record<ReplicationId, Divergence | null>;
  }

  /**
   * How long each change with a value that `startChanges` made in this time took until it was stored at the first
   * replication, in ms, the shortest first; of those that have arrived.
   */
  async delays(sinceMs: number, untilMs: number): Promise<readonly number[]> {
    const delays = new Map<string, number>();
    for (const operation of await this.#arrivals('json')) {
      const key = arrivalKey(operation);
      const sentAt = this.#sentAt.get(key) ?? -Infinity;
      if (sentAt >= sinceMs && sentAt < untilMs && !delays.has(key))
        delays.set(key, (operation.storedAt ?? 0) - sentAt);
    }
    return [...delays.values()].sort((a, b) => a - b);
  }

  /** Messages that have arrived. */
  async arrived(id: ReplicationId): Promise<number> {
    return (await this.#arrivals(id)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isChanging = false;
    await this.#changing.catch(() => undefined);
    await this.#stack.disposeAsync();
  }

  async #active(): Promise<readonly ReplicationId[]> {
    const records = await readAll(this.deployment.topics.replicationStatus, this.deployment.brokers);
    return REPLICATIONS.filter((id) => {
      const newest = records.findLast(({ key }) => key?.toString() === replicationKey(id));
      return newest?.value?.toString().includes('"state":"ACTIVE"');
    });
  }

  #change(): SampleMutation {
    const index = this.#random.below(this.#documents.length);
    const document = this.#documents[index]!;
    const { newest } = document;
    document.changes += 1;
    const isDeletable = newest.docType !== 'UserPointParent';
    const op = isDeletable && newest.op === 'UPDATE' && this.#random.chance(0.3) ? 'DELETE' : 'UPDATE';
    const ts = this.#random.chance(0.2) ? newest.ts : newest.ts + 1 + this.#random.below(1_000);
    const value = op === 'DELETE' ? null : valueOf(newest.docType, document.changes);
    document.newest = { ...newest, ts, op, value };
    return document.newest;
  }

  #noteSent(mutation: SampleMutation): void {
    if (mutation.value === null) return;
    this.#sentAt.set(arrivalKey(operationOf(expectedJson(mutation).bytes)), Date.now());
  }

  async #send(mutations: readonly SampleMutation[]): Promise<void> {
    for (let from = 0; from < mutations.length; from += MAX_SEND) {
      const messages = mutations
        .slice(from, from + MAX_SEND)
        .map((mutation) => ({ key: mutation.userPointId, value: this.#write(mutation) }));
      await this.#producer.send({ topic: this.deployment.mutations, acks: -1, messages });
    }
  }

  #sourceFold(): Fold {
    return foldOf(this.#documents.map(({ newest }) => operationOf(expectedJson(newest).bytes)));
  }

  async #arrivals(id: ReplicationId): Promise<readonly Operation[]> {
    switch (id) {
      case 'json':
        return this.#messages(id).map(({ data, storedAt }) => operationOf(data.toString('latin1'), storedAt));
      case 'avro':
        return this.#messages(id).map(({ data, storedAt }) => avroOperationOf(data, storedAt));
      case 'events':
        return this.eventHubs
          .events(HUB)
          .map(({ body, storedAt }) => operationOf(body.toString('latin1'), storedAt));
      case 'copy': {
        const records = await readAll(this.#copyTopic, this.deployment.brokers);
        return records.map(({ value }) => operationOf(value?.toString('latin1') ?? '{}'));
      }
    }
  }

  #messages(id: string): FakePubSub['messages'] {
    return this.pubsub.messages.filter(({ topic }) => topic === topicOf(id));
  }
}

/** Starts two instances that share the partitions. */
export async function startTwo(
  deployment: Deployment,
): Promise<readonly [ProcessorProcess, ProcessorProcess]> {
  return Promise.all([deployment.startReady(), deployment.startReady()]);
}

export function topicOf(id: string): string {
  return `projects/acme/topics/${id}`;
}

interface Operation {
  readonly document: string;
  readonly op: string;
  readonly value: string;
  /** When it was stored there, in ms since 1970; null where the destination doesn't tell. */
  readonly storedAt: number | null;
}

function operationOf(text: string, storedAt: number | null = null): Operation {
  const { doc_type, doc_id, op, value } = JSON.parse(text) as Record<string, unknown>;
  const document = `${String(doc_type)}/${String(doc_id)}`;
  return { document, op: String(op), value: JSON.stringify(value), storedAt };
}

function avroOperationOf(data: Buffer, storedAt: number): Operation {
  const { doc_type, doc_id, op, value } = decodeAvroOperation(data) as Record<string, unknown>;
  // As latin1 text of its UTF-8 bytes, as the others are.
  const latin1 = (text: unknown): string => Buffer.from(String(text)).toString('latin1');
  const parsed = JSON.stringify(JSON.parse(latin1(value)));
  return { document: `${String(doc_type)}/${latin1(doc_id)}`, op: String(op), value: parsed, storedAt };
}

/** Names one change of a document that has a value. */
function arrivalKey({ document, value }: Operation): string {
  return `${document} ${value}`;
}

function foldOf(operations: readonly Operation[]): Fold {
  return new Map(operations.map(({ document, op, value }) => [document, op === 'DELETE' ? null : value]));
}

function divergenceOf(source: Fold, arrivals: readonly Operation[]): Divergence | null {
  const copy = foldOf(arrivals);
  const counts = { missing: 0, stale: 0, resurrected: 0, extra: 0 };
  const examples: string[] = [];
  const note = (kind: keyof typeof counts, document: string): void => {
    counts[kind] += 1;
    if (examples.length >= 5) return;
    const history = arrivals.filter((arrival) => arrival.document === document).slice(-4);
    const told = history.map(
      ({ op, value, storedAt }) => `${op} ${value.slice(0, 20)} at ${storedAt ?? '?'}`,
    );
    examples.push(
      `${kind} ${document}: ${told.join(', ')}; wanted ${source.get(document)?.slice(0, 20) ?? 'none'}`,
    );
  };
  for (const [document, value] of source) {
    const copied = copy.get(document) ?? null;
    if (value === null && copied !== null) note('resurrected', document);
    if (value !== null && copied === null) note('missing', document);
    if (value !== null && copied !== null && copied !== value) note('stale', document);
  }
  for (const document of copy.keys()) if (!source.has(document)) note('extra', document);
  return Object.values(counts).some((count) => count > 0) ? { ...counts, examples } : null;
}

function hasStatus(execution: unknown, status: string): boolean {
  return (execution as { status?: unknown }).status === status;
}

/** Documents of these types have nothing but their ids. */
function valueOf(docType: DocumentType, change: number): string | null {
  if (docType === 'UserPoint' || docType === 'UserAccount' || docType === 'UserDeviceTechnicalId')
    return null;
  return `{"change":${change},"pad":"${'x'.repeat(100)}"}`;
}
