import { backoffMs } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import { parseCommitMetadata, type OwnPosition } from '../commit-metadata.ts';
import type { PartitionReader } from '../kafka-port.ts';
import type { PartitionPins } from '../partition-pins.ts';
import { UnknownPartitionerError, type GrownSnapshot } from '../snapshot/snapshot-growth.ts';

const CHECK_MS = 1_000;

/** A mutation topic with more partitions than are worked on. */
export interface GrownTopic {
  readonly topic: string;
  /** How many are worked on. */
  readonly pinned: number;
  /** How many there are. */
  readonly partitions: number;
  /** Null when there is none. */
  readonly snapshot: string | null;
  readonly snapshotPartitions: number;
}

/** An old partition that isn't through yet with what it held when the adoption began. */
export interface OldPartition {
  readonly partition: number;
  /** Records between the group's commit and that end. */
  readonly lag: number;
  /**
   * Replications with a position of their own before that end; null: the commit doesn't tell, since it names a list, which
   * isn't read here, or has lost what travelled with its offset.
   */
  readonly parked: readonly OwnPosition[] | null;
}

/** A group's committed offset. */
export interface GroupCommit {
  readonly offset: number;
  readonly metadata: string | null;
}

/** What adopting needs of Kafka beside reading. */
export interface AdoptionAdmin {
  /** Has the topic have so many partitions, and resolves when all of them have a leader. */
  growTopic(name: string, partitions: number): Promise<void>;
  /** What the group has committed in the topic, by partition; partitions without a commit aren't in it. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, GroupCommit>>;
}

export interface AdoptionPorts {
  readonly admin: AdoptionAdmin;
  readonly reader: PartitionReader;
  readonly pins: PartitionPins;
  readonly groupId: string;
  readonly clock: Clock;
  /** As `moveGrownRows`; null when another program writes the snapshot. */
  readonly moveRows:
    ((snapshot: GrownSnapshot, onProgress: MovingListener, signal: AbortSignal) => Promise<number>) | null;
}

/** So many of the snapshot's records that are to be read were read. */
export type MovingListener = (read: number, total: number) => void;

/** What an adoption tells while it is under way. */
export interface AdoptionListener {
  /** Every second, what it waits for. */
  onWaiting(waitsFor: readonly OldPartition[]): void;
  onMoving: MovingListener;
}

/** The adoption can't be done before an operator has done something else. */
export class AdoptionRefusedError extends Error {
  override readonly name = 'AdoptionRefusedError';
}

/**
 * Has the added partitions of a topic worked on (PROTOCOL C6). All producers must write to the new count already.
 *
 * What the old partitions hold now must be through to every replication before: a user's newer operation, which may be
 * in an added partition, must not overtake an older one. So this waits, telling `onWaiting` every second what for. Then
 * the snapshot grows along, and its rows move to where their users' mutations come in now; one that another program
 * writes grows only while it is empty.
 *
 * Resolves with false when `signal` aborted first: nothing was adopted then. Rejects with `AdoptionRefusedError`, or
 * when the brokers do.
 */
export async function adoptPartitions(
  grown: GrownTopic,
  ports: AdoptionPorts,
  signal: AbortSignal,
  listener: AdoptionListener,
): Promise<boolean> {
  const { admin, reader, pins, clock } = ports;
  const { topic, partitions } = grown;
  await assertSnapshotMayGrow(grown, ports);
  const ends = await Promise.all(
    Array.from({ length: grown.pinned }, (_, partition) => reader.bounds({ topic, partition })),
  );
  for (let failures = 0; ;) {
    try {
      const commits = await admin.committedOffsets(ports.groupId, topic);
      const waitsFor = ends.flatMap(({ start, end }, partition) => {
        const old = oldPartition(partition, commits.get(partition) ?? null, start, end);
        return old ? [old] : [];
      });
      if (waitsFor.length === 0) break;
      listener.onWaiting(waitsFor);
      failures = 0;
    } catch (error) {
      // The wait may be long: a broker that is away for a moment doesn't end it.
      if ((failures += 1) > 10) throw error;
    }
    await sleep(clock, CHECK_MS + (failures > 0 ? backoffMs(failures, false, Math.random) : 0), signal);
    if (signal.aborted) return false;
  }
  await growSnapshot(grown, ports, listener.onMoving, signal);
  if (signal.aborted) return false;
  if (!(await pins.adopt(topic, partitions))) throw new Error('the adoption could not be stored');
  return true;
}

/** Throws an `AdoptionRefusedError` where rows would be lost to their users. */
async function assertSnapshotMayGrow(
  { snapshot, snapshotPartitions, partitions }: GrownTopic,
  { reader, moveRows }: AdoptionPorts,
): Promise<void> {
  if (snapshot === null || snapshotPartitions === partitions) return;
  if (snapshotPartitions < partitions && moveRows !== null) return;
  const bounds = await Promise.all(
    Array.from({ length: snapshotPartitions }, (_, partition) =>
      reader.bounds({ topic: snapshot, partition }),
    ),
  );
  if (snapshotPartitions < partitions && bounds.every(({ start, end }) => start === end)) return;
  throw new AdoptionRefusedError(
    `the snapshot topic ${snapshot} has ${snapshotPartitions} partitions and holds rows that can't be moved: name a topic ` +
      `of ${partitions} partitions in TOPICS_SNAPSHOT, or delete ${snapshot} and let \`topics create\` make it anew; ` +
      'initial syncs start from what it holds then',
  );
}

async function growSnapshot(
  { snapshot, snapshotPartitions, pinned, partitions }: GrownTopic,
  { admin, moveRows }: AdoptionPorts,
  onMoving: MovingListener,
  signal: AbortSignal,
): Promise<void> {
  if (snapshot === null) return;
  if (snapshotPartitions < partitions) await admin.growTopic(snapshot, partitions);
  try {
    await moveRows?.({ topic: snapshot, from: pinned, to: partitions }, onMoving, signal);
  } catch (error) {
    if (!(error instanceof UnknownPartitionerError)) throw error;
    throw new AdoptionRefusedError(
      `${error.message}; name a new topic of ${partitions} partitions in TOPICS_SNAPSHOT, and fill it with \`snapshot rebuild\` after the adoption`,
      { cause: error },
    );
  }
}

/** Null when the partition is through with everything below `end`. */
function oldPartition(
  partition: number,
  commit: GroupCommit | null,
  start: number,
  end: number,
): OldPartition | null {
  const lag = Math.max(0, end - (commit?.offset ?? start));
  const { x, list, isReadable } = parseCommitMetadata(commit?.metadata ?? null);
  const isTold = list === null && (isReadable || commit === null);
  const parked = isTold ? x.filter(({ position }) => position < end) : null;
  return lag === 0 && parked?.length === 0 ? null : { partition, lag, parked };
}
