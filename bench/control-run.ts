import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { API_TOKEN, tokensText } from './api-token.ts';
import { serviceAccount, type BenchCluster } from './bench-cluster.ts';
import { collectable, collectGarbage, type Collected } from './collect-garbage.ts';
import { controlRecords, datamartOf, replicationId } from './control-records.ts';
import { IsolationProcessor } from './isolation-children.ts';

/** What was seen with one number of replications on the table. */
export interface ControlRun {
  readonly replications: number;
  /** From the start of the process until `/readyz` says 200, one for each start. */
  readonly readyMs: readonly number[];
  /** From the request to the answer of each change, of the last start; a change is answered when the table holds it. */
  readonly changeMs: readonly number[];
  /** Of the last start, before its changes. */
  readonly collected: Collected;
  /** Connections to the destinations' address, of all starts. */
  readonly connections: number;
}

export interface ControlRunOptions {
  readonly cluster: BenchCluster;
  readonly replications: number;
  readonly starts: number;
}

export const PER_DATAMART = 10;

const CHANGES = 200;
/** Steps that visit the replications in no order. */
const STRIDE = 1_237;
const PARTITIONS = 8;

/** Starts the program with so many replications, several times, and changes some by its API. */
export async function runControl(options: ControlRunOptions): Promise<ControlRun> {
  const { cluster, replications, starts } = options;
  const datamarts = Math.max(1, Math.floor(replications / PER_DATAMART));
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-control-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const cloud = stack.use(await CountedAddress.open());
  const control = cluster.controlTopic(`control-${replications}`);
  const dataset = await cluster.emptyTopic(PARTITIONS);
  const tokensFile = join(directory, 'tokens.json');
  await writeFile(tokensFile, tokensText());
  const settings = {
    ...cluster.settings(dataset, control),
    CREDENTIALS_KEY: randomBytes(32).toString('base64'),
    HTTP_TOKENS_FILE: tokensFile,
    HTTP_RATE_LIMIT: '100000',
  };
  const { logger } = cluster;
  const records = await controlRecords({
    replications,
    datamarts,
    settings,
    credentialsText: serviceAccount(),
    logger,
  });
  await cluster.control(control, records);

  const readyMs: number[] = [];
  let collected: Collected | null = null;
  let changeMs: readonly number[] = [];
  for (let start = 1; start <= starts; start += 1) {
    const file = join(directory, `collections-${start}`);
    const environment = {
      ...settings,
      ...collectable(file),
      KAFKA_GROUP_ID: cluster.newGroup(),
      PUBSUB_EMULATOR_HOST: cloud.address,
    };
    const sinceMs = performance.now();
    await using processor = await IsolationProcessor.start(environment, directory);
    readyMs.push(performance.now() - sinceMs);
    if (start < starts) continue;
    collected = await collectGarbage(processor.pid, file, 1);
    if (replications > 0) changeMs = await change(processor.url, replications, datamarts);
  }
  if (!collected) throw new Error('nothing was started');
  return { replications, readyMs, changeMs, collected, connections: cloud.connections };
}

/** Renames replications, one after the other. */
async function change(url: string, replications: number, datamarts: number): Promise<readonly number[]> {
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i += 1) {
    const n = (i * STRIDE) % replications;
    const name = `renamed ${i}`;
    const sinceMs = performance.now();
    const path = `/v1/datamarts/${datamartOf(n, datamarts)}/replications/${replicationId(n)}`;
    const response = await fetch(`${url}${path}`, {
      method: 'PUT',
      headers: { authorization: API_TOKEN, 'content-type': 'application/json' },
      body: JSON.stringify({ name }),
    });
    const { data } = (await response.json()) as { readonly data?: { readonly name: string } };
    times.push(performance.now() - sinceMs);
    if (data?.name !== name) throw new Error(`a change was answered with ${response.status}`);
  }
  return times;
}

/** Where the destinations would be: it takes connections and counts them. */
class CountedAddress implements AsyncDisposable {
  readonly #server = createServer((socket) => {
    this.connections += 1;
    socket.destroy();
  });
  connections = 0;

  static async open(): Promise<CountedAddress> {
    const counted = new CountedAddress();
    const { promise, resolve } = Promise.withResolvers<void>();
    counted.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return counted;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}
