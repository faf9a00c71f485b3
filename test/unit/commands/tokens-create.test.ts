import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTokensCreate, type TokensCreateOptions } from '../../../commands/tokens-create.ts';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tokens-'));
  file = join(folder, 'tokens.json');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

class RecordedOutput {
  text = '';

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  once(): void {
    // Never full.
  }
}

interface ShownToken {
  readonly token: string;
  readonly entry: { readonly name: string; readonly sha256: string };
}

async function create(options: Partial<TokensCreateOptions> = {}): Promise<ShownToken> {
  const out = new RecordedOutput();
  const code = await runTokensCreate(
    { name: 'acme', datamarts: ['1649'], role: 'customer', writeTo: null, isJson: true, ...options },
    { out, errors: new RecordedOutput() },
  );
  expect(code).toBe(0);
  return JSON.parse(out.text) as ShownToken;
}

function entries(): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

test('shows the token once, and the entry that knows its hash', async () => {
  const out = new RecordedOutput();
  const errors = new RecordedOutput();

  await runTokensCreate(
    { name: 'acme', datamarts: '*', role: 'operator', writeTo: null, isJson: false },
    { out, errors },
  );
  const [token = '', entry = ''] = out.text.split('\n');

  expect(token).toMatch(/^api:[A-Za-z0-9_-]{43}$/);
  expect(JSON.parse(entry)).toEqual({
    name: 'acme',
    sha256: createHash('sha256').update(token.slice(4)).digest('hex'),
    datamarts: '*',
    role: 'operator',
  });
  expect(errors.text).toContain('shown this once');
});

describe('with --write', () => {
  test('makes the file, which only its owner can read, and adds to it', async () => {
    const first = await create({ writeTo: file });
    const second = await create({ name: 'ops', writeTo: file });

    expect(entries()).toEqual([first.entry, second.entry]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).not.toContain(first.token.slice(4));
    expect(readdirSync(folder)).toEqual(['tokens.json']);
  });

  test('refuses a name that is taken, and leaves the file as it was', async () => {
    const first = await create({ writeTo: file });

    await expect(create({ writeTo: file })).rejects.toThrow('there is one named acme already');
    expect(entries()).toEqual([first.entry]);
    expect(readdirSync(folder)).toEqual(['tokens.json']);
  });

  test('refuses a file that is no list of tokens, and leaves it as it was', async () => {
    writeFileSync(file, '{}');

    await expect(create({ writeTo: file })).rejects.toThrow('it must be a JSON list of tokens');
    expect(readFileSync(file, 'utf8')).toBe('{}');
  });

  test('lets one of two writers in at a time', async () => {
    writeFileSync(`${file}.new`, '');

    await expect(create({ writeTo: file })).rejects.toThrow('somebody else is writing it');
  });

  test('leaves a link a link', async () => {
    const link = join(folder, 'link.json');
    writeFileSync(file, '[]');
    symlinkSync(file, link);

    const { entry } = await create({ writeTo: link });

    expect(entries()).toEqual([entry]);
  });
});
