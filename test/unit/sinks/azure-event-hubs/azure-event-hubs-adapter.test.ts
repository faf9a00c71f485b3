import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startFakeEventHubs, type FakeEventHubs } from '../../../../local/fake-event-hubs.ts';
import { azureEventHubsAdapter } from '../../../../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import type { OperationBatch, Sink } from '../../../../sinks/sink.ts';
import { anOperationBatch, jsonOperation } from '../../../support/operation-batch.ts';

const OPTIONS = {
  version: 1,
  userPointParent: false,
  messageId: false,
  ordering: true,
  orderingLanes: 16,
} as const;
const config = { eventHubName: 'users' };
const noAbort = new AbortController().signal;

const batchOf = (count: number, bytes = 10): OperationBatch =>
  anOperationBatch({
    version: 1,
    orderingLane: 3,
    operations: Array.from({ length: count }, () => jsonOperation(`"${'x'.repeat(bytes)}"`)),
  });

describe('the adapter of AZURE_EVENT_HUBS', () => {
  const production = azureEventHubsAdapter({ allowEmulators: false });

  test.each(['users', 'a', 'A.b_c-9', 'x'.repeat(256)])('takes the hub name %s', (name) => {
    expect(production.parseConfig({ event_hub_name: name })).toEqual({ config: { eventHubName: name } });
  });

  test.each(['', '-users', 'a b', 'a/b', '$cbs', 'x'.repeat(257), 7])('refuses the hub name %j', (name) => {
    expect(production.parseConfig({ event_hub_name: name })).toMatchObject({
      problem: { code: 'invalid_event_hub_name', field: 'event_hub_name' },
    });
  });

  test.each([null, undefined])('misses the hub name %j', (name) => {
    expect(production.parseConfig({ event_hub_name: name })).toMatchObject({
      problem: { code: 'missing_field', field: 'event_hub_name' },
    });
  });

  test('opens with no or bad credentials as little as without a trusted host, and tells no secret', async () => {
    const open = (credentials: string | null): Promise<Sink> =>
      production.open({ config, options: OPTIONS, credentials });

    await expect(open(null)).rejects.toMatchObject({ kind: 'fatal', code: 'credentials_missing' });
    const refusal = open('Endpoint=sb://10.0.0.1/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0');
    await expect(refusal).rejects.toMatchObject({ kind: 'fatal', code: 'credentials_invalid' });
    await expect(refusal).rejects.not.toThrow('c2VjcmV0');
  });
});

