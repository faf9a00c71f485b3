import { afterEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileAdapter } from '../../../sinks/file/file-adapter.ts';
import { SinkRegistry } from '../../../sinks/registry.ts';
import { SinkModuleError, loadSinkModule } from '../../../sinks/sink-module.ts';

const file = fileAdapter({ directory: null });

describe('SinkRegistry', () => {
  test('finds adapters by type', () => {
    const registry = new SinkRegistry([file, { ...file, type: 'ACME_BUS' }]);

    expect(registry.get('FILE')).toBe(file);
    expect(registry.get('GOOGLE_PUBSUB')).toBeUndefined();
    expect(registry.types()).toEqual(['FILE', 'ACME_BUS']);
  });

  test('refuses a second adapter of a type', () => {
    expect(() => new SinkRegistry([file, file])).toThrow('registering sink FILE');
  });

  test.each(['file', 'AB', '1FILE', 'A'.repeat(41), 'A B C', '__proto__'])(
    'refuses the type name %j',
    (type) => {
      expect(() => new SinkRegistry([{ ...file, type }])).toThrow('a type is named like');
    },
  );
});

describe('loadSinkModule', () => {
  const directories: string[] = [];

  const moduleOf = (source: string): string => {
    const directory = mkdtempSync(join(tmpdir(), 'sink-module-'));
    directories.push(directory);
    const path = join(directory, 'sink.mjs');
    writeFileSync(path, source);
    return path;
  };

  const sourceOf = (changes: string): string => `export const sinkAdapter = {
    type: 'ACME_BUS', versions: [1], fields: ['bus'],
    options: { messageId: false, ordering: null, orderingLanes: false }, credentials: 'none',
    parseConfig() {}, checkCredentials() {}, async open() {}, ${changes} };`;

  afterEach(() => {
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });

  test('takes the export sinkAdapter', async () => {
    expect((await loadSinkModule(moduleOf(sourceOf('')))).type).toBe('ACME_BUS');
  });

  test.each([
    ['no export', 'export const other = 1;', 'no export named sinkAdapter'],
    ['a number', 'export const sinkAdapter = 1;', 'sinkAdapter is not an object'],
    ['no type', sourceOf('type: 1'), '.type is not a string'],
    ['version 3', sourceOf('versions: [3]'), '.versions is not'],
    ['no versions', sourceOf('versions: []'), '.versions is not'],
    ['no fields', sourceOf('fields: null'), '.fields is not'],
    ['no options', sourceOf('options: null'), '.options is not'],
    [
      'odd ordering',
      sourceOf("options: { messageId: true, ordering: 'yes', orderingLanes: true }"),
      '.ordering is not',
    ],
    ['odd credentials', sourceOf("credentials: 'maybe'"), '.credentials is none of'],
    ['odd exclusive', sourceOf("exclusive: { field: 'bus' }"), '.exclusive is not'],
    ['odd costs', sourceOf('costs: 5'), '.costs is not a function'],
    ['no open', sourceOf('open: null'), '.open is not a function'],
    ['a failure while loading', "throw new Error('no licence');", 'no licence'],
  ])('says what is wrong with a module: %s', async (_, source, reason) => {
    const path = moduleOf(source);

    const loading = loadSinkModule(path);

    await expect(loading).rejects.toBeInstanceOf(SinkModuleError);
    await expect(loading).rejects.toThrow(reason);
    await expect(loading).rejects.toThrow(path);
  });

  test('names a module that is not there', async () => {
    await expect(loadSinkModule('./not-there.mjs')).rejects.toThrow('loading sink module ./not-there.mjs');
  });
});
