import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DOCKER_WAY_OUT, LocalServiceError } from './local-service-error.ts';

/** One published archive. */
export interface MavenArtifact {
  readonly group: string;
  readonly name: string;
  readonly version: string;
  /** Default `jar`. */
  readonly type?: string;
  readonly classifier?: string;
}

/** A folder of the user's cache, and what Maven fills it with. */
export interface CachedArtifacts {
  /** The folder's name, with the version in it: what is cached under a name never changes. */
  readonly folder: string;
  /** For the progress line: what is downloaded, and roughly how much. */
  readonly description: string;
  readonly artifacts: readonly MavenArtifact[];
  /** Whether the jars that the artifacts depend on are wanted too. */
  readonly withDependencies: boolean;
  /** Called with the folder of the downloaded files before anyone else sees it, to unpack them. */
  readonly prepare?: (directory: string) => Promise<void>;
}

/** Where the download comes from and who hears of it. */
export interface DownloadOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** Pinned: a plugin without a version would be whatever is the newest on the day. */
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';

/**
 * Resolves with the cache folder that holds the artifacts, after downloading them from Maven Central when it isn't
 * there yet. The folder appears whole or not at all; of several processes that download at once, one wins.
 * Rejects with a `LocalServiceError` without Maven or network.
 */
export async function cachedArtifacts(wanted: CachedArtifacts, options: DownloadOptions): Promise<string> {
  const cache = join(cacheHome(options.environment), 'datamart-replication');
  const target = join(cache, wanted.folder);
  if (await exists(target)) return target;
  await assertMaven(options.environment);
  options.onProgress(`Downloading ${wanted.description} from Maven Central, once, into ${target}`);
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, `.${wanted.folder}-`));
  try {
    await writeFile(join(work, 'pom.xml'), pomOf(wanted));
    const files = join(work, 'files');
    await download(wanted, work, files, options);
    await wanted.prepare?.(files);
    await moveUnlessPresent(files, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

function cacheHome(environment: NodeJS.ProcessEnv): string {
  return environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache');
}

async function download(
  wanted: CachedArtifacts,
  work: string,
  files: string,
  options: DownloadOptions,
): Promise<void> {
  const result = await runMaven(
    [
      '--batch-mode',
      '--quiet',
      '--file',
      join(work, 'pom.xml'),
      `${DEPENDENCY_PLUGIN}:copy-dependencies`,
      `-DoutputDirectory=${files}`,
      '-DincludeScope=runtime',
    ],
    options.environment,
    options.signal,
  );
  options.signal?.throwIfAborted();
  if (result.ok) return;
  throw new LocalServiceError(
    'download_failed',
    `Downloading ${wanted.description} with Maven failed (${firstError(result.output)}): check the network and ` +
      `Maven's settings (~/.m2/settings.xml: mirror, proxy), ${DOCKER_WAY_OUT}`,
    { cause: result.output },
  );
}

async function assertMaven(environment: NodeJS.ProcessEnv): Promise<void> {
  const result = await runMaven(['--version'], environment, undefined);
  if (result.ok) return;
  throw new LocalServiceError(
    'maven_missing',
    `Maven, which downloads the embedded services, doesn't start (${firstError(result.output)}): install it (Debian: ` +
      `apt-get install maven, macOS: brew install maven), ${DOCKER_WAY_OUT}`,
    { cause: result.output },
  );
}

function runMaven(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<{ readonly ok: boolean; readonly output: string }> {
  const { promise, resolve } = Promise.withResolvers<{ readonly ok: boolean; readonly output: string }>();
  execFile('mvn', args, { env: environment, signal }, (error, stdout, stderr) => {
    const output = `${stdout}${stderr}`.trim();
    resolve({ ok: error === null, output: output === '' && error !== null ? error.message : output });
  });
  return promise;
}

/** Maven says what went wrong on its first line marked as an error, and much that helps nobody after it. */
function firstError(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const line = lines.find((candidate) => candidate.includes('ERROR')) ?? lines[0] ?? 'no output';
  const plain = line.replace(/\u001b\[[\d;]*m/g, '').replace(/^\[ERROR\]\s*/, '');
  return plain.length > 400 ? `${plain.slice(0, 400)}…` : plain;
}

/** Without the exclusion Maven would also ask for the dependencies' descriptors, in repositories that they name. */
const NO_DEPENDENCIES =
  '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>';

function pomOf(wanted: CachedArtifacts): string {
  const dependencies = wanted.artifacts.map(
    ({ group, name, version, type, classifier }) =>
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version>` +
      `<type>${type ?? 'jar'}</type>${classifier === undefined ? '' : `<classifier>${classifier}</classifier>`}` +
      `${wanted.withDependencies ? '' : NO_DEPENDENCIES}</dependency>`,
  );
  return (
    '<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>local</artifactId>' +
    `<version>1</version><packaging>pom</packaging><dependencies>${dependencies.join('')}</dependencies></project>`
  );
}

async function moveUnlessPresent(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(await exists(to))) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
