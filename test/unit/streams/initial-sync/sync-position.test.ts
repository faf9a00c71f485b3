import { expect, test } from '@jest/globals';
import {
  readSyncPosition,
  writeSyncPosition,
  type SyncPosition,
} from '../../../../streams/initial-sync/sync-position.ts';

const position = (positions: ReadonlyMap<number, number> | null): SyncPosition => ({
  executionId: '6f1c',
  liveOffset: 77_120,
  endOffset: 90_000,
  operations: 12,
  positions,
  lowest: 5_000,
});
const throughJson = (entry: unknown): unknown => JSON.parse(JSON.stringify(entry)) as unknown;

test('is read as it was written', () => {
  const written = position(
    new Map([
      [0xfffffffe, 90_000],
      [7, 5_000],
    ]),
  );
  expect(readSyncPosition(throughJson(writeSyncPosition(written)))).toEqual(written);
});

test('no part that goes on is told from too many to tell', () => {
  expect(readSyncPosition(writeSyncPosition(position(new Map())))?.positions).toEqual(new Map());

  const many = new Map(Array.from({ length: 200 }, (_, i) => [i * 1_000_003, 5_000 + i]));
  const entry = writeSyncPosition(position(many));
  expect(JSON.stringify(entry).length).toBeLessThan(120);
  expect(readSyncPosition(entry)).toEqual(position(null));
});

test.each([
  null,
  'text',
  {},
  { e: '6f1c', l: -1, o: 1, n: 0, m: 0 },
  { e: '6f1c', l: 1, o: 1, n: 0, m: 0, p: 5 },
  { e: 6, l: 1, o: 1, n: 0, m: 0 },
])('%j is none', (entry) => {
  expect(readSyncPosition(entry)).toBeNull();
});
