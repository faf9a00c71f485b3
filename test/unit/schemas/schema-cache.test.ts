import { afterEach, expect, test } from '@jest/globals';
import { SchemaCache } from '../../../schemas/schema-cache.ts';
import type { SchemaAnswer, SchemaSource } from '../../../schemas/schema-registry.ts';
import { schemaText } from './mutation-builder.ts';

const UNKNOWN: SchemaAnswer = { kind: 'unknown' };
const UNAVAILABLE: SchemaAnswer = { kind: 'unavailable', detail: 'connection refused' };
const SCHEMA: SchemaAnswer = {
  kind: 'schema',
  schema: { text: schemaText('datamart-mutation'), references: [] },
};

/** Answers as the test says, and knows when it was asked. */
class ScriptedSource implements SchemaSource {
  answer = SCHEMA;
  readonly askedAt: number[] = [];
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  async fetchSchema(_id: number, signal: AbortSignal): Promise<SchemaAnswer> {
    signal.throwIfAborted();
    this.askedAt.push(this.now());
    return this.answer;
  }
}

let opened: SchemaCache | null = null;
afterEach(() => opened?.close());

/** A cache whose sleeps take no time, but set the clock forward. */
function aCache(options: { readonly maxUnknown?: number } = {}) {
  const clock = { time: 1000 };
  const source = new ScriptedSource(() => clock.time);
  const cache = new SchemaCache({
    source,
    now: () => clock.time,
    sleep: async (milliseconds, signal) => {
      signal.throwIfAborted();
      clock.time += milliseconds;
    },
    ...options,
  });
  opened = cache;
  return { cache, clock, source };
}

const never = new AbortController().signal;

test('loads a schema once, however many wait for it', async () => {
  const { cache, source } = aCache();
  expect(cache.get(7)).toBeUndefined();
  const loads = await Promise.all([cache.load(7, never), cache.load(7, never)]);
  expect(loads.map(({ status }) => status)).toEqual(['loaded', 'loaded']);
  expect(cache.get(7)).toMatchObject({ problem: '' });
  expect(await cache.load(7, never)).toMatchObject({ status: 'loaded' });
  expect(source.askedAt).toEqual([1000]);
});

test('asks three times within a minute for an id that the registry doesn’t know, then gives up', async () => {
  const { cache, source } = aCache();
  source.answer = UNKNOWN;
  expect(await cache.load(7, never)).toEqual({ status: 'unknown', detail: 'the registry has no schema 7' });
  expect(source.askedAt).toEqual([1000, 31_000, 61_000]);
  expect(cache.get(7)).toBe('unknown');
  expect(await cache.load(7, never)).toMatchObject({ status: 'unknown' });
  expect(source.askedAt).toHaveLength(3);
});

test('takes a schema that appears at the second try', async () => {
  const { cache, clock, source } = aCache();
  source.answer = UNKNOWN;
  const load = cache.load(7, never);
  expect(source.askedAt).toEqual([1000]);
  source.answer = SCHEMA;
  expect(await load).toMatchObject({ status: 'loaded' });
  expect(clock.time).toBe(31_000);
});

test('asks again every ten minutes for an unknown id, once each, and its records stay unknown meanwhile', async () => {
  const { cache, clock, source } = aCache();
  source.answer = UNKNOWN;
  await cache.load(7, never);
  const ask = async (milliseconds: number): Promise<number> => {
    clock.time = 61_000 + milliseconds;
    expect(cache.get(7)).toBe('unknown');
    expect(cache.get(7)).toBe('unknown');
    await settled();
    return source.askedAt.length;
  };
  expect(await ask(599_999)).toBe(3);
  expect(await ask(600_000)).toBe(4);
  expect(await ask(1_199_999)).toBe(4);
  source.answer = UNAVAILABLE;
  expect(await ask(1_200_000)).toBe(5);
  source.answer = SCHEMA;
  expect(await ask(1_800_000)).toBe(6);
  expect(cache.get(7)).toMatchObject({ problem: '' });
});

test('says at once that nobody answers, and loads later', async () => {
  const { cache, source } = aCache();
  source.answer = UNAVAILABLE;
  expect(await cache.load(7, never)).toEqual({ status: 'unavailable', detail: 'connection refused' });
  expect(cache.get(7)).toBeUndefined();
  source.answer = SCHEMA;
  expect(await cache.load(7, never)).toMatchObject({ status: 'loaded' });
});

test('keeps what is wrong with a schema that can’t be read', async () => {
  const { cache, source } = aCache();
  source.answer = { kind: 'schema', schema: { text: '"string"', references: [] } };
  expect(await cache.load(7, never)).toMatchObject({ status: 'loaded' });
  expect(cache.get(7)).toMatchObject({ problem: 'the writer schema is no record' });
});

test('knows that no registry is configured', async () => {
  const cache = new SchemaCache({
    source: null,
    now: () => 0,
    sleep: () => Promise.reject(new Error('unexpected')),
  });
  expect(await cache.load(7, never)).toMatchObject({ status: 'unconfigured' });
  expect(cache.get(7)).toBeUndefined();
});

test('forgets the oldest unknown id when there are too many', async () => {
  const { cache, source } = aCache({ maxUnknown: 2 });
  source.answer = UNKNOWN;
  for (const id of [1, 2, 3]) await cache.load(id, never);
  expect([cache.get(1), cache.get(2), cache.get(3)]).toEqual([undefined, 'unknown', 'unknown']);
});

test('a caller that aborts leaves the load to the others', async () => {
  const { cache } = aCache();
  const gone = new AbortController();
  const first = cache.load(7, gone.signal);
  const second = cache.load(7, never);
  gone.abort(new Error('revoked'));
  await expect(first).rejects.toThrow('revoked');
  expect(await second).toMatchObject({ status: 'loaded' });
});

test('closing ends the loads, twice', async () => {
  const { cache, source } = aCache();
  source.answer = UNKNOWN;
  const load = cache.load(7, never);
  const outcome = expect(load).rejects.toThrow('the schema cache is closed');
  await cache.close();
  await cache.close();
  await outcome;
  await expect(cache.load(7, never)).rejects.toThrow('the schema cache is closed');
});

/** Lets everything happen that waits for nothing outside. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
