import { beforeEach, expect, test } from '@jest/globals';
import { MutationView } from '../../../../schemas/mutation.ts';
import { JsonOperationEncoder } from '../../../../schemas/operation-encoder-json.ts';
import { RecordDecoder } from '../../../../schemas/record-decoder.ts';
import type { SendOutcome } from '../../../../sinks/sink.ts';
import { Destination } from '../../../../streams/destination.ts';
import { RowQueue } from '../../../../streams/initial-sync/row-queue.ts';
import { Lane } from '../../../../streams/lane.ts';
import { Linger } from '../../../../streams/linger.ts';
import { EngineMetrics } from '../../../../streams/metrics.ts';
import { SegmentLog } from '../../../../streams/segment-log.ts';
import { SegmentPool } from '../../../../streams/segment-pool.ts';
import type { RowOrigin } from '../../../../streams/segment.ts';
import { ManualClock, settle } from '../../../support/manual-clock.ts';
import { aReplicationConfig } from '../../../support/replication-config.ts';
import { rejected, ScriptedSinks, unavailable } from '../../../support/scripted-sink.ts';
import { silentLogger } from '../../../support/silent-logger.ts';

const DATAMART = 1649;
const decoder = new RecordDecoder({ get: () => 'unknown' });

let clock: ManualClock;
let sinks: ScriptedSinks;
let pool: SegmentPool;
let destination: Destination;
let lane: Lane;
let live: SegmentLog;
let rowLog: SegmentLog;
let rows: RowQueue;
/** Documents, by the number in their hash, that live mutations have touched. */
let touched: Set<number>;
let events: string[];

beforeEach(async () => {
  clock = new ManualClock();
  sinks = new ScriptedSinks();
  sinks.limits = { ...sinks.limits, maxRecords: 3 };
  pool = new SegmentPool(1_000_000, () => undefined);
  touched = new Set();
  events = [];
  const metrics = new EngineMetrics();
  destination = new Destination(aReplicationConfig(sinks.adapter, { target: 'x' }), sinks.adapter, {
    clock,
    random: () => 0,
    logger: silentLogger,
    metrics,
    credentials: { resolve: () => Promise.reject(new Error('there are none')) },
    isActivated: () => true,
    onFault: () => undefined,
  });
  const owner = {
    scope: { topic: 'mutations', partition: 3, partitionCount: 8 },
    mayAttempt: () => true,
    laneActive: () => undefined,
    laneProgressed: () => undefined,
    laneFailed: () => undefined,
    storeRejected: () => Promise.resolve(),
  };
  lane = new Lane(destination, owner, { clock, linger: new Linger(clock), metrics, pool });
  live = new SegmentLog(DATAMART, new JsonOperationEncoder(), 0, pool, false);
  rowLog = new SegmentLog(DATAMART, new JsonOperationEncoder(), 0, pool, true);
  live.setReaders([lane]);
  // A sink's limits are known once it is open.
  dispatch(999);
  await clock.advance(1_000);
  sinks.requests.length = 0;
  serveRows(0);
});

function serveRows(position: number): void {
  rows = new RowQueue(lane, position, {
    isNewer: (_, low) => touched.has(low),
    delivered: (_, from, to) => events.push(`delivered ${to - from}`),
    skipped: (count) => events.push(`skipped ${count}`),
    rejected: () => events.push('rejected'),
    storeRejected: async (offset) => {
      events.push(`stores ${offset}`);
    },
  });
  rowLog.setReaders([rows]);
}

function mutationOf(n: number): MutationView {
  const mutation = new MutationView();
  const record = {
    datamart_id: DATAMART,
    user_point_id: '4700c85f-17e3-4304-aa7f-dc140173b08d',
    ts: 1_676_627_112_685,
    op: 'UPDATE',
    doc_type: 'UserActivity',
    user_activity_id: String(n),
    value: { n },
  };
  expect(decoder.decode(Buffer.from(JSON.stringify(record)), mutation, () => true)).toBe('ok');
  return mutation;
}

/** The row of document `n` lies at offset `10 * n`. */
function feed(...documents: readonly number[]): void {
  const arrival = clock.monotonic();
  for (const n of documents) {
    const source = { partitionCount: 8, partition: 3, offset: n };
    const origin: RowOrigin = { offset: 10 * n, timestamp: 0, arrival, high: 0, low: n, source };
    rowLog.append(mutationOf(n), origin);
    rows.fed(10 * n + 1);
  }
  rows.pump(arrival);
}

function dispatch(n: number): void {
  touched.add(n);
  live.append(mutationOf(n), { offset: n, timestamp: 0, arrival: clock.monotonic() });
  lane.pump(clock.monotonic());
}

