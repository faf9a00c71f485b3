import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ReplicationConfig } from '../../../processors/replication-config.ts';
import { SinkError, type SendOutcome } from '../../../sinks/sink.ts';
import { Destination } from '../../../streams/destination.ts';
import type { Logger } from '../../../streams/logger.ts';
import { EngineMetrics } from '../../../streams/metrics.ts';
import { ManualClock, settle } from '../../support/manual-clock.ts';
import { anOperationBatch } from '../../support/operation-batch.ts';
import { aReplicationConfig } from '../../support/replication-config.ts';
import { RotatingCredentials, WatchfulDestination } from '../../support/rotating-credentials.ts';
import { silentLogger } from '../../support/silent-logger.ts';

interface Warning {
  readonly fields: object;
  readonly text: string;
}

let clock: ManualClock;
let cloud: WatchfulDestination;
let credentials: RotatingCredentials;
let warnings: Warning[];
let faults: { readonly failure: SinkError; readonly credentialsVersion: number | null }[];
let isActivated: boolean;
let destination: Destination;

const WITH_CREDENTIALS = { credentials_uri: 'sealed:80', target: 'watched' };
const config = (fields: Readonly<Record<string, unknown>> = {}): ReplicationConfig =>
  aReplicationConfig(cloud.adapter, { ...WITH_CREDENTIALS, ...fields });

beforeEach(() => {
  clock = new ManualClock();
  cloud = new WatchfulDestination();
  credentials = new RotatingCredentials('first');
  warnings = [];
  faults = [];
  isActivated = true;
  destination = aDestination();
});

afterEach(async () => {
  cloud.areSendsHeld = false;
  cloud.answerSends();
  const closed = destination.close();
  await clock.advance(1_000);
  await closed;
  expect(cloud.openClients).toEqual([]);
  expect(cloud.violations).toEqual([]);
});

function aDestination(): Destination {
  const logger: Logger = {
    ...silentLogger,
    warn: (fields, text) => {
      warnings.push({ fields, text });
    },
  };
  return new Destination(config(), cloud.adapter, {
    clock,
    random: () => 0.5,
    logger,
    metrics: new EngineMetrics(),
    credentials,
    isActivated: () => isActivated,
    onFault: (_, failure, credentialsVersion) => {
      faults.push({ failure, credentialsVersion });
    },
  });
}

/** Sends as a lane does: with a slot that it was admitted to. Resolves with the outcome. */
function send(text: string, partition = 0): Promise<SendOutcome | null> {
  const { promise: admitted, resolve } = Promise.withResolvers<void>();
  destination.admission.apply({ admitted: resolve });
  const batch = anOperationBatch({ operations: [{ data: text }] });
  return admitted.then(() => destination.send(batch, `mutations/${partition}`, () => true));
}

const denied = (): SinkError =>
  new SinkError('fatal', 'permission_denied', 'publishing is not allowed', { remedy: 'grant the role' });
const unavailable = (isAmbiguous = false): SinkError =>
  new SinkError('retriable', 'unavailable', 'it is away', { isAmbiguous });

