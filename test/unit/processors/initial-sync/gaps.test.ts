import { expect, test } from '@jest/globals';
import { gapsOf } from '../../../../processors/initial-sync/gaps.ts';
import type { PartitionReport } from '../../../../processors/status-record.ts';

function report(fields: Partial<PartitionReport>): PartitionReport {
  return {
    replicationId: '80',
    topic: 'datamart-mutations',
    partition: 3,
    state: 'ACTIVE',
    offset: 200,
    gap: null,
    lostOffsets: 0,
    ...fields,
  };
}

const GAP = { from: 100, to: 150 };

test.each([
  ['no gap', { gap: null }, []],
  ['a pause', { gap: GAP }, [50]],
  ['an empty pause', { gap: { from: 100, to: 100 } }, []],
  ['what retention has taken', { lostOffsets: 7 }, [7]],
  ['both', { gap: GAP, lostOffsets: 7 }, [50, 7]],
])('%s', (_, fields, counts) => {
  expect(gapsOf([report(fields)]).map(({ count }) => count)).toEqual(counts);
});

test('tells where each lies', () => {
  expect(gapsOf([report({}), report({ partition: 4, gap: GAP })])).toEqual([
    { topic: 'datamart-mutations', partition: 4, count: 50, offsets: GAP },
  ]);
});
