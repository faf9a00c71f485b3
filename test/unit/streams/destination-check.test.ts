import { describe, expect, test } from '@jest/globals';
import { SinkError, type Sink, type SinkAdapter } from '../../../sinks/sink.ts';
import { activationText } from '../../../streams/activation-report.ts';
import { checkDestination } from '../../../streams/destination-check.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { aReplicationConfig } from '../../support/replication-config.ts';

const never = new AbortController().signal;

/** A kind of destination whose check is given, and what was opened and closed of it. */
class CheckedKind {
  readonly opened: (string | null)[] = [];
  closed = 0;
  readonly adapter: SinkAdapter<{ target: string }>;

  constructor(check: Sink['check'], changes: Partial<SinkAdapter<{ target: string }>> = {}) {
    this.adapter = {
      type: 'CHECKED',
      versions: [1],
      fields: ['target'],
      options: { messageId: true, ordering: false, orderingLanes: true },
      credentials: 'required',
      parseConfig: () => ({ config: { target: 'here' } }),
      checkCredentials: () => null,
      open: async ({ credentials }) => {
        this.opened.push(credentials);
        return {
          limits: { maxRecords: 1, maxBytes: 1, recordOverheadBytes: 0 },
          check,
          send: () => Promise.reject(new Error('a check publishes nothing')),
          close: async () => {
            this.closed += 1;
          },
        };
      },
      ...changes,
    };
  }

  check(credentials: string | null = 'key', signal = never, clock = new ManualClock()) {
    const config = aReplicationConfig(this.adapter, { credentials_uri: 'sealed:80', target: 'here' });
    return checkDestination(this.adapter, config, credentials, signal, clock);
  }
}

describe('a destination', () => {
  test('that works is reported with its warnings, and closed again', async () => {
    const kind = new CheckedKind(async () => ['the topic has no schema']);

    expect(await kind.check()).toEqual({
      code: 'ok',
      message: 'the destination can be used',
      remedy: null,
      warnings: ['the topic has no schema'],
    });
    expect(kind.opened).toEqual(['key']);
    expect(kind.closed).toBe(1);
  });

  test('that refuses is reported with its reason class and remedy, and closed again', async () => {
    const kind = new CheckedKind(() =>
      Promise.reject(new SinkError('fatal', 'permission_denied', 'no right', { remedy: 'grant the role' })),
    );

    expect(await kind.check()).toEqual({
      code: 'permission_denied',
      message: 'no right',
      remedy: 'grant the role',
      warnings: [],
    });
    expect(kind.closed).toBe(1);
  });

  test('without the credentials that it needs, or with bad ones, is not opened', async () => {
    const problem = { code: 'invalid_json', field: 'credentials', message: 'the key file is no JSON object' };
    const kind = new CheckedKind(async () => [], { checkCredentials: () => problem });

    expect(await kind.check(null)).toMatchObject({
      code: 'credentials_missing',
      remedy: expect.stringContaining('upload'),
    });
    expect(await kind.check('{')).toMatchObject({
      code: 'credentials_invalid',
      message: expect.stringContaining('the key file is no JSON object'),
      remedy: expect.stringContaining('upload'),
    });
    expect(kind.opened).toEqual([]);
  });

  test.each([
    ['rejects with something else', () => Promise.reject(new TypeError('a defect')), 'unknown'],
    [
      'throws',
      () => {
        throw new TypeError('a defect');
      },
      'unknown',
    ],
  ] as const)('whose sink %s is reported, never rejected', async (_, check, code) => {
    expect(await new CheckedKind(check).check()).toMatchObject({ code });
  });

  test('that does not answer is given up after 15 s, also when it ignores its signal', async () => {
    const clock = new ManualClock();
    const heard: unknown[] = [];
    const obedient = new CheckedKind(
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            heard.push(signal.reason);
            reject(signal.reason as Error);
          });
        }),
    );
    const answer = Promise.withResolvers<readonly string[]>();
    const stubborn = new CheckedKind(() => answer.promise);
    const reports = Promise.all([obedient.check('key', never, clock), stubborn.check('key', never, clock)]);
    await clock.advance(14_999);
    expect(heard).toEqual([]);
    await clock.advance(600);

    expect((await reports).map(({ code }) => code)).toEqual(['timeout', 'timeout']);
    answer.resolve([]);
    await clock.advance(0);
    expect([obedient.closed, stubborn.closed]).toEqual([1, 1]);
  });

  test('is given up when the caller has no more time', async () => {
    const clock = new ManualClock();
    const kind = new CheckedKind(() => new Promise(() => undefined));
    const caller = new AbortController();
    const report = kind.check('key', caller.signal, clock);
    caller.abort();
    await clock.advance(600);

    expect(await report).toMatchObject({ code: 'timeout' });
  });
});

test('a report is told in lines: what it is, what helps, what will matter', () => {
  expect(
    activationText({ code: 'not_found', message: 'no topic', remedy: 'create it', warnings: ['no schema'] }),
  ).toBe('not_found: no topic\nremedy: create it\nwarning: no schema');
  expect(activationText({ code: 'ok', message: 'it works', remedy: null, warnings: [] })).toBe(
    'ok: it works',
  );
});
