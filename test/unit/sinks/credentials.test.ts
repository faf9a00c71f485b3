import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { CredentialsTable } from '../../../processors/credentials-table.ts';
import {
  credentialsResolver,
  credentialsUriProblem,
  fileCredentials,
  sealedCredentials,
  type CredentialsResolver,
  type ResolvedCredentials,
} from '../../../sinks/credentials.ts';
import type { KeyRing } from '../../../sinks/sealed-credentials.ts';
import {
  aSealedRecord,
  KEY,
  keyRing,
  OTHER_KEY,
  SEALED_TEXT,
  type SealedOptions,
} from '../../support/sealed-credentials.ts';

const SECRET = 'Endpoint=sb://acme;SharedAccessKey=c2VjcmV0';

describe('fileCredentials', () => {
  let base: string;
  let directory: string;

  beforeEach(async () => {
    base = await realpath(await mkdtemp(path.join(tmpdir(), 'credentials-')));
    directory = path.join(base, 'secrets');
    await mkdir(path.join(directory, 'google'), { recursive: true });
    await writeFile(path.join(directory, 'google', 'acme.json'), SECRET);
    await writeFile(path.join(base, 'outside.txt'), 'not for replications');
    await mkdir(path.join(base, 'secrets-of-others'));
    await writeFile(path.join(base, 'secrets-of-others', 'x'), 'not for replications');
  });

  afterEach(async () => {
    await rm(base, { recursive: true });
  });

  const resolve = async (uri: string, from: string | null = directory): Promise<string> => {
    const request = { uri, replicationId: '80', datamartId: '1649' };
    const { text, version } = await fileCredentials({ directory: from }).resolve(
      request,
      new AbortController().signal,
    );
    expect(version).toBeNull();
    return text;
  };

  test.each(['file:google/acme.json', 'file:./google/acme.json', 'file:google/../google/acme.json'])(
    'reads %s relative to the directory',
    async (uri) => {
      expect(await resolve(uri)).toBe(SECRET);
    },
  );

  test('reads an absolute path inside the directory, in both forms', async () => {
    expect(await resolve(`file:${directory}/google/acme.json`)).toBe(SECRET);
    expect(await resolve(`file://${directory}/google/acme.json`)).toBe(SECRET);
  });

  test('gives the SHA-256 of the text, so that other content is told apart', async () => {
    const resolver = fileCredentials({ directory });
    const { signal } = new AbortController();
    const request = { uri: 'file:google/acme.json', replicationId: '80', datamartId: '1649' };
    const before = await resolver.resolve(request, signal);
    await writeFile(path.join(directory, 'google', 'acme.json'), `${SECRET}2`);
    const after = await resolver.resolve(request, signal);

    expect(before.fingerprint).toBe(createHash('sha256').update(SECRET).digest('hex'));
    expect(after.fingerprint).not.toBe(before.fingerprint);
  });

  test('cuts a byte order mark and the white space around', async () => {
    await writeFile(path.join(directory, 'bom.txt'), `\ufeff  ${SECRET}\r\n`);

    expect(await resolve('file:bom.txt')).toBe(SECRET);
  });

  test('follows links inside the directory, as Kubernetes mounts secrets', async () => {
    await symlink('google', path.join(directory, '..data'));
    await symlink(path.join('..data', 'acme.json'), path.join(directory, 'acme.json'));

    expect(await resolve('file:acme.json')).toBe(SECRET);
  });

  test('takes a directory that is a link itself', async () => {
    await symlink(directory, path.join(base, 'link'));

    expect(await resolve('file:google/acme.json', path.join(base, 'link'))).toBe(SECRET);
    expect(await resolve(`file:${base}/link/google/acme.json`, path.join(base, 'link'))).toBe(SECRET);
  });

  test.each([
    ['a file that is not there', 'file:google/none.json'],
    ['a file below a file', 'file:google/acme.json/x'],
  ])('%s is credentials_missing', async (_, uri) => {
    await expect(resolve(uri)).rejects.toMatchObject({ kind: 'fatal', code: 'credentials_missing' });
  });

  test('a link to nothing is credentials_missing', async () => {
    await symlink('nowhere', path.join(directory, 'dangling'));

    await expect(resolve('file:dangling')).rejects.toMatchObject({ code: 'credentials_missing' });
  });

  test.each([
    ['a path that climbs out', 'file:../outside.txt'],
    ['a path that climbs out to nothing', 'file:../none.txt'],
    ['a path that climbs out in the middle', 'file:google/../../outside.txt'],
    ['an encoded climb', 'file:///%2e%2e/outside.txt'],
    ['a neighbour whose name begins alike', 'file:../secrets-of-others/x'],
    ['an absolute path elsewhere', 'file:/etc/passwd'],
    ['an absolute URL elsewhere', 'file:///etc/passwd'],
    ['another host', 'file://server/share/acme.json'],
    ['the directory itself', 'file:.'],
    ['a directory', 'file:google'],
    ['no path', 'file:'],
    ['another scheme', 'sealed:80'],
  ])('%s is credentials_invalid', async (_, uri) => {
    await expect(resolve(uri)).rejects.toMatchObject({ kind: 'fatal', code: 'credentials_invalid' });
  });

  test.each(['outside.txt', 'secrets-of-others/x'])(
    'a link to %s outside is credentials_invalid',
    async (to) => {
      await symlink(path.join(base, to), path.join(directory, 'way-out'));

      await expect(resolve('file:way-out')).rejects.toMatchObject({ code: 'credentials_invalid' });
    },
  );

  test('a linked folder that leads outside is credentials_invalid', async () => {
    await symlink(path.join(base, 'secrets-of-others'), path.join(directory, 'folder'));

    await expect(resolve('file:folder/x')).rejects.toMatchObject({ code: 'credentials_invalid' });
  });

  test.each([
    ['empty', ''],
    ['only white space', ' \r\n\ufeff'],
    ['longer than 16 KiB', 'x'.repeat(16 * 1024 + 1)],
    ['no UTF-8', Buffer.from([0x41, 0xff])],
  ])('a file that is %s is credentials_invalid', async (_, content) => {
    await writeFile(path.join(directory, 'bad.txt'), content);

    await expect(resolve('file:bad.txt')).rejects.toMatchObject({ code: 'credentials_invalid' });
  });

  test('takes 16 KiB', async () => {
    await writeFile(path.join(directory, 'large.txt'), 'x'.repeat(16 * 1024));

    expect(await resolve('file:large.txt')).toHaveLength(16 * 1024);
  });

  test('without a directory everything is credentials_invalid', async () => {
    await expect(resolve('file:google/acme.json', null)).rejects.toMatchObject({
      code: 'credentials_invalid',
    });
  });
});

