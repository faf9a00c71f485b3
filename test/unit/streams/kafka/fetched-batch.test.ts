import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { FetchedBatch } from '../../../../streams/kafka/fetched-batch.ts';
import { readRecordBatches } from '../../../../streams/kafka/record-batch.ts';
import { aMarker, aRecordBatch, TRANSACTIONAL } from './record-batch-builder.ts';

const requireKafkajs = createRequire(import.meta.url);
const KafkajsBatch = requireKafkajs('kafkajs/src/consumer/batch') as new (
  topic: string,
  fetchedOffset: string,
  data: object,
) => { messages: readonly { offset: string }[] };
const KafkajsDecoder = requireKafkajs('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object;
const decodeByKafkajs = requireKafkajs('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: object,
) => Promise<{ records: readonly object[] }>;

interface Aborted {
  readonly producerId: string;
  readonly firstOffset: string;
}

async function fetched(
  batches: readonly Buffer[],
  from: number,
  abortedTransactions: readonly Aborted[] = [],
): Promise<FetchedBatch> {
  const messages = await readRecordBatches(Buffer.concat(batches), (_codec, bytes) => Promise.resolve(bytes));
  return new FetchedBatch('t', String(from), {
    partition: 3,
    highWatermark: '1000',
    abortedTransactions,
    messages,
  });
}

const offsetsOf = (batch: FetchedBatch): number[] => batch.messages.map(({ offset }) => offset);
const plain = (firstOffset: bigint, count: number): Buffer =>
  aRecordBatch({ firstOffset, records: Array.from({ length: count }, () => ({})) });
const inTransaction = (firstOffset: bigint, producerId: bigint, count = 1): Buffer =>
  aRecordBatch({
    firstOffset,
    producerId,
    attributes: TRANSACTIONAL,
    records: Array.from({ length: count }, () => ({})),
  });

describe('a fetched batch', () => {
  test('is what the engine consumes', async () => {
    const batch = await fetched([plain(10n, 3), plain(13n, 2)], 11);

    expect(batch.consumed()).toEqual({
      topic: 't',
      partition: 3,
      fetchedOffset: 11,
      nextOffset: 15,
      highWatermark: 1000,
      records: batch.messages,
    });
    expect(offsetsOf(batch)).toEqual([11, 12, 13, 14]);
    expect([batch.isEmpty(), batch.firstOffset(), batch.lastOffset()]).toEqual([false, '11', '14']);
    expect([batch.offsetLag(), batch.offsetLagLow()]).toEqual(['985', '988']);
  });

  test('knows the bytes of the response, so that they can be used again', async () => {
    const response = plain(10n, 3);
    const messages = await readRecordBatches(response, (_codec, bytes) => Promise.resolve(bytes));
    const data = { partition: 3, highWatermark: '13', messages };

    expect(new FetchedBatch('t', '10', data).buffer).toBe(response.buffer);
    expect((await fetched([], 1_000)).buffer).toBeNull();
  });

  test('is empty when nothing came at the log’s end, and leaves the position', async () => {
    const batch = await fetched([], 1_000);

    expect([batch.isEmpty(), batch.lastOffset(), batch.firstOffset()]).toEqual([true, '999', null]);
    expect(batch.consumed().nextOffset).toBe(1_000);
  });

  test('tells the log’s end when an open transaction holds back what follows', async () => {
    const batch = await fetched([], 11);

    expect([batch.isEmpty(), batch.lastOffset(), batch.firstOffset()]).toEqual([false, '10', null]);
    expect(batch.consumed()).toMatchObject({ nextOffset: 11, highWatermark: 1_000, records: [] });
  });

  test.each([
    ['compacted away', [aRecordBatch({ firstOffset: 10n, lastOffsetDelta: 5 })], []],
    ['of an aborted transaction', [inTransaction(10n, 1n, 6)], [{ producerId: '1', firstOffset: '10' }]],
    ['a marker', [aMarker('commit', 15n, 1n)], []],
  ])('without records moves the position when all was %s', async (_what, batches, aborted) => {
    const batch = await fetched(batches, 10, aborted);

    expect([batch.isEmpty(), batch.isEmptyDueToFiltering(), batch.lastOffset()]).toEqual([
      false,
      false,
      '15',
    ]);
    expect(batch.consumed()).toMatchObject({ records: [], nextOffset: 16 });
  });

  test('takes messages of the formats before record batches', () => {
    const message = (offset: string) => ({ offset, timestamp: '5', key: null, value: Buffer.from(offset) });
    const data = { partition: 0, highWatermark: '9', messages: ['1', '2'].map(message) };

    const batch = new FetchedBatch('t', '2', data).consumed();
    const before = new FetchedBatch('t', '4', data).consumed();

    expect(batch.nextOffset).toBe(3);
    expect(batch.records).toEqual([
      { offset: 2, timestamp: 5, key: null, value: Buffer.from('2'), headers: {} },
    ]);
    expect(before).toMatchObject({ records: [], nextOffset: 5 });
  });
});

describe('aborted transactions', () => {
  test('that began before the fetch are left out, however many', async () => {
    const aborted = [
      { producerId: '1', firstOffset: '2' },
      { producerId: '2', firstOffset: '5' },
    ];
    const log = [inTransaction(10n, 2n), inTransaction(11n, 1n), inTransaction(12n, 3n)];

    expect(offsetsOf(await fetched(log, 10, aborted))).toEqual([12]);
  });

  test('are told in the order of their ends', async () => {
    const log = [
      inTransaction(0n, 1n),
      inTransaction(1n, 2n),
      aMarker('abort', 2n, 2n),
      aMarker('abort', 3n, 1n),
      plain(4n, 1),
    ];
    const aborted = [
      { producerId: '2', firstOffset: '1' },
      { producerId: '1', firstOffset: '0' },
    ];

    expect(offsetsOf(await fetched(log, 0, aborted))).toEqual([4]);
  });

  test('do not end with a record whose key looks like a marker', async () => {
    const looksLikeMarker = aRecordBatch({
      firstOffset: 0n,
      producerId: 1n,
      attributes: TRANSACTIONAL,
      records: [{ key: Buffer.alloc(4) }, {}],
    });

    const batch = await fetched([looksLikeMarker], 0, [{ producerId: '1', firstOffset: '0' }]);

    expect(offsetsOf(batch)).toEqual([]);
  });

  test('are left out of any log, from any offset, and as kafkajs does it from the start', async () => {
    const step = fc.record({
      producer: fc.integer({ min: 0, max: 3 }),
      count: fc.integer({ min: 1, max: 4 }),
      end: fc.constantFrom('none' as const, 'none' as const, 'abort' as const, 'commit' as const),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(60), async (steps, start) => {
        const log = new TransactionLog();
        for (const { producer, count, end } of steps) log.append(producer, count, end);
        log.endAll();
        const from = Math.min(start, log.end);

        expect(offsetsOf(await log.fetch(from))).toEqual(log.visible().filter((offset) => offset >= from));
        expect(await log.offsetsByKafkajs()).toEqual(log.visible());
      }),
    );
  });
});

/** A partition's log as transactions write it. Producer 0 writes without them. */
class TransactionLog {
  end = 0;
  readonly #batches: { readonly next: number; readonly bytes: Buffer }[] = [];
  readonly #records: { offset: number; transaction: { outcome: string } | null }[] = [];
  readonly #open = new Map<number, { first: number; outcome: string }>();
  readonly #aborted: (Aborted & { readonly marker: number })[] = [];

  append(producer: number, count: number, end: 'none' | 'abort' | 'commit'): void {
    if (producer === 0) {
      this.#add(plain(BigInt(this.end), count), count, null);
      return;
    }
    const transaction = this.#open.get(producer) ?? { first: this.end, outcome: 'open' };
    this.#open.set(producer, transaction);
    this.#add(inTransaction(BigInt(this.end), BigInt(producer), count), count, transaction);
    if (end !== 'none') this.#finish(producer, end);
  }

  endAll(): void {
    for (const producer of [...this.#open.keys()].reverse()) this.#finish(producer, 'abort');
  }

  visible(): number[] {
    return this.#records
      .filter(({ transaction }) => transaction === null || transaction.outcome === 'commit')
      .map(({ offset }) => offset);
  }

  fetch(from: number): Promise<FetchedBatch> {
    const batches = this.#batches.filter(({ next }) => next > from).map(({ bytes }) => bytes);
    const aborted = this.#aborted.filter(({ marker }) => marker >= from);
    return fetched(batches, from, aborted);
  }

  async offsetsByKafkajs(): Promise<number[]> {
    const messages: object[] = [];
    for (const { bytes } of this.#batches) {
      messages.push(...(await decodeByKafkajs(new KafkajsDecoder(bytes))).records);
    }
    const abortedTransactions = this.#aborted.toSorted(
      (a, b) => Number(a.firstOffset) - Number(b.firstOffset),
    );
    const data = { partition: 0, highWatermark: '1000', abortedTransactions, messages };
    return new KafkajsBatch('t', '0', data).messages.map(({ offset }) => Number(offset));
  }

  #finish(producer: number, outcome: 'abort' | 'commit'): void {
    const transaction = this.#open.get(producer);
    if (!transaction) return;
    this.#open.delete(producer);
    transaction.outcome = outcome;
    if (outcome === 'abort') {
      this.#aborted.push({
        producerId: String(producer),
        firstOffset: String(transaction.first),
        marker: this.end,
      });
    }
    this.#batches.push({
      next: this.end + 1,
      bytes: aMarker(outcome, BigInt(this.end), BigInt(producer)),
    });
    this.end += 1;
  }

  #add(bytes: Buffer, count: number, transaction: { outcome: string } | null): void {
    for (let i = 0; i < count; i++) this.#records.push({ offset: this.end + i, transaction });
    this.end += count;
    this.#batches.push({ next: this.end, bytes });
  }
}
