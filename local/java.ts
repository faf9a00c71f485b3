import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { DOCKER_WAY_OUT, LocalServiceError } from './local-service-error.ts';

/** Kafka 4 brokers run on nothing older. */
const OLDEST_JAVA = 17;

/**
 * Finds a Java that the local services run on: `JAVA_HOME` if it holds one, else the first `java` on the PATH.
 * Resolves with the command to call; rejects with a `LocalServiceError` that names the remedy.
 */
export async function findJava(environment: NodeJS.ProcessEnv): Promise<string> {
  const candidates = environment['JAVA_HOME']
    ? [join(environment['JAVA_HOME'], 'bin', 'java'), 'java']
    : ['java'];
  let oldest: number | null = null;
  for (const command of candidates) {
    const version = await javaVersion(command, environment);
    if (version === null) continue;
    if (version >= OLDEST_JAVA) return command;
    oldest = version;
  }
  if (oldest === null) {
    throw new LocalServiceError(
      'java_missing',
      `Apache Kafka needs Java ${OLDEST_JAVA} or newer, and no java was found: install it (Debian: apt-get install ` +
        `openjdk-17-jre-headless, macOS: brew install openjdk), ${DOCKER_WAY_OUT}`,
    );
  }
  throw new LocalServiceError(
    'java_too_old',
    `Apache Kafka needs Java ${OLDEST_JAVA} or newer, and the java found is version ${oldest}: install a newer one ` +
      `or point JAVA_HOME at it, ${DOCKER_WAY_OUT}`,
  );
}

function javaVersion(command: string, environment: NodeJS.ProcessEnv): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<number | null>();
  execFile(command, ['-version'], { env: environment }, (error, _stdout, stderr) => {
    // macOS ships a `java` that only says where to get one, and fails.
    resolve(error === null ? parseJavaVersion(stderr) : null);
  });
  return promise;
}

/** The feature release in the words of `java -version`: 17 of `"17.0.15"`, 8 of `"1.8.0_392"`, null of anything else. */
export function parseJavaVersion(text: string): number | null {
  const match = /version "(?:1\.)?(\d+)/.exec(text);
  return match?.[1] === undefined ? null : Number(match[1]);
}
