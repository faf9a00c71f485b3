import { describe, expect, test } from '@jest/globals';
import { rebuildPartition, type RebuildResult } from '../../../../streams/snapshot/snapshot-rebuild.ts';
import { MUTATIONS, SNAPSHOT, SnapshotLogs, USER } from '../../../support/snapshot-logs.ts';

const rebuild = (logs: SnapshotLogs, end?: number): Promise<RebuildResult> =>
  rebuildPartition(logs.scope(0, end), logs.ports, logs.listener, logs.signal);

const snapshotLog = (logs: SnapshotLogs) => logs.kafka.log({ topic: SNAPSHOT, partition: 0 });

describe('rebuilding the snapshot of a partition', () => {
  test('writes the newest mutation of each document, with its source, once', async () => {
    const logs = new SnapshotLogs(8);
    logs.activity('a', 1);
    logs.activity('b', 1);
    logs.activity('a', 2);
    logs.activity('b', 2, { op: 'DELETE' });
    logs.activity('c', 1, { datamart_id: 7 });
    logs.kafka.append({ topic: MUTATIONS, partition: 0 }, { value: Buffer.from('neither') });
    logs.mutate({ doc_type: 'UserChoice' });

    expect(await rebuild(logs)).toMatchObject({ documents: 3, stored: 2, deleted: 0, leftOut: 2, mended: 0 });
    expect(logs.values()).toEqual({ a: 2, c: 1 });
    expect(logs.rows()['a']?.headers.source?.toString()).toBe('00008-0-00000000000000000002');
    expect(logs.rows()['a']?.value).toEqual(logs.kafka.log({ topic: MUTATIONS, partition: 0 })[2]?.value);
  });

  test('run again it writes nothing: so it goes on where it was stopped', async () => {
    const logs = new SnapshotLogs(8);
    for (let n = 0; n < 20; n += 1) logs.activity(`a${n % 7}`, n);
    await rebuild(logs);
    const records = snapshotLog(logs).length;

    expect(await rebuild(logs)).toMatchObject({ stored: 0, deleted: 0, mended: 0 });
    expect(snapshotLog(logs)).toHaveLength(records);
  });

  test('writes what is missing or older, deletes what was deleted, and leaves what is newer', async () => {
    const logs = new SnapshotLogs(8);
    const [stale, gone, same] = [
      logs.activity('stale', 1),
      logs.activity('gone', 1),
      logs.activity('same', 1),
    ];
    logs.activity('missing', 1);
    logs.activity('stale', 2);
    logs.activity('gone', 2, { op: 'DELETE' });
    const end = logs.activity('newer', 1) + 1;
    const newer = logs.activity('newer', 2);
    for (const offset of [stale, gone, same, newer]) logs.copy(offset);

    expect(await rebuild(logs, end)).toMatchObject({ stored: 2, deleted: 1 });
    expect(logs.values()).toEqual({ stale: 2, gone: null, same: 1, missing: 1, newer: 2 });
  });

  test('a row that doesn’t tell its mutation is older than any that is known', async () => {
    const logs = new SnapshotLogs(8);
    logs.activity('a', 2);
    const key = Buffer.from(`1649/UserActivity/${USER}:a`);
    logs.kafka.append({ topic: SNAPSHOT, partition: 0 }, { key, value: Buffer.from('{"value":{"n":1}}') });

    expect(await rebuild(logs)).toMatchObject({ stored: 1 });
    expect(logs.values()).toEqual({ a: 2 });
  });

  test('what an instance stores between the look and the append is last in the end', async () => {
    const logs = new SnapshotLogs(8);
    const end = logs.activity('a', 1) + 1;
    logs.activity('b', 1);
    const newest = [logs.activity('a', 2), logs.activity('a', 3)];
    let appends = 0;
    // The instance is faster, and once more while that is mended.
    logs.kafka.appendFault = () => {
      const offset = newest[appends];
      appends += 1;
      if (offset !== undefined) logs.copy(offset);
      return null;
    };

    expect(await rebuild(logs, end)).toMatchObject({ stored: 3, mended: 2 });
    expect(logs.values()).toEqual({ a: 3 });
  });

  test('mends an older record that came last, whoever wrote it', async () => {
    const logs = new SnapshotLogs(8);
    const [first, second] = [logs.activity('a', 1), logs.activity('a', 2)];
    const deleted = [logs.activity('b', 1), logs.activity('b', 2, { op: 'DELETE' })];
    for (const offset of [second, first, ...deleted.toReversed()]) logs.copy(offset);

    await rebuild(logs);
    expect(logs.values()).toEqual({ a: 2, b: null });
  });

  test('tries on while the topic can’t be written, and says so', async () => {
    const logs = new SnapshotLogs(8);
    logs.activity('a', 1);
    let refusals = 2;
    logs.kafka.appendFault = () =>
      refusals-- > 0 ? { kind: 'failed', error: new Error('NOT_ENOUGH_REPLICAS') } : null;
    const rebuilt = rebuild(logs);
    await logs.clock.advance(10_000);

    expect(await rebuilt).toMatchObject({ stored: 1 });
    expect(logs.failures).toHaveLength(2);
  });

  test('what is too large is counted, nothing older stands for it, and it comes once the topic takes it', async () => {
    const logs = new SnapshotLogs(8);
    logs.copy(logs.activity('a', 1));
    logs.activity('a', 2, { value: { n: 2, pad: 'x'.repeat(1_000) } });
    logs.kafka.appendFault = (_, records) =>
      records.some(({ value }) => (value?.length ?? 0) > 1_000)
        ? { kind: 'too_large', error: new Error('MESSAGE_TOO_LARGE') }
        : null;

    expect(await rebuild(logs)).toMatchObject({ tooLarge: 1 });
    expect(logs.values()).toEqual({ a: null });
    expect(logs.rows()['a']?.headers).toMatchObject({ omitted: 'too_large' });

    logs.kafka.appendFault = null;
    expect(await rebuild(logs)).toMatchObject({ stored: 1, tooLarge: 0 });
    expect(logs.values()).toEqual({ a: 2 });
  });
});
