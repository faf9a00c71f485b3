import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LOOPBACK, assertPortFree, findFreePorts } from './free-port.ts';
import { findJava } from './java.ts';
import { LocalServiceError } from './local-service-error.ts';
import { cachedArtifacts } from './maven-artifacts.ts';
import type { CachedArtifacts } from './maven-artifacts.ts';
import { SupervisedProcess } from './supervised-process.ts';
import type { ExitStatus } from './supervised-process.ts';

/** The last line of versions that is published as an archive: 3.x exists only as an image. */
const APICURIO: CachedArtifacts = {
  folder: 'apicurio-registry-2.6.13',
  description: 'the Apicurio schema registry 2.6.13 (142 MB)',
  artifacts: [
    {
      group: 'io.apicurio',
      name: 'apicurio-registry-app',
      version: '2.6.13.Final',
      type: 'tar.gz',
      classifier: 'all',
    },
  ],
  withDependencies: false,
  prepare: unpack,
};

const START_TIMEOUT_MS = 90_000;
const POLL_MS = 100;

/** What a caller can choose; everything has a default that suits a test. */
export interface RegistryOptions {
  /** Default, and 0: any free port. A given port that is in use is an error. */
  readonly port?: number | undefined;
  /** Hears of the one slow step, the first download. Default: a line on standard error. */
  readonly onProgress?: ((line: string) => void) | undefined;
  /** Aborts the start; a registry that runs is stopped by `stop`. */
  readonly signal?: AbortSignal | undefined;
  /** Where java, mvn and the cache are looked up. Default: this process's environment. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/** A running schema registry that keeps everything in memory and ends with this process. */
export interface EmbeddedRegistry extends AsyncDisposable {
  /** For `KAFKA_SCHEMA_REGISTRY_URL`: the root of the Confluent API. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the registry has ended, wanted or not; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** Idempotent. */
  stop(): Promise<void>;
  /** SIGKILL. What was registered is lost. */
  kill(): void;
}

/**
 * Starts the Apicurio registry on the loopback address and resolves once its Confluent API answers.
 *
 * Needs Java 17 and, the first time, Maven with access to Maven Central. Rejects with a `LocalServiceError`.
 */
export async function startRegistry(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
  const environment = options.environment ?? process.env;
  const givenPort = options.port || undefined;
  if (givenPort !== undefined) await assertPortFree(givenPort, '--port');
  const java = await findJava(environment);
  const directory = await cachedArtifacts(APICURIO, {
    environment,
    signal: options.signal,
    onProgress: options.onProgress ?? printLine,
  });
  const port = givenPort ?? (await findFreePorts(1))[0];
  if (port === undefined) throw new Error('no free port was found');
  const scratch = await mkdtemp(join(tmpdir(), 'datamart-replication-registry-'));
  const logFile = join(scratch, 'registry.log');
  const discard = (): Promise<void> => rm(scratch, { recursive: true, force: true });
  const server = await SupervisedProcess.start({
    command: java,
    arguments: [
      '-Xmx256m',
      '-XX:+UseSerialGC',
      `-Dquarkus.http.host=${LOOPBACK}`,
      `-Dquarkus.http.port=${port}`,
      '-Dquarkus.log.level=WARN',
      '-jar',
      join(directory, await runnerJar(directory)),
    ],
    logFile,
    removeWhenAbandoned: scratch,
    environment,
  });
  const url = `http://${LOOPBACK}:${port}/apis/ccompat/v7`;
  try {
    await untilAnswering(server, url, options.signal);
  } catch (error) {
    await server.stop();
    const log = await readFile(logFile, 'utf8');
    await discard();
    options.signal?.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    const words = log.trim().split('\n').slice(-3).join(' | ');
    throw new LocalServiceError(
      'start_failed',
      `The schema registry didn't start: ${reason}; its log ends with: ${words}`,
      { cause: error },
    );
  }
  const stop = async (): Promise<void> => {
    await server.stop();
    await discard();
  };
  return {
    url,
    port,
    pid: server.pid,
    exited: server.exited,
    stop,
    kill: () => server.kill(),
    [Symbol.asyncDispose]: stop,
  };
}

async function unpack(directory: string): Promise<void> {
  const archive = await findOne(directory, '.tar.gz');
  await promisify(execFile)('tar', ['-xzf', join(directory, archive), '-C', directory]);
  await rm(join(directory, archive));
}

function runnerJar(directory: string): Promise<string> {
  return findOne(directory, '-runner.jar');
}

async function findOne(directory: string, ending: string): Promise<string> {
  const found = (await readdir(directory)).find((name) => name.endsWith(ending));
  if (found !== undefined) return found;
  throw new LocalServiceError(
    'start_failed',
    `${directory} holds no file that ends in ${ending}: remove that folder, so that it is downloaded anew`,
  );
}

async function untilAnswering(
  server: SupervisedProcess,
  url: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(url))) {
    signal?.throwIfAborted();
    if (!server.isRunning) throw new Error('the process ended');
    if (Date.now() > deadline) throw new Error(`no answer within ${START_TIMEOUT_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // whatever it is, the caller's deadline and the process's end bound it
  }
}

function printLine(line: string): void {
  process.stderr.write(`${line}\n`);
}
