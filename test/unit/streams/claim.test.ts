import { expect, test } from '@jest/globals';
import { claimOf, withinLog } from '../../../streams/claim.ts';
import { encodeCommitMetadata } from '../../../streams/commit-metadata.ts';

const commit = (offset: number | null, metadata: string | null = null) => ({
  topic: 't',
  partition: 3,
  offset,
  metadata,
  logStart: 10,
  logEnd: 20,
});

test('a partition without commit starts at the log’s start, or its end when told so', () => {
  expect(claimOf(commit(null), 'earliest', null)).toMatchObject({ offset: 10, isKept: false, problem: null });
  expect(claimOf(commit(null), 'latest', null)).toMatchObject({ offset: 20, problem: null });
});

test('keeps a task only when the commit names it', () => {
  const carried = {
    x: [{ replication: 7, position: 5, kind: 'DETACHED' as const }],
    list: null,
    s: [],
    isQuiet: false,
  };
  const metadata = encodeCommitMetadata({ ...carried, task: 'mine' });
  expect(claimOf(commit(12, metadata), 'earliest', 'mine')).toMatchObject({
    offset: 12,
    isKept: true,
    carried,
  });
  expect(claimOf(commit(12, metadata), 'earliest', 'other')).toMatchObject({ isKept: false, carried });
  expect(claimOf(commit(12, metadata), 'earliest', null).isKept).toBe(false);
});

test('never jumps to the end: what is out of the log goes on at its start, and that is said', () => {
  expect(claimOf(commit(7), 'latest', null)).toMatchObject({
    offset: 10,
    problem: expect.stringContaining('7 to 9 are lost') as unknown,
  });
  expect(claimOf(commit(21), 'latest', null)).toMatchObject({
    offset: 10,
    problem: expect.stringContaining('made anew') as unknown,
  });
});

test.each(['', 'x', '[]', 'null', '{"task":5,"x":7}'])(
  'metadata that nobody of ours wrote is no task: %s',
  (text) => {
    expect(claimOf(commit(12, text), 'earliest', null)).toMatchObject({
      isKept: false,
      carried: { task: null, x: [], s: [], isReadable: false },
    });
  },
);

test('own positions beyond the log’s end go on at its start, all of them when the offset is beyond it too', () => {
  const own = (position: number) => ({ replication: 1, position, kind: 'DETACHED' as const });
  const log = { logStart: 3, logEnd: 20 };
  expect(withinLog([own(7), own(20), own(21)], { ...log, offset: 10 })).toEqual([own(7), own(20), own(3)]);
  expect(withinLog([own(7), own(21)], { ...log, offset: 21 })).toEqual([own(3), own(3)]);
});