/** What was sent, request by request: the documents' numbers. */
const requests = (): number[][] =>
  sinks.requests.map(({ operations }) =>
    operations.map((text) => (JSON.parse(text) as { value: { n: number } }).value.n),
  );

/** Holds the next answers back until the returned function gives one of them. */
function holdAnswers(): (outcome?: SendOutcome) => Promise<void> {
  const held: ((outcome: SendOutcome) => void)[] = [];
  sinks.script('x', (operations) => {
    const { promise, resolve } = Promise.withResolvers<SendOutcome>();
    held.push((outcome) => {
      resolve(outcome.failure ? outcome : { delivered: operations.length, failure: null });
    });
    return promise;
  });
  return async (outcome = { delivered: 0, failure: null }) => {
    held.shift()?.(outcome);
    await settle();
  };
}

test('rows are sent with the ids of their mutations, and none of a document that was touched', async () => {
  touched.add(2);
  touched.add(5);
  feed(1, 2, 3, 4, 5);
  await clock.advance(1_000);

  expect(requests()).toEqual([[1], [3, 4]]);
  expect(sinks.requests.flatMap(({ messageIds }) => messageIds)).toEqual([
    '00008-3-00000000000000000001',
    '00008-3-00000000000000000003',
    '00008-3-00000000000000000004',
  ]);
  expect(events).toEqual(['delivered 1', 'skipped 1', 'delivered 2', 'skipped 1']);
  expect(rows.position).toBe(51);
  expect(rows.pending).toBe(0);
});

test('live mutations come first', async () => {
  const answer = holdAnswers();
  feed(1, 2, 3, 4, 5, 6, 7);
  await clock.advance(10);
  dispatch(100);
  dispatch(101);
  await clock.advance(300);
  await answer();
  await answer();
  await clock.advance(300);
  await answer();

  expect(requests().slice(0, 3)).toEqual([
    [1, 2, 3],
    [100, 101],
    [4, 5, 6],
  ]);
});

test('a document that is touched while its row waits for its place is not sent; behind the row the live operation follows', async () => {
  const answer = holdAnswers();
  feed(1, 2, 3, 4, 5, 6);
  await clock.advance(10);
  dispatch(2);
  dispatch(5);
  await clock.advance(300);
  await answer();
  await answer();
  await clock.advance(300);
  await answer();
  await clock.advance(300);
  await answer();

  expect(requests()).toEqual([[1, 2, 3], [2, 5], [4], [6]]);
});

test('a request that failed is sent again as it was, before the live operation of its document', async () => {
  const answer = holdAnswers();
  feed(1, 2, 3);
  await clock.advance(10);
  dispatch(2);
  await clock.advance(300);
  await answer(unavailable());
  await clock.advance(2_000);
  await answer();
  await clock.advance(1_000);
  await answer();

  expect(requests()).toEqual([[1, 2, 3], [1, 2, 3], [2]]);
});

test('the position is the first row that is not delivered; a lane that is detached gives the rest up', async () => {
  const answer = holdAnswers();
  feed(1, 2, 3, 4, 5);
  await clock.advance(10);
  await answer();
  expect(rows.position).toBe(40);
  await clock.advance(300);
  expect(requests()).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);

  lane.detach(500);
  expect(rows.isGivenUp).toBe(true);
  expect(rows.position).toBe(40);
  await answer();
  expect(rows.position).toBe(40);
  rowLog.setReaders([]);
  expect(pool.heldBytes).toBe(0);
});

test('rows that are given up leave the lane to the live mutations, once the request in flight is answered', async () => {
  const answer = holdAnswers();
  feed(1, 2, 3, 4, 5);
  await clock.advance(10);
  lane.stopRows();
  rowLog.setReaders([]);
  dispatch(7);
  await clock.advance(1_000);
  expect(requests()).toEqual([[1, 2, 3]]);

  await answer();
  await clock.advance(1_000);
  await answer();
  expect(requests()).toEqual([[1, 2, 3], [7]]);
  expect(rows.position).toBe(10);
  expect(events).toEqual([]);
});

test('a row that the destination rejects is stored, the others are delivered', async () => {
  const before = sinks.received('x').length;
  sinks.script('x', (operations) => (operations.some((text) => text.includes('"n":2}')) ? rejected() : null));
  feed(1, 2, 3);
  await clock.advance(60_000);

  expect(sinks.received('x')).toHaveLength(before + 2);
  expect(events).toEqual(['delivered 1', 'stores 20', 'rejected', 'delivered 1']);
  expect(rows.position).toBe(31);
});
