import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { SETTINGS } from '../../../config/settings-schema.ts';
import { settingsTable } from '../../../config/settings-table.ts';

test.each(SETTINGS)('$env is also the file key $key and the flag --$flag', ({ env, key, flag }) => {
  const [group = '', ...rest] = env.toLowerCase().split('_');

  expect(key).toBe(rest.length === 0 ? group : `${group}.${rest.join('_')}`);
  expect(flag).toBe(env.toLowerCase().replaceAll('_', '-'));
});

test('marks exactly the four secrets of the contract', () => {
  expect(SETTINGS.filter(({ isSecret }) => isSecret).map(({ env }) => env)).toEqual([
    'KAFKA_SASL_PASSWORD',
    'KAFKA_SCHEMA_REGISTRY_PASSWORD',
    'CREDENTIALS_KEY',
    'CREDENTIALS_OLD_KEYS',
  ]);
});

test('has a default that its own format allows', () => {
  const broken = SETTINGS.filter(
    ({ default: value, reader }) => value !== null && reader.parse(value) === undefined,
  );

  expect(broken).toEqual([]);
});

test('renders every setting into the table', () => {
  const table = settingsTable();

  expect(SETTINGS.filter(({ env }) => !table.includes(`| \`${env}\` |`))).toEqual([]);
});

test('the table of docs/settings.md is as the schema says', () => {
  const text = readFileSync(new URL('../../../docs/settings.md', import.meta.url), 'utf8');

  expect(text).toContain(settingsTable());
});