describe('new credentials', () => {
  test('are used by a client that was checked beside the one that serves', async () => {
    await send('a');
    cloud.areChecksHeld = true;
    credentials.rotateTo('second');
    const renewal = destination.renew();
    await settle();
    await send('b');
    cloud.answerChecks();

    expect(await renewal).toBeNull();
    await send('c');
    expect(cloud.sent).toEqual([['a', 'b'], ['c']]);
    expect(cloud.openClients.map(({ credentials: text }) => text)).toEqual(['second']);
  });

  test('wait until the attempts on the old client have ended, and nothing new starts on it', async () => {
    await send('a');
    cloud.areSendsHeld = true;
    const inFlight = send('b', 0);
    await settle();
    credentials.rotateTo('second');
    const renewal = destination.renew();
    await settle();
    const next = send('c', 1);
    await settle();
    expect(cloud.clients.map(({ inFlight: count }) => count)).toEqual([1, 0]);
    expect(cloud.clients[0]?.isClosed).toBe(false);

    cloud.areSendsHeld = false;
    cloud.answerSends();
    await Promise.all([inFlight, renewal, next]);

    expect(cloud.sent).toEqual([['a', 'b'], ['c']]);
    expect(cloud.clients[0]?.isClosed).toBe(true);
  });

  test('wait no longer than the deadline of an attempt that is never answered, which still holds newer records back', async () => {
    await send('a');
    cloud.areSendsHeld = true;
    const startedMs = clock.monotonic();
    const inFlight = send('b');
    await settle();
    credentials.rotateTo('second');
    const renewal = destination.renew();

    await clock.advance(8_000);

    expect(await renewal).toBeNull();
    expect((await inFlight)?.failure).toMatchObject({ code: 'timeout', isAmbiguous: true });
    expect(destination.newerNotBefore('mutations/0')).toBe(startedMs + 10_000);
    expect(destination.credentialsVersion).toBe(2);
  });

  test('that do not work leave the old client in place, are warned of once, and are tried again', async () => {
    await send('a');
    cloud.refuse('second', denied());
    credentials.rotateTo('second');

    expect(await destination.renew()).toMatchObject({ code: 'permission_denied' });
    await clock.advance(60_000);
    await send('b');

    expect(cloud.sent[0]).toEqual(['a', 'b']);
    expect(cloud.clients.length).toBeGreaterThan(4);
    expect(cloud.clients.slice(1).every(({ isClosed }) => isClosed)).toBe(true);
    expect(warnings).toEqual([
      {
        fields: expect.objectContaining({
          replication_id: '80',
          code: 'permission_denied',
          remedy: 'grant the role',
        }),
        text: expect.stringContaining("the new credentials don't work"),
      },
    ]);
    expect(destination.credentialsVersion).toBe(1);

    cloud.refuse('second', null);
    await clock.advance(60_000);
    await send('c');
    expect(destination.credentialsVersion).toBe(2);
    expect(cloud.clients.at(-1)?.sent).toEqual(['c']);
  });

  test('are tried at once when they change again', async () => {
    await send('a');
    cloud.refuse('second', denied());
    credentials.rotateTo('second');
    await destination.renew();
    await clock.advance(120_000);
    credentials.rotateTo('third');

    expect(await destination.renew()).toBeNull();
    expect(destination.credentialsVersion).toBe(3);
  });

  test('that come during a renewal are not lost', async () => {
    await send('a');
    cloud.areChecksHeld = true;
    credentials.rotateTo('second');
    const first = destination.renew();
    await settle();
    credentials.rotateTo('third');
    const second = destination.renew();
    cloud.areChecksHeld = false;
    cloud.answerChecks();

    expect(await Promise.all([first, second])).toEqual([null, null]);
    expect(destination.credentialsVersion).toBe(3);
    expect(cloud.openClients).toHaveLength(1);
  });

  test('that come while the first client is being opened are not lost, whether that works or not', async () => {
    cloud.areChecksHeld = true;
    cloud.refuse('first', denied());
    const sending = send('a');
    await settle();
    credentials.rotateTo('second');
    const renewal = destination.renew();
    cloud.areChecksHeld = false;
    cloud.answerChecks();

    expect((await sending)?.failure).toBeNull();
    expect(await renewal).toBeNull();
    expect(cloud.sent).toEqual([[], ['a']]);
  });

  test('open nothing before it is needed', async () => {
    credentials.rotateTo('second');

    expect(await destination.renew()).toBeNull();
    expect(cloud.clients).toEqual([]);
  });

  test('that turn out to be the same make no new client', async () => {
    await send('a');
    credentials.rotateTo('first');

    expect(await destination.renew()).toBeNull();
    expect(cloud.clients).toHaveLength(1);
    expect(destination.credentialsVersion).toBe(2);
  });

  test('are damped when they change all the time: at most five clients a minute, and the last ones win', async () => {
    await send('a');
    for (let i = 0; i < 100; i += 1) {
      credentials.rotateTo(`change ${i}`);
      void destination.renew();
      await clock.advance(100);
    }
    expect(cloud.clients.length).toBeLessThanOrEqual(5);
    await send('b');
    await clock.advance(60_000);

    expect(cloud.clients.length).toBeLessThanOrEqual(7);
    expect(cloud.openClients.map(({ credentials: text }) => text)).toEqual(['change 99']);
  });

  test('end a backoff: the next attempt needn’t wait', async () => {
    cloud.failSends(denied());
    await send('a');
    cloud.failSends(null);
    credentials.rotateTo('second');
    await destination.renew();

    await send('b');

    expect(cloud.clients.at(-1)?.sent).toEqual(['b']);
  });

  test('do not let a suspended replication send', async () => {
    await send('a');
    destination.suspend();
    credentials.rotateTo('second');
    await destination.renew();
    const sending = send('b');
    await clock.advance(60_000);

    expect(cloud.sent).toEqual([['a']]);
    expect(cloud.openClients).toEqual([]);
    destination.resume();
    await sending;
    expect(cloud.sent).toEqual([['a'], ['b']]);
  });

  test('take effect by a changed credentials_uri in the same way', async () => {
    await send('a');
    cloud.refuse('second', denied());
    credentials.rotateTo('second');
    await destination.update(config({ credentials_uri: 'file:other' }));
    await send('b');

    expect(cloud.sent[0]).toEqual(['a', 'b']);
    expect(cloud.openClients.map(({ credentials: text }) => text)).toEqual(['first']);
  });
});

