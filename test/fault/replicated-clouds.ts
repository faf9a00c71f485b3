import { setTimeout as sleep } from 'node:timers/promises';
import { compareArrivals, type Arrivals, type ExpectedOperation } from '../../local/arrivals.ts';
import { expectedJson } from '../../local/expected-operations.ts';
import { startFakeEventHubs, type FakeEventHubs } from '../../local/fake-event-hubs.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { sampleMutations } from '../../local/sample-mutations.ts';
import { kafkaClient, readAll } from '../support/kafka.ts';
import {
  Deployment,
  type DeploymentOptions,
  type PartitionProgress,
  type ProcessorProcess,
} from '../support/processor-process.ts';

const DATAMART_ID = '1649';
const MAX_SEND = 500;
const OBSERVE_MS = 2_000;
/** A replication that was detached again and again keeps a position of its own for five minutes, and follows by it. */
const LONGEST_STAY_MS = 330_000;

/** Which replications there are, by their ids; all of them want everything, in JSON. */
export interface CloudsOptions extends DeploymentOptions {
  /** To topics of one fake Pub/Sub. */
  readonly topics?: readonly string[];
  /** To event hubs of one fake namespace, each with a credentials file of its own. */
  readonly hubs?: readonly string[];
  readonly files?: readonly string[];
}

/** A replication's record on the control topic. */
export type ReplicationRecord = Readonly<Record<string, unknown>> & { readonly id: string };

/** What the group had committed at a moment, and how much had arrived at each destination by then. */
interface Observation {
  readonly commits: readonly PartitionProgress[];
  readonly arrived: ReadonlyMap<string, number>;
}

/**
 * A deployment with replications to a fake Pub/Sub, a fake Event Hubs and files, the upstream that writes sample
 * mutations for them, and the comparison of what arrived at each with what was sent.
 */
export class ReplicatedClouds implements AsyncDisposable {
  readonly deployment: Deployment;
  readonly pubsub: FakePubSub;
  readonly eventHubs: FakeEventHubs;
  readonly #stack: AsyncDisposableStack;
  readonly #options: CloudsOptions;
  readonly #records = new Map<string, ReplicationRecord>();
  readonly #sent: ExpectedOperation[] = [];
  /** By the operation's bytes: when Kafka had stored its mutation. */
  readonly #sentAt = new Map<string, number>();
  /** By the mutation's bytes, as latin1 text: those of its operation. */
  readonly #operationOf = new Map<string, string>();
  readonly #observations: Observation[] = [];
  readonly #deleted = new Set<string>();
  readonly #producer = kafkaClient().producer({ allowAutoTopicCreation: false });
  readonly #write = jsonMutationWriter(DATAMART_ID);
  readonly #sample = sampleMutations({ seed: 11, users: 100, valueBytes: 300, startTs: Date.now() });

  private constructor(
    fakes: { readonly pubsub: FakePubSub; readonly eventHubs: FakeEventHubs },
    deployment: Deployment,
    options: CloudsOptions,
    stack: AsyncDisposableStack,
  ) {
    this.pubsub = fakes.pubsub;
    this.eventHubs = fakes.eventHubs;
    this.deployment = deployment;
    this.#options = options;
    this.#stack = stack;
  }

