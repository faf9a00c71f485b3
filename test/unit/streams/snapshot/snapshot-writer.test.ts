import { expect, test } from '@jest/globals';
import { JsonMutationDecoder } from '../../../../schemas/json-mutation-decoder.ts';
import { MutationView } from '../../../../schemas/mutation.ts';
import type { AppendOutcome, PartitionWriter, ProducedRecord } from '../../../../streams/kafka-port.ts';
import { EngineMetrics } from '../../../../streams/metrics.ts';
import { SegmentPool } from '../../../../streams/segment-pool.ts';
import { SnapshotWriter } from '../../../../streams/snapshot/snapshot-writer.ts';
import { copiesOf } from '../../../support/in-memory-kafka.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { silentLogger } from '../../../support/silent-logger.ts';
import { aMutation, asJson, USER_POINT_ID, type MutationFields } from '../../schemas/mutation-builder.ts';

type Answer = AppendOutcome | Promise<AppendOutcome>;

const refused: AppendOutcome = { kind: 'failed', error: new Error('NOT_ENOUGH_REPLICAS') };
const open: AppendOutcome = { kind: 'open', error: new Error('no answer') };
const tooLarge: AppendOutcome = { kind: 'too_large', error: new Error('MESSAGE_TOO_LARGE') };
const stored: AppendOutcome = { kind: 'stored', baseOffset: 0 };
const LINGER_MS = 50;

/** What one request held: by record its offset, and its value's length, or null. */
interface Request {
  readonly records: readonly ProducedRecord[];
  readonly atMs: number;
}

/** A writer of partition 3 of 8, whose topic answers as a test says. */
class Writing {
  readonly clock = new ManualClock();
  readonly metrics = new EngineMetrics();
  readonly pool = new SegmentPool(64 * 1024 * 1024, () => undefined);
  readonly requests: Request[] = [];
  readonly deadLetters: { readonly offset: number; readonly detail: string }[] = [];
  readonly blocked: boolean[] = [];
  settled = 0;
  mayAttempt = true;
  /** What is answered, in order; `stored` when there is nothing left. */
  answers: ((records: readonly ProducedRecord[]) => Answer)[] = [];
  readonly writer: SnapshotWriter;
  #offset = 100;
  readonly #view = new MutationView();

  constructor() {
    const writer: PartitionWriter = {
      append: async (at, records, mayStart) => {
        expect(at).toEqual({ topic: 'snapshot', partition: 3 });
        if (!mayStart()) return { kind: 'not_started' };
        const copies = copiesOf(records);
        this.requests.push({ records: copies, atMs: this.clock.monotonic() });
        return this.answers.shift()?.(copies) ?? stored;
      },
      close: () => Promise.resolve(),
    };
    this.writer = new SnapshotWriter(
      {
        snapshotTopic: 'snapshot',
        writer,
        pool: this.pool,
        clock: this.clock,
        random: () => 0.5,
        metrics: this.metrics,
        logger: silentLogger,
      },
      {
        scope: { topic: 'mutations', partition: 3, partitionCount: 8 },
        mayAttempt: () => this.mayAttempt,
        onSettled: (count) => (this.settled += count),
        onWaiting: (isWaiting) => this.blocked.push(isWaiting),
        storeTooLarge: (offset, detail) => {
          this.deadLetters.push({ offset, detail });
          return Promise.resolve();
        },
      },
    );
  }

  /** Takes the mutation up at the next offset, which is returned. */
  append(fields: MutationFields): number {
    const value = asJson(aMutation(fields));
    expect(new JsonMutationDecoder().decode(value, this.#view, () => true)).toBe('ok');
    const offset = this.#offset;
    this.#offset += 1;
    this.writer.append(this.#view, {
      offset,
      timestamp: this.clock.now() - 1_000,
      key: null,
      value,
      headers: {},
    });
    return offset;
  }

  activity(n: number, fields: MutationFields = {}): number {
    return this.append({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n }, ...fields });
  }

