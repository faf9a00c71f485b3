import { describe, expect, test } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { newToken, parseTokensFile } from '../../../api/tokens-file.ts';
import { FileTokens } from '../../../api/tokens.ts';
import { RecordedLog } from '../../support/api-under-test.ts';

const SHA = 'a'.repeat(64);

function problemsOf(entries: unknown): readonly string[] {
  try {
    parseTokensFile(typeof entries === 'string' ? entries : JSON.stringify(entries), 'tokens.json');
    return [];
  } catch (error) {
    return (error as { readonly problems: readonly string[] }).problems;
  }
}

describe('a tokens file', () => {
  test('says whose the tokens are; a customer is who is nothing else', () => {
    const entries = parseTokensFile(
      JSON.stringify([
        { name: 'acme', sha256: SHA, datamarts: ['1649', '1650'] },
        { name: 'ops', sha256: 'b'.repeat(64), datamarts: '*', role: 'operator' },
      ]),
      'tokens.json',
    );

    expect(entries).toEqual([
      { name: 'acme', sha256: SHA, datamarts: ['1649', '1650'], role: 'customer' },
      { name: 'ops', sha256: 'b'.repeat(64), datamarts: '*', role: 'operator' },
    ]);
  });

  test.each([
    ['no JSON', '[{"name": "secret', 'it is not valid JSON'],
    ['no object', { 0: 5 }, 'it must be a JSON list of tokens'],
    ['no name', [{ sha256: SHA, datamarts: '*' }], 'token 1: name must match'],
    ['a hash that is none', [{ name: 'a', sha256: 'api:x', datamarts: '*' }], 'token 1: sha256 must be'],
    [
      'a datamart that is none',
      [{ name: 'a', sha256: SHA, datamarts: [1649] }],
      'token 1: datamarts must be',
    ],
    ['no datamart', [{ name: 'a', sha256: SHA, datamarts: [] }], 'token 1: datamarts must be'],
    ['another role', [{ name: 'a', sha256: SHA, datamarts: '*', role: 'root' }], 'token 1: role must be'],
    ['another field', [{ name: 'a', sha256: SHA, datamarts: '*', token: 'x' }], 'token 1: token is none of'],
    [
      'a name twice',
      [
        { name: 'a', sha256: SHA, datamarts: '*' },
        { name: 'a', sha256: 'b'.repeat(64), datamarts: '*' },
      ],
      'token 2: another one has the same name',
    ],
    [
      'a token twice',
      [
        { name: 'a', sha256: SHA, datamarts: '*' },
        { name: 'b', sha256: SHA, datamarts: '*' },
      ],
      'token 2: another one has the same sha256',
    ],
  ])('with %s is refused', (_what, entries, problem) => {
    expect(problemsOf(entries)).toEqual([expect.stringContaining(problem)]);
  });

  test('with several mistakes tells all of them', () => {
    expect(problemsOf([{ datamarts: 5 }, 5, { name: 'b', sha256: SHA }])).toHaveLength(7);
  });
});

test('a new token is long, random, and known by its hash only', () => {
  const { token, entry } = newToken('acme', ['1649'], 'customer', randomBytes);
  const another = newToken('acme', ['1649'], 'customer', randomBytes);

  expect(token).toMatch(/^api:[A-Za-z0-9_-]{43}$/);
  expect(another.token).not.toBe(token);
  expect(entry).toEqual({
    name: 'acme',
    sha256: createHash('sha256').update(token.slice('api:'.length)).digest('hex'),
    datamarts: ['1649'],
    role: 'customer',
  });
});

class ChangingFile {
  text: string;
  nowMs = 0;
  readonly log = new RecordedLog();

  constructor(text: string) {
    this.text = text;
  }

  open(): Promise<FileTokens> {
    return FileTokens.open({
      path: 'tokens.json',
      readFile: async () => {
        if (this.text === '') throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        return this.text;
      },
      logger: this.log,
      now: () => this.nowMs,
    });
  }
}

function fileOf(...tokens: readonly ReturnType<typeof newToken>[]): string {
  return JSON.stringify(tokens.map(({ entry }) => entry));
}

describe('the tokens in force', () => {
  const acme = newToken('acme', ['1649'], 'customer', randomBytes);
  const ops = newToken('ops', '*', 'operator', randomBytes);

  test('let in who has one', async () => {
    const tokens = await new ChangingFile(fileOf(acme, ops)).open();

    expect(await tokens.principalOf(acme.token)).toEqual({
      name: 'acme',
      datamarts: ['1649'],
      role: 'customer',
    });
    expect(await tokens.principalOf(ops.token)).toEqual({ name: 'ops', datamarts: '*', role: 'operator' });
  });

  test.each([
    ['nothing', undefined],
    ['an empty header', ''],
    ['the token alone', acme.token.slice(4)],
    ['another scheme', `Bearer ${acme.token.slice(4)}`],
    ['a longer token', `${acme.token}x`],
    ['the hash', `api:${acme.entry.sha256}`],
    ['something very long', `api:${'x'.repeat(10_000)}`],
  ])('let nobody in with %s', async (_what, authorization) => {
    const tokens = await new ChangingFile(fileOf(acme)).open();

    expect(await tokens.principalOf(authorization)).toBeNull();
  });

  test('follow the file within 10 s', async () => {
    const file = new ChangingFile(fileOf(acme));
    const tokens = await file.open();
    file.text = fileOf(ops);

    file.nowMs = 10_000;

    expect(await tokens.principalOf(acme.token)).toBeNull();
    expect(await tokens.principalOf(ops.token)).toMatchObject({ name: 'ops' });
  });

  test('stay while the file can’t be used, which is logged once', async () => {
    const file = new ChangingFile(fileOf(acme));
    const tokens = await file.open();
    for (const text of ['[{', '[{', '']) {
      file.text = text;
      file.nowMs += 10_000;
      expect(await tokens.principalOf(acme.token)).toMatchObject({ name: 'acme' });
    }
    file.text = fileOf(ops);
    file.nowMs += 10_000;

    expect(await tokens.principalOf(acme.token)).toBeNull();
    expect(file.log.lines.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([
      'reading the tokens file tokens.json: it is not valid JSON; the tokens read before stay in force',
      "reading the tokens file tokens.json: it can't be read (ENOENT); the tokens read before stay in force",
    ]);
  });

  test('are refused at the start when the file can’t be used', async () => {
    await expect(new ChangingFile('').open()).rejects.toThrow(
      "reading the tokens file tokens.json: it can't be read",
    );
  });
});
