import { expect, jest, test } from '@jest/globals';
import { send, untilWitnessed, WITNESS } from '../fault/witness.ts';
import { Deployment } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(60_000);

test('a processor follows the control topic within a second: created, paused, activated, deleted', async () => {
  await using deployment = await Deployment.create();
  await deployment.configure(WITNESS);
  const processor = await deployment.startReady();
  const replication = { ...WITNESS, id: 'followed', path: 'followed.jsonl' };
  const arrived = async (): Promise<readonly number[]> => {
    const lines = await deployment.fileLines('followed.jsonl');
    return lines.map((line) => (JSON.parse(line) as { ts: number }).ts);
  };
  const stateOf = async () => {
    const samples = await processor.samples('replication_state');
    return samples.find(({ labels }) => labels.replication_id === 'followed')?.labels.state ?? null;
  };
  const takesEffect = async (isDone: (state: string | null) => boolean): Promise<void> => {
    await waitFor(async () => isDone(await stateOf()), {
      timeoutMs: 1_000,
      message: 'the change to take effect',
    });
  };
  await deployment.configure(replication);
  await takesEffect((state) => state === 'ACTIVE' || state === 'ACTIVATING');
  await send(deployment, [21]);
  await untilWitnessed(deployment, processor, [21]);
  await waitFor(async () => (await arrived()).length === 1, { message: 'the first operation' });

  await deployment.configure({ ...replication, status: 'PAUSED' });
  await takesEffect((state) => state === 'PAUSED');
  await send(deployment, [22]);
  await untilWitnessed(deployment, processor, [22]);

  await deployment.configure({ ...replication, resume: 'NOW' });
  await takesEffect((state) => state === 'ACTIVE' || state === 'ACTIVATING');
  await send(deployment, [23]);
  await waitFor(async () => (await arrived()).length === 2, { message: 'the next operation' });

  await deployment.deleteReplication('followed');
  await takesEffect((state) => state === null);
  await send(deployment, [24]);
  await untilWitnessed(deployment, processor, [24]);
  await deployment.waitUntilCommitted();
  expect(await arrived()).toEqual([21, 23]);
  expect(await processor.metric('operations_total', { replication_id: 'followed' })).toBeNull();
  expect(await processor.stop()).toBe(0);
});