  /** The offsets of each request's records. */
  get offsets(): number[][] {
    return this.requests.map(({ records }) =>
      records.map(({ headers }) => Number(String(headers.source).slice(-20))),
    );
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { labels, value } of this.metrics.snapshotRecords.samples())
      counts[String(labels.result)] = value;
    return counts;
  }
}

test('stores each mutation as it came, under its document’s key, with its source, and null for a deletion', async () => {
  const writing = new Writing();
  writing.append({ doc_type: 'UserAgent', vector_id: 'vec:1', op: 'DELETE', value: { secret: 1 } });
  writing.append({ doc_type: 'UserDevicePoint', user_device_point_id: 'd1', value: { $brand: null } });
  writing.append({ doc_type: 'UserPointParent', op: 'DELETE', kept_user_point_id: USER_POINT_ID });
  expect(writing.writer.position).toBe(100);
  await writing.clock.advance(LINGER_MS);

  const [request] = writing.requests;
  expect(request?.records.map(({ key, headers }) => [key?.toString(), headers])).toEqual([
    [`1649/UserAgent/${USER_POINT_ID}:vec:1`, { source: '00008-3-00000000000000000100' }],
    [`1649/UserDevicePoint/${USER_POINT_ID}:d1`, { source: '00008-3-00000000000000000101' }],
    [`1649/UserPointParent/${USER_POINT_ID}`, { source: '00008-3-00000000000000000102' }],
  ]);
  const [agent, device, parent] = request?.records ?? [];
  expect(agent?.value).toBeNull();
  expect(device?.value).toEqual(
    asJson(aMutation({ doc_type: 'UserDevicePoint', user_device_point_id: 'd1', value: { $brand: null } })),
  );
  // Always kept: its operation is UPDATE, whatever it says.
  expect(parent?.value).not.toBeNull();
  expect(device?.timestamp).toBe(writing.clock.now() - LINGER_MS - 1_000);
  expect(writing.writer.position).toBeNull();
  expect(writing.settled).toBe(3);
  expect(writing.counts()).toEqual({ stored: 2, deleted: 1 });
  expect(writing.pool.heldBytes).toBe(0);
});

test('of a document only the newest mutation of a batch is stored, and the older ones settle with it', async () => {
  const writing = new Writing();
  for (const op of ['UPDATE', 'DELETE', 'UPDATE']) writing.activity(0, { op });
  writing.activity(1);
  writing.activity(0, { op: 'DELETE' });
  await writing.clock.advance(LINGER_MS);

  expect(writing.offsets).toEqual([[103, 104]]);
  expect(writing.requests[0]?.records[1]?.value).toBeNull();
  expect(writing.writer.position).toBeNull();
  expect(writing.counts()).toEqual({ stored: 1, deleted: 1, superseded: 3 });
});

test('one request is in flight: what comes meanwhile waits, and holds its offsets', async () => {
  const writing = new Writing();
  const { promise, resolve } = Promise.withResolvers<AppendOutcome>();
  writing.answers = [() => promise];
  writing.activity(0);
  await writing.clock.advance(LINGER_MS);
  writing.activity(1);
  writing.activity(2);
  await writing.clock.advance(5_000);
  expect(writing.offsets).toEqual([[100]]);
  expect(writing.writer.isQuiet).toBe(false);
  expect(writing.writer.position).toBe(100);

  resolve(stored);
  await writing.clock.advance(0);
  expect(writing.offsets).toEqual([[100], [101, 102]]);
  expect(writing.writer.isQuiet).toBe(true);
});

test('a batch that fails is tried again before anything newer, and the partition counts as blocked meanwhile', async () => {
  const writing = new Writing();
  writing.answers = [() => refused, () => refused];
  writing.activity(0);
  await writing.clock.advance(LINGER_MS);
  writing.activity(1);
  expect(writing.blocked).toEqual([true]);
  expect(writing.writer.isQuiet).toBe(true);
  await writing.clock.advance(10_000);

  expect(writing.offsets).toEqual([[100], [100], [100], [101]]);
  expect(writing.blocked.at(-1)).toBe(false);
});

