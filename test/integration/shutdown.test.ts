import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { join } from 'node:path';
import { produce } from '../support/kafka.ts';
import { Deployment, type ProcessorProcess } from '../support/processor-process.ts';
import { ReplicatedUsers } from '../support/replicated-users.ts';
import { STUBBORN_SECRET } from '../support/stubborn-sink.ts';
import { waitFor } from '../support/wait-for.ts';

/* How the process ends when something does not let it: CONTRACT section 9, DELIVERY_SHUTDOWN_SECONDS. */

const DRAIN_MS = 10_000;
const CLEAN_MS = 15_000;
const FORCED_MS = 25_000;
/** A slow machine may be late; nothing may be early. */
const LATE_MS = 5_000;

jest.setTimeout(120_000);

const USER = '4700c85f-17e3-4304-aa7f-dc140173b08d';
const MODULE = join(import.meta.dirname, '../support/stubborn-sink.ts');

/** How one process ended. */
interface Ending {
  readonly process: ProcessorProcess;
  readonly deployment: Deployment;
  readonly code: number | null;
  readonly milliseconds: number;
}

const stack = new AsyncDisposableStack();
let silent: Promise<Ending>;
let hanging: Promise<Ending>;
let impatient: Promise<Ending>;
let throwing: Promise<Ending>;
let rejecting: Promise<Ending>;

// Most of them wait for most of their time: they do it side by side.
beforeAll(() => {
  silent = endWithSilentPubSub();
  hanging = endWithStubbornSink('hang', async (process) => process.terminate());
  impatient = endWithStubbornSink('hang', async (process) => {
    process.terminate();
    await waitFor(async () => (await process.health()) === 503, { message: 'the process to be ending' });
    process.terminate();
  });
  throwing = endWithStubbornSink('throw', async () => undefined);
  rejecting = endWithStubbornSink('reject and hang', async () => undefined);
  for (const ending of [silent, hanging, impatient, throwing, rejecting]) ending.catch(() => undefined);
});

afterAll(async () => {
  await Promise.allSettled([silent, hanging, impatient, throwing, rejecting]);
  await stack.disposeAsync();
});

/** One operation is delivered, and Google answers to nothing from the second on. */
async function endWithSilentPubSub(): Promise<Ending> {
  const users = stack.use(await ReplicatedUsers.create());
  const { deployment, pubsub } = users;
  const process = await deployment.startReady();
  await users.send(1);
  await process.waitWhileRunning(() => users.arrived === 1, 'the first operation');
  await deployment.waitUntilCommitted();
  pubsub.faults.hangNext(100);
  await users.send(1);
  await process.waitWhileRunning(
    async () => ((await process.metric('window_records')) ?? 0) > 0,
    'a delivery to be in flight',
  );
  const since = Date.now();
  const code = await process.stop();
  return { process, deployment, code, milliseconds: Date.now() - since };
}

/** A sink that never answers and can't be cancelled gets one operation, then `then` is done to the process. */
async function endWithStubbornSink(
  conduct: string,
  then: (process: ProcessorProcess) => Promise<void>,
): Promise<Ending> {
  const environment = { SINKS_MODULES: MODULE, SINKS_ENABLED: 'STUBBORN' };
  const deployment = stack.use(await Deployment.create({ environment }));
  await deployment.configure({
    id: 'stubborn',
    type: 'STUBBORN',
    status: 'ACTIVE',
    datamart_id: '1649',
    conduct,
  });
  const process = await deployment.startReady();
  const value = `{"datamart_id":1649,"user_point_id":"${USER}","ts":1,"op":"UPDATE","doc_type":"UserPoint"}`;
  await produce(deployment.mutations, [{ key: USER, value }]);
  const isInFlight = async (): Promise<boolean> =>
    ((await process.metric('window_records')) ?? 0) > 0 || (await process.health()) === 503;
  // The process may end by itself the moment that the operation is there.
  await waitFor(async () => !process.isRunning || (await isInFlight()), {
    timeoutMs: 20_000,
    message: () => `a delivery to be in flight; ${process.describe()}`,
  });
  const since = Date.now();
  await then(process);
  await waitFor(() => !process.isRunning, {
    timeoutMs: FORCED_MS + 2 * LATE_MS,
    message: () => `the end of the process; ${process.describe()}`,
  });
  const { code } = await process.exited;
  return { process, deployment, code, milliseconds: Date.now() - since };
}