describe('sealedCredentials', () => {
  const REQUEST = { uri: 'sealed:80', replicationId: '80', datamartId: '1649' };

  const tableOf = (key: string, options: SealedOptions = {}): CredentialsTable => {
    const table = new CredentialsTable();
    table.apply(key, aSealedRecord(options));
    return table;
  };

  const resolve = (
    records: CredentialsTable,
    keys: KeyRing = keyRing(),
    changes: Partial<typeof REQUEST> = {},
  ): Promise<ResolvedCredentials> =>
    sealedCredentials({ records, keys }).resolve({ ...REQUEST, ...changes }, new AbortController().signal);

  test('opens the replication’s own record, and tells its version', async () => {
    expect(await resolve(tableOf('80'))).toEqual({
      text: SEALED_TEXT,
      fingerprint: createHash('sha256').update(SEALED_TEXT).digest('hex'),
      version: 3,
    });
  });

  test('cuts a byte order mark and the white space around, and refuses what is empty then', async () => {
    const text = `\ufeff ${SEALED_TEXT}\r\n`;

    expect(await resolve(tableOf('80', { text }))).toMatchObject({ text: SEALED_TEXT });
    await expect(resolve(tableOf('80', { text: ' \n' }))).rejects.toMatchObject({
      code: 'credentials_invalid',
    });
  });

  test('without a record they are missing; a record that can’t be read is invalid', async () => {
    const table = new CredentialsTable();
    const missing = resolve(table);
    await expect(missing).rejects.toMatchObject({ kind: 'fatal', code: 'credentials_missing' });

    table.apply('80', Buffer.from('{"v":1}'));
    await expect(resolve(table)).rejects.toMatchObject({
      kind: 'fatal',
      code: 'credentials_invalid',
      remedy: 'upload the credentials again',
    });
  });

  test.each([
    ['the record of another replication', '80', { replicationId: '81' }, {}],
    ['the record of another datamart', '80', { datamartId: '1650' }, {}],
  ])('%s is credential_decrypt_failed', async (_, key, options, changes) => {
    await expect(resolve(tableOf(key, options), keyRing(), changes)).rejects.toMatchObject({
      kind: 'fatal',
      code: 'credential_decrypt_failed',
    });
  });

  test('row 41: a ciphertext that was moved from another replication is credential_decrypt_failed', async () => {
    const other = JSON.parse(aSealedRecord({ replicationId: '81' }).toString()) as object;
    const table = new CredentialsTable();
    table.apply('80', Buffer.from(JSON.stringify({ ...other, replication_id: '80' })));

    await expect(resolve(table)).rejects.toMatchObject({ code: 'credential_decrypt_failed' });
  });

  test('another replication’s URI is refused, though its record would open', async () => {
    const refused = resolve(tableOf('81', { replicationId: '81' }), keyRing(), { uri: 'sealed:81' });

    await expect(refused).rejects.toMatchObject({ code: 'credentials_invalid' });
  });

  test('opens under the current key and a former one, and says what to set without', async () => {
    const table = tableOf('80', { key: OTHER_KEY });

    expect((await resolve(table, keyRing(KEY, OTHER_KEY))).text).toBe(SEALED_TEXT);
    await expect(resolve(table, keyRing(KEY))).rejects.toMatchObject({ code: 'credential_decrypt_failed' });
    await expect(resolve(table, keyRing(null))).rejects.toMatchObject({
      code: 'credential_decrypt_failed',
      remedy: expect.stringContaining('set CREDENTIALS_KEY'),
    });
  });

  test('an error holds nothing of the record', async () => {
    const value = aSealedRecord();
    const record = JSON.parse(value.toString()) as Readonly<Record<string, string>>;
    const table = new CredentialsTable();
    table.apply('80', value);
    const error: unknown = await resolve(table, keyRing(OTHER_KEY)).catch((reason: unknown) => reason);

    expect(inspect(error)).toContain(record.kek_id);
    expect(inspect(error)).not.toContain(record.wrapped_key);
    expect(inspect(error)).not.toContain('SharedAccessKey');
  });

  test('opens nothing once its time is over', async () => {
    const late = sealedCredentials({ records: tableOf('80'), keys: keyRing() }).resolve(
      REQUEST,
      AbortSignal.abort(),
    );

    await expect(late).rejects.toMatchObject({ kind: 'retriable', code: 'timeout' });
  });
});