describe('the sink of AZURE_EVENT_HUBS', () => {
  let fake: FakeEventHubs;
  const sinks: Sink[] = [];

  const open = async (from: FakeEventHubs = fake): Promise<Sink> => {
    const adapter = azureEventHubsAdapter({ allowEmulators: true });
    const sink = await adapter.open({ config, options: OPTIONS, credentials: from.connectionString() });
    sinks.push(sink);
    return sink;
  };

  beforeEach(async () => {
    fake = await startFakeEventHubs({ hubs: ['users'] });
  });

  afterEach(async () => {
    for (const sink of sinks.splice(0)) await sink.close();
    await fake.stop();
  });

  test('marks each event as JSON, with the lane as its partition key', async () => {
    const sink = await open();

    expect(await sink.send(batchOf(2), noAbort)).toEqual({ delivered: 2, failure: null });

    expect(
      fake.events().map(({ batch, contentType, partitionKey }) => [batch, contentType, partitionKey]),
    ).toEqual([
      [0, 'application/json', '3'],
      [0, 'application/json', '3'],
    ]);
  });

  test('sends what fits into one message and leaves the rest', async () => {
    const sink = await open();

    const outcome = await sink.send(batchOf(20, 100_000), noAbort);

    expect(outcome).toEqual({ delivered: 9, failure: null });
    expect(fake.sendCount()).toBe(1);
  });

  test('sends a record between the usual batch and the link maximum alone', async () => {
    const sink = await open();
    const large = anOperationBatch({
      version: 1,
      operations: [jsonOperation(`"${'x'.repeat(1_030_000)}"`), jsonOperation()],
    });

    expect(await sink.send(large, noAbort)).toEqual({ delivered: 1, failure: null });
  });

  test('learns the link maximum of a basic tier and says so', async () => {
    await using basic = await basicTier();
    const sink = await open(basic.fake);

    const [warning] = await sink.check(noAbort);

    expect(warning).toContain('262144 bytes');
    expect(sink.limits.maxBytes).toBeLessThan(262_144);
    expect((await sink.send(batchOf(1, 300_000), noAbort)).failure).toMatchObject({ code: 'too_large' });
    expect((await sink.send(batchOf(5, 100_000), noAbort)).delivered).toBe(2);
  });

  test.each([
    ['not_found', 'eventhub create', () => fake.deleteHub('users')],
    ['unauthenticated', 'keys list', () => fake.faults.denyTokens(1, 401)],
    [
      'permission_denied',
      '--rights Send',
      () => fake.faults.refuseLinks('amqp:unauthorized-access', "'Send' claim(s) are required."),
    ],
    [
      'precondition_failed',
      '--status Active',
      () => fake.faults.refuseLinks('com.microsoft:entity-disabled'),
    ],
    ['quota_exceeded', 'quota', () => fake.faults.refuseLinks('amqp:resource-limit-exceeded')],
  ] as const)('is refused by the check as %s, with what helps', async (code, remedy, goWrong) => {
    const sink = await open();
    goWrong();

    const failure: unknown = await sink.check(noAbort).catch((error: unknown) => error);

    expect(failure).toMatchObject({ kind: 'fatal', code, remedy: expect.stringContaining(remedy) });
    expect(JSON.stringify(failure)).not.toContain('bG9jYWw=');
    expect(fake.sendCount()).toBe(0);
  });

  test('row 46: a token that the service finds expired is this machine’s clock, and no fault of the destination', async () => {
    const sink = await open();
    fake.faults.denyTokens(
      1,
      401,
      'ExpiredToken: The token is expired. Expiration time: 11/24/2026 07:00:00',
    );

    expect((await sink.send(batchOf(1), noAbort)).failure).toMatchObject({
      kind: 'retriable',
      code: 'unauthenticated',
      message: expect.stringContaining("this machine's clock is wrong"),
      remedy: expect.stringContaining('NTP'),
    });
    expect(await sink.send(batchOf(1), noAbort)).toEqual({ delivered: 1, failure: null });
  });

  test('is content with a hub that it may send to, and sends nothing to find out', async () => {
    const sink = await open();

    expect(await sink.check(noAbort)).toEqual([]);
    expect(fake.sendCount()).toBe(0);
  });

  test('needs one connection for all lanes, and a new one after it is lost', async () => {
    const sink = await open();
    await Promise.all([1, 2, 3].map((count) => sink.send(batchOf(count), noAbort)));
    expect(fake.connectionCount()).toBe(1);

    fake.faults.dropConnections();

    // The first may come before the loss is noticed.
    await sink.send(batchOf(1), noAbort);

    expect(await sink.send(batchOf(1), noAbort)).toEqual({ delivered: 1, failure: null });
    expect(fake.connectionCount()).toBe(1);
  });

  test('comes through a detached link', async () => {
    const sink = await open();
    await sink.send(batchOf(1), noAbort);
    fake.faults.detachNext(1, 'amqp:link:detach-forced');

    const outcome = await sink.send(batchOf(1), noAbort);

    expect(outcome.failure).toMatchObject({ kind: 'retriable', code: 'unavailable', isAmbiguous: true });
    expect((await sink.send(batchOf(1), noAbort)).delivered).toBe(1);
  });

  test('takes a late answer of a slow hub as long as the signal lets it', async () => {
    const sink = await open();
    fake.faults.delayNext(1, 300);

    expect((await sink.send(batchOf(1), noAbort)).delivered).toBe(1);
  });

  test('calls a namespace that nobody serves unreachable, without ambiguity', async () => {
    const sink = await open();
    await fake.stop();

    expect((await sink.send(batchOf(1), noAbort)).failure).toMatchObject({
      kind: 'retriable',
      code: 'unreachable',
      isAmbiguous: false,
    });
  });

  test('a hub that is gone while the sink is open is not_found', async () => {
    const sink = await open();
    fake.deleteHub('users');

    expect((await sink.send(batchOf(1), noAbort)).failure).toMatchObject({
      kind: 'fatal',
      code: 'not_found',
    });
  });

  test('an attempt given up does not disturb others that are answered', async () => {
    const sink = await open();
    await sink.send(batchOf(1), noAbort);
    fake.faults.hangNext(1);
    fake.faults.delayNext(1, 10);
    fake.faults.delayNext(1, 400);
    const givenUp = new AbortController();

    const hanging = sink.send(batchOf(1), givenUp.signal);
    const quick = sink.send(batchOf(2), noAbort);
    const slow = sink.send(batchOf(3), noAbort);
    await quick;
    givenUp.abort();

    expect((await hanging).failure).toMatchObject({ code: 'timeout', isAmbiguous: true });
    expect((await slow).delivered).toBe(3);
  });
});

async function basicTier(): Promise<AsyncDisposable & { readonly fake: FakeEventHubs }> {
  const fake = await startFakeEventHubs({ hubs: ['users'], maxMessageBytes: 262_144 });
  return { fake, [Symbol.asyncDispose]: () => fake.stop() };
}
