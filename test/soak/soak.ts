import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from '../../local/random.ts';
import { readAll } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { SoakBroker } from './broker.ts';
import { FileFollower, HUB_CREDENTIALS, SoakDestinations, type SoakDestination } from './destinations.ts';
import { Faults } from './faults.ts';
import { SoakInstances } from './instances.ts';
import { ProducedDocuments } from './ledger.ts';
import { Load } from './load.ts';
import { Recoveries } from './recoveries.ts';
import { SoakMutations } from './soak-mutations.ts';
import type { SoakOptions } from './soak-options.ts';
import { verdictOf } from './verdict.ts';

const PARTITIONS = 8;
const USERS = 20_000;
const VALUE_BYTES = 400;
const WINDOW_RECORDS = 1_000;
const DETACH_AFTER_SECONDS = 5;
const WATCH_MS = 250;
const PROGRESS_MS = 10_000;
const REST_TIMEOUT_MS = 300_000;
const COMMIT_TIMEOUT_MS = 60_000;

/** The soak couldn't do what it is for: it says nothing of the program. */
export class SoakFailure extends Error {
  override readonly name = 'SoakFailure';
}

/** Runs a soak; resolves with whether every promise was kept. Rejects with a `SoakFailure` as soon as it can't go on itself. */
export async function runSoak(options: SoakOptions, print: (line: string) => void): Promise<boolean> {
  const startedMs = performance.now();
  const clock = (): string => `${((performance.now() - startedMs) / 1_000).toFixed(0).padStart(5)} s`;
  const { seed, rate } = options;
  print(`seed ${seed}, ${options.minutes} minutes, ${rate} mutations a second`);
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await SoakBroker.start());
  const mutations = new SoakMutations({ seed, users: USERS, valueBytes: VALUE_BYTES });
  const produced = new ProducedDocuments(mutations);
  const parts = { mutations, produced, random: new SeededRandom(seed) };
  const destinations = stack.use(await SoakDestinations.start(parts));
  const deployment = stack.use(
    await Deployment.create({
      brokers: broker.brokers,
      mutationTopics: [{ partitions: PARTITIONS }],
      environment: {
        PUBSUB_EMULATOR_HOST: destinations.pubsub.address,
        DELIVERY_WINDOW_RECORDS: String(WINDOW_RECORDS),
        DELIVERY_DETACH_AFTER_SECONDS: String(DETACH_AFTER_SECONDS),
      },
    }),
  );
  await deployment.putCredentials(HUB_CREDENTIALS, destinations.eventHubs.connectionString());
  const lasting = destinations.lasting();
  await deployment.configure(...lasting.map(({ config }) => config));
  const file = stack.use(new FileFollower(deployment.fileDirectory, ledgerOf(lasting, 'file')));

  const instances = new SoakInstances(deployment);
  await instances.start(options.instances);
  for (const { ledger } of lasting) ledger.wantFromNow();
  const everything = new Set<SoakDestination>(lasting);
  const recoveries = new Recoveries();
  const faults = new Faults({
    seed,
    broker,
    instances,
    deployment,
    destinations,
    lasting,
    produced,
    recoveries,
    rate,
    onFault: (text) => print(`${clock()}  ${text}`),
  });
  const topic = { topic: deployment.mutations, partitions: PARTITIONS };
  const load = new Load({ brokers: broker.brokers, ...topic, mutations, produced, rate });

  const watching = new AbortController();
  const watch = async (): Promise<void> => {
    let shownMs = 0;
    while (!watching.signal.aborted) {
      await file.readOn();
      for (const destination of faults.active) everything.add(destination);
      recoveries.check();
      if (performance.now() - shownMs > PROGRESS_MS) {
        shownMs = performance.now();
        print(`${clock()}  ${progressLine(produced, faults.active, await instances.rssBytes())}`);
      }
      await sleep(WATCH_MS);
    }
  };
  const watched = watch();
  const finish = async (): Promise<void> => {
    watching.abort();
    await watched;
  };

  const problems: string[] = [];
  const over = new AbortController();
  try {
    const soaked = sleep(options.minutes * 60_000, undefined, { signal: over.signal });
    await Promise.race([soaked, load.start(), faults.start(), watched]);
    print(`${clock()}  healing everything`);
    await faults.stop();
  } catch (error) {
    faults.abandon();
    load.abandon();
    watching.abort();
    await instances.saveLogs(options.logs);
    throw new SoakFailure(
      `after ${clock().trim()} the soak itself went wrong, which says nothing of the program: ${textOf(error)}; ` +
        `the instances’ logs are in ${options.logs}`,
      { cause: error },
    );
  } finally {
    over.abort();
  }
  await load.stop();
  const healedMs = performance.now();
  const isDelivered = (): boolean => faults.active.every(({ ledger }) => ledger.backlog() === 0);
  await waitFor(isDelivered, { timeoutMs: REST_TIMEOUT_MS, message: 'everything to be delivered' }).catch(
    (error: unknown) => problems.push(textOf(error)),
  );
  print(`${clock()}  delivered the rest in ${((performance.now() - healedMs) / 1_000).toFixed(1)} s`);
  await waitFor(() => isCommitted(deployment), {
    timeoutMs: COMMIT_TIMEOUT_MS,
    message: 'everything to be committed',
  }).catch((error: unknown) => problems.push(textOf(error)));
  await finish();
  await instances.stop();
  await file.readOn();

  for (const [fault, { count, recovered, slowestMs }] of [...recoveries.counts].sort()) {
    const slowest =
      recovered > 0 ? `, slowest recovery ${(slowestMs / 1_000).toFixed(1)} s of ${recovered}` : '';
    print(`${fault.padEnd(24)} ${count}${slowest}`);
  }
  const { lines, isGood } = verdictOf({
    destinations: [...everything],
    produced,
    deadLetters: await readAll(deployment.topics.deadLetters, broker.brokers),
    duplicatesAllowed: faults.handOvers * WINDOW_RECORDS * PARTITIONS + load.repeated,
    complaints: [...problems, ...instances.complaints],
    maxRssBytes: instances.maxRssBytes,
  });
  for (const line of lines) print(line);
  print(`largest RSS of the soak itself ${(process.resourceUsage().maxRSS / 1_024).toFixed(0)} MB`);
  if (!isGood || options.keepsLogs) {
    await instances.saveLogs(options.logs);
    print(`the instances’ logs are in ${options.logs}`);
  }
  if (!isGood) print(`again: npm run soak -- --minutes ${options.minutes} --rate ${rate} --seed ${seed}`);
  return isGood;
}

/** Whether offsets and own positions are at the end; a replication that came and went often keeps its own for minutes. */
async function isCommitted(deployment: Deployment): Promise<boolean> {
  const partitions = await deployment.progress();
  return partitions.every(
    ({ committed, parked, end }) => committed === end && parked.every(({ position }) => position >= end),
  );
}

function ledgerOf(destinations: readonly SoakDestination[], id: string): SoakDestination['ledger'] {
  const found = destinations.find((destination) => destination.id === id);
  if (!found) throw new Error(`there is no destination ${id}`);
  return found.ledger;
}

function progressLine(
  produced: ProducedDocuments,
  destinations: readonly SoakDestination[],
  rss: readonly (number | null)[],
): string {
  const counts = destinations.map(
    ({ id, ledger }) => `${id} ${ledger.distinct} (behind ${ledger.backlog()}, again ${ledger.duplicates})`,
  );
  const memory = rss.map((bytes) => (bytes === null ? '-' : (bytes / 1_048_576).toFixed(0))).join('/');
  return `produced ${produced.length}; ${counts.join(', ')}; RSS ${memory} MB`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