  /** Everything is there and configured; no process has been started. */
  static async create(options: CloudsOptions): Promise<ReplicatedClouds> {
    await using stack = new AsyncDisposableStack();
    const pubsub = await startFakePubSub();
    stack.defer(() => pubsub.stop());
    const eventHubs = await startFakeEventHubs({ hubs: options.hubs ?? [] });
    stack.defer(() => eventHubs.stop());
    const environment = { PUBSUB_EMULATOR_HOST: pubsub.address, ...options.environment };
    const deployment = stack.use(await Deployment.create({ ...options, environment }));
    const fakes = { pubsub, eventHubs };
    const clouds = new ReplicatedClouds(fakes, deployment, options, new AsyncDisposableStack());
    await clouds.#producer.connect();
    stack.defer(() => clouds.#producer.disconnect());
    await clouds.#replicate();
    clouds.#stack.use(stack.move());
    return clouds;
  }

  /** How many mutations were sent; every replication wants every one. */
  get sent(): number {
    return this.#sent.length;
  }

  /** Of all replications. */
  get ids(): readonly string[] {
    return [...this.#records.keys()];
  }

  /** The record of the replication as it was configured at first. */
  record(id: string): ReplicationRecord {
    const record = this.#records.get(id);
    if (!record) throw new Error(`there is no replication ${id}`);
    return record;
  }

  /** Configures the replication anew, with changes to its first record. */
  async configure(id: string, changes: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.deployment.configure({ ...this.record(id), ...changes });
  }

  /** Deletes the replication: from now on nothing is promised to it. */
  async delete(id: string): Promise<void> {
    this.#deleted.add(id);
    await this.deployment.deleteReplication(id);
  }

  /** Puts a connection string into the credentials file of a replication to an event hub; by default the right one. */
  async putConnectionString(id: string, text = this.eventHubs.connectionString()): Promise<void> {
    await this.deployment.putCredentials(`${id}.txt`, text);
  }

  /** Sends mutations; resolves when Kafka has stored them. */
  async send(count: number): Promise<void> {
    for (let left = count; left > 0; left -= MAX_SEND) {
      const batch = Array.from({ length: Math.min(left, MAX_SEND) }, () => this.#sample.next().value);
      await this.#producer.send({
        topic: this.deployment.mutations,
        acks: -1,
        messages: batch.map((mutation) => ({ key: mutation.userPointId, value: this.#write(mutation) })),
      });
      const now = Date.now();
      for (const mutation of batch) {
        const operation = expectedJson(mutation);
        this.#sent.push(operation);
        this.#sentAt.set(operation.bytes, now);
        this.#operationOf.set(this.#write(mutation).toString('latin1'), operation.bytes);
      }
    }
  }

  /** Sends a batch again and again, with a pause between, until it is stopped; the group's commits are looked at meanwhile. */
  startTraffic(batch: number, pauseMs: number): Traffic {
    let observedAt = 0;
    return new Traffic(async () => {
      await this.send(batch);
      if (Date.now() - observedAt > OBSERVE_MS) {
        await this.#observeCommits();
        observedAt = Date.now();
      }
      await sleep(pauseMs);
    });
  }

  /** The operation, as latin1 text, of the mutation that was sent as the `index`-th, counted from 0. */
  operation(index: number): string {
    return this.#sent[index]?.bytes ?? '';
  }

  /** What arrived at the replication's destination, in the order of arrival, as latin1 text. */
  async arrivals(id: string): Promise<readonly string[]> {
    switch (this.record(id)['type']) {
      case 'GOOGLE_PUBSUB':
        return this.#messages(id).map(({ data }) => data.toString('latin1'));
      case 'AZURE_EVENT_HUBS':
        return this.eventHubs.events(id).map(({ body }) => body.toString('latin1'));
      default:
        return this.deployment.fileLines(`${id}.jsonl`);
    }
  }

  /** What arrived there against what was sent so far. */
  async compare(id: string): Promise<Arrivals> {
    return compareArrivals(this.#sent, await this.arrivals(id));
  }

  /** True once every operation has arrived at each of these at least once; by default at all. */
  async hasAllArrived(ids: readonly string[] = this.ids): Promise<boolean> {
    for (const id of ids) {
      if ((await this.arrivals(id)).length < this.sent || (await this.compare(id)).lost.length > 0)
        return false;
    }
    return true;
  }

  /** Waits until nothing is left to deliver to anyone that is not paused. */
  async waitUntilDelivered(processor: ProcessorProcess, timeoutMs = 90_000): Promise<void> {
    try {
      await processor.waitWhileRunning(() => this.hasAllArrived(), 'all operations to arrive', timeoutMs);
    } catch (error) {
      const progress = JSON.stringify(await this.deployment.progress());
      const violations = JSON.stringify(await this.violations(), null, 1);
      throw new Error(`of ${this.sent} operations some are missing: ${violations}; progress ${progress}`, {
        cause: error,
      });
    }
    await this.deployment.waitUntilDelivered(undefined, LONGEST_STAY_MS);
  }

  /**
   * The violations at each of these, and its duplicates beyond what is allowed there (default none); besides, what was
   * committed and hadn't arrived when the commits were looked at. Empty when nothing was lost, unknown or out of order and
   * no older value stays, so that a test can say `toEqual({})`.
   */
  async violations(
    duplicatesAllowed: Readonly<Record<string, number>> = {},
  ): Promise<Readonly<Record<string, unknown>>> {
    const found: Record<string, unknown> = {};
    for (const id of this.ids) {
      const { duplicates, lost, unknown, outOfOrder } = await this.compare(id);
      const olderLast = this.#olderLast(await this.arrivals(id));
      const isRight = lost.length + unknown.length + outOfOrder.length + olderLast.length === 0;
      if (isRight && duplicates <= (duplicatesAllowed[id] ?? 0)) continue;
      const some = (texts: readonly string[]): readonly string[] => texts.slice(0, 3);
      found[id] = {
        lost: [lost.length, ...some(lost)],
        unknown: [unknown.length, ...some(unknown)],
        outOfOrder: [outOfOrder.length, ...some(outOfOrder)],
        olderLast: [olderLast.length, ...some(olderLast)],
        duplicates,
      };
    }
    const commitsAhead = await this.#commitsAhead();
    if (commitsAhead.length > 0) found['commitsAhead'] = [commitsAhead.length, ...commitsAhead.slice(0, 3)];
    return found;
  }

  /** Remembers the group's commits of now; not while Kafka can't be asked. */
  async #observeCommits(): Promise<void> {
    const commits = await this.deployment.progress().catch(() => null);
    if (commits === null) return;
    // Only now: what arrives between a commit and this line makes no commit wrong.
    const counts = this.ids.map(async (id) => [id, await this.#arrivedAt(id)] as const);
    this.#observations.push({ commits, arrived: new Map(await Promise.all(counts)) });
  }

  /**
   * The records below a committed offset which more destinations were without than had a position of their own at or
   * below them.
   */
  async #commitsAhead(): Promise<readonly string[]> {
    const { deployment } = this;
    await this.#observeCommits();
    const ids = this.ids.filter((id) => !this.#deleted.has(id));
    const firstArrivals = new Map<string, ReadonlyMap<string, number>>();
    for (const id of ids) firstArrivals.set(id, firstIndexes(await this.arrivals(id)));
    const violations: string[] = [];
    for (const { partition, offset, value } of await readAll(deployment.mutations, deployment.brokers)) {
      const operation = this.#operationOf.get(value?.toString('latin1') ?? '') ?? '';
      const arrivedAs = ids.map((id) => [id, firstArrivals.get(id)?.get(operation) ?? Infinity] as const);
      const isAhead = ({ commits, arrived }: Observation): boolean => {
        const commit = commits.find((at) => at.topic === deployment.mutations && at.partition === partition);
        if (!commit || (commit.committed ?? 0) <= Number(offset)) return false;
        const without = arrivedAs.filter(([id, index]) => index >= (arrived.get(id) ?? 0));
        return without.length > commit.parked.filter(({ position }) => position <= Number(offset)).length;
      };
      if (this.#observations.some(isAhead))
        violations.push(`${partition}/${offset} was committed and hadn't arrived everywhere`);
    }
    return violations;
  }

  async #arrivedAt(id: string): Promise<number> {
    switch (this.record(id)['type']) {
      case 'GOOGLE_PUBSUB':
        return this.#messages(id).length;
      case 'AZURE_EVENT_HUBS':
        return this.eventHubs.events(id).length;
      default:
        return (await this.deployment.fileLines(`${id}.jsonl`)).length;
    }
  }

  /** User points whose last arrival is not their newest operation: an older value would stay for ever. */
  #olderLast(arrivals: readonly string[]): readonly string[] {
    const userOf = new Map(this.#sent.map(({ ctxId, bytes }) => [bytes, ctxId]));
    const newestOf = new Map(this.#sent.map(({ ctxId, bytes }) => [ctxId, bytes]));
    const lastOf = new Map(arrivals.map((bytes) => [userOf.get(bytes), bytes]));
    return [...newestOf].filter(([user, newest]) => lastOf.get(user) !== newest).map(([user]) => user);
  }

  /** How long operations took from Kafka to a topic of the fake Pub/Sub, in ms, of those sent from `sinceMs` on; sorted. */
  latencies(id: string, sinceMs = 0): readonly number[] {
    const latencies = this.#messages(id).flatMap(({ data, storedAt }) => {
      const sentAt = this.#sentAt.get(data.toString('latin1'));
      return sentAt === undefined || sentAt < sinceMs ? [] : [Math.max(0, storedAt - sentAt)];
    });
    return latencies.sort((a, b) => a - b);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #messages(id: string): FakePubSub['messages'] {
    return this.pubsub.messages.filter(({ topic }) => topic === topicName(id));
  }

  async #replicate(): Promise<void> {
    const { topics = [], hubs = [], files = [] } = this.#options;
    const common = { datamart_id: DATAMART_ID, status: 'ACTIVE' };
    for (const id of topics) {
      this.pubsub.createTopic(topicName(id));
      const google = { type: 'GOOGLE_PUBSUB', version: 1, project_id: 'acme', topic_id: id };
      this.#records.set(id, { ...common, ...google, id, credentials_uri: 'file:google.json' });
    }
    for (const id of hubs) {
      await this.putConnectionString(id);
      const azure = { type: 'AZURE_EVENT_HUBS', event_hub_name: id };
      // One request in flight per partition, whatever the users: what is sent twice is easier to bound.
      this.#records.set(id, { ...common, ...azure, id, credentials_uri: `file:${id}.txt`, ordering: false });
    }
    for (const id of files) this.#records.set(id, { ...common, type: 'FILE', id, path: `${id}.jsonl` });
    await this.deployment.configure(...this.#records.values());
  }
}

function firstIndexes(arrivals: readonly string[]): ReadonlyMap<string, number> {
  const firsts = new Map<string, number>();
  for (const [index, bytes] of arrivals.entries()) if (!firsts.has(bytes)) firsts.set(bytes, index);
  return firsts;
}

/** The fake Pub/Sub's name of a replication's topic. */
export function topicName(id: string): string {
  return `projects/acme/topics/${id}`;
}

/** The value below which 99 of 100 are; of sorted values. */
export function p99(sorted: readonly number[]): number {
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
}

/** Something that is done again and again until it is stopped. */
class Traffic implements AsyncDisposable {
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(step: () => Promise<void>) {
    this.#ended = this.#run(step);
    // `stop` tells it.
    this.#ended.catch(() => undefined);
  }

  /** Resolves when the last step has ended; rejects when one has failed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(step: () => Promise<void>): Promise<void> {
    while (!this.#isStopped) await step();
  }
}
