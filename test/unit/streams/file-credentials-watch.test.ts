import { afterEach, expect, test } from '@jest/globals';
import type { CredentialsRequest, ResolvedCredentials } from '../../../sinks/credentials.ts';
import { SinkError } from '../../../sinks/sink.ts';
import { FileCredentialsWatch } from '../../../streams/file-credentials-watch.ts';
import type { Logger } from '../../../streams/logger.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { silentLogger } from '../../support/silent-logger.ts';

const stopping = new Set<AbortController>();

afterEach(() => {
  for (const stop of stopping) stop.abort();
  stopping.clear();
});

/** Files that a test writes, the watch on them, and what it told. */
class Watched {
  readonly clock = new ManualClock();
  readonly files = new Map<string, string>();
  readonly changed: string[] = [];
  readonly warnings: string[] = [];
  inUse: CredentialsRequest[] = [];
  reads = 0;
  readonly watch: FileCredentialsWatch;
  readonly stop = new AbortController();

  constructor() {
    const logger: Logger = {
      ...silentLogger,
      warn: (fields, msg) => void this.warnings.push(`${JSON.stringify(fields)} ${msg}`),
    };
    this.watch = new FileCredentialsWatch({
      credentials: { resolve: (request) => this.#read(request) },
      inUse: () => this.inUse,
      onChanged: (uri) => void this.changed.push(uri),
      clock: this.clock,
      logger,
    });
    stopping.add(this.stop);
    void this.watch.follow(this.stop.signal);
  }

  /** What a destination does that opens; it stays open. */
  async open(uri: string, replicationId = '80'): Promise<ResolvedCredentials> {
    const request = { uri, replicationId, datamartId: '1649' };
    const credentials = await this.watch.resolve(request, new AbortController().signal);
    this.inUse.push(request);
    return credentials;
  }

  async #read({ uri }: CredentialsRequest): Promise<ResolvedCredentials> {
    this.reads += 1;
    const text = this.files.get(uri);
    if (text === undefined)
      throw new SinkError('fatal', 'credentials_missing', `reading ${uri}: it isn't there`);
    return { text, fingerprint: `hash of ${text}`, version: null };
  }
}

test('tells of changed content within 30 s, once', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old').set('file:b', 'same');
  expect(await watched.open('file:a')).toMatchObject({ text: 'old' });
  await watched.open('file:b', '81');
  await watched.clock.advance(60_000);
  expect(watched.changed).toEqual([]);

  watched.files.set('file:a', 'new');
  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual(['file:a']);
  await watched.clock.advance(300_000);
  expect(watched.changed).toEqual(['file:a']);
});

test('misses no change between an opening and the first look', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old');
  await watched.open('file:a');
  watched.files.set('file:a', 'new');

  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual(['file:a']);
});

test('an opening that reads other content than the one before tells it to those that have the old', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old');
  await watched.open('file:a', '80');
  watched.files.set('file:a', 'new');
  await watched.open('file:a', '81');

  expect(watched.changed).toEqual(['file:a']);
});

test('reads a file once a look, however many use it, and no other scheme', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'text').set('sealed:82', 'text');
  await watched.open('file:a', '80');
  await watched.open('file:a', '81');
  await watched.open('sealed:82', '82');
  watched.reads = 0;

  await watched.clock.advance(30_000);
  expect(watched.reads).toBe(1);
});

test('a file that is gone is no change, is said once, and is compared with what it was when it is back', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old');
  await watched.open('file:a');
  watched.files.delete('file:a');
  await watched.clock.advance(120_000);
  expect(watched.changed).toEqual([]);
  expect(watched.warnings).toHaveLength(1);
  expect(watched.warnings[0]).toContain('credentials_missing');

  watched.files.set('file:a', 'old');
  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual([]);
  watched.files.delete('file:a');
  await watched.clock.advance(30_000);
  expect(watched.warnings).toHaveLength(2);
  watched.files.set('file:a', 'new');
  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual(['file:a']);
});

test('an opening that takes long is not forgotten by the look that comes between', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old');
  await watched.clock.advance(29_000);
  await watched.open('file:a');
  const opening = watched.inUse.splice(0);
  await watched.clock.advance(5_000);
  watched.inUse.push(...opening);
  watched.files.set('file:a', 'new');

  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual(['file:a']);
});

test('a file that nobody uses any more is neither read nor remembered', async () => {
  const watched = new Watched();
  watched.files.set('file:a', 'old');
  await watched.open('file:a');
  watched.inUse = [];
  watched.reads = 0;
  await watched.clock.advance(90_000);
  expect(watched.reads).toBe(0);

  watched.files.set('file:a', 'new');
  await watched.open('file:a');
  expect(watched.changed).toEqual([]);
});

test('passes a failed opening on, and looks no more once it is stopped', async () => {
  const watched = new Watched();
  await expect(watched.open('file:a')).rejects.toMatchObject({ code: 'credentials_missing' });
  watched.files.set('file:a', 'old');
  await watched.open('file:a');
  watched.stop.abort();
  watched.reads = 0;

  await watched.clock.advance(90_000);
  expect(watched.reads).toBe(0);
});

test('a file that was not there when it was wanted, and appears, is a change', async () => {
  const watched = new Watched();
  await expect(watched.open('file:late.json')).rejects.toThrow('it isn');
  watched.inUse.push({ uri: 'file:late.json', replicationId: '80', datamartId: '1649' });
  watched.files.set('file:late.json', 'there by now');
  await watched.clock.advance(30_000);
  expect(watched.changed).toEqual(['file:late.json']);
});
