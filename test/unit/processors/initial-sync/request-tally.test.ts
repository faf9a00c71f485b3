import { describe, expect, test } from '@jest/globals';
import { RequestTally } from '../../../../processors/initial-sync/request-tally.ts';
import type { DeliveryCosts } from '../../../../schemas/delivery-costs.ts';

const LIMITS = { maxRecords: 10, maxBytes: 5_000, recordOverheadBytes: 50 };
const VOLUME: DeliveryCosts = {
  limits: LIMITS,
  billing: {
    by: 'volume',
    messageOverheadBytes: [100, 200],
    minRequestBytes: 1_000,
    source: 'https://pricing.example',
  },
};
const EVENTS: DeliveryCosts = {
  limits: { maxRecords: 1_000, maxBytes: 1_000_000, recordOverheadBytes: 0 },
  billing: {
    by: 'events',
    eventOverheadBytes: 100,
    bytesPerBilledEvent: 65_536,
    unit: { bytesPerSecond: 1_000_000, eventsPerSecond: 1_000 },
    source: 'https://pricing.example',
  },
};

/** So many operations of each lane, all of the same size and type. */
function tallied(
  costs: DeliveryCosts | null,
  orderingLanes: number,
  operations: readonly { lane: number; bytes: number; docType?: number }[],
): RequestTally {
  const tally = new RequestTally(costs, orderingLanes);
  for (const { lane, bytes, docType = 0 } of operations) tally.add(docType, lane, bytes);
  tally.endPartition();
  return tally;
}

const many = (count: number, bytes: number, lane = 0): { lane: number; bytes: number }[] =>
  Array.from({ length: count }, () => ({ lane, bytes }));

describe('requests', () => {
  test.each([
    ['nothing', 0, [], 0],
    ['one', 0, many(1, 10), 1],
    ['as many as a request holds', 0, many(10, 10), 1],
    ['one more', 0, many(11, 10), 2],
    ['as many bytes as a request holds, with what each record takes beside', 0, many(5, 950), 1],
    ['one byte more', 0, [...many(4, 950), { lane: 0, bytes: 951 }], 2],
    ['one that is larger than a request is one all the same', 0, many(2, 9_000), 2],
    ['lanes without ordering share a request', 0, [...many(5, 10, 1), ...many(5, 10, 2)], 1],
    ['lanes with ordering do not', 4, [...many(5, 10, 1), ...many(5, 10, 2)], 2],
    ['hashes of one lane do', 4, [...many(5, 10, 1), ...many(5, 10, 5)], 1],
  ])('%s', (_, lanes, operations, requests) => {
    expect(tallied(VOLUME, lanes, operations).estimate.requests).toBe(requests);
  });

  test('end with the partition', () => {
    const tally = new RequestTally(VOLUME, 0);
    tally.add(0, 0, 10);
    tally.endPartition();
    tally.add(0, 0, 10);
    tally.endPartition();

    expect(tally.estimate.requests).toBe(2);
  });
});

describe('by volume', () => {
  test.each([
    ['a small request costs the least amount', many(2, 10), 1_000],
    ['above it what it holds: bytes and what each message counts beside', many(10, 300), 4_000],
    ['each request for itself', [...many(10, 300), ...many(1, 10)], 5_000],
    ['by document type', [{ lane: 0, bytes: 1_000, docType: 1 }], 1_200],
  ])('%s', (_, operations, billedBytes) => {
    expect(tallied(VOLUME, 0, operations).estimate).toMatchObject({
      billedBytes,
      billedEvents: null,
      throughputUnitSeconds: null,
    });
  });
});

describe('by events', () => {
  test.each([
    ['a small event is one', many(3, 10), 3, 0.003],
    ['one of exactly the size too', many(1, 65_436), 1, 0.065536],
    ['a byte more is two', many(1, 65_437), 2, 0.065537],
    ['bytes count when they are more than events', many(10, 499_900), 80, 5],
  ])('%s', (_, operations, billedEvents, seconds) => {
    const { estimate } = tallied(EVENTS, 0, operations);

    expect(estimate).toMatchObject({ billedEvents, billedBytes: billedEvents * 65_536 });
    expect(estimate.throughputUnitSeconds).toBeCloseTo(seconds, 9);
  });
});

test('a destination that nothing is known of has no requests, one without billing no amounts', () => {
  const nothing = { billedBytes: null, billedEvents: null, throughputUnitSeconds: null };

  expect(tallied(null, 0, many(3, 10)).estimate).toEqual({ requests: null, ...nothing });
  expect(tallied({ limits: LIMITS, billing: null }, 0, many(3, 10)).estimate).toEqual({
    requests: 1,
    ...nothing,
  });
});
