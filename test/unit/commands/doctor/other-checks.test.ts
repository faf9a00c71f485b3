import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clockChecks, ClockReadings } from '../../../../commands/doctor/clock.ts';
import { destinationChecks, type DestinationChoice } from '../../../../commands/doctor/destinations.ts';
import { keyChecks } from '../../../../commands/doctor/keys.ts';
import { registryChecks } from '../../../../commands/doctor/registry.ts';
import { applySealedHead } from '../../../../commands/doctor/sealed-heads.ts';
import { settingsChecks, tokensListProblem } from '../../../../commands/doctor/settings.ts';
import { stateChecks } from '../../../../commands/doctor/states.ts';
import { tableChecks } from '../../../../commands/doctor/tables.ts';
import type { InspectedSubject } from '../../../../schemas/registry-inspector.ts';
import type { ActivationReport } from '../../../../streams/activation-report.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { aView, BROKER, findingsOf, found, missing, NOW, outlines } from './fakes.ts';

describe('settings', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'doctor-'));
    await writeFile(join(directory, 'tokens.json'), '[{"name":"acme"}]');
    await writeFile(join(directory, 'broken.json'), '{');
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  interface Changes {
    readonly credentials?: string | null;
    readonly files?: string | null;
    readonly tokens?: string | null;
    readonly allowEmulators?: boolean;
    readonly openSinks?: () => Promise<readonly string[]>;
  }
  const checked = (changes: Changes = {}) => {
    const { credentials = directory, files = directory, tokens = join(directory, 'tokens.json') } = changes;
    return findingsOf(
      settingsChecks(
        {
          credentials: { directory: credentials, key: null, oldKeys: [] },
          sinks: {
            allowEmulators: changes.allowEmulators ?? false,
            fileDirectory: files,
            enabled: [],
            modules: [],
            kafkaBrokers: [],
          },
          http: { host: '', port: 0, internal: null, tokensFile: tokens, rateLimit: 1 },
          roles: ['api'],
        },
        tokensListProblem,
        changes.openSinks ?? (async () => ['FILE']),
      ),
    );
  };

  test('all there', async () => {
    expect((await checked()).map(({ result }) => result)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
  });

  test('what isn’t set is skipped; an API without tokens is a warning', async () => {
    expect(outlines(await checked({ credentials: null, files: null, tokens: null })).slice(0, 3)).toEqual([
      'skipped CREDENTIALS_DIRECTORY',
      'skipped SINKS_FILE_DIRECTORY',
      'warning HTTP_TOKENS_FILE',
    ]);
  });

  test('what isn’t there, or is something else', async () => {
    const tokens = join(directory, 'tokens.json');
    const findings = await checked({ credentials: join(directory, 'none'), files: tokens, tokens: '/none' });

    expect(findings.slice(0, 3)).toMatchObject([
      { result: 'failed', message: expect.stringContaining("isn't there") },
      { result: 'failed', message: expect.stringContaining('is no directory') },
      { result: 'failed', message: expect.stringContaining("isn't there") },
    ]);
  });

  test('a tokens file that is broken, without its text', async () => {
    const findings = await checked({ tokens: join(directory, 'broken.json') });

    expect(findings[2]).toMatchObject({
      result: 'failed',
      message: expect.stringContaining('not valid JSON'),
    });
    expect(tokensListProblem('{"name":"acme"}')).toBe('it must be a JSON list of objects');
  });

  test('emulators are a warning, a module that doesn’t load a failure', async () => {
    const openSinks = () => Promise.reject(new Error('loading sink module x: not found'));

    expect(outlines(await checked({ allowEmulators: true, openSinks })).slice(3)).toEqual([
      'failed SINKS_ENABLED',
      'warning SINKS_ALLOW_EMULATORS',
    ]);
  });
});

describe('registry', () => {
  const registered = { id: 1, version: 2, problem: '', takes: true };
  const checked = (answer: InspectedSubject['registered'] | Error) =>
    findingsOf(
      registryChecks({
        mutationTopics: ['m'],
        avsc: '{}',
        clocks: new ClockReadings(new ManualClock(NOW)),
        registry: {
          url: 'http://registry',
          inspector: {
            inspect: () =>
              answer instanceof Error
                ? Promise.reject(answer)
                : Promise.resolve({ registered: answer, dateMs: null }),
          },
        },
      }),
    );

  test.each([
    ['fits', registered, 'ok'],
    ['isn’t registered', null, 'warning'],
    ['can’t be read as a mutation', { ...registered, problem: 'it has no field ts' }, 'failed'],
    ['has no compatible next version', { ...registered, takes: false }, 'warning'],
    ['can’t be asked for', new Error('connect ECONNREFUSED'), 'failed'],
  ])('a subject that %s', async (_, answer, result) => {
    expect(await checked(answer)).toMatchObject([{ name: 'm-value', result }]);
  });

  test('is skipped when none is set', async () => {
    const clocks = new ClockReadings(new ManualClock(NOW));
    const group = registryChecks({ mutationTopics: ['m'], avsc: '', clocks, registry: null });

    expect(outlines(await findingsOf(group))).toEqual(['skipped KAFKA_SCHEMA_REGISTRY_URL']);
  });
});

