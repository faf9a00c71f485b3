import { createRequire } from 'node:module';
import type { Instant } from '../kafka-port.ts';
import type { Cluster, OffsetCommitTopic } from './cluster.ts';

/**
 * What kafkajs 2.2.4 doesn't tell of its membership in a group, taken from its own group object at run time:
 *
 * - the generation, and a commit of one try (PROTOCOL A4): `consumer.commitOffsets` repeats a commit, and a later try
 *   runs under the next generation;
 * - the moment before it joins anew or leaves (A3): there is no hook that it waits for, after UNKNOWN_MEMBER_ID no
 *   event, and a consumer that crashes leaves before it says so;
 * - when a heartbeat or sync that was answered was sent (A3).
 *
 * And one defect (C9): heartbeats are paced by the wall clock, so one that is set back would end the membership.
 */

/** kafkajs' group object, as far as it is used here. */
export interface KafkajsGroup {
  readonly cluster: Cluster;
  readonly groupId: string;
  readonly memberId: string | null;
  readonly generationId: number | null;
  /** Null before the first sync. */
  readonly offsetManager: { getCoordinator(): Promise<Coordinator> } | null;
  lastRequest: number;
}

export interface Coordinator {
  offsetCommit(request: {
    groupId: string;
    memberId: string;
    groupGenerationId: number;
    topics: readonly OffsetCommitTopic[];
  }): Promise<unknown>;
  offsetFetch(request: {
    groupId: string;
    topics: readonly { topic: string; partitions: readonly { partition: number }[] }[];
  }): Promise<{
    responses: readonly {
      topic: string;
      partitions: readonly { partition: number; offset: string; metadata: string | null }[];
    }[];
  }>;
}

/** Follows one consumer's membership. */
export interface MembershipListener {
  /** Awaited before the member joins, also for the first time. */
  beforeJoin(): Promise<void>;
  /** Awaited before the member leaves the group, of its own accord or because its consumer has crashed. */
  beforeLeave(): Promise<void>;
  onProven(sentAt: Instant): void;
}

type GroupMethod<A extends unknown[]> = (this: KafkajsGroup, ...args: A) => Promise<unknown>;

interface GroupPrototype {
  connect: GroupMethod<[]>;
  joinAndSync: GroupMethod<[]>;
  leave: GroupMethod<[]>;
  heartbeat: GroupMethod<[{ interval: number }]>;
  [method: symbol]: GroupMethod<[]>;
}

const groups = new WeakMap<Cluster, KafkajsGroup>();
const listeners = new WeakMap<Cluster, MembershipListener>();
const heartbeats = new WeakMap<KafkajsGroup, Promise<void>>();
let isApplied = false;

/** Observes every consumer group of kafkajs from now on. Idempotent. */
export function observeMemberships(): void {
  if (isApplied) return;
  isApplied = true;
  const path = 'kafkajs/src/consumer/consumerGroup';
  const { prototype } = createRequire(import.meta.url)(path) as { prototype: GroupPrototype };
  const sync = Object.getOwnPropertySymbols(prototype).find(
    ({ description }) => description === 'private:ConsumerGroup:sync',
  );
  const syncGroup = sync && prototype[sync];
  if (!syncGroup) throw new Error('kafkajs’ ConsumerGroup has no sync where it was');
  const { connect, joinAndSync, leave, heartbeat } = prototype;

  prototype.connect = function () {
    groups.set(this.cluster, this);
    return connect.call(this);
  };
  prototype.joinAndSync = async function () {
    await listeners.get(this.cluster)?.beforeJoin();
    return joinAndSync.call(this);
  };
  prototype.leave = async function () {
    await listeners.get(this.cluster)?.beforeLeave();
    return leave.call(this);
  };
  prototype[sync] = async function () {
    const sentAt = now();
    await syncGroup.call(this);
    listeners.get(this.cluster)?.onProven(sentAt);
  };
  prototype.heartbeat = function (options) {
    const running = heartbeats.get(this);
    if (running) return running;
    if (Date.now() < this.lastRequest) this.lastRequest = 0;
    const sentAt = now();
    const before = this.lastRequest;
    const beat = heartbeat
      .call(this, options)
      .then(() => {
        if (this.lastRequest !== before) listeners.get(this.cluster)?.onProven(sentAt);
      })
      .finally(() => heartbeats.delete(this));
    heartbeats.set(this, beat);
    return beat;
  };
}

/** Tells `listener` of the membership that is carried by `cluster`. */
export function listenToMembership(cluster: Cluster, listener: MembershipListener): void {
  listeners.set(cluster, listener);
}

/** The group object of a consumer's cluster; undefined before it has connected. */
export function groupOf(cluster: Cluster): KafkajsGroup | undefined {
  return groups.get(cluster);
}

function now(): Instant {
  return { wallMs: Date.now(), monotonicMs: performance.now() };
}