const left = ({ deployment }: Ending, replication: string): object => ({
  partitions: [`${deployment.mutations}/0`],
  replications: [replication],
});

/** The group's offset, and from where replications are sent again that have not got everything below it. */
async function committedOf({ deployment }: Ending): Promise<readonly (number | null | undefined)[]> {
  const [progress] = await deployment.progress();
  return [progress?.committed, ...(progress?.parked ?? []).map(({ position }) => position)];
}

test('SIGTERM while a cloud never answers: drains for 10 s, ends with 0 within 15 s, and says what will be sent again', async () => {
  const ending = await silent;
  expect(ending.code).toBe(0);
  expect(ending.milliseconds).toBeGreaterThanOrEqual(DRAIN_MS);
  expect(ending.milliseconds).toBeLessThan(CLEAN_MS);
  expect(ending.process.logged('not everything could be delivered in time; it will be sent again')).toEqual([
    expect.objectContaining({ level: 'warn', ...left(ending, 'users') }),
  ]);
  expect(ending.process.logged('the end is forced')).toEqual([]);
  expect(await committedOf(ending)).toEqual([2, 1]);
});

test('SIGTERM while a sink never answers and can not be cancelled: forces the end after 25 s with 1, and says what is left', async () => {
  const ending = await hanging;
  expect(ending.code).toBe(1);
  expect(ending.milliseconds).toBeGreaterThanOrEqual(FORCED_MS - 500);
  expect(ending.milliseconds).toBeLessThan(FORCED_MS + LATE_MS);
  expect(ending.process.logged('the stop took longer than 25 s: the end is forced')).toEqual([
    expect.objectContaining({ level: 'error', ...left(ending, 'stubborn'), closing: ['destinations'] }),
  ]);
  expect(await committedOf(ending)).toEqual([1, 0]);
});

test('a second SIGTERM forces the end at once with 1, and says what is left', async () => {
  const ending = await impatient;
  expect(ending.code).toBe(1);
  expect(ending.milliseconds).toBeLessThan(LATE_MS);
  expect(ending.process.logged('a second signal came: the end is forced')).toEqual([
    expect.objectContaining({ level: 'error', ...left(ending, 'stubborn') }),
  ]);
  expect(await committedOf(ending)).toEqual([0]);
});

test('an exception that nobody caught is logged without its secrets; what was delivered is committed, and the process ends with 1', async () => {
  const ending = await throwing;
  expect(ending.code).toBe(1);
  expect(ending.milliseconds).toBeLessThan(CLEAN_MS);
  expect(ending.process.logged('an error that nobody caught; the processor stops')).toEqual([
    expect.objectContaining({
      level: 'error',
      error: expect.objectContaining({
        type: 'TypeError',
        message: 'a timer of the sink failed: SharedAccessKey=[redacted]',
      }),
    }),
  ]);
  expect(ending.process.log()).not.toContain(STUBBORN_SECRET);
  expect(ending.process.logged('→ NOT_RUNNING')).toHaveLength(1);
  expect(await committedOf(ending)).toEqual([1]);
});

test('a rejection that nobody caught stops the process too, and the end is forced when that takes longer than 25 s', async () => {
  const ending = await rejecting;
  expect(ending.code).toBe(1);
  expect(ending.milliseconds).toBeLessThan(FORCED_MS + LATE_MS);
  expect(ending.process.logged('an error that nobody caught; the processor stops')[0]).toMatchObject({
    error: { type: 'RangeError', message: 'nobody caught: SharedAccessKey=[redacted]' },
  });
  expect(ending.process.log()).not.toContain(STUBBORN_SECRET);
  expect(ending.process.logged('the stop took longer than 25 s: the end is forced')).toEqual([
    expect.objectContaining({ ...left(ending, 'stubborn'), closing: ['destinations'] }),
  ]);
});
