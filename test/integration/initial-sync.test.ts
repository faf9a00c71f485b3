import { expect, jest, test } from '@jest/globals';
import { ConvergingDatamart, REPLICATIONS, startTwo } from '../support/converging-datamart.ts';

jest.setTimeout(300_000);

const DOCUMENTS = 4_000;
const CHANGES_PER_SECOND = 100;
/** Of the whole group; so slow that the kill comes in the middle. */
const MAX_RATE = 250;

test('a replication that has got nothing is brought to the full state while documents change and an instance is killed', async () => {
  await using datamart = await ConvergingDatamart.create({
    environment: { INITIAL_SYNC_MAX_RATE: String(MAX_RATE) },
  });
  const { deployment } = datamart;
  const [one, other] = await startTwo(deployment);
  await datamart.fill(DOCUMENTS);
  await deployment.waitUntilCommitted(60_000);
  await datamart.replicate();
  datamart.startChanges(CHANGES_PER_SECOND);
  await other.waitWhileRunning(
    async () => (await datamart.arrived('json')) > 0 && (await datamart.arrived('events')) > 0,
    'live operations',
  );
  await datamart.launch('sync-1');
  await datamart.waitForStatus('sync-1', 'RUNNING', 30_000);

  await other.waitWhileRunning(
    async () => (await datamart.arrived('avro')) > DOCUMENTS / 4,
    'a quarter of the rows',
    60_000,
  );
  one.kill();
  await one.exited;
  await deployment.expelDeadMembers();
  await datamart.waitForStatus('sync-1', 'SUCCEEDED', 120_000);
  await datamart.stopChanges();
  await datamart.waitUntilDelivered();

  const nothing = Object.fromEntries(REPLICATIONS.map((id) => [id, null]));
  expect(datamart.changed).toBeGreaterThan(100);
  expect(await datamart.divergences()).toEqual(nothing);
  expect(await datamart.execution('sync-1')).toMatchObject({
    num_tasks: 8,
    completed_tasks: 8,
    erroneous_tasks: 0,
    result: { total_failure: 0 },
  });
});
