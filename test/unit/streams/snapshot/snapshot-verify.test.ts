import { expect, test } from '@jest/globals';
import { DOCUMENT_TYPES } from '../../../../schemas/document-type.ts';
import { verifyPartition, type VerifyResult } from '../../../../streams/snapshot/snapshot-verify.ts';
import { MUTATIONS, SNAPSHOT, SnapshotLogs, USER } from '../../../support/snapshot-logs.ts';

const verify = (logs: SnapshotLogs, end?: number): Promise<VerifyResult> =>
  verifyPartition(
    logs.scope(0, end),
    logs.ports,
    { maxExamples: 10, onProgress: () => undefined },
    logs.signal,
  );

const activities = ({ byType }: VerifyResult) => byType[DOCUMENT_TYPES.indexOf('UserActivity')];

test('finds no difference in a snapshot that holds what the mutations say', async () => {
  const logs = new SnapshotLogs(8);
  for (let n = 0; n < 30; n += 1)
    logs.copy(logs.activity(`a${n % 7}`, n, n % 5 === 0 ? { op: 'DELETE' } : {}));
  logs.kafka.append({ topic: MUTATIONS, partition: 0 }, { value: Buffer.from('neither') });

  const result = await verify(logs);
  expect(result.examples).toEqual([]);
  expect(activities(result)).toMatchObject({ source: 6, copy: 6 });
});

test('tells what is missing, stale, resurrected and extra, by hashes', async () => {
  const logs = new SnapshotLogs(8);
  const stale = logs.activity('stale', 1);
  const resurrected = logs.activity('resurrected', 1);
  logs.activity('stale', 2);
  logs.activity('resurrected', 2, { op: 'DELETE' });
  logs.activity('missing', 1);
  logs.copy(stale);
  logs.copy(resurrected);
  logs.copy(logs.activity('extra', 1));
  const end = logs.kafka.log({ topic: MUTATIONS, partition: 0 }).length;
  logs.kafka.log({ topic: MUTATIONS, partition: 0 })[end - 1] = {
    key: null,
    value: null,
    headers: {},
    timestamp: 0,
  };

  const result = await verify(logs);
  expect(activities(result)).toEqual({ source: 2, copy: 3, missing: 1, stale: 1, resurrected: 1, extra: 1 });
  expect(result.examples.map(({ difference }) => difference).sort()).toEqual([
    'extra',
    'missing',
    'resurrected',
    'stale',
  ]);
  for (const { keyHash } of result.examples) expect(keyHash).toMatch(/^[0-9a-f]{16}$/);
});

test('newer mutations than those of the range may be there already, and an older one behind them is stale', async () => {
  const logs = new SnapshotLogs(8);
  const first = logs.activity('a', 1);
  logs.copy(first);
  const end = logs.activity('b', 1) + 1;
  logs.copy(end - 1);
  logs.copy(logs.activity('a', 2));
  logs.copy(logs.activity('b', 2, { op: 'DELETE' }));
  expect(activities(await verify(logs, end))).toMatchObject({
    missing: 0,
    stale: 0,
    resurrected: 0,
    extra: 0,
  });

  logs.copy(first);
  expect(activities(await verify(logs, end))).toMatchObject({ stale: 1 });
});

test('rows whose mutations retention took are counted, unless a mutation that is left tells of them', async () => {
  const logs = new SnapshotLogs(8);
  for (const id of ['old', 'gone', 'updated', 'deleted before']) logs.copy(logs.activity(id, 1));
  logs.copy(logs.activity('deleted before', 2, { op: 'DELETE' }));
  logs.kafka.deleteBefore({ topic: MUTATIONS, partition: 0 }, 5);
  logs.activity('gone', 2, { op: 'DELETE' });
  logs.activity('updated', 2);

  const result = await verify(logs);
  expect(result.older).toBe(1);
  expect(activities(result)).toMatchObject({ missing: 0, stale: 1, resurrected: 1, extra: 0 });
});

test('records that stand for others, or for nothing, are no differences of their own', async () => {
  const logs = new SnapshotLogs(8);
  logs.activity('omitted', 1);
  logs.activity('moved', 1);
  const key = (id: string): Buffer => Buffer.from(`1649/UserActivity/${USER}:${id}`);
  const at = { topic: SNAPSHOT, partition: 0 };
  logs.kafka.append(at, {
    key: key('omitted'),
    headers: { source: '00008-0-00000000000000000000', omitted: 'too_large' },
  });
  logs.kafka.append(at, {
    key: key('moved'),
    headers: { source: '00008-0-00000000000000000001', moved: '9' },
  });
  logs.kafka.append(at, { key: Buffer.from('something else') });
  // Came from another partition, when the topic got more of them.
  logs.kafka.append(at, {
    key: key('arrived'),
    value: Buffer.from('{}'),
    headers: { source: '00004-3-00000000000000000001' },
  });

  const result = await verify(logs);
  expect(result).toMatchObject({ omitted: 1, foreign: 1, older: 1 });
  expect(activities(result)).toMatchObject({ missing: 1, stale: 0, resurrected: 0, extra: 0 });
});
