import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicatedUsers } from '../support/replicated-users.ts';
import { Oracle } from './oracle.ts';

const LOOK_MS = 50;
const OBSERVE_MS = 500;

/**
 * An upstream that goes on by itself: there is always something to deliver, never more than twice the lead, and the
 * oracle is shown the commits. Pause it before Kafka goes away: a send without answer would have an open outcome.
 */
export class Load implements AsyncDisposable {
  readonly oracle: Oracle;
  readonly #users: ReplicatedUsers;
  readonly #lead: number;
  readonly #done: Promise<void>;
  #isStopped = false;
  #isPaused = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(users: ReplicatedUsers, lead: number) {
    this.oracle = new Oracle(users);
    this.#users = users;
    this.#lead = lead;
    this.#done = this.#run();
    this.#done.catch(() => undefined);
  }

  /** Resolves when nothing is being sent. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#turn;
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Ends the sending. Rejects with what went wrong, if it did. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#done.catch(() => undefined);
  }

  async #run(): Promise<void> {
    let observedAt = 0;
    while (!this.#isStopped) {
      if (!this.#isPaused) {
        this.#turn = this.#users.keepLead(this.#lead);
        await this.#turn;
        if (!this.#isPaused && Date.now() - observedAt > OBSERVE_MS) {
          observedAt = Date.now();
          // A broker that has just started, or a slow one, may not answer: the next time it does.
          this.#turn = this.oracle.observeCommits().catch(() => undefined);
          await this.#turn;
        }
      }
      await sleep(LOOK_MS);
    }
  }
}
