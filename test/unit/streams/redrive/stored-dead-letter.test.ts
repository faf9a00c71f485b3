import { expect, test } from '@jest/globals';
import { deadLetter } from '../../../../streams/dead-letters.ts';
import {
  inSourceOrder,
  isSelected,
  readDeadLetter,
  type DeadLetterFilter,
  type LetterPlace,
  type StoredDeadLetter,
} from '../../../../streams/redrive/stored-dead-letter.ts';
import { ALL_LETTERS } from '../../../support/buried-letters.ts';

function aLetter(changes: Partial<Parameters<typeof deadLetter>[1]> = {}, time = 5_000): StoredDeadLetter {
  const original = { offset: 7, timestamp: 1_000, key: null, value: Buffer.from('x'), headers: {} };
  const cause = {
    reason: 'rejected' as const,
    detail: 'no',
    topic: 'm',
    partition: 3,
    offset: 7,
    ...changes,
  };
  const { key, value, headers, timestamp = 0 } = deadLetter(original, cause, time, false);
  const letter = readDeadLetter(2, { offset: 40, timestamp, key, value, headers });
  if (!letter) throw new Error('no dead letter');
  return letter;
}

test('reads back what the processor stores', () => {
  expect(aLetter({ replicationId: '80', code: 'invalid_record', datamartId: '1649', schemaId: 4 })).toEqual({
    partition: 2,
    offset: 40,
    source: { topic: 'm', partition: 3, offset: 7, timestamp: 1_000 },
    reason: 'rejected',
    replicationId: '80',
    detail: 'no',
    code: 'invalid_record',
    time: 5_000,
    datamartId: '1649',
    schemaId: 4,
    isTruncated: false,
  });
});

test.each([
  [{}],
  [{ dead_letter_reason: 'rejected', dead_letter_topic: 'm', dead_letter_partition: '-1' }],
  [
    {
      dead_letter_reason: 'rejected',
      dead_letter_topic: 'm',
      dead_letter_partition: '0',
      dead_letter_offset: '9'.repeat(17),
      dead_letter_time: '1',
    },
  ],
])('takes a record with the headers %j for none of this program', (headers) => {
  expect(readDeadLetter(0, { offset: 0, timestamp: 0, key: null, value: null, headers })).toBeNull();
});

test.each<[Partial<DeadLetterFilter>, boolean]>([
  [{}, true],
  [{ datamartId: '1649' }, true],
  [{ datamartId: '164' }, false],
  [{ replicationId: '80' }, true],
  [{ replicationId: '8' }, false],
  [{ reason: 'rejected' }, true],
  [{ reason: 'too_large' }, false],
  [{ since: 5_000 }, true],
  [{ since: 5_001 }, false],
  [{ until: 5_001 }, true],
  [{ until: 5_000 }, false],
  [{ topic: 'm' }, true],
  [{ topic: 'n' }, false],
  [{ replicationId: '80', topic: 'n' }, false],
])('selects by %j: %s', (filter, expected) => {
  expect(
    isSelected(aLetter({ replicationId: '80', datamartId: '1649' }), { ...ALL_LETTERS, ...filter }),
  ).toBe(expected);
});

test('one that names no datamart may be of any', () => {
  expect(isSelected(aLetter(), { ...ALL_LETTERS, datamartId: '1649' })).toBe(true);
});

test('puts letters in the order of their source, and one that was stored twice only once', () => {
  const at = (partition: number, offset: number, replicationId: string | null, stored = 0): LetterPlace => ({
    partition: 0,
    offset: stored,
    source: { topic: 'm', partition, offset, timestamp: 1 },
    reason: 'rejected',
    replicationId,
  });

  const ordered = inSourceOrder([
    at(1, 5, '80', 0),
    at(0, 10, '80', 1),
    at(0, 9, '81', 2),
    at(0, 9, '80', 3),
    at(0, 9, '80', 4),
  ]);

  expect(
    ordered.map(({ source, replicationId, offset }) => [
      source.partition,
      source.offset,
      replicationId,
      offset,
    ]),
  ).toEqual([
    [0, 9, '80', 3],
    [0, 9, '81', 2],
    [0, 10, '80', 1],
    [1, 5, '80', 0],
  ]);
});
