import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { readCredentialsRecord, writeCredentialsRecord } from '../../../processors/credentials-record.ts';
import { CredentialsTable } from '../../../processors/credentials-table.ts';
import { StateTooNewError } from '../../../processors/status-record.ts';
import { rewrapCredentials } from '../../../sinks/sealed-credentials.ts';
import { aSealed, aSealedRecord, KEY, keyRing, OTHER_KEY } from '../../support/sealed-credentials.ts';

/** A record's JSON with `changes` put over its fields; undefined takes a field away. */
function changed(changes: Readonly<Record<string, unknown>>): Buffer {
  const record = JSON.parse(aSealedRecord().toString()) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...record, ...changes }));
}

describe('readCredentialsRecord', () => {
  test('reads what was written', () => {
    const credentials = aSealed();

    expect(readCredentialsRecord('80', writeCredentialsRecord(credentials))).toEqual({
      kind: 'sealed',
      credentials,
    });
  });

  test('ignores fields that it does not know', () => {
    expect(readCredentialsRecord('80', changed({ region: 'eu' })).kind).toBe('sealed');
  });

  test.each([
    ['v', { v: 0 }],
    ['v', { v: '1' }],
    ['v', { v: undefined }],
    ['replication_id', { replication_id: 80 }],
    ['replication_id', { replication_id: '8|0' }],
    ['datamart_id', { datamart_id: '01649' }],
    ['datamart_id', { datamart_id: 1649 }],
    ['kek_id', { kek_id: '3EB1BD439947EB76' }],
    ['wrapped_key', { wrapped_key: 'AAAA' }],
    ['wrap_iv', { wrap_iv: '' }],
    ['wrap_tag', { wrap_tag: null }],
    ['iv', { iv: 'gIGCg4SFhoeIiYqLjA==' }],
    ['tag', { tag: 'GMtGFbsCDp99mTO+E8criB==' }],
    ['ciphertext', { ciphertext: '' }],
    ['ciphertext', { ciphertext: 'p9fK-0lV' }],
    ['ciphertext', { ciphertext: Buffer.alloc(16 * 1024 + 1).toString('base64') }],
    ['created_at', { created_at: '1763900000000' }],
  ])('says of a record whose %s is wrong which field that is (case %#)', (field, changes) => {
    expect(readCredentialsRecord('80', changed(changes))).toEqual({
      kind: 'unreadable',
      problem: expect.stringContaining(field),
      version: 3,
    });
  });

  test.each([0, -1, 1.5, '3', null, 2 ** 53])('knows no version when it says %j', (version) => {
    expect(readCredentialsRecord('80', changed({ version }))).toMatchObject({
      kind: 'unreadable',
      problem: expect.stringContaining('version'),
      version: null,
    });
  });

  test.each(['', '{', 'null', '"text"', '17'])('%j is unreadable', (text) => {
    expect(readCredentialsRecord('80', Buffer.from(text))).toMatchObject({
      kind: 'unreadable',
      version: null,
    });
  });

  test('stops at a record of a newer release, whatever else it holds', () => {
    const read = (): unknown => readCredentialsRecord('80', Buffer.from('{"v":2,"keys":[]}'));

    expect(read).toThrow(StateTooNewError);
    expect(read).toThrow(
      'state_too_new: the credentials record 80 has version 2, this program reads up to 1',
    );
  });

  test('throws nothing else, whatever the bytes are, and shows no value', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const jsons = fc.json().map((json) => Buffer.from(json));
    const fields = fc.constantFrom(...Object.keys(JSON.parse(aSealedRecord().toString()) as object));
    const nearly = fc.tuple(fields, fc.jsonValue()).map(([name, value]) => changed({ [name]: value }));
    fc.assert(
      fc.property(fc.oneof(bytes, jsons, nearly), (value) => {
        try {
          const record = readCredentialsRecord('80', value);
          if (record.kind === 'unreadable') expect(record.problem).toMatch(/^[a-z0-9_' ]+ ?[A-Za-z0-9 ]+$/);
        } catch (error) {
          expect(error).toBeInstanceOf(StateTooNewError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('CredentialsTable', () => {
  test('holds the newest record of each replication, in the order of the log', () => {
    const table = new CredentialsTable();

    expect(table.apply('80', aSealedRecord({ version: 4 }))).toBe('changed');
    expect(table.apply('81', aSealedRecord({ replicationId: '81', version: 1 }))).toBe('changed');
    expect(table.apply('80', aSealedRecord({ version: 3 }))).toBe('changed');

    expect([table.versionOf('80'), table.versionOf('81'), table.versionOf('82')]).toEqual([3, 1, null]);
    expect(table.get('80')?.version).toBe(3);
    expect([...table.ids()]).toEqual(['80', '81']);
  });

  test('credentials that are sealed anew are changed, also under the same version', () => {
    const table = new CredentialsTable();
    const value = aSealedRecord();
    table.apply('80', value);

    expect(table.apply('80', value)).toBe('unchanged');
    expect(table.apply('80', aSealedRecord())).toBe('changed');
  });

  test('takes a re-wrapped record over without calling it changed', () => {
    const table = new CredentialsTable();
    const record = aSealed({ key: OTHER_KEY });
    table.apply('80', writeCredentialsRecord(record));
    const rewrapped = rewrapCredentials(record, { keys: keyRing(KEY, OTHER_KEY), randomBytes });

    expect(table.apply('80', writeCredentialsRecord(rewrapped))).toBe('unchanged');
    expect(table.get('80')).toEqual(rewrapped);
  });

  test('null takes a record away', () => {
    const table = new CredentialsTable();
    table.apply('80', aSealedRecord());

    expect(table.apply('80', null)).toBe('changed');
    expect(table.apply('80', null)).toBe('unchanged');
    expect([table.get('80'), table.versionOf('80'), [...table.ids()]]).toEqual([null, null, []]);
  });

  test('tells a record that can’t be read from one that is missing', () => {
    const table = new CredentialsTable();

    expect(table.apply('80', changed({ tag: 7 }))).toBe('changed');
    expect([table.get('80'), table.versionOf('80'), table.unreadable]).toEqual([null, 3, 1]);
    expect(table.problemOf('80')).toBe("tag isn't 16 bytes in base64");
    expect([...table.ids()]).toEqual(['80']);
    expect(table.problemOf('81')).toBeNull();

    expect(table.apply('80', aSealedRecord())).toBe('changed');
    expect([table.problemOf('80'), table.unreadable]).toEqual([null, 0]);
  });

  test('passes on that a record is of a newer release', () => {
    expect(() => new CredentialsTable().apply('80', changed({ v: 2 }))).toThrow(StateTooNewError);
  });
});
