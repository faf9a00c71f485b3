import { expect, test } from '@jest/globals';
import { DocumentFold, type Difference } from '../../../processors/document-fold.ts';
import { Hash64 } from '../../../schemas/hash64.ts';

const USER_SEGMENT = 3;
const hashOf = (text: string): Hash64 => new Hash64().of(Buffer.from(text));
const KEY = hashOf('1649/UserSegment/u:1');

type Contents = string | null;

/** Takes both logs of one document; null is a deletion. */
function folded(source: readonly Contents[], copy: readonly Contents[]): DocumentFold {
  const fold = new DocumentFold();
  const valueOf = (contents: Contents): Hash64 | null => (contents === null ? null : hashOf(contents));
  for (const contents of source) fold.takeSource(KEY, USER_SEGMENT, valueOf(contents));
  for (const contents of copy) fold.takeCopy(KEY, USER_SEGMENT, valueOf(contents));
  return fold;
}

const CASES: readonly {
  readonly name: string;
  readonly source: readonly Contents[];
  readonly copy: readonly Contents[];
  readonly difference: Difference | null;
}[] = [
  { name: 'the same contents', source: ['a'], copy: ['a'], difference: null },
  { name: 'the same after other ones', source: ['a', 'b'], copy: ['b', 'a', 'b'], difference: null },
  { name: 'deleted in both', source: ['a', null], copy: ['a', null], difference: null },
  { name: 'deleted, and never arrived', source: ['a', null], copy: [], difference: null },
  { name: 'deleted in the copy, unknown to the source', source: [], copy: ['a', null], difference: null },
  { name: 'made anew in both', source: ['a', null, 'b'], copy: [null, 'b'], difference: null },
  { name: 'nothing arrived', source: ['a'], copy: [], difference: 'missing' },
  { name: 'a deletion arrived last', source: ['a'], copy: ['a', null], difference: 'missing' },
  { name: 'an older value arrived last', source: ['a', 'b'], copy: ['b', 'a'], difference: 'stale' },
  { name: 'deleted in the source alone', source: ['a', null], copy: ['a'], difference: 'resurrected' },
  { name: 'came back', source: [null], copy: [null, 'a'], difference: 'resurrected' },
  { name: 'the source knows nothing of it', source: [], copy: ['a'], difference: 'extra' },
];

test.each(CASES)('$name: $difference', ({ source, copy, difference }) => {
  const { byType, examples } = folded(source, copy).compare(10);

  expect(examples.map((example) => example.difference)).toEqual(difference === null ? [] : [difference]);
  expect(byType[USER_SEGMENT]).toEqual({
    source: (source.at(-1) ?? null) === null ? 0 : 1,
    copy: (copy.at(-1) ?? null) === null ? 0 : 1,
    missing: 0,
    stale: 0,
    resurrected: 0,
    extra: 0,
    ...(difference === null ? {} : { [difference]: 1 }),
  });
});

test('counts by type, and shows no more examples of a kind than asked for', () => {
  const fold = new DocumentFold();
  for (let i = 0; i < 5_000; i++) fold.takeSource(hashOf(`p${i}`), 2, hashOf('a'));
  for (let i = 0; i < 3; i++) fold.takeCopy(hashOf(`s${i}`), USER_SEGMENT, hashOf('a'));
  const { byType, examples } = fold.compare(2);

  expect(byType[2]).toMatchObject({ source: 5_000, copy: 0, missing: 5_000, extra: 0 });
  expect(byType[USER_SEGMENT]).toMatchObject({ source: 0, copy: 3, missing: 0, extra: 3 });
  expect(examples).toEqual([
    { difference: 'missing', docType: 2, keyHash: hashOf('p0').toString() },
    { difference: 'missing', docType: 2, keyHash: hashOf('p1').toString() },
    { difference: 'extra', docType: USER_SEGMENT, keyHash: hashOf('s0').toString() },
    { difference: 'extra', docType: USER_SEGMENT, keyHash: hashOf('s1').toString() },
  ]);
  expect(fold.size).toBe(5_003);
});

test('with mutations the newest counts, in whatever order they come; the same again changes nothing', () => {
  const fold = new DocumentFold();
  const take = (contents: Contents, partitionCount: number, partition: number, offset: number): void => {
    const value = contents === null ? null : hashOf(contents);
    fold.takeCopy(KEY, USER_SEGMENT, value, { partitionCount, partition, offset });
  };
  fold.takeSource(KEY, USER_SEGMENT, hashOf('new'));
  take('new', 16, 11, 5);
  take('old', 8, 3, 900);
  take(null, 16, 11, 4);
  take('new', 16, 11, 5);
  expect(fold.compare(1).examples).toEqual([]);

  take('newer', 16, 11, 6);
  expect(fold.compare(1).examples).toMatchObject([{ difference: 'stale' }]);
});

test('rows of the source are put in order by their mutations too', () => {
  const fold = new DocumentFold();
  fold.takeSource(KEY, USER_SEGMENT, hashOf('new'), { partitionCount: 16, partition: 11, offset: 0 });
  fold.takeSource(KEY, USER_SEGMENT, null, { partitionCount: 8, partition: 3, offset: 7 });
  fold.takeCopy(KEY, USER_SEGMENT, hashOf('new'));

  expect(fold.compare(1).examples).toEqual([]);
});

test('what the source can’t tell is no difference, until it tells again', () => {
  const fold = folded(['a'], ['b']);
  fold.takeUnknown(KEY, USER_SEGMENT);
  expect(fold.compare(1).examples).toEqual([]);

  fold.takeSource(KEY, USER_SEGMENT, hashOf('a'));
  expect(fold.compare(1).examples).toMatchObject([{ difference: 'stale' }]);
});
