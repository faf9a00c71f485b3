import type { OffsetToCommit, TopicPartition } from '../../streams/kafka-port.ts';
import type { Chance } from './chance.ts';
import type { Scheduler } from './scheduler.ts';

export const SESSION_TIMEOUT_MS = 24_000;
const REBALANCE_TIMEOUT_MS = 60_000;

/** The coordinator's answer is an error; `code` is Kafka's. */
export class GroupError extends Error {
  override readonly name = 'GroupError';
  readonly code: 'UNKNOWN_MEMBER_ID' | 'ILLEGAL_GENERATION' | 'REBALANCE_IN_PROGRESS';

  constructor(code: GroupError['code']) {
    super(code);
    this.code = code;
  }
}

interface Member {
  readonly id: string;
  cancelExpiry: () => void;
  joining: ((generationId: number) => void) | null;
  partitions: readonly TopicPartition[];
}

export interface StoredCommit {
  readonly offset: number;
  readonly metadata: string;
}

/**
 * The consumer group as its broker keeps it: members with sessions, generations, rebalances, and commits that are fenced
 * by member and generation, but not by who owns the partition.
 */
export class GroupCoordinator {
  readonly commits = new Map<string, StoredCommit>();
  /** Told of every commit that was accepted. */
  onCommit: (memberId: string, generationId: number, offsets: readonly OffsetToCommit[]) => void = () =>
    undefined;
  onGeneration: (generationId: number, members: number) => void = () => undefined;
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #partitions: TopicPartition[];
  readonly #members = new Map<string, Member>();
  #generationId = 0;
  #state: 'empty' | 'preparing' | 'stable' = 'empty';
  #cancelRebalanceTimeout: () => void = () => undefined;

  constructor(scheduler: Scheduler, chance: Chance, partitions: readonly TopicPartition[]) {
    this.#scheduler = scheduler;
    this.#chance = chance;
    this.#partitions = [...partitions];
  }

  /** Of the topic that the group is subscribed to. */
  get partitions(): readonly TopicPartition[] {
    return this.#partitions;
  }

  /** The topic has another partition. The next generation has it assigned. */
  addPartition(at: TopicPartition): void {
    this.#partitions.push(at);
  }

  /** A member's client has looked at its topics: the group is balanced anew. */
  rebalance(): void {
    if (this.#members.size > 0) this.#prepare();
  }

  join(memberId: string, answer: (generationId: number) => void): void {
    const member = this.#members.get(memberId) ?? {
      id: memberId,
      cancelExpiry: () => undefined,
      joining: null,
      partitions: [],
    };
    this.#members.set(memberId, member);
    member.cancelExpiry();
    member.joining = answer;
    this.#prepare();
  }

  sync(memberId: string, generationId: number): readonly TopicPartition[] {
    return this.#memberOf(memberId, generationId, 'stable').partitions;
  }

  heartbeat(memberId: string, generationId: number): void {
    const member = this.#memberOf(memberId, generationId, null);
    this.#keepAlive(member);
    if (this.#state !== 'stable') throw new GroupError('REBALANCE_IN_PROGRESS');
  }

  commit(memberId: string, generationId: number, offsets: readonly OffsetToCommit[]): void {
    this.#keepAlive(this.#memberOf(memberId, generationId, null));
    for (const { topic, partition, offset, metadata } of offsets) {
      this.commits.set(`${topic}/${partition}`, { offset, metadata });
    }
    this.onCommit(memberId, generationId, offsets);
  }

  leave(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member) this.#remove(member);
  }

  /** Removes every member of a process. */
  expel(processName: string): void {
    for (const member of [...this.#members.values()])
      if (member.id.startsWith(`${processName}.`)) this.#remove(member);
  }

  #memberOf(memberId: string, generationId: number, state: 'stable' | null): Member {
    const member = this.#members.get(memberId);
    if (!member) throw new GroupError('UNKNOWN_MEMBER_ID');
    if (generationId !== this.#generationId) throw new GroupError('ILLEGAL_GENERATION');
    if (state !== null && state !== this.#state) throw new GroupError('REBALANCE_IN_PROGRESS');
    return member;
  }

  #keepAlive(member: Member): void {
    if (member.joining) return;
    member.cancelExpiry();
    member.cancelExpiry = this.#scheduler.at(SESSION_TIMEOUT_MS, () => {
      this.#remove(member);
    });
  }

  #remove(member: Member): void {
    member.cancelExpiry();
    this.#members.delete(member.id);
    if (this.#members.size > 0) this.#prepare();
    else {
      this.#cancelRebalanceTimeout();
      this.#state = 'empty';
    }
  }

  #prepare(): void {
    if (this.#state !== 'preparing') {
      this.#state = 'preparing';
      this.#cancelRebalanceTimeout();
      this.#cancelRebalanceTimeout = this.#scheduler.at(REBALANCE_TIMEOUT_MS, () => {
        for (const member of [...this.#members.values()]) if (!member.joining) this.#remove(member);
        this.#maybeComplete();
      });
    }
    this.#maybeComplete();
  }

  #maybeComplete(): void {
    const members = [...this.#members.values()];
    if (this.#state !== 'preparing' || members.length === 0) return;
    if (members.some(({ joining }) => !joining)) return;
    this.#cancelRebalanceTimeout();
    this.#generationId += 1;
    this.#state = 'stable';
    this.onGeneration(this.#generationId, members.length);
    const first = this.#chance.between(0, members.length - 1);
    members.forEach((member, index) => {
      member.partitions = this.#partitions.filter((_, i) => (i + first) % members.length === index);
      const answer = member.joining;
      member.joining = null;
      this.#keepAlive(member);
      answer?.(this.#generationId);
    });
  }
}
