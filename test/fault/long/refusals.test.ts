import { status } from '@grpc/grpc-js';
import { expect, jest, test } from '@jest/globals';
import { readAll } from '../../support/kafka.ts';
import { stateOf, tell } from '../observed.ts';
import { ReplicatedClouds, topicName } from '../replicated-clouds.ts';

/* Destinations that refuse as a whole: rows 31 and 32 of RELIABILITY section 6. */

jest.setTimeout(240_000);

/** Three refusals, 15.5 s apart, with a margin for a busy machine. */
const CONFIRMED_MS = 70_000;
const REFUSING = ['gone', 'forbidden', 'unauthorized'];
const CODES: Readonly<Record<string, string>> = {
  gone: 'not_found',
  forbidden: 'permission_denied',
  unauthorized: 'unauthenticated',
};

/** The newest record of the replication on the status topic. */
async function statusRecord(clouds: ReplicatedClouds, id: string): Promise<Record<string, unknown>> {
  const records = await readAll(clouds.deployment.topics.replicationStatus);
  const record = records.findLast(({ key }) => key?.toString() === `replication/${id}`);
  return JSON.parse(record?.value?.toString() ?? 'null') as Record<string, unknown>;
}

test('row 31: NOT_FOUND, PERMISSION_DENIED and UnauthorizedError are ERROR after three confirmations over 30 s; the others go on, and after the repair it goes on where it stopped', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users', 'gone', 'forbidden'],
    hubs: ['unauthorized'],
    files: ['witness'],
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await clouds.send(100);
  await clouds.waitUntilDelivered(processor);

  const since = Date.now();
  pubsub.deleteTopic(topicName('gone'));
  pubsub.createTopic(topicName('forbidden'), { mayPublish: false });
  eventHubs.faults.rejectNext(Infinity, 'amqp:unauthorized-access');
  await using traffic = clouds.startTraffic(20, 100);
  const confirmedAfter = new Map<string, number>();
  await processor.waitWhileRunning(
    async () => {
      for (const id of REFUSING) {
        if (!confirmedAfter.has(id) && (await stateOf(processor, id)) === 'ERROR')
          confirmedAfter.set(id, Date.now() - since);
      }
      return confirmedAfter.size === REFUSING.length;
    },
    'all to be in ERROR',
    CONFIRMED_MS,
  );
  tell('row 31, ms until ERROR', Object.fromEntries(confirmedAfter));
  for (const id of REFUSING) {
    expect(confirmedAfter.get(id)).toBeGreaterThan(30_000);
    expect(await processor.metric('retries_total', { replication_id: id })).toBeGreaterThanOrEqual(3);
    const record = await statusRecord(clouds, id);
    expect(record).toMatchObject({ state: 'ERROR' });
    expect(JSON.stringify(record)).toContain(CODES[id]);
    expect(JSON.stringify(record)).toContain('destination_failed');
  }

  // Nothing is tried any more, and the others have all of it.
  const calls = () => [
    pubsub.publishCount(topicName('gone')),
    pubsub.publishCount(topicName('forbidden')),
    eventHubs.sendCount(),
  ];
  const before = calls();
  const { sent } = clouds;
  await processor.waitWhileRunning(
    async () => clouds.sent > sent + 500 && (await clouds.arrivals('users')).length > sent + 500,
    'the others to go on',
    60_000,
  );
  await traffic.stop();
  await processor.waitWhileRunning(() => clouds.hasAllArrived(['users', 'witness']), 'what the others get');
  expect(calls()).toEqual(before);
  await deployment.waitUntilCommitted();

  pubsub.createTopic(topicName('gone'));
  pubsub.createTopic(topicName('forbidden'));
  eventHubs.faults.clear();
  for (const id of REFUSING) await clouds.configure(id);
  await clouds.waitUntilDelivered(processor);
  for (const id of REFUSING) expect(await stateOf(processor, id)).toBe('ACTIVE');
  expect(await clouds.violations()).toEqual({});
  expect(await processor.stop()).toBe(0);
});

test('row 32: credentials that are refused for a while hold the replication; those that stay refused are ERROR until new ones and the record are written, and nothing is lost', async () => {
  await using clouds = await ReplicatedClouds.create({
    topics: ['users', 'revoked'],
    hubs: ['rotated', 'expired'],
    files: ['witness'],
    environment: { DELIVERY_DETACH_AFTER_SECONDS: '3' },
  });
  const { deployment, pubsub, eventHubs } = clouds;
  const processor = await deployment.startReady();
  await clouds.send(100);
  await clouds.waitUntilDelivered(processor);
  const { pid } = processor;

  // Google answers 16 for twenty seconds; of two event hubs' files one is wrong as long, one for longer.
  await using traffic = clouds.startTraffic(20, 100);
  pubsub.faults.setMood(topicName('revoked'), { kind: 'fail', code: status.UNAUTHENTICATED });
  const refusedAt = Date.now();
  for (const id of ['rotated', 'expired']) await clouds.putConnectionString(id, 'no connection string');
  eventHubs.faults.detachNext(2, 'amqp:unauthorized-access');
  const isDetached = async (id: string) => (await stateOf(processor, id)) === 'DETACHED';
  await processor.waitWhileRunning(
    async () =>
      (await isDetached('revoked')) && (await isDetached('rotated')) && (await isDetached('expired')),
    'all to be detached',
  );
  await processor.waitWhileRunning(
    async () => (await processor.metric('retries_total', { replication_id: 'revoked' })) === 2,
    'the second refusal',
    40_000,
  );
  pubsub.faults.setMood(topicName('revoked'), null);
  await clouds.putConnectionString('rotated');
  await processor.waitWhileRunning(
    async () =>
      (await stateOf(processor, 'revoked')) === 'ACTIVE' &&
      (await stateOf(processor, 'rotated')) === 'ACTIVE' &&
      (await stateOf(processor, 'expired')) === 'ERROR',
    'two to go on by themselves, one to be in ERROR',
    CONFIRMED_MS,
  );
  tell('row 32, ms until two went on and one was in ERROR', Date.now() - refusedAt);
  const refused = (await processor.samples('retries_total')).filter(
    ({ labels }) => labels.replication_id === 'expired',
  );
  expect(refused.map(({ labels }) => labels.code)).toContain('credentials_invalid');

  // A file that is right again is read when the record is written again: nobody watches files.
  await clouds.putConnectionString('expired');
  await clouds.configure('expired', { name: 'repaired' });
  await processor.waitWhileRunning(
    async () => (await stateOf(processor, 'expired')) === 'ACTIVE',
    'the repaired one to be active',
    60_000,
  );
  await traffic.stop();
  await clouds.waitUntilDelivered(processor);
  expect(processor.pid).toBe(pid);
  expect(await clouds.violations({ rotated: 100, expired: 100 })).toEqual({});
  expect(processor.log()).not.toContain('bG9jYWw=');
  expect(await processor.stop()).toBe(0);
});
