import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka } from '../../local/embedded-kafka.ts';
import { startRegistry } from '../../local/embedded-registry.ts';
import { runKafkaCommand } from '../../local/kafka-command.ts';
import { cachedArtifacts } from '../../local/maven-artifacts.ts';
import type { CachedArtifacts } from '../../local/maven-artifacts.ts';

jest.setTimeout(60_000);

const SMALL: CachedArtifacts = {
  folder: 'small-1.7.36',
  description: 'something small',
  artifacts: [{ group: 'org.slf4j', name: 'slf4j-simple', version: '1.7.36' }],
  withDependencies: true,
};

let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'local-services-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('without Java the error says how to get it, and what does without', async () => {
  await expect(startKafka({ environment: { PATH: directory } })).rejects.toMatchObject({
    name: 'LocalServiceError',
    code: 'java_missing',
    message: expect.stringMatching(/Java 17 or newer.*install it.*docker compose.*KAFKA_BROKERS/),
  });
});

test('a java that is only a pointer to where to get one counts as none', async () => {
  await writeProgram('java', 'echo "Unable to locate a Java Runtime." >&2; exit 1');

  await expect(startKafka({ environment: { PATH: directory } })).rejects.toMatchObject({
    code: 'java_missing',
  });
});

test('an old Java is named with its version', async () => {
  await writeProgram('java', `echo 'openjdk version "11.0.2" 2019-01-15' >&2`);

  await expect(startKafka({ environment: { PATH: directory } })).rejects.toMatchObject({
    code: 'java_too_old',
    message: expect.stringMatching(/the java found is version 11.*JAVA_HOME/),
  });
});

test('JAVA_HOME wins over an old Java on the PATH', async () => {
  await writeProgram('java', `echo 'java version "1.8.0_392"' >&2`);
  await mkdir(join(directory, 'home', 'bin'), { recursive: true });
  await symlink(commandPath('java'), join(directory, 'home', 'bin', 'java'));

  // Java is found, so the next thing that is missing gets the blame.
  await expect(
    startKafka({ environment: { PATH: directory, JAVA_HOME: join(directory, 'home'), HOME: directory } }),
  ).rejects.toMatchObject({ code: 'maven_missing' });
});

test('without Maven the error says how to get it, and what does without', async () => {
  await symlink(commandPath('java'), join(directory, 'java'));

  await expect(startRegistry({ environment: { PATH: directory, HOME: directory } })).rejects.toMatchObject({
    code: 'maven_missing',
    message: expect.stringMatching(/Maven.*install it.*docker compose.*KAFKA_BROKERS/),
  });
});

test('a repository that cannot be reached is named, and leaves nothing in the cache', async () => {
  const progress: string[] = [];
  const starting = startKafka({
    environment: await unreachable(),
    onProgress: (line) => progress.push(line),
  });

  await expect(starting).rejects.toMatchObject({
    code: 'download_failed',
    message: expect.stringMatching(
      /Apache Kafka 4\.1\.1.*127\.0\.0\.1:1.*network.*settings\.xml.*docker compose/,
    ),
  });
  expect(progress).toHaveLength(1);
  expect(await readdir(join(directory, 'datamart-replication'))).toEqual([]);
});

test('the kafka command ends with 1 and that message alone', async () => {
  const errors: string[] = [];

  const code = await runKafkaCommand(
    { port: 0, registry: false, environment: { PATH: directory } },
    new AbortController().signal,
    { write: () => undefined },
    { write: (line) => errors.push(line) },
  );

  expect(code).toBe(1);
  expect(errors).toEqual([expect.stringMatching(/^Apache Kafka needs Java 17[^\n]*\n$/)]);
});

test('two starters at once download into one folder, and a third finds it there', async () => {
  const progress: string[] = [];
  const options = {
    environment: { ...process.env, XDG_CACHE_HOME: directory },
    onProgress: (line: string): void => void progress.push(line),
    signal: undefined,
  };

  const folders = await Promise.all([cachedArtifacts(SMALL, options), cachedArtifacts(SMALL, options)]);
  folders.push(await cachedArtifacts(SMALL, options));

  expect(new Set(folders)).toEqual(new Set([join(directory, 'datamart-replication', 'small-1.7.36')]));
  expect(await readdir(folders[0] ?? '')).toEqual(['slf4j-api-1.7.36.jar', 'slf4j-simple-1.7.36.jar']);
  expect(await readdir(join(directory, 'datamart-replication'))).toEqual(['small-1.7.36']);
  expect(progress).toHaveLength(2);
});

/** Maven with nothing stored, and a mirror where nobody listens. */
async function unreachable(): Promise<NodeJS.ProcessEnv> {
  const settings =
    '<settings><mirrors><mirror><id>none</id><mirrorOf>*</mirrorOf><url>http://127.0.0.1:1/</url></mirror></mirrors></settings>';
  await mkdir(join(directory, '.m2'));
  await writeFile(join(directory, '.m2', 'settings.xml'), settings);
  return { ...process.env, XDG_CACHE_HOME: directory, MAVEN_OPTS: `-Duser.home=${directory}` };
}

async function writeProgram(name: string, script: string): Promise<void> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

function commandPath(command: string): string {
  return execFileSync('/bin/sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim();
}