test('after an attempt without an answer newer mutations wait until it can’t be stored any more', async () => {
  const writing = new Writing();
  writing.answers = [() => open];
  writing.activity(0);
  await writing.clock.advance(LINGER_MS);
  const startedMs = writing.requests[0]?.atMs ?? 0;
  writing.activity(1);
  await writing.clock.advance(5_000);
  expect(writing.offsets).toEqual([[100], [100]]);
  expect(writing.writer.position).toBe(101);
  expect(writing.writer.isQuiet).toBe(false);
  await writing.clock.advance(4_900);
  expect(writing.requests).toHaveLength(2);
  await writing.clock.advance(200);

  expect(writing.offsets).toEqual([[100], [100], [101]]);
  expect((writing.requests[2]?.atMs ?? 0) - startedMs).toBeGreaterThanOrEqual(10_000);
  expect(writing.writer.isQuiet).toBe(true);
});

test('starts nothing without the lease, also when that ends while the leader is looked for', async () => {
  const writing = new Writing();
  writing.mayAttempt = false;
  writing.activity(0);
  await writing.clock.advance(5_000);
  expect(writing.requests).toHaveLength(0);
  expect(writing.blocked).toEqual([]);
  expect(writing.writer.isQuiet).toBe(true);
  writing.mayAttempt = true;
  await writing.clock.advance(200);
  expect(writing.offsets).toEqual([[100]]);
});

test('a batch that is too large for the topic is stored in parts, and the next ones are smaller', async () => {
  const writing = new Writing();
  const limit = 200_000;
  const bytesOf = (records: readonly ProducedRecord[]): number =>
    records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0);
  const answer = (records: readonly ProducedRecord[]): AppendOutcome =>
    bytesOf(records) > limit ? tooLarge : stored;
  writing.answers = Array.from({ length: 100 }, () => answer);
  const pad = 'x'.repeat(10_000);
  for (let n = 0; n < 200; n += 1) writing.activity(n, { value: { pad } });
  await writing.clock.advance(1_000);

  const kept = writing.requests.filter(({ records }) => bytesOf(records) <= limit);
  expect(kept.flatMap(({ records }) => records)).toHaveLength(200);
  expect(writing.writer.position).toBeNull();
  expect(writing.deadLetters).toEqual([]);
  expect(writing.requests.length - kept.length).toBeLessThan(10);
});

test('a record that the topic takes by no means is a dead letter, and nothing older stands for it', async () => {
  const writing = new Writing();
  writing.answers = [(records) => (records[0]?.value === null ? stored : tooLarge), () => stored];
  const offset = writing.activity(0, { value: { pad: 'x'.repeat(2_000_000) } });
  await writing.clock.advance(LINGER_MS);

  expect(writing.deadLetters).toEqual([
    {
      offset,
      detail: expect.stringMatching(/snapshot topic snapshot takes no record of 200\d{4} bytes; raise/),
    },
  ]);
  expect(writing.requests[1]?.records).toMatchObject([
    { value: null, headers: { source: '00008-3-00000000000000000100', omitted: 'too_large' } },
  ]);
  expect(writing.writer.position).toBeNull();
  expect(writing.counts()).toEqual({ too_large: 1 });
});

test('a record whose very key is too large settles too', async () => {
  const writing = new Writing();
  writing.answers = [() => tooLarge, () => tooLarge];
  writing.activity(0);
  await writing.clock.advance(LINGER_MS);

  expect(writing.deadLetters).toHaveLength(1);
  expect(writing.requests).toHaveLength(2);
  expect(writing.writer.position).toBeNull();
});

test('closed, it starts nothing more, and gives its memory back once nothing reads it', async () => {
  const writing = new Writing();
  const { promise, resolve } = Promise.withResolvers<AppendOutcome>();
  writing.answers = [() => promise];
  writing.activity(0);
  await writing.clock.advance(LINGER_MS);
  writing.activity(1);
  writing.writer.close();
  writing.writer.close();
  expect(writing.pool.heldBytes).toBeGreaterThan(0);
  resolve(refused);
  await writing.clock.advance(10_000);

  expect(writing.requests).toHaveLength(1);
  expect(writing.settled).toBe(0);
  expect(writing.pool.heldBytes).toBe(0);
});
