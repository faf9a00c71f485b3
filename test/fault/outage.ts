import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessorProcess } from '../support/processor-process.ts';
import { ReplicatedUsers } from '../support/replicated-users.ts';
import { waitFor } from '../support/wait-for.ts';
import { Load } from './load.ts';
import type { OwnKafka } from './own-kafka.ts';

/** RELIABILITY, section 6: so long after the broker is back deliveries must go on. */
export const RECOVERY_MS = 60_000;
/** Records of a partition that may be sent again. */
export const WINDOW_RECORDS = 200;
export const PARTITIONS = 4;
/** Each answer of the fake takes so long, so that requests are in flight at every moment. */
const ANSWER_MS = 50;
const LATE_ANSWER_MS = 2_000;
const LEAD = 800;
/** A window is exact to what one fetch brings, and there is never more than twice the lead to fetch. */
export const DUPLICATES_PER_MISHAP = PARTITIONS * WINDOW_RECORDS + 2 * LEAD;

/** One processor with its load, on a broker of the test's own. */
export class Outage implements AsyncDisposable {
  readonly kafka: OwnKafka;
  readonly users: ReplicatedUsers;
  readonly processor: ProcessorProcess;
  readonly load: Load;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    kafka: OwnKafka,
    users: ReplicatedUsers,
    processor: ProcessorProcess,
    load: Load,
    stack: AsyncDisposableStack,
  ) {
    this.kafka = kafka;
    this.users = users;
    this.processor = processor;
    this.load = load;
    this.#stack = stack;
  }

  /** Resolves when the processor, which reaches the broker through its proxy, is in the middle of its work. */
  static async start(kafka: OwnKafka, environment: Readonly<Record<string, string>> = {}): Promise<Outage> {
    await using stack = new AsyncDisposableStack();
    const users = stack.use(
      await ReplicatedUsers.create({
        mutationTopics: [{ partitions: PARTITIONS }],
        brokers: kafka.brokers,
        environment: {
          KAFKA_BROKERS: kafka.proxiedBrokers,
          DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS),
          ...environment,
        },
      }),
    );
    users.pubsub.faults.delayAll(ANSWER_MS);
    const processor = await users.deployment.startReady();
    const load = stack.use(new Load(users, LEAD));
    const outage = new Outage(kafka, users, processor, load, stack.move());
    await outage.untilArrived(LEAD);
    return outage;
  }

  /** Waits until so many more messages have arrived. */
  async untilArrived(more: number, timeoutMs = RECOVERY_MS): Promise<void> {
    const target = this.users.arrived + more;
    await this.processor.waitWhileRunning(
      () => this.users.arrived >= target,
      `${more} more messages to arrive`,
      timeoutMs,
    );
  }

  /** Ends the load for now, with requests in flight and more behind them. Call it right before Kafka goes away. */
  async pauseInTheMiddle(): Promise<void> {
    const { users } = this;
    await this.load.pause();
    users.pubsub.faults.delayAll(LATE_ANSWER_MS);
    await users.send(LEAD);
    if (users.arrived >= users.sent) throw new Error('nothing is left to deliver');
  }

  /** Waits until `conditionMs` have passed, and fails at once when the process ends. */
  async stays(conditionMs: number): Promise<void> {
    const until = performance.now() + conditionMs;
    while (performance.now() < until) {
      if (!this.processor.isRunning) throw new Error(`the process ended; ${this.processor.describe()}`);
      await sleep(100);
    }
  }

  /**
   * Sends a mutation that nobody has seen and resolves with the milliseconds until everything sent so far has arrived
   * and the group has committed again.
   */
  async recovery(limitMs = 2 * RECOVERY_MS): Promise<number> {
    const since = performance.now();
    const { deployment, pubsub } = this.users;
    pubsub.faults.delayAll(ANSWER_MS);
    // A broker that has just started knows of no coordinator yet.
    const before = await waitFor(() => deployment.progress(), { timeoutMs: limitMs, message: 'the group' });
    await this.users.send(PARTITIONS * 10);
    await this.processor.waitWhileRunning(() => this.users.hasAllArrived, 'what was left to arrive', limitMs);
    const committed = (progress: typeof before): number =>
      progress.reduce((sum, at) => sum + (at.committed ?? 0), 0);
    await waitFor(async () => committed(await deployment.progress()) > committed(before), {
      timeoutMs: limitMs,
      message: () => `a commit; ${this.processor.describe()}`,
    });
    return Math.round(performance.now() - since);
  }

  /** Ends the load and the processor in order, once everything is delivered and committed. */
  async finish(): Promise<void> {
    await this.load.stop();
    await this.load.oracle.waitUntilDelivered();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