describe('keys', () => {
  const [key, oldKey] = [Buffer.from('0123456789abcdef0123456789abcdef'), Buffer.alloc(32, 1)];
  /** Of `key`, by the contract. */
  const CURRENT = '3eb1bd439947eb76';
  const checked = (
    heads: Readonly<Record<string, string | null>>,
    keys: { readonly key: Buffer | null; readonly oldKeys: readonly Buffer[] } = { key, oldKeys: [] },
    replications: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
  ) => findingsOf(keyChecks(keys, found(new Map(Object.entries(heads))), found(aView({ replications }))));

  test('every record is under the present key', async () => {
    expect((await checked({ 80: CURRENT }))[0]).toMatchObject({
      result: 'ok',
      message: expect.stringContaining('1 of 1'),
    });
  });

  test('no key is fine without sealed records, and a failure with some', async () => {
    const none = { key: null, oldKeys: [] };

    expect((await checked({}, none))[0]).toMatchObject({ result: 'skipped' });
    expect((await checked({ 80: CURRENT }, none))[0]).toMatchObject({
      result: 'failed',
      message: expect.stringContaining('80'),
    });
  });

  test('records under a former key are to be rotated, those under an unknown one are lost', async () => {
    const heads = { 80: '72cd6e8422c407fb', 81: 'ffffffffffffffff' };

    expect((await checked(heads, { key, oldKeys: [oldKey] })).slice(0, 2)).toMatchObject([
      { result: 'warning', remedy: 'run `credentials rotate`' },
      { result: 'failed', message: expect.stringContaining('81') },
    ]);
  });

  test('a record that can’t be read', async () => {
    expect((await checked({ 80: null }))[0]).toMatchObject({ result: 'failed' });
  });

  test('a replication whose record isn’t there', async () => {
    const uri = { credentials_uri: 'sealed:80' };

    expect((await checked({}, undefined, { 80: uri }))[1]).toMatchObject({ result: 'failed' });
    expect((await checked({}, undefined, { 80: { ...uri, status: 'PAUSED' } }))[1]).toMatchObject({
      result: 'warning',
    });
    expect((await checked({ 80: CURRENT }, undefined, { 80: uri }))[1]).toMatchObject({ result: 'ok' });
  });

  test('the head of a sealed record is its key’s name, and nothing else of it', () => {
    const heads = new Map<string, string | null>();
    applySealedHead(heads, '80', Buffer.from(JSON.stringify({ v: 1, kek_id: CURRENT, ciphertext: 'x' })));
    applySealedHead(heads, '81', Buffer.from('{'));
    applySealedHead(heads, '82', Buffer.from('{"kek_id":"x"}'));
    applySealedHead(heads, '82', null);

    expect([...heads]).toEqual([
      ['80', CURRENT],
      ['81', null],
    ]);
  });
});

describe('clock', () => {
  const checked = (dateMs: number | null, newestStatusMs: number | null = NOW) => {
    const clock = new ManualClock(NOW);
    return findingsOf(
      clockChecks({
        clock,
        readings: new ClockReadings(clock),
        view: found(aView({ newestStatusMs })),
        google: () => ({ url: 'https://google', date: async () => dateMs }),
      }),
    );
  };

  test.each([
    ['right', NOW, 'ok'],
    ['a minute behind', NOW + 60_000, 'warning'],
    ['a minute ahead', NOW - 60_000, 'warning'],
    ['an hour ahead', NOW - 3_600_000, 'failed'],
    ['unknown', null, 'skipped'],
  ])('one that is %s', async (_, dateMs, result) => {
    expect((await checked(dateMs))[0]).toMatchObject({ name: 'this machine', result });
  });

  test('a status record of the future is a warning, none is skipped', async () => {
    expect((await checked(null, NOW))[1]).toMatchObject({ result: 'ok' });
    expect((await checked(null, NOW + 60_000))[1]).toMatchObject({ result: 'warning' });
    expect((await checked(null, null))[1]).toMatchObject({ result: 'skipped' });
  });
});

