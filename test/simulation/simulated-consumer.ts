import { sleep } from '../../streams/clock.ts';
import type {
  CommittedOffset,
  ConsumedBatch,
  Generation,
  GroupConsumer,
  GroupListener,
  Instant,
  OffsetToCommit,
  TopicPartition,
} from '../../streams/kafka-port.ts';
import type { Chance } from './chance.ts';
import { GroupError } from './group-coordinator.ts';
import type { MembershipObserver } from './memberships.ts';
import type { Network } from './network.ts';
import type { SimulatedKafka } from './simulated-kafka.ts';
import type { SimulatedProcess } from './simulated-process.ts';

const HEARTBEAT_MS = 3_000;
const FETCH_WAIT_MS = 250;
const RETRY_MS = 300;

interface Position {
  readonly at: TopicPartition;
  offset: number;
  isPaused: boolean;
}

export interface SimulatedConsumerOptions {
  readonly process: SimulatedProcess;
  readonly kafka: SimulatedKafka;
  readonly network: Network;
  readonly chance: Chance;
  readonly memberships: MembershipObserver;
  readonly newMemberId: () => string;
}

/**
 * A member of the simulated group that behaves as `streams/kafka/group-consumer.ts` with kafkajs does, its oddities
 * included: a failed sync is hidden behind the next join, a member that was thrown out joins anew without a word,
 * fetches of an earlier assignment or of a paused partition may still be handed over.
 */
export class SimulatedConsumer implements GroupConsumer {
  readonly #process: SimulatedProcess;
  readonly #kafka: SimulatedKafka;
  readonly #network: Network;
  readonly #chance: Chance;
  readonly #memberships: MembershipObserver;
  readonly #never = new AbortController().signal;
  readonly #positions = new Map<string, Position>();
  readonly #newMemberId: () => string;
  #memberId: string;
  #generationId = -1;
  #isJoining = false;
  #isStopped = false;
  #hasCrashed = false;
  #listener: GroupListener | null = null;
  #assignments = 0;

  constructor({ process, kafka, network, chance, memberships, newMemberId }: SimulatedConsumerOptions) {
    this.#process = process;
    this.#kafka = kafka;
    this.#network = network;
    this.#chance = chance;
    this.#memberships = memberships;
    this.#newMemberId = newMemberId;
    this.#memberId = newMemberId();
  }

  async start(listener: GroupListener): Promise<void> {
    this.#listener = listener;
    await this.#join(listener);
    void this.#beat(listener);
    void this.#fetch(listener);
  }

  /** As kafkajs' `onCrash`, with its patches: leaves the group, says so once it is disconnected, and does no more. */
  async crash(): Promise<void> {
    const listener = this.#listener;
    if (!listener || this.#isOver || this.#isJoining) return;
    this.#hasCrashed = true;
    await listener.beforeRejoin();
    await this.#leave();
    // The end of its connections may have to wait for a broker that doesn't answer.
    const [least, most] = this.#chance.is(0.2) ? [5_000, 15_000] : [0, 5_000];
    await sleep(this.#process, this.#chance.mostlyLow(least, most), this.#never);
    if (!this.#isStopped) {
      const isTransient = this.#chance.is(0.5);
      listener.onCrash({ error: new Error('it crashed'), isHopeless: false, isTransient });
    }
  }

  resumeAt(at: TopicPartition, offset: number): void {
    const position = this.#positions.get(keyOf(at));
    if (!position) return;
    position.offset = offset;
    position.isPaused = false;
  }

  pause(at: TopicPartition): void {
    const position = this.#positions.get(keyOf(at));
    if (position) position.isPaused = true;
  }

  resume(at: TopicPartition): void {
    const position = this.#positions.get(keyOf(at));
    if (position) position.isPaused = false;
  }

  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    const assignment = this.#assignments;
    const generationId = this.#generationId;
    const commits = await this.#network.call<readonly CommittedOffset[]>(
      this.#process,
      'committed',
      (answer) => {
        answer(partitions.map((at) => this.#kafka.committed(at)));
      },
    );
    if (assignment === this.#assignments && !this.#isJoining && !this.#isOver) {
      const numbers = partitions.map(({ partition }) => partition);
      this.#memberships.onCommitsRead(this.#process.name, generationId, numbers);
    }
    return commits;
  }

  async commit(offsets: readonly OffsetToCommit[], { memberId, generationId }: Generation): Promise<void> {
    const onProven = this.#memberships.onAsked(this.#process.name);
    await this.#network.call<void>(this.#process, 'commit', (answer, fail) => {
      try {
        this.#kafka.coordinator.commit(memberId, generationId, offsets);
        answer(undefined);
      } catch (error) {
        fail(error as Error);
      }
    });
    onProven();
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.#leave();
  }