describe('other options', () => {
  test('take effect once the attempts in flight have ended', async () => {
    await send('a');
    cloud.areSendsHeld = true;
    const inFlight = send('b', 0);
    await settle();
    await destination.update(config({ ordering: true, ordering_lanes: 4 }));
    const next = send('c', 1);
    await settle();
    expect(cloud.clients.map(({ inFlight: count }) => count)).toEqual([1, 0]);
    cloud.areSendsHeld = false;
    cloud.answerSends();
    await Promise.all([inFlight, next]);

    expect(cloud.sent).toEqual([['a', 'b'], ['c']]);
    expect(cloud.clients.map(({ options }) => options.ordering)).toEqual([false, true]);
  });

  test('are not tried beside the old ones: what does not work is a fault', async () => {
    await send('a');
    await destination.update(config({ metadata: ['message_id'] }));
    cloud.refuse('first', denied());

    expect((await send('b'))?.failure).toMatchObject({ code: 'permission_denied' });
  });

  test('change nothing while nothing is open, nor does another name', async () => {
    await destination.update(config({ ordering: true }));
    expect(cloud.clients).toEqual([]);
    await send('a');
    await destination.update(config({ ordering: true, name: 'another' }));
    await send('b');

    expect(cloud.sent).toEqual([['a', 'b']]);
  });
});

describe('a client', () => {
  test('is opened by the first attempt, closed after five idle minutes, and opened by the next one', async () => {
    expect(cloud.clients).toEqual([]);
    await send('a');
    await clock.advance(299_000);
    await send('b');
    await clock.advance(299_000);
    expect(cloud.openClients).toHaveLength(1);
    await clock.advance(2_000);
    expect(cloud.openClients).toEqual([]);

    await send('c');
    expect(cloud.sent).toEqual([['a', 'b'], ['c']]);
  });

  test('is not closed for idleness while an attempt is in flight or another is being checked', async () => {
    await send('a');
    await clock.advance(299_999);
    cloud.areSendsHeld = true;
    const inFlight = send('b');
    await clock.advance(2);
    expect(cloud.openClients).toHaveLength(1);
    cloud.areSendsHeld = false;
    cloud.answerSends();
    await inFlight;

    cloud.areChecksHeld = true;
    await clock.advance(299_990);
    credentials.rotateTo('second');
    const renewal = destination.renew();
    await clock.advance(100);
    expect(cloud.openClients).toHaveLength(2);
    cloud.answerChecks();
    await renewal;
    expect(cloud.openClients).toHaveLength(1);
  });

  test('that was opened by a check and that nobody uses is closed soon', async () => {
    expect(await destination.activate()).toEqual({ failure: null, credentialsVersion: 1 });
    await clock.advance(4_000);
    expect(cloud.openClients).toHaveLength(1);
    await clock.advance(2_000);

    expect(cloud.openClients).toEqual([]);
  });

  test('that fails is given up, and the next one begins only when nothing is in flight on it', async () => {
    await send('a');
    cloud.areSendsHeld = true;
    const slow = send('b', 0);
    await settle();
    const failing = [1, 2, 3].map((partition) => send(`c${partition}`, partition));
    await settle();
    cloud.failSends(unavailable());
    cloud.answerSends();
    await Promise.all([slow, ...failing]);
    cloud.failSends(null);
    cloud.areSendsHeld = false;
    const next = send('d', 1);
    await clock.advance(60_000);
    await next;

    expect(cloud.clients).toHaveLength(2);
    expect(cloud.sent[1]).toEqual(['d']);
  });

  test('is checked again by a later activation, with the credentials of then', async () => {
    await destination.activate();
    credentials.rotateTo('second');
    await destination.renew();
    cloud.refuse('second', denied());
    await clock.advance(11_000);

    expect(await destination.activate()).toMatchObject({
      failure: { code: 'permission_denied' },
      credentialsVersion: 2,
    });
  });

  test('opens in 15 s, or not at all', async () => {
    cloud.areChecksHeld = true;
    const activation = destination.activate();
    await clock.advance(15_000);

    expect(await activation).toMatchObject({ failure: { kind: 'retriable', code: 'timeout' } });
    expect(cloud.openClients).toEqual([]);
  });
});

describe('a fault', () => {
  test('is confirmed with the version of the credentials that it was found with', async () => {
    await send('a');
    cloud.failSends(denied());
    for (let i = 0; i < 3; i += 1) {
      const sending = send('b');
      await clock.advance(16_000);
      await sending;
    }

    expect(faults).toMatchObject([{ failure: { code: 'permission_denied' }, credentialsVersion: 1 }]);
  });

  test('that was found with other credentials counts for nothing', async () => {
    await send('a');
    cloud.failSends(denied());
    for (const version of ['second', 'third', 'fourth']) {
      const sending = send('b');
      await clock.advance(16_000);
      await sending;
      credentials.rotateTo(version);
      await destination.renew();
    }

    expect(faults).toEqual([]);
  });
});
