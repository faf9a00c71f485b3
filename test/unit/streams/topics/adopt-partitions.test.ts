import { expect, test } from '@jest/globals';
import { encodeCommitMetadata, type OwnPosition } from '../../../../streams/commit-metadata.ts';
import type { PartitionReader, Producer } from '../../../../streams/kafka-port.ts';
import { PartitionPins } from '../../../../streams/partition-pins.ts';
import { UnknownPartitionerError } from '../../../../streams/snapshot/snapshot-growth.ts';
import { TableWriter } from '../../../../streams/table-writer.ts';
import {
  adoptPartitions,
  AdoptionRefusedError,
  type AdoptionPorts,
  type GroupCommit,
  type GrownTopic,
  type OldPartition,
} from '../../../../streams/topics/adopt-partitions.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { silentLogger } from '../../../support/silent-logger.ts';

const GROWN: GrownTopic = { topic: 'm', pinned: 2, partitions: 4, snapshot: 's', snapshotPartitions: 2 };
const PARKED: OwnPosition = { replication: 7, position: 3, kind: 'PAUSED' };

function commitAt(offset: number, x: readonly OwnPosition[] = [], list: number | null = null): GroupCommit {
  return { offset, metadata: encodeCommitMetadata({ task: 't', x, list, s: [], isQuiet: false }) };
}

/** A group on a topic whose old partitions hold ten records each. */
class Group {
  readonly clock = new ManualClock();
  readonly stop = new AbortController();
  readonly stored: string[] = [];
  readonly grown: string[] = [];
  readonly waits: (readonly OldPartition[])[] = [];
  readonly commits = new Map([
    [0, commitAt(10)],
    [1, commitAt(10)],
  ]);
  snapshotEnd = 0;
  moveRows: AdoptionPorts['moveRows'] = null;
  failures = 0;

  adopt(topic = GROWN): Promise<boolean> {
    const producer: Producer = {
      send: async (_, records) => {
        for (const { key, value } of records) this.stored.push(`${key?.toString()} ${value?.toString()}`);
        return [];
      },
      close: async () => undefined,
    };
    const writer = new TableWriter({
      topic: 'status',
      producer,
      clock: this.clock,
      random: () => 0,
      logger: silentLogger,
      signal: this.stop.signal,
    });
    const reader = {
      bounds: async ({ topic: name }: { topic: string }) => ({
        start: 0,
        end: name === 's' ? this.snapshotEnd : 10,
      }),
    } as unknown as PartitionReader;
    const admin = {
      growTopic: async (name: string, partitions: number) => void this.grown.push(`${name} ${partitions}`),
      committedOffsets: async () => {
        this.failures -= 1;
        if (this.failures >= 0) throw new Error('no broker');
        return this.commits;
      },
    };
    const { clock, moveRows } = this;
    const ports = { admin, reader, pins: new PartitionPins(writer), groupId: 'g', clock, moveRows };
    return adoptPartitions(topic, ports, this.stop.signal, {
      onWaiting: (waitsFor) => this.waits.push(waitsFor),
      onMoving: () => undefined,
    });
  }
}

test('adopts when the old partitions are through, and the empty snapshot grows along', async () => {
  const group = new Group();
  await expect(group.adopt()).resolves.toBe(true);
  expect(group.grown).toEqual(['s 4']);
  expect(group.stored).toEqual(['partitions/m {"v":1,"topic":"m","count":4}']);
  expect(group.waits).toEqual([]);
});

test('waits for records to be committed and for positions that lie behind, and says for which', async () => {
  const group = new Group();
  group.commits.set(0, commitAt(4)).set(1, commitAt(10, [PARKED, { ...PARKED, position: 10 }]));
  const adopted = group.adopt();
  await group.clock.advance(100);
  expect(group.waits).toEqual([
    [
      { partition: 0, lag: 6, parked: [] },
      { partition: 1, lag: 0, parked: [PARKED] },
    ],
  ]);
  group.commits.set(0, commitAt(12)).set(1, commitAt(12, [], 3));
  await group.clock.advance(1_000);
  expect(group.waits.at(-1)).toEqual([{ partition: 1, lag: 0, parked: null }]);
  expect(group.stored).toEqual([]);
  group.commits.set(1, commitAt(12, [{ ...PARKED, position: 11 }]));
  await group.clock.advance(1_000);
  await expect(adopted).resolves.toBe(true);
  expect(group.stored).toHaveLength(1);
});

test('a commit that has lost its metadata does not tell who is behind: its next one is waited for', async () => {
  const group = new Group();
  group.commits.set(1, { offset: 10, metadata: '' });
  const adopted = group.adopt();
  await group.clock.advance(100);
  expect(group.waits).toEqual([[{ partition: 1, lag: 0, parked: null }]]);
  expect(group.stored).toEqual([]);
  group.commits.set(1, commitAt(10));
  await group.clock.advance(1_000);
  await expect(adopted).resolves.toBe(true);
});

test('a partition that nobody has committed is behind by all it holds', async () => {
  const group = new Group();
  group.commits.delete(1);
  void group.adopt();
  await group.clock.advance(100);
  expect(group.waits).toEqual([[{ partition: 1, lag: 10, parked: [] }]]);
});

test('bears a broker that is away for a moment', async () => {
  const group = new Group();
  group.failures = 3;
  const adopted = group.adopt();
  await group.clock.advance(60_000);
  await expect(adopted).resolves.toBe(true);
});

test('changes nothing when it is stopped', async () => {
  const group = new Group();
  group.commits.set(0, commitAt(4));
  const adopted = group.adopt();
  await group.clock.advance(100);
  group.stop.abort();
  await expect(adopted).resolves.toBe(false);
  expect([group.grown, group.stored]).toEqual([[], []]);
});

test('refuses while a snapshot that others write holds rows, and says what to do', async () => {
  const group = new Group();
  group.snapshotEnd = 1;
  const adopted = group.adopt();
  await expect(adopted).rejects.toThrow(AdoptionRefusedError);
  await expect(adopted).rejects.toThrow('name a topic of 4 partitions in TOPICS_SNAPSHOT');
  await expect(group.adopt({ ...GROWN, snapshotPartitions: 4 })).resolves.toBe(true);
  await expect(group.adopt({ ...GROWN, snapshot: null, snapshotPartitions: 0 })).resolves.toBe(true);
  expect(group.grown).toEqual([]);
});

test('the rows of its own snapshot move once it has grown, and before the partitions are worked on', async () => {
  const group = new Group();
  group.snapshotEnd = 1;
  const order: string[] = [];
  group.moveRows = async ({ topic, from, to }) => {
    order.push(`${topic} ${from} ${to}`, ...group.grown, ...group.stored);
    return 1;
  };
  await expect(group.adopt()).resolves.toBe(true);
  expect(order).toEqual(['s 2 4', 's 4']);
  expect(group.stored).toHaveLength(1);

  // An adoption that was stopped in between goes on.
  await expect(group.adopt({ ...GROWN, snapshotPartitions: 4 })).resolves.toBe(true);
  expect(order.slice(2)).toEqual(['s 2 4', 's 4', ...group.stored.slice(0, 1)]);
});

test('adopts nothing when moving the rows is stopped, or can’t be done', async () => {
  const group = new Group();
  group.moveRows = async () => {
    group.stop.abort();
    return 0;
  };
  await expect(group.adopt()).resolves.toBe(false);
  const other = new Group();
  other.moveRows = () => Promise.reject(new UnknownPartitionerError('another partitioner'));
  await expect(other.adopt()).rejects.toThrow(AdoptionRefusedError);
  expect([...group.stored, ...other.stored]).toEqual([]);
});
