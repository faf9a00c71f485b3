import { expect, test } from '@jest/globals';
import { ProducedDocuments, ReplicationLedger } from '../../soak/ledger.ts';
import { NO_DOCUMENT, SoakMutations } from '../../soak/soak-mutations.ts';

const VERSIONS = [1, 2] as const;
const COUNT = 40;

/** A ledger of a replication that wants everything, and what it should get, in order. */
function setUp(version: 1 | 2) {
  const mutations = new SoakMutations({ seed: 5, users: 2, valueBytes: 20 });
  const produced = new ProducedDocuments(mutations);
  const ledger = new ReplicationLedger({ id: 'one', version, mutations, produced, wants: () => true });
  ledger.wantFromNow();
  for (let i = 0; i < COUNT; i += 1) produced.next();
  const operations = Array.from({ length: COUNT }, (_, i) => mutations.expected(i, version));
  return { ledger, mutations, operations };
}

test.each(VERSIONS)(
  'finds nothing wrong when everything arrives once, in order, as version %i',
  (version) => {
    const { ledger, operations } = setUp(version);

    for (const operation of operations) ledger.arrived(operation);

    expect(ledger.backlog()).toBe(0);
    expect(ledger).toMatchObject({ distinct: COUNT, duplicates: 0 });
    expect([ledger.unknown.count, ledger.outOfOrder.count]).toEqual([0, 0]);
    expect(ledger.result()).toMatchObject({ lost: { count: 0 }, staleEnds: { count: 0 }, deadLetters: 0 });
  },
);

test.each(VERSIONS)('sees what is missing and what nobody sent, as version %i', (version) => {
  const { ledger, operations } = setUp(version);
  const [first = Buffer.alloc(0), , ...rest] = operations;
  const changed = Buffer.from(first);
  changed[changed.length - 3] = 0;

  for (const operation of [first, changed, Buffer.from('{}'), ...rest]) ledger.arrived(operation);

  expect(ledger.backlog()).toBe(COUNT - 1);
  expect(ledger.unknown.count).toBe(2);
  expect(ledger.result().lost).toMatchObject({ count: 1, examples: ['one: mutation 1'] });
});

test('sees that a user’s operations arrive in another order, and that a document ends with an older value', () => {
  const { ledger, mutations, operations } = setUp(1);
  const document = mutations.documentOf(COUNT - 1);
  const older = operations.findLastIndex((_, i) => i < COUNT - 1 && mutations.documentOf(i) === document);
  const [last, previous] = [operations[COUNT - 1]!, operations[older]!];

  for (const [i, operation] of operations.entries()) if (i !== older) ledger.arrived(operation);
  ledger.arrived(previous);

  expect(ledger.outOfOrder.count).toBe(1);
  expect(ledger.result().staleEnds.count).toBe(1);

  ledger.arrived(last);
  expect(ledger.duplicates).toBe(1);
  expect(ledger.result().staleEnds.count).toBe(0);
});

test('takes a dead letter in place of an operation only when the destination rejected it', () => {
  const { ledger, operations } = setUp(2);
  for (const operation of operations.slice(2)) ledger.arrived(operation);

  ledger.rejected(operations[0]!);

  expect(ledger.hasDeadLetter(0)).toBe(true);
  expect(ledger.hasDeadLetter(1)).toBe(false);
  expect(ledger.result()).toMatchObject({ lost: { count: 0 }, deadLetters: 2 });
});

test('misses a rejected operation whose dead letter isn’t there', () => {
  const { ledger, operations } = setUp(2);
  for (const operation of operations.slice(1)) ledger.arrived(operation);

  ledger.rejected(operations[0]!);

  expect(ledger.backlog()).toBe(0);
  expect(ledger.result().lost.count).toBe(1);
});

test('wants nothing of a deleted replication that hadn’t arrived by then', () => {
  const { ledger, operations } = setUp(1);
  for (const operation of operations.slice(0, 10)) ledger.arrived(operation);

  ledger.close();

  expect(ledger.isWanted).toBe(false);
  expect(ledger.result().lost.count).toBe(0);
});

test('the same seed makes the same mutations, some of which can’t be decoded', () => {
  const make = () => new SoakMutations({ seed: 9, users: 10, valueBytes: 50 });
  const broken = Array.from({ length: 9_000 }, (_, i) => i).filter(
    (i) => make().documentOf(i) === NO_DOCUMENT,
  );

  expect(make().record(17)).toEqual(make().record(17));
  expect(broken).toEqual([4_000, 8_001]);
  expect(() => JSON.parse(make().record(4_000).value) as unknown).toThrow();
});
