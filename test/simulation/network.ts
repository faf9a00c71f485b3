import type { Chance } from './chance.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** How bad the network is, as probabilities per call. */
export interface NetworkFaults {
  /** The request never arrives. */
  lostRequests: number;
  /** The request is served, and nobody learns of it. */
  lostAnswers: number;
  /** The request arrives seconds late, also after its sender's death. */
  slow: number;
  /** The coordinator takes seconds to say what is committed, as when it has just become one. */
  slowClaims: number;
}

/** What the coordinator of the group answers. */
const GROUP_CALLS: ReadonlySet<string> = new Set([
  'join',
  'sync',
  'heartbeat',
  'commit',
  'committed',
  'leave',
]);

export type Phase = 'sent' | 'served' | 'answered';

/** Answers one request, now or later; at most one of the two counts. */
export type Serve<T> = (answer: (value: T) => void, fail: (error: Error) => void) => void;

/** Between processes and Kafka: delays, loses and delivers late what they say to each other. */
export class Network {
  readonly faults: NetworkFaults = { lostRequests: 0, lostAnswers: 0, slow: 0, slowClaims: 0 };
  /** Told of each call's way; may kill the process. */
  onPhase: (process: SimulatedProcess, name: string, phase: Phase) => void = () => undefined;
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #cutOff = new Map<SimulatedProcess, number>();
  readonly #withoutCoordinator = new Map<SimulatedProcess, number>();
  /** By process: the topic that it can't read, and until when. */
  readonly #withoutTopic = new Map<SimulatedProcess, { readonly topic: string; readonly untilMs: number }>();

  constructor(scheduler: Scheduler, chance: Chance) {
    this.#scheduler = scheduler;
    this.#chance = chance;
  }

  /** The process reaches Kafka no more until then. */
  cutOff(process: SimulatedProcess, forMs: number): void {
    this.#cutOff.set(process, this.#scheduler.now + forMs);
  }

  /** The process reaches Kafka, but not the coordinator of its group. */
  cutOffCoordinator(process: SimulatedProcess, forMs: number): void {
    this.#withoutCoordinator.set(process, this.#scheduler.now + forMs);
  }

  /** The process reaches Kafka, but not the leader of this topic. */
  cutOffTopic(process: SimulatedProcess, topic: string, forMs: number): void {
    this.#withoutTopic.set(process, { topic, untilMs: this.#scheduler.now + forMs });
  }

  healAll(): void {
    this.#cutOff.clear();
    this.#withoutTopic.clear();
    this.#withoutCoordinator.clear();
    Object.assign(this.faults, { lostRequests: 0, lostAnswers: 0, slow: 0, slowClaims: 0 });
  }

  call<T>(process: SimulatedProcess, name: string, serve: Serve<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const call = process.begin(name);
    if (!call) return promise;
    const scheduler = this.#scheduler;
    const chance = this.#chance;
    const isCutOff = (): boolean => {
      const withoutTopic = this.#withoutTopic.get(process);
      const until = Math.max(
        this.#cutOff.get(process) ?? 0,
        GROUP_CALLS.has(name) ? (this.#withoutCoordinator.get(process) ?? 0) : 0,
        withoutTopic && name === `read ${withoutTopic.topic}` ? withoutTopic.untilMs : 0,
      );
      return until > scheduler.now;
    };
    const end = (delayMs: number, settle: () => void): void => {
      scheduler.at(delayMs, () => {
        process.enter(() => {
          if (!process.pending.delete(call)) return;
          this.onPhase(process, name, 'answered');
          if (!process.isDead) settle();
        });
      });
    };
    const breakOff = (): void => {
      end(chance.of([2, 50, 400, 5_000]), () => {
        reject(new Error(`${name}: connection closed`));
      });
    };
    const answer = (settle: () => void): void => {
      if (isCutOff() || chance.is(this.faults.lostAnswers)) breakOff();
      else end(chance.mostlyLow(1, 20), settle);
    };
    this.onPhase(process, name, 'sent');
    if (isCutOff() || chance.is(this.faults.lostRequests)) {
      breakOff();
      return promise;
    }
    const slow = name === 'committed' ? Math.max(this.faults.slow, this.faults.slowClaims) : this.faults.slow;
    const delay = chance.is(slow) ? chance.between(500, 8_000) : chance.mostlyLow(1, 20);
    scheduler.at(delay, () => {
      if (call.isCut) return;
      this.onPhase(process, name, 'served');
      serve(
        (value) => {
          answer(() => {
            resolve(value);
          });
        },
        (error) => {
          answer(() => {
            reject(error);
          });
        },
      );
    });
    return promise;
  }
}
