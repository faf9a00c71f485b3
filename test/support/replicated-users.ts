import { compareArrivals, type Arrivals, type ExpectedOperation } from '../../local/arrivals.ts';
import { expectedJson } from '../../local/expected-operations.ts';
import { startFakePubSub, type FakePubSub } from '../../local/fake-pubsub.ts';
import { jsonMutationWriter } from '../../local/mutation-writer.ts';
import { sampleMutations, type SampleMutation } from '../../local/sample-mutations.ts';
import { produce } from './kafka.ts';
import { Deployment, type DeploymentOptions } from './processor-process.ts';

const DATAMART_ID = '1649';
const TOPIC = 'projects/acme/topics/users';

/** A deployment with one replication to a fake Pub/Sub, and the upstream that writes sample mutations for it. */
export class ReplicatedUsers implements AsyncDisposable {
  readonly deployment: Deployment;
  readonly pubsub: FakePubSub;
  readonly #stack: AsyncDisposableStack;
  readonly #sent: SampleMutation[] = [];
  readonly #byValue = new Map<string, SampleMutation>();
  readonly #write = jsonMutationWriter(DATAMART_ID);
  readonly #sample = sampleMutations({ seed: 3, users: 100, valueBytes: 300, startTs: Date.now() });

  private constructor(deployment: Deployment, pubsub: FakePubSub, stack: AsyncDisposableStack) {
    this.deployment = deployment;
    this.pubsub = pubsub;
    this.#stack = stack;
  }

  static async create(options: DeploymentOptions = {}): Promise<ReplicatedUsers> {
    await using stack = new AsyncDisposableStack();
    const pubsub = await startFakePubSub();
    stack.defer(() => pubsub.stop());
    pubsub.createTopic(TOPIC);
    const environment = { PUBSUB_EMULATOR_HOST: pubsub.address, ...options.environment };
    const deployment = stack.use(await Deployment.create({ ...options, environment }));
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
    return new ReplicatedUsers(deployment, pubsub, stack.move());
  }

  /** How many mutations were sent; every one is wanted. */
  get sent(): number {
    return this.#sent.length;
  }

  /** How many messages arrived, repeated ones too. */
  get arrived(): number {
    return this.pubsub.messages.length;
  }

  /** Sends mutations; resolves when Kafka has stored them. */
  async send(count: number): Promise<void> {
    const batch = Array.from({ length: count }, () => this.#sample.next().value);
    await produce(
      this.deployment.mutations,
      batch.map((mutation) => ({ key: mutation.userPointId, value: this.#write(mutation) })),
      this.deployment.brokers,
    );
    this.#sent.push(...batch);
  }

  /** Sends a batch when less than `lead` mutations wait to arrive: there is always something to do, never too much. */
  async keepLead(lead: number): Promise<void> {
    if (this.sent - this.arrived < lead) await this.send(lead);
  }

  /** True once each operation has arrived at least once. */
  get hasAllArrived(): boolean {
    return this.arrived >= this.sent && this.compare().lost.length === 0;
  }

  /** What arrived against what was sent. */
  compare(): Arrivals {
    return compareArrivals(this.expected(), this.arrivals());
  }

  /** The operations of everything that was sent, in its order. */
  expected(): readonly ExpectedOperation[] {
    return this.#sent.map(expectedJson);
  }

  /** Every arrival in its order, repeated ones too, as latin1 text of its bytes. */
  arrivals(): readonly string[] {
    return this.pubsub.messages.map(({ data }) => data.toString('latin1'));
  }

  /** The operation that the record with this value stands for; undefined when it wasn't sent from here. */
  operationOf(value: Buffer): ExpectedOperation | undefined {
    const text = value.toString('latin1');
    this.#indexSent();
    const mutation = this.#byValue.get(text);
    return mutation && expectedJson(mutation);
  }

  #indexSent(): void {
    for (const mutation of this.#sent.slice(this.#byValue.size))
      this.#byValue.set(this.#write(mutation).toString('latin1'), mutation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
