import { expect, test } from '@jest/globals';
import { murmur2 } from '../../../../schemas/murmur2.ts';
import { moveGrownRows, UnknownPartitionerError } from '../../../../streams/snapshot/snapshot-growth.ts';
import type { StoredRecord } from '../../../support/in-memory-kafka.ts';
import { SNAPSHOT, SnapshotLogs } from '../../../support/snapshot-logs.ts';

const partitionOf = (user: string, count: number): number =>
  (murmur2(Buffer.from(user), 0, user.length) & 0x7fffffff) % count;

const users = Array.from(
  { length: 40 },
  (_, i) => `4700c85f-17e3-4304-aa7f-dc14017300${String(i).padStart(2, '0')}`,
);

/** Each user has an activity of the user's own name; every fifth was deleted. */
function filled(count: number): SnapshotLogs {
  const logs = new SnapshotLogs(count);
  for (const [i, user] of users.entries()) {
    const partition = partitionOf(user, count);
    const fields = { user_point_id: user };
    logs.copy(logs.activity(user, 1, fields, partition), partition);
    logs.copy(
      logs.activity(user, 2, { ...fields, ...(i % 5 === 0 ? { op: 'DELETE' } : {}) }, partition),
      partition,
    );
  }
  return logs;
}

const move = (logs: SnapshotLogs, from: number, to: number): Promise<number> =>
  moveGrownRows({ topic: SNAPSHOT, from, to }, logs.ports, logs.listener, logs.signal);

test.each([
  [2, 6],
  [4, 6],
])(
  'from %d to %d partitions every document lies where its user’s mutations come in, and nowhere else',
  async (from, to) => {
    const logs = filled(from);
    const before: Record<string, StoredRecord> = Object.fromEntries(
      Array.from({ length: from }, (_, partition) => Object.entries(logs.rows(partition))).flat(),
    );
    const moved = users.filter((user) => partitionOf(user, from) !== partitionOf(user, to));

    expect(await move(logs, from, to)).toBe(moved.length);
    for (const [i, user] of users.entries()) {
      const rows = logs.rows(partitionOf(user, to));
      expect(rows[user]?.value).toEqual(before[user]?.value);
      expect(rows[user]?.value === null).toBe(i % 5 === 0);
      expect(String(rows[user]?.headers.source)).toBe(String(before[user]?.headers.source));
      if (!moved.includes(user)) continue;
      const left = logs.rows(partitionOf(user, from))[user];
      expect(left?.value).toBeNull();
      expect(String(left?.headers.moved)).toBe(String(partitionOf(user, to)));
    }
  },
);

test('run again it moves nothing, nor after it was stopped halfway', async () => {
  const logs = filled(2);
  let appends = 0;
  const stop = new AbortController();
  logs.kafka.appendFault = () => {
    appends += 1;
    if (appends === 2) stop.abort();
    return null;
  };
  await moveGrownRows({ topic: SNAPSHOT, from: 2, to: 4 }, logs.ports, logs.listener, stop.signal);
  logs.kafka.appendFault = null;
  await move(logs, 2, 4);
  const lengths = [0, 1, 2, 3].map((partition) => logs.kafka.log({ topic: SNAPSHOT, partition }).length);

  expect(await move(logs, 2, 4)).toBe(0);
  expect([0, 1, 2, 3].map((partition) => logs.kafka.log({ topic: SNAPSHOT, partition }).length)).toEqual(
    lengths,
  );
  for (const user of users) expect(logs.rows(partitionOf(user, 4))[user]).toBeDefined();
});

test('what an instance has stored of a document under the new count stays', async () => {
  const logs = filled(4);
  const user = users.find(
    (candidate) => partitionOf(candidate, 4) !== partitionOf(candidate, 6) && partitionOf(candidate, 6) < 4,
  );
  if (user === undefined) throw new Error('no user moves among the old partitions');
  const to = partitionOf(user, 6);
  const row = logs.rows(partitionOf(user, 4))[user];
  const value = Buffer.from('{"value":{"n":3}}');
  const source = `00006-${to}-00000000000000000000`;
  logs.kafka.append(
    { topic: SNAPSHOT, partition: to },
    { key: row?.key ?? null, value, headers: { source } },
  );

  await move(logs, 4, 6);
  expect(logs.rows(to)[user]?.value).toEqual(value);
});

test('a snapshot that has grown before grows again', async () => {
  const logs = filled(2);
  await move(logs, 2, 4);
  await move(logs, 4, 8);

  for (const user of users) {
    const row = logs.rows(partitionOf(user, 8))[user];
    expect(row).toBeDefined();
    expect(row?.headers).not.toHaveProperty('moved');
  }
});

test('refuses where another partitioner has put the users', async () => {
  const logs = new SnapshotLogs(2);
  const user = users.find((candidate) => partitionOf(candidate, 4) === 3) ?? '';
  logs.copy(logs.activity(user, 1, { user_point_id: user }, 0), 0);

  await expect(move(logs, 2, 4)).rejects.toThrow(UnknownPartitionerError);
});