describe('destinations', () => {
  const good: ActivationReport = { code: 'ok', message: '', remedy: null, warnings: [] };
  const replications = { 80: {}, 81: { status: 'PAUSED' } };
  const checked = (choice: Partial<DestinationChoice> = {}, report: ActivationReport = good) =>
    findingsOf(
      destinationChecks(
        { replicationId: null, isAll: false, ...choice },
        found(aView({ replications })),
        async () => report,
      ),
    );

  test('those that want to be ACTIVE, all, or the one that is named', async () => {
    expect(outlines(await checked())).toEqual(['ok 80']);
    expect(outlines(await checked({ isAll: true }))).toEqual(['ok 80', 'ok 81']);
    expect(outlines(await checked({ replicationId: '81' }))).toEqual(['ok 81']);
    expect(outlines(await checked({ replicationId: '82' }))).toEqual(['failed 82']);
  });

  test('one that refuses has the reason class and the remedy', async () => {
    const report = {
      ...good,
      code: 'permission_denied' as const,
      message: 'denied',
      remedy: 'grant the role',
    };

    expect(await checked({}, report)).toMatchObject([
      { result: 'failed', message: 'SCRIPTED: permission_denied: denied', remedy: 'grant the role' },
    ]);
  });

  test('one that works with a warning', async () => {
    expect(await checked({}, { ...good, warnings: ['the topic has no schema'] })).toMatchObject([
      { result: 'warning', message: expect.stringContaining('no schema') },
    ]);
  });

  test('skipped when the replications could not be read', async () => {
    const choice = { replicationId: null, isAll: false };

    expect(await findingsOf(destinationChecks(choice, missing('not read'), async () => good))).toMatchObject([
      { result: 'skipped', message: 'not read' },
    ]);
  });
});

describe('replications', () => {
  const checked = (view: Parameters<typeof aView>[0]) =>
    findingsOf(
      stateChecks({
        replicationId: null,
        view: found(aView({ replications: { 80: {} }, ...view })),
        reader: { bounds: async () => ({ start: 0, end: 500 }) },
        clock: { now: () => NOW },
      }),
    );

  test('all is well', async () => {
    expect(outlines(await checked({ statuses: [{}] }))).toEqual(['ok states', 'ok control records']);
  });

  test('one in ERROR has reason and remedy', async () => {
    const failure = {
      reason: 'destination_failed' as const,
      code: 'not_found',
      message: 'the topic is gone',
      remedy: 'make the topic',
    };
    const verdict = { configOffset: 7, credentialsVersion: null, failure };

    expect((await checked({ statuses: [{ state: 'ERROR', verdict }] }))[0]).toMatchObject({
      name: '80',
      result: 'failed',
      message: expect.stringContaining('destination_failed, not_found: the topic is gone'),
      remedy: 'make the topic; then activate it again',
    });
  });

  test('a detached one has its lag', async () => {
    const report = { replication_id: '80', topic: 'm', partition: 3, state: 'DETACHED', offset: '100' };

    expect((await checked({ statuses: [{}], records: { 'replication/80/m/3': report } }))[0]).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('400 records behind (m/3: 400)'),
    });
  });

  test('one that nobody has taken up, and one that is activated for long', async () => {
    const since = NOW - 600_000;

    expect((await checked({}))[0]).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('no processor'),
    });
    expect((await checked({ statuses: [{ state: 'ACTIVATING', verdict: null, since }] }))[0]).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('ACTIVATING since'),
    });
    expect(
      outlines(await checked({ statuses: [{ state: 'ACTIVATING', verdict: null, since: NOW }] })),
    ).toEqual(['ok states', 'ok control records']);
  });

  test('one that lost something to retention', async () => {
    expect((await checked({ statuses: [{ lostOffsets: 5 }] }))[0]).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('up to 5 records'),
    });
  });

  test('a refused record, by its id', async () => {
    const findings = await checked({ replications: { 81: { version: 7 } } });

    expect(findings.at(-1)).toMatchObject({
      name: '81',
      result: 'warning',
      message: expect.stringContaining('invalid_version (version)'),
    });
  });
});

describe('tables', () => {
  test('are read where they are, and hand on what they hold', async () => {
    const [view, sealed] = [
      missing<ReturnType<typeof aView>>(''),
      missing<ReadonlyMap<string, string | null>>(''),
    ];
    const group = tableChecks({
      topics: {
        replicationConfig: 'config',
        replicationStatus: 'status',
        replicationCredentials: 'none',
        initialSyncRequests: 'requests',
        initialSyncExecutions: 'executions',
      },
      admin: {
        partitionCounts: async () =>
          new Map([
            ['config', 1],
            ['status', 1],
            ['requests', 1],
            ['executions', 1],
          ]),
      },
      readView: async () => aView({ replications: { 80: {}, 81: { status: 'PAUSED' } } }),
      readSealed: async () => new Map(),
      reachable: found(BROKER),
      view,
      sealed,
    });

    expect(await findingsOf(group)).toMatchObject([
      { result: 'ok', message: '2, of which 1 want to be ACTIVE' },
      { result: 'skipped', message: "topic none isn't there" },
    ]);
    expect(view.find()?.replications.size).toBe(2);
    expect(sealed.find()).toBeNull();
  });
});