describe('credentialsResolver', () => {
  const named = (text: string): CredentialsResolver => ({
    resolve: ({ uri }) => Promise.resolve({ text: `${text} ${uri}`, fingerprint: '', version: null }),
  });
  const resolver = credentialsResolver({ file: named('a file'), sealed: named('a record') });

  test.each([
    ['file:a', 'a file file:a'],
    ['sealed:80', 'a record sealed:80'],
  ])('asks the resolver of the scheme of %s', async (uri, text) => {
    const request = { uri, replicationId: '80', datamartId: '1649' };

    expect(await resolver.resolve(request, new AbortController().signal)).toMatchObject({ text });
  });

  test('refuses any other scheme', async () => {
    const request = { uri: 'env:KEY', replicationId: '80', datamartId: '1649' };

    await expect(resolver.resolve(request, new AbortController().signal)).rejects.toMatchObject({
      code: 'credentials_invalid',
    });
  });
});

describe('credentialsUriProblem', () => {
  test.each(['file:google/acme.json', 'file:/run/secrets/a', 'file:///run/secrets/a', 'sealed:80'])(
    'takes %s',
    (uri) => {
      expect(credentialsUriProblem(uri, '80')).toBeNull();
    },
  );

  test.each([
    'sealed:81',
    'sealed:',
    'sealed:80/..',
    'file:',
    'file:///',
    'file:google/',
    'file://server/share',
    'https://example.com/key',
    'env:KEY',
    'FILE:x',
    '',
    'file:a\nb',
    'file:a\0b',
    `file:${'x'.repeat(2_000)}`,
  ])('refuses %j', (uri) => {
    expect(credentialsUriProblem(uri, '80')).toMatchObject({
      code: 'invalid_credentials_uri',
      field: 'credentials_uri',
    });
  });
});
