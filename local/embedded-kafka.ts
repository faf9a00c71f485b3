import { randomBytes } from 'node:crypto';
import { access, mkdir, mkdtemp, open, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockDirectory } from './directory-lock.ts';
import { LOOPBACK, assertPortFree, findFreePorts } from './free-port.ts';
import { findJava } from './java.ts';
import { serverProperties } from './kafka-properties.ts';
import { isBrokerReady } from './kafka-readiness.ts';
import { DOCKER_WAY_OUT, LocalServiceError } from './local-service-error.ts';
import { cachedArtifacts } from './maven-artifacts.ts';
import type { CachedArtifacts } from './maven-artifacts.ts';
import { SupervisedProcess } from './supervised-process.ts';
import type { ExitStatus } from './supervised-process.ts';

const KAFKA: CachedArtifacts = {
  folder: 'kafka-4.1.1',
  description: 'Apache Kafka 4.1.1 (43 MB)',
  artifacts: [
    { group: 'org.apache.kafka', name: 'kafka_2.13', version: '4.1.1' },
    { group: 'org.slf4j', name: 'slf4j-simple', version: '1.7.36' },
  ],
  withDependencies: true,
};

const JVM_OPTIONS = ['-Xmx512m', '-XX:+UseSerialGC'];
const LOG_OPTIONS = [
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-Dorg.slf4j.simpleLogger.showDateTime=true',
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
];
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
/** Someone else may take a free port before the broker listens on it. */
const PORT_ATTEMPTS = 3;

/** What a caller can choose; everything has a default that suits a test. */
export interface KafkaOptions {
  /** Default, and 0: any free port. A given port that is in use is an error. */
  readonly port?: number | undefined;
  /** Kept, and used again by the next start. Default: a temporary directory, removed on `stop`. */
  readonly dataDirectory?: string | undefined;
  /** Broker properties that win over the development defaults. */
  readonly properties?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Of `newClusterId`, for brokers that form one cluster by their properties. Default: one of its own. */
  readonly clusterId?: string | undefined;
  /** Hears of the one slow step, the first download. Default: a line on standard error. */
  readonly onProgress?: ((line: string) => void) | undefined;
  /** Aborts the start; a broker that runs is stopped by `stop`. */
  readonly signal?: AbortSignal | undefined;
  /** Where java, mvn and the cache are looked up. Default: this process's environment. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/** A running Apache Kafka of one node that ends with this process, however that ends. */
export interface EmbeddedKafka extends AsyncDisposable {
  /** For `KAFKA_BROKERS` and kafkajs. */
  readonly brokers: readonly string[];
  readonly port: number;
  readonly pid: number;
  readonly dataDirectory: string;
  /** Resolves when the broker has ended, wanted or not; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** Ends the broker in order, and removes its data when they are temporary. Idempotent. */
  stop(): Promise<void>;
  /** SIGKILL, as a machine that dies. The data stay until `stop`. */
  kill(): void;
  /** SIGSTOP: connections stay open and nothing is answered. */
  suspend(): void;
  /** SIGCONT, after `suspend`. */
  resume(): void;
}

/**
 * Starts Apache Kafka 4.1.1 (KRaft) on the loopback address and resolves once it answers clients.
 *
 * Needs Java 17 and, the first time, Maven with access to Maven Central. Rejects with a `LocalServiceError` whose
 * message names the way out; nothing is left running or on the disk then, but the cache and a given data directory.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<EmbeddedKafka> {
  const environment = options.environment ?? process.env;
  const { signal } = options;
  const port = options.port || undefined;
  if (port !== undefined) await assertPortFree(port, '--port');
  const java = await findJava(environment);
  const jars = await cachedArtifacts(KAFKA, {
    environment,
    signal,
    onProgress: options.onProgress ?? printLine,
  });
  const directory = await openDataDirectory(options.dataDirectory);
  const { properties = {}, clusterId = newClusterId() } = options;
  const plan = { java, jars, directory, environment, signal, properties, clusterId };
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await launch(plan, port);
      } catch (error) {
        const isLostRace = error instanceof LocalServiceError && error.code === 'port_in_use';
        if (!isLostRace || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  } catch (error) {
    await directory.discard();
    throw error;
  }
}

interface LaunchPlan {
  readonly java: string;
  readonly jars: string;
  readonly directory: DataDirectory;
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
  readonly clusterId: string;
}

async function launch(plan: LaunchPlan, wantedPort: number | undefined): Promise<EmbeddedKafka> {
  const [freePort, controllerPort] = await findFreePorts(2);
  const port = wantedPort ?? freePort;
  if (port === undefined || controllerPort === undefined) throw new Error('no free ports were found');
  const { directory } = plan;
  const properties = { port, controllerPort, logDirectory: directory.logs, properties: plan.properties };
  await writeFile(directory.properties, serverProperties(properties));
  if (!(await exists(join(directory.logs, 'meta.properties')))) await format(plan);
  const logStart = await sizeOf(directory.log);
  const server = await runJava(plan, JVM_OPTIONS, ['kafka.Kafka', directory.properties]);
  try {
    await untilAnswering(server, port, plan.signal);
  } catch (error) {
    await server.stop();
    plan.signal?.throwIfAborted();
    throw startFailure(error, await readFrom(directory.log, logStart), directory, port);
  }
  return embeddedKafka(server, port, directory);
}

async function format(plan: LaunchPlan): Promise<void> {
  const { directory } = plan;
  const logStart = await sizeOf(directory.log);
  // The first compiler alone halves the time of a program that ends within a second.
  const tool = await runJava(
    plan,
    ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'],
    ['kafka.tools.StorageTool', 'format', '--cluster-id', plan.clusterId, '--config', directory.properties],
  );
  const { code } = await tool.exited;
  plan.signal?.throwIfAborted();
  if (code === 0) return;
  const log = await readFrom(directory.log, logStart);
  throw new LocalServiceError(
    'start_failed',
    `Formatting Apache Kafka's data directory ${directory.root} failed: ${lastWords(log)}`,
  );
}

/** Kafka's form of a UUID. One that began with a hyphen would be taken for an option. */
export function newClusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A');
}

