import type { Arrivals } from '../../local/arrivals.ts';
import { readAll } from '../support/kafka.ts';
import type { PartitionProgress } from '../support/processor-process.ts';
import type { ReplicatedUsers } from '../support/replicated-users.ts';

/** What must hold of a run, whatever was done to it. Everything but `duplicates` must be empty. */
export interface Verdict extends Arrivals {
  /** Commits that were ahead of what had arrived when they were seen, in words. */
  readonly commitsAhead: readonly string[];
  /** User points whose last arrival is not their newest operation: an older value would stay for ever. */
  readonly olderLast: readonly string[];
}

/** A verdict without violations; `duplicates` is for the test to bound. */
export const NOTHING_WRONG = { lost: [], unknown: [], outOfOrder: [], commitsAhead: [], olderLast: [] };

/** What the group had committed at a moment, and how many messages had arrived by then. */
interface Observation {
  readonly commits: readonly PartitionProgress[];
  readonly arrived: number;
}

/**
 * Compares what arrived at the destination with what lies on the mutation topic, and every commit that it was shown
 * with what had arrived by then.
 */
export class Oracle {
  readonly #users: ReplicatedUsers;
  readonly #observations: Observation[] = [];

  constructor(users: ReplicatedUsers) {
    this.#users = users;
  }

  /** Remembers the group's commits of now. Rejects while Kafka can't be asked. */
  async observeCommits(): Promise<void> {
    const commits = await this.#users.deployment.progress();
    // Only now: what arrives between a commit and this line makes no commit wrong.
    this.#observations.push({ commits, arrived: this.#users.arrived });
  }

  /** Resolves once everything that was sent has arrived and is committed. Rejects after `timeoutMs`. */
  async waitUntilDelivered(timeoutMs?: number): Promise<void> {
    await this.#users.deployment.waitUntilDelivered(() => this.#users.hasAllArrived, timeoutMs);
  }

  async verdict(): Promise<Verdict> {
    await this.observeCommits();
    const arrivals = this.#users.arrivals();
    return {
      ...this.#users.compare(),
      commitsAhead: await this.#commitsAhead(arrivals),
      olderLast: this.#olderLast(arrivals),
    };
  }

  async #commitsAhead(arrivals: readonly string[]): Promise<readonly string[]> {
    const firstArrival = new Map<string, number>();
    for (const [index, bytes] of arrivals.entries())
      if (!firstArrival.has(bytes)) firstArrival.set(bytes, index);
    const { deployment } = this.#users;
    const violations: string[] = [];
    for (const topic of deployment.topics.mutations) {
      for (const { partition, offset, value } of await readAll(topic, deployment.brokers)) {
        const operation = this.#users.operationOf(value ?? Buffer.alloc(0));
        const arrivedAs = (operation && firstArrival.get(operation.bytes)) ?? Infinity;
        const ahead = this.#observations.find(
          ({ commits, arrived }) =>
            arrivedAs >= arrived && settledBelow(commits, topic, partition) > Number(offset),
        );
        if (ahead) violations.push(`${partition}/${offset} was committed and hadn't arrived`);
      }
    }
    return violations;
  }

  #olderLast(arrivals: readonly string[]): readonly string[] {
    const userOf = new Map<string, string>();
    const newestOf = new Map<string, string>();
    for (const { ctxId, bytes } of this.#users.expected()) {
      userOf.set(bytes, ctxId);
      newestOf.set(ctxId, bytes);
    }
    const lastOf = new Map<string, string>();
    for (const bytes of arrivals) lastOf.set(userOf.get(bytes) ?? '', bytes);
    return [...newestOf].filter(([user, newest]) => lastOf.get(user) !== newest).map(([user]) => user);
  }
}

/** The offset below which a commit says that everything is settled, own positions of replications counted. */
function settledBelow(commits: readonly PartitionProgress[], topic: string, partition: number): number {
  const commit = commits.find((at) => at.topic === topic && at.partition === partition);
  if (!commit || commit.committed === null) return 0;
  return Math.min(commit.committed, ...commit.parked.map(({ position }) => position));
}