  get #isOver(): boolean {
    return this.#isStopped || this.#hasCrashed;
  }

  #leave(): Promise<void> {
    this.#memberships.onRejoining(this.#process.name);
    return this.#network
      .call<void>(this.#process, 'leave', (answer) => {
        this.#kafka.coordinator.leave(this.#memberId);
        answer(undefined);
      })
      .catch(() => undefined);
  }

  /** kafkajs' `joinAndSync`, with the patch that awaits the listener before it. */
  async #join(listener: GroupListener): Promise<void> {
    this.#isJoining = true;
    if (!this.#isOver) await listener.beforeRejoin();
    while (!this.#isOver) {
      try {
        this.#memberships.onRejoining(this.#process.name);
        const generationId = await this.#network.call<number>(this.#process, 'join', (answer) => {
          this.#kafka.coordinator.join(this.#memberId, answer);
        });
        const sentAt = this.#instant();
        const onProven = this.#memberships.onAsked(this.#process.name);
        const partitions = await this.#request('sync', () =>
          this.#kafka.coordinator.sync(this.#memberId, generationId),
        );
        if (this.#isOver) return;
        this.#generationId = generationId;
        this.#assignments += 1;
        this.#positions.clear();
        for (const at of partitions) this.#positions.set(keyOf(at), { at, offset: 0, isPaused: true });
        onProven();
        listener.onProven(sentAt);
        this.#isJoining = false;
        listener.onAssigned(partitions, { generationId, memberId: this.#memberId });
        return;
      } catch (error) {
        if (error instanceof GroupError && error.code === 'UNKNOWN_MEMBER_ID') this.#newMember();
        await sleep(this.#process, RETRY_MS, this.#never);
      }
    }
  }

  async #beat(listener: GroupListener): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#process, HEARTBEAT_MS, this.#never);
      if (this.#isOver) return;
      const sentAt = this.#instant();
      const onProven = this.#memberships.onAsked(this.#process.name);
      try {
        await this.#request('heartbeat', () => {
          this.#kafka.coordinator.heartbeat(this.#memberId, this.#generationId);
        });
        onProven();
        if (!this.#isOver) listener.onProven(sentAt);
      } catch (error) {
        if (!(error instanceof GroupError)) continue;
        if (error.code === 'UNKNOWN_MEMBER_ID') this.#newMember();
        else if (!this.#isOver) listener.onRebalancing();
        await this.#join(listener);
      }
    }
  }

  async #fetch(listener: GroupListener): Promise<void> {
    while (!this.#isOver) {
      const active = [...this.#positions.values()].filter(({ isPaused }) => !isPaused);
      if (active.length === 0 || this.#isJoining) {
        await sleep(this.#process, FETCH_WAIT_MS, this.#never);
        continue;
      }
      const asked = active.map(({ at, offset }) => ({ ...at, offset }));
      const assignment = this.#assignments;
      try {
        const batches = await this.#network.call<readonly ConsumedBatch[]>(
          this.#process,
          'fetch',
          (answer) => {
            this.#kafka.whenReadable(asked, FETCH_WAIT_MS, () => {
              answer(asked.map((at) => this.#kafka.read(at, this.#inRange(at))));
            });
          },
        );
        if (!this.#isOver) listener.onFetched();
        for (const batch of batches) this.#handOver(listener, batch, assignment);
      } catch {
        await sleep(this.#process, RETRY_MS, this.#never);
      }
    }
  }

  /** Out of range kafkajs goes on at the log's start. */
  #inRange(at: TopicPartition & { readonly offset: number }): number {
    const isInRange = at.offset >= this.#kafka.start(at) && at.offset <= this.#kafka.end(at);
    return isInRange ? at.offset : this.#kafka.start(at);
  }

  #handOver(listener: GroupListener, batch: ConsumedBatch, assignment: number): void {
    const position = this.#positions.get(keyOf(batch));
    if (!position || this.#isOver || batch.records.length === 0) return;
    const isStale =
      position.isPaused || assignment !== this.#assignments || position.offset !== batch.fetchedOffset;
    if (isStale && this.#chance.is(0.5)) return;
    position.offset = batch.nextOffset;
    listener.onBatch(batch);
  }

  #request<T>(name: string, serve: () => T): Promise<T> {
    return this.#network.call<T>(this.#process, name, (answer, fail) => {
      try {
        answer(serve());
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  #newMember(): void {
    this.#memberId = this.#newMemberId();
    this.#generationId = -1;
  }

  #instant(): Instant {
    return { wallMs: this.#process.now(), monotonicMs: this.#process.monotonic() };
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