function runJava(
  plan: LaunchPlan,
  jvm: readonly string[],
  program: readonly string[],
): Promise<SupervisedProcess> {
  return SupervisedProcess.start({
    command: plan.java,
    arguments: [...jvm, ...LOG_OPTIONS, '-cp', join(plan.jars, '*'), ...program],
    logFile: plan.directory.log,
    removeWhenAbandoned: plan.directory.isTemporary ? plan.directory.root : null,
    environment: plan.environment,
  });
}

async function untilAnswering(
  server: SupervisedProcess,
  port: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await isBrokerReady(port))) {
    signal?.throwIfAborted();
    if (!server.isRunning) throw new Error('the broker ended');
    if (Date.now() > deadline) throw new Error(`no answer within ${START_TIMEOUT_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}

function startFailure(
  error: unknown,
  log: string,
  directory: DataDirectory,
  port: number,
): LocalServiceError {
  if (/Address already in use|BindException/.test(log)) {
    const message = `Listening on ${LOOPBACK}:${port}: the port is in use; stop what uses it, or choose another port`;
    return new LocalServiceError('port_in_use', message, { cause: error });
  }
  const where = directory.isTemporary ? '' : ` (all of it: ${directory.log})`;
  const reason = error instanceof Error ? error.message : String(error);
  return new LocalServiceError(
    'start_failed',
    `Apache Kafka didn't start: ${reason}; its log ends with: ${lastWords(log)}${where}`,
    { cause: error },
  );
}

function embeddedKafka(server: SupervisedProcess, port: number, directory: DataDirectory): EmbeddedKafka {
  void server.exited.then(() => directory.release());
  const stop = async (): Promise<void> => {
    await server.stop();
    await directory.discard();
  };
  return {
    brokers: [`${LOOPBACK}:${port}`],
    port,
    pid: server.pid,
    dataDirectory: directory.root,
    exited: server.exited,
    stop,
    kill: () => server.kill(),
    suspend: () => server.suspend(),
    resume: () => server.resume(),
    [Symbol.asyncDispose]: stop,
  };
}

interface DataDirectory {
  readonly root: string;
  readonly isTemporary: boolean;
  readonly properties: string;
  readonly log: string;
  readonly logs: string;
  /** Lets others use it; for a broker that has ended. Idempotent. */
  release(): void;
  /** Releases it and removes a temporary one. Idempotent. */
  discard(): Promise<void>;
}

async function openDataDirectory(given: string | undefined): Promise<DataDirectory> {
  const isTemporary = given === undefined;
  const root = isTemporary
    ? await mkdtemp(join(tmpdir(), 'datamart-replication-kafka-'))
    : resolvePath(given);
  await mkdir(root, { recursive: true });
  // Nobody else knows the name of a temporary one.
  const release = isTemporary ? (): void => undefined : await lockDirectory(await realpath(root));
  return {
    root,
    isTemporary,
    properties: join(root, 'server.properties'),
    log: join(root, 'broker.log'),
    logs: join(root, 'data'),
    release,
    discard: async () => {
      release();
      if (isTemporary) await rm(root, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** The last lines that say something: stack frames don't. */
function lastWords(log: string): string {
  const lines = log
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at |^\s*\.\.\. \d+ more/.test(line));
  const words = lines.slice(-3).join(' | ');
  return words === '' ? `nothing; ${DOCKER_WAY_OUT}` : words;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

async function sizeOf(path: string): Promise<number> {
  await using file = await open(path, 'a');
  return (await file.stat()).size;
}

async function readFrom(path: string, position: number): Promise<string> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const bytes = Buffer.alloc(size - position);
  await file.read(bytes, 0, bytes.length, position);
  return bytes.toString('utf8');
}

function printLine(line: string): void {
  process.stderr.write(`${line}\n`);
}
