import { expect, jest, test } from '@jest/globals';
import { compactEagerly } from '../support/compaction.ts';
import { ConvergingDatamart, REPLICATIONS } from '../support/converging-datamart.ts';
import { readAll } from '../support/kafka.ts';
import { waitFor } from '../support/wait-for.ts';

jest.setTimeout(300_000);

const PARTITIONS = 2;
const DOCUMENTS = 5_000;
/** So that most records of the snapshot are older than others of their documents, and each partition takes several reads. */
const CHANGES_BEFORE = 25_000;
const FIRST_ROWS = 1_000;
/** A read brings 1 MiB. */
const MOST_OF_ONE_READ = 4_000;
const CHANGES_PER_SECOND = 40;
const EXECUTION = 'sync-1';

interface Task {
  readonly partition: number;
  readonly from_offset: string;
  readonly offset: string;
  readonly end_offset: string;
}

test('a snapshot topic that is compacted while it is read, deletions and all, brings every replication to the same state', async () => {
  await using datamart = await ConvergingDatamart.create({ mutationTopics: [{ partitions: PARTITIONS }] });
  const { deployment } = datamart;
  const snapshot = deployment.topics.snapshots[0] ?? '';
  const one = await deployment.startReady();
  await datamart.fill(DOCUMENTS);
  await datamart.change(CHANGES_BEFORE);
  await deployment.waitUntilCommitted(120_000);
  await datamart.replicate();
  datamart.startChanges(CHANGES_PER_SECOND);
  await one.waitWhileRunning(
    async () => (await datamart.arrived('json')) > 0 && (await datamart.arrived('events')) > 0,
    'live operations',
    60_000,
  );

  // Some rows, then no more.
  await datamart.launch(EXECUTION, { max_operations: FIRST_ROWS });
  await waitForFields(datamart, { status: 'RUNNING', held: 'budget' });
  const tasks = await tasksOf(datamart);
  expect(tasks).toHaveLength(PARTITIONS);
  for (const { from_offset: from, offset, end_offset: end } of tasks) {
    expect(Number(offset)).toBeGreaterThan(Number(from));
    expect(Number(end) - Number(offset)).toBeGreaterThan(MOST_OF_ONE_READ);
  }

  // Meanwhile most of what they are yet to read goes, and so do deletions.
  const unread = async (): Promise<{ rows: number; deletions: number }> => {
    const records = (await readAll(snapshot)).filter(({ partition, offset }) => {
      const task = tasks.find((each) => each.partition === partition);
      return Number(offset) >= Number(task?.offset) && Number(offset) < Number(task?.end_offset);
    });
    const deletions = records.filter(({ value }) => value === null).length;
    return { rows: records.length - deletions, deletions };
  };
  const before = await unread();
  expect(before.deletions).toBeGreaterThan(500);
  await compactEagerly(snapshot);
  let after = before;
  await waitFor(
    async () => {
      after = await unread();
      return after.rows < before.rows / 2 && after.deletions < before.deletions / 10;
    },
    {
      timeoutMs: 90_000,
      message: () => `compaction: ${JSON.stringify(before)} have become ${JSON.stringify(after)}`,
    },
  );
  expect(await datamart.execution(EXECUTION)).toMatchObject({ status: 'RUNNING', held: 'budget' });
  process.stdout.write(`unread before ${JSON.stringify(before)}, compacted ${JSON.stringify(after)}\n`);

  // Another owner reads the keys again, without the deletions that the first one has seen.
  one.kill();
  await one.exited;
  await deployment.expelDeadMembers();
  await deployment.startReady();
  await datamart.launch(EXECUTION, { max_operations: 1_000_000 });
  await datamart.waitForStatus(EXECUTION, 'SUCCEEDED', 120_000);
  await datamart.stopChanges();
  await datamart.waitUntilDelivered();

  expect(await datamart.divergences()).toEqual(Object.fromEntries(REPLICATIONS.map((id) => [id, null])));
  expect(await datamart.execution(EXECUTION)).toMatchObject({
    completed_tasks: PARTITIONS,
    erroneous_tasks: 0,
    result: { total_failure: 0 },
  });
});

/** What the owners have reported last. */
async function tasksOf({ deployment }: ConvergingDatamart): Promise<readonly Task[]> {
  const records = await readAll(deployment.topics.initialSyncExecutions);
  const tasks = new Map<string, Task>();
  for (const { key, value } of records)
    if (value && key?.toString().startsWith(`${EXECUTION}/${deployment.topics.snapshots[0]}/`))
      tasks.set(key.toString(), JSON.parse(value.toString()) as Task);
  return [...tasks.values()];
}

async function waitForFields(
  datamart: ConvergingDatamart,
  fields: Readonly<Record<string, unknown>>,
): Promise<void> {
  let last: Readonly<Record<string, unknown>> | null = null;
  await waitFor(
    async () => {
      last = await datamart.execution(EXECUTION);
      return Object.entries(fields).every(([field, value]) => last?.[field] === value);
    },
    { timeoutMs: 60_000, message: () => `${JSON.stringify(fields)}, not ${JSON.stringify(last)}` },
  );
}
