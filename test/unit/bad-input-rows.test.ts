import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACCEPTED_CASES, CHANGE_CASES, REFUSED_CASES, UNREADABLE_CASES } from '../support/config-cases.ts';

/**
 * Where each row of the list of bad inputs (RELIABILITY, section 7) is tried that people can write: as a call of the API,
 * and as a record of the control topic. `calls` are those of test/unit/api/bad-inputs.test.ts, `records` those of
 * test/support/config-cases.ts (each also sent as a call by test/unit/api/same-codes.test.ts); another test is named by its
 * file, and has the row in its title. Rows 35 to 38 are about initial synchronizations, 42 to 49 about mutations.
 */
const ROWS: readonly (readonly [row: number, what: string, ...places: readonly string[]])[] = [
  [1, 'a body that is no JSON; a record of that kind is row 40', 'calls'],
  [2, 'too long', 'calls', 'records'],
  [3, 'an unknown field', 'calls', 'records'],
  [4, 'no type', 'calls', 'records'],
  [5, 'an unknown type', 'calls', 'records'],
  [6, 'ACTIVE at the creation, which a record may say', 'calls'],
  [7, 'another datamart than in the path', 'calls'],
  [8, 'a datamart that the token does not cover', 'calls'],
  [9, 'no token', 'calls'],
  [10, 'version 2 of Event Hubs', 'calls', 'records'],
  [11, 'version 1 of Pub/Sub, which a record may say', 'calls', 'records'],
  [12, 'no version', 'calls', 'records'],
  [13, 'no project', 'calls', 'records'],
  [14, 'no topic', 'calls', 'records'],
  [15, 'no event hub', 'calls', 'records'],
  [16, 'fields of another type', 'calls', 'records'],
  [17, 'an unknown document', 'calls', 'records'],
  [18, 'no filters', 'calls', 'records'],
  [19, 'other filters', 'calls', 'records'],
  [20, 'another version or type', 'calls', 'records'],
  [21, 'no file, or several', 'calls'],
  [22, 'too large a file', 'calls'],
  [23, 'Google credentials of another type', 'calls'],
  [24, 'no private key', 'calls'],
  [26, 'another universe', 'calls'],
  [27, 'credentials of the other cloud', 'calls'],
  [28, 'no key in a connection string', 'calls'],
  [29, 'a foreign host', 'calls'],
  [30, 'an emulator', 'calls'],
  [31, 'another event hub', 'calls'],
  [32, 'line ends and control characters', 'calls', 'test/unit/api/credentials-upload.test.ts'],
  [33, 'activating without credentials', 'calls', 'test/topology/control-records.test.ts'],
  [34, 'activating what the destination refuses', 'calls', 'test/topology/replication-states.test.ts'],
  [39, 'an id that is not the key', 'calls', 'records'],
  [40, 'a record that is no JSON; a body of that kind is row 1', 'records'],
  [
    41,
    'sealed credentials that were moved',
    'test/topology/control-records.test.ts',
    'test/unit/sinks/credentials.test.ts',
  ],
  [50, 'settings', 'test/unit/config/load.test.ts'],
];

const CALLS = 'test/unit/api/bad-inputs.test.ts';
const ROWS_OF_RECORDS = new Set(
  [...ACCEPTED_CASES, ...REFUSED_CASES, ...CHANGE_CASES, ...UNREADABLE_CASES].map(({ row }) => row),
);

const textOf = (file: string): string => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');

test('every row is where the table says', () => {
  const calls = textOf(CALLS);
  const isIn = (row: number, place: string): boolean => {
    if (place === 'calls') return calls.includes(`'${row}: `);
    if (place === 'records') return ROWS_OF_RECORDS.has(row);
    return textOf(place).includes(`'row ${row}: `);
  };

  const absent = ROWS.flatMap(([row, what, ...places]) =>
    places.filter((place) => !isIn(row, place)).map((place) => `${row} (${what}): ${place}`),
  );

  expect(absent).toEqual([]);
});

test('no row is left out', () => {
  const written = Array.from({ length: 41 }, (_, i) => i + 1);
  const elsewhere = [25, 35, 36, 37, 38];

  expect(ROWS.map(([row]) => row)).toEqual([...written.filter((row) => !elsewhere.includes(row)), 50]);
});
