import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linesOf } from '../../../../commands/initial-sync/json-lines.ts';
import { LineArrivals } from '../../../../commands/initial-sync/line-arrivals.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'json-lines-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function fileOf(contents: string | Buffer, name = 'lines.jsonl'): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, contents);
  return path;
}

async function linesIn(contents: string | Buffer): Promise<readonly (readonly [number, string])[]> {
  const lines: (readonly [number, string])[] = [];
  for await (const { number, bytes } of linesOf(await fileOf(contents)))
    lines.push([number, bytes.toString()]);
  return lines;
}

test.each([
  ['', []],
  ['a', [[1, 'a']]],
  ['a\n', [[1, 'a']]],
  [
    'a\nb',
    [
      [1, 'a'],
      [2, 'b'],
    ],
  ],
  [
    '\n\na\n\nb\n',
    [
      [3, 'a'],
      [5, 'b'],
    ],
  ],
  ['{"a":"x\u2028y"}\n', [[1, '{"a":"x\u2028y"}']]],
])('reads the lines of %j', async (contents, lines) => {
  expect(await linesIn(contents)).toEqual(lines);
});

test('joins lines over the parts that a file is read in', async () => {
  const texts = Array.from({ length: 50 }, (_, i) => `${i}`.repeat(70_000));

  expect((await linesIn(texts.join('\n'))).map(([, text]) => text)).toEqual(texts);
});

test('tells how much of the files is read, and where a line is no operation', async () => {
  const operation = '{"ts":1,"doc_type":"UserPoint","doc_id":"u","op":"UPDATE","value":{}}';
  const foreign = 'not one';
  const first = await fileOf(`${operation}\n${foreign}\n`, 'first.jsonl');
  const second = await fileOf(operation, 'second.jsonl');
  const told: string[] = [];
  await new LineArrivals([first, second]).read(
    {
      onArrival: ({ docId }) => told.push(docId),
      onForeign: (where, detail) => told.push(`${where.replace(directory, '')}: ${detail}`),
    },
    ({ read, total }) => told.push(`${total - read} left`),
    new AbortController().signal,
  );

  expect(told).toEqual([
    'u',
    `${foreign.length + 1 + operation.length} left`,
    '/first.jsonl line 2: it is not one JSON object in UTF-8',
    `${operation.length} left`,
    'u',
    '0 left',
  ]);
});
