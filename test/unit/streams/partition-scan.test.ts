import { expect, test } from '@jest/globals';
import type { ConsumedBatch, ConsumedRecord, PartitionReader } from '../../../streams/kafka-port.ts';
import { logRanges, scanRange } from '../../../streams/partition-scan.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const AT = { topic: 'snapshot', partition: 0 };

/** A log of which compaction and retention have left some offsets. */
class LogReader implements PartitionReader {
  readonly offsets: readonly number[];
  start: number;
  failures = 0;

  constructor(offsets: readonly number[], start = 0) {
    this.offsets = offsets;
    this.start = start;
  }

  bounds(): Promise<{ start: number; end: number }> {
    return Promise.resolve({ start: this.start, end: (this.offsets.at(-1) ?? -1) + 1 });
  }

  /** Batches of up to three records; an emptied one at least moves on. */
  read(_at: typeof AT, offset: number): Promise<ConsumedBatch> {
    if (this.failures-- > 0) return Promise.reject(new Error('the broker is away'));
    if (offset < this.start) return Promise.reject(new Error('OFFSET_OUT_OF_RANGE'));
    const found = this.offsets.filter((each) => each >= offset - (offset % 3)).slice(0, 3);
    const records = found.map((each): ConsumedRecord => ({
      offset: each,
      timestamp: 0,
      key: null,
      value: null,
      headers: {},
    }));
    const nextOffset = (found.at(-1) ?? offset) + 1;
    return Promise.resolve({ ...AT, fetchedOffset: offset, nextOffset, highWatermark: 100, records });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Scanned {
  readonly offsets: readonly number[];
  readonly progress: readonly number[];
}

async function scanned(
  reader: LogReader,
  range: { start: number; end: number },
  onRecord: (offset: number) => void | Promise<void> = () => undefined,
  signal = new AbortController().signal,
): Promise<Scanned> {
  const clock = new ManualClock();
  const offsets: number[] = [];
  const progress: number[] = [];
  const scanning = scanRange(
    { ...AT, ...range },
    { reader, clock, random: () => 0.5 },
    ({ offset }) => {
      offsets.push(offset);
      return onRecord(offset);
    },
    (offset) => progress.push(offset),
    signal,
  );
  const ended = scanning.then(
    () => null,
    (error: unknown) => error,
  );
  await clock.advance(60_000);
  const error = await ended;
  if (error instanceof Error) throw error;
  return { offsets, progress };
}

test('hands over what is there of the part, each once and in order', async () => {
  const reader = new LogReader([0, 1, 2, 5, 6, 9, 10, 11, 12]);

  expect((await scanned(reader, { start: 1, end: 11 })).offsets).toEqual([1, 2, 5, 6, 9, 10]);
});

test('tells how far it is, and never beyond the end', async () => {
  const { progress } = await scanned(new LogReader([0, 1, 2, 7, 8, 9]), { start: 0, end: 9 });

  expect(progress).toEqual([3, 9]);
});

test('goes on where retention has taken the beginning', async () => {
  const reader = new LogReader([6, 7, 8], 6);

  expect((await scanned(reader, { start: 0, end: 9 })).offsets).toEqual([6, 7, 8]);
});

test('tries a failed read again', async () => {
  const reader = new LogReader([0, 1, 2]);
  reader.failures = 2;

  expect((await scanned(reader, { start: 0, end: 3 })).offsets).toEqual([0, 1, 2]);
});

test('says which topic can’t be read', async () => {
  const reader = new LogReader([0, 1, 2]);
  reader.failures = 100;

  await expect(scanned(reader, { start: 0, end: 3 })).rejects.toThrow('reading snapshot: the broker is away');
});

test('waits for whoever takes a record, and passes on what goes wrong there', async () => {
  const reader = new LogReader([0, 1, 2]);
  const taken: number[] = [];
  await scanned(reader, { start: 0, end: 3 }, async (offset) => {
    await Promise.resolve();
    taken.push(offset);
  });

  expect(taken).toEqual([0, 1, 2]);
  await expect(
    scanned(reader, { start: 0, end: 3 }, () => Promise.reject(new Error('not this one'))),
  ).rejects.toThrow('not this one');
});

test('ends early when it is stopped', async () => {
  const stopping = new AbortController();
  const { offsets } = await scanned(
    new LogReader([0, 1, 2, 3, 4, 5]),
    { start: 0, end: 6 },
    () => {
      stopping.abort();
    },
    stopping.signal,
  );

  expect(offsets).toEqual([0]);
});

test('finds the whole of each partition', async () => {
  const reader = new LogReader([4, 5], 4);
  const ports = { reader, clock: new ManualClock(), random: () => 0.5 };

  expect(await logRanges('snapshot', 2, ports, new AbortController().signal)).toEqual([
    { topic: 'snapshot', partition: 0, start: 4, end: 6 },
    { topic: 'snapshot', partition: 1, start: 4, end: 6 },
  ]);
});
