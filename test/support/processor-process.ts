import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePorts } from '../../local/free-port.ts';
import { SupervisedProcess, type ExitStatus } from '../../local/supervised-process.ts';
import { parseCommitMetadata, type OwnPosition } from '../../streams/commit-metadata.ts';
import { kafkajsTopicAdmin } from '../../streams/kafka/topic-admin.ts';
import { createTopics } from '../../streams/topics/create-topics.ts';
import type { TopicNames } from '../../streams/topics/topic-plan.ts';
import { leaveGroup } from './kafka-protocol.ts';
import { brokersUnderTest, createTopic, kafkaClient, produce, uniqueTopic } from './kafka.ts';
import { aServiceAccountFile } from './service-account.ts';
import { silentLogger } from './silent-logger.ts';
import { waitFor } from './wait-for.ts';

const ROOT = join(import.meta.dirname, '../..');
/** `process.execPath` may be another Node, where jest was started by hand. */
const NODE = join(ROOT, 'node_modules/.bin/node');
const READY_TIMEOUT_MS = 40_000;
const LOG_SHOWN_CHARACTERS = 6_000;

/** A mutation topic of a deployment. */
export interface MutationTopicOptions {
  readonly partitions?: number;
  readonly config?: Readonly<Record<string, string | number>>;
}

/** What a test chooses of its deployment. */
export interface DeploymentOptions {
  /** Default: one topic with one partition. */
  readonly mutationTopics?: readonly MutationTopicOptions[];
  /** Topic settings of the dead letters in place of the program's own. */
  readonly deadLettersConfig?: Readonly<Record<string, string | number>>;
  /** False leaves all topics to `createTopics`. */
  readonly hasTopics?: boolean;
  /** Settings for every process, as environment variables; `KAFKA_BROKERS` where they are to reach a broker another way. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: the run's own. */
  readonly brokers?: readonly string[];
  /** Where the processes' sources lie. Default: the project. */
  readonly sources?: string;
}

/** A mutation topic's partition and where the group stands in it. */
export interface PartitionProgress {
  readonly topic: string;
  readonly partition: number;
  /** Null while nothing is committed. */
  readonly committed: number | null;
  /** Replications that the committed offset says nothing about. */
  readonly parked: readonly OwnPosition[];
  /** Where the next record will go, transaction markers counted. */
  readonly end: number;
}

/**
 * Topics, a group and directories that nobody else uses, and the processes of the program that work on them, each
 * `node bin.ts start` of its own.
 */
export class Deployment implements AsyncDisposable {
  readonly topics: TopicNames;
  readonly groupId: string;
  readonly fileDirectory: string;
  readonly credentialsDirectory: string;
  readonly #directory: string;
  readonly #options: DeploymentOptions;
  readonly #processes: ProcessorProcess[] = [];

  private constructor(directory: string, options: DeploymentOptions) {
    this.#directory = directory;
    this.#options = options;
    this.fileDirectory = join(directory, 'files');
    this.credentialsDirectory = join(directory, 'credentials');
    this.groupId = uniqueTopic('group');
    this.topics = {
      mutations: this.#mutationTopics.map(() => uniqueTopic('mutations')),
      snapshots: this.#mutationTopics.map(() => uniqueTopic('snapshot')),
      replicationConfig: uniqueTopic('config'),
      replicationCredentials: uniqueTopic('credentials'),
      replicationStatus: uniqueTopic('status'),
      initialSyncRequests: uniqueTopic('requests'),
      initialSyncExecutions: uniqueTopic('executions'),
      deadLetters: uniqueTopic('dead-letters'),
      deadLettersRetentionHours: 336,
    };
  }

  /** Makes the directories, `google.json` among the credentials, and the topics. */
  static async create(options: DeploymentOptions = {}): Promise<Deployment> {
    const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-test-'));
    const deployment = new Deployment(directory, options);
    try {
      await mkdir(deployment.fileDirectory);
      await mkdir(deployment.credentialsDirectory);
      await deployment.putCredentials('google.json', aServiceAccountFile());
      if (options.hasTopics !== false) await deployment.createTopics();
      return deployment;
    } catch (error) {
      await deployment[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The settings of every process of the deployment, as environment variables. */
  get settings(): Readonly<Record<string, string>> {
    const { topics } = this;
    return {
      KAFKA_BROKERS: this.brokers.join(','),
      KAFKA_GROUP_ID: this.groupId,
      TOPICS_MUTATIONS: topics.mutations.join(','),
      TOPICS_SNAPSHOT: topics.snapshots.join(','),
      TOPICS_REPLICATION_CONFIG: topics.replicationConfig,
      TOPICS_REPLICATION_CREDENTIALS: topics.replicationCredentials,
      TOPICS_REPLICATION_STATUS: topics.replicationStatus,
      TOPICS_INITIAL_SYNC_REQUESTS: topics.initialSyncRequests,
      TOPICS_INITIAL_SYNC_EXECUTIONS: topics.initialSyncExecutions,
      TOPICS_DEAD_LETTERS: topics.deadLetters,
      SINKS_FILE_DIRECTORY: this.fileDirectory,
      CREDENTIALS_DIRECTORY: this.credentialsDirectory,
      SINKS_ALLOW_EMULATORS: 'true',
      ...this.#options.environment,
    };
  }

  /** The first mutation topic; most deployments have just this one. */
  get mutations(): string {
    return this.topics.mutations[0] ?? '';
  }

  /** Where tests reach Kafka, whatever way the processes take. */
  get brokers(): readonly string[] {
    return this.#options.brokers ?? brokersUnderTest();
  }

  get #mutationTopics(): readonly MutationTopicOptions[] {
    return this.#options.mutationTopics ?? [{}];
  }

  /** Makes all topics: the mutation topics as the test wants them, the others as `topics create` does. */
  async createTopics(): Promise<void> {
    const { deadLettersConfig } = this.#options;
    await Promise.all(
      this.#mutationTopics.map((topic, index) =>
        createTopic(this.topics.mutations[index] ?? '', topic, this.brokers),
      ),
    );
    if (deadLettersConfig)
      await createTopic(this.topics.deadLetters, { config: deadLettersConfig }, this.brokers);
    const connection = { brokers: this.brokers, groupId: '', clientId: 'test', tls: null, sasl: null };
    const admin = kafkajsTopicAdmin(connection, silentLogger);
    try {
      const plan = { partitions: 1, replicationFactor: null, isDryRun: false };
      const { refused } = await createTopics(admin, this.topics, plan);
      if (refused.length > 0) throw new Error(`a topic of the test is refused: ${JSON.stringify(refused)}`);
    } finally {
      await admin.close();
    }
  }

  /** Puts a file into the credentials directory; `file:<name>` is its URI. */
  async putCredentials(name: string, text: string): Promise<void> {
    await writeFile(join(this.credentialsDirectory, name), text, { mode: 0o600 });
  }

  /** Writes replications to the control topic; resolves when they are stored. */
  async configure(
    ...configs: readonly (Readonly<Record<string, unknown>> & { id: string })[]
  ): Promise<void> {
    await produce(
      this.topics.replicationConfig,
      configs.map((config) => ({ key: config.id, value: JSON.stringify(config) })),
      this.brokers,
    );
  }

  /** Deletes a replication. */
  async deleteReplication(id: string): Promise<void> {
    await produce(this.topics.replicationConfig, [{ key: id, value: null }], this.brokers);
  }

  /** The lines that FILE replications have written to `path`, each as latin1 text of its bytes. */
  async fileLines(path: string): Promise<readonly string[]> {
    const text = await readFile(join(this.fileDirectory, path), 'latin1').catch(() => '');
    return text.split('\n').slice(0, -1);
  }

  /**
   * Starts a process and doesn't wait for it. `environment` goes before the deployment's. What it writes goes to
   * `output`, if given, and is not in its `log()` then.
   */
  async start(
    environment: Readonly<Record<string, string>> = {},
    output?: string,
  ): Promise<ProcessorProcess> {
    const [port = 0] = await findFreePorts(1);
    const settings = { ...this.settings, HTTP_PORT: String(port), LOG_FORMAT: 'json', ...environment };
    const { sources } = this.#options;
    const process = await ProcessorProcess.start(this.#directory, settings, { output, sources });
    this.#processes.push(process);
    return process;
  }

  /** Starts a process and resolves when it is ready. */
  async startReady(environment: Readonly<Record<string, string>> = {}): Promise<ProcessorProcess> {
    const process = await this.start(environment);
    await process.waitUntilReady();
    return process;
  }

  /** Where the group stands in every partition of the mutation topics. */
  async progress(): Promise<readonly PartitionProgress[]> {
    const admin = kafkaClient(this.brokers).admin();
    await admin.connect();
    try {
      const committed = await admin.fetchOffsets({
        groupId: this.groupId,
        topics: [...this.topics.mutations],
      });
      const ends = await Promise.all(this.topics.mutations.map((topic) => admin.fetchTopicOffsets(topic)));
      return this.topics.mutations.flatMap((topic, index) =>
        (ends[index] ?? []).map(({ partition, high }) => {
          const of = committed.find((each) => each.topic === topic);
          const commit = of?.partitions.find((each) => each.partition === partition);
          const offset = Number(commit?.offset ?? -1);
          const parked = parseCommitMetadata(commit?.metadata ?? null).x;
          return { topic, partition, committed: offset < 0 ? null : offset, parked, end: Number(high) };
        }),
      );
    } finally {
      await admin.disconnect();
    }
  }

  /** Waits until the group has committed every mutation topic to its end. */
  async waitUntilCommitted(timeoutMs = 20_000): Promise<void> {
    let last: readonly PartitionProgress[] = [];
    await waitFor(
      async () => {
        last = await this.progress();
        return last.every(({ committed, end }) => end === 0 || committed === end);
      },
      {
        timeoutMs,
        message: () => `the commit of everything; so far ${JSON.stringify(last)}${this.#logs()}`,
      },
    );
  }

  /**
   * Waits until nothing is left to deliver: the group has committed every mutation topic to its end, no replication has
   * a position of its own but by its own wish (paused), and `hasArrived` holds.
   */
  async waitUntilDelivered(
    hasArrived: () => boolean | Promise<boolean> = () => true,
    timeoutMs = 60_000,
  ): Promise<void> {
    let last: readonly PartitionProgress[] = [];
    await waitFor(
      async () => {
        last = await this.progress();
        return last.every(isDelivered) && (await hasArrived());
      },
      {
        timeoutMs,
        message: () => `the delivery of everything; so far ${JSON.stringify(last)}${this.#logs()}`,
      },
    );
  }

  /**
   * Takes the group's members out of it, as an operator would who doesn't want to wait for the end of a dead member's
   * session (24 s).
   */
  async expelDeadMembers(): Promise<void> {
    const admin = kafkaClient(this.brokers).admin();
    await admin.connect();
    try {
      const { groups } = await admin.describeGroups([this.groupId]);
      for (const { memberId } of groups[0]?.members ?? []) {
        await leaveGroup(this.brokers[0] ?? '', this.groupId, memberId);
      }
    } finally {
      await admin.disconnect();
    }
  }

  #logs(): string {
    return this.#processes.map((process) => `\n${process.describe()}`).join('');
  }

  /** Kills what still runs and removes the directories. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) process.kill();
    await Promise.all(this.#processes.map(({ exited }) => exited));
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function isDelivered({ committed, parked, end }: PartitionProgress): boolean {
  return (end === 0 || committed === end) && parked.every(({ kind }) => kind === 'PAUSED');
}

/** What `/readyz` says. */
export interface ReadinessAnswer {
  readonly status: number;
  readonly state: string;
  readonly missing: readonly string[];
}

/** One process of the program. It never outlives the test's own. */
export class ProcessorProcess {
  /** Of health and metrics. */
  readonly url: string;
  readonly #process: SupervisedProcess;
  readonly #logFile: string;

  private constructor(process: SupervisedProcess, logFile: string, url: string) {
    this.#process = process;
    this.#logFile = logFile;
    this.url = url;
  }

  /**
   * Runs `node bin.ts start` with these settings and nothing else of the test's environment but what Node needs. What it
   * writes goes to a file in `directory`, or to `output`.
   */
  static async start(
    directory: string,
    settings: Readonly<Record<string, string>>,
    {
      output,
      sources = ROOT,
    }: { readonly output?: string | undefined; readonly sources?: string | undefined } = {},
  ): Promise<ProcessorProcess> {
    started += 1;
    const logFile = join(directory, `processor-${started}.log`);
    const { PATH, HOME } = process.env;
    const supervised = await SupervisedProcess.start({
      command: NODE,
      arguments: [join(sources, 'bin.ts'), 'start'],
      logFile: output ?? logFile,
      removeWhenAbandoned: null,
      environment: { PATH, HOME, ...settings },
    });
    return new ProcessorProcess(supervised, logFile, `http://127.0.0.1:${settings.HTTP_PORT}`);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Resolves when the process has ended; never rejects. */
  get exited(): Promise<ExitStatus> {
    return this.#process.exited;
  }

  get isRunning(): boolean {
    return this.#process.isRunning;
  }

  /** SIGKILL. */
  kill(): void {
    this.#process.kill();
  }

  /** SIGTERM, once; returns at once. */
  terminate(): void {
    process.kill(this.#process.pid, 'SIGTERM');
  }

  /** SIGTERM; resolves with the exit code, null when a signal ended the process. */
  async stop(): Promise<number | null> {
    this.terminate();
    const { code } = await this.exited;
    return code;
  }

  async readiness(): Promise<ReadinessAnswer> {
    const response = await fetch(`${this.url}/readyz`);
    const { state, missing } = (await response.json()) as { state: string; missing?: readonly string[] };
    return { status: response.status, state, missing: missing ?? [] };
  }

  /** The status of `/healthz`; null when nobody answers. */
  async health(): Promise<number | null> {
    return fetch(`${this.url}/healthz`).then(
      ({ status }) => status,
      () => null,
    );
  }

  /** Fails at once when the process ends before. */
  async waitUntilReady(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    await this.waitWhileRunning(
      async () => (await this.readiness()).status === 200,
      'the processor to be ready',
      timeoutMs,
    );
  }

  /** As `waitFor`; when it fails the log's end is told, and it fails at once when the process ends. */
  async waitWhileRunning(
    condition: () => boolean | Promise<boolean>,
    message: string,
    timeoutMs = 20_000,
  ): Promise<void> {
    const hasHeld = await waitFor(
      async () => {
        if (!this.isRunning) return 'ended';
        return (await condition()) && 'held';
      },
      { timeoutMs, message: () => `${message}; ${this.describe()}` },
    );
    if (hasHeld === 'ended')
      throw new Error(`the process ended while waiting for ${message}; ${this.describe()}`);
  }

  /** Every sample of one metric, the program's prefix left out of its name. */
  async samples(name: string): Promise<readonly MetricSample[]> {
    const response = await fetch(`${this.url}/metrics`);
    const lines = (await response.text()).split('\n');
    const prefix = `datamart_replication_${name}`;
    return lines.flatMap((line) => {
      const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match?.[1] !== prefix) return [];
      const labels = [...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
      return [
        {
          labels: Object.fromEntries(labels.map(([, label = '', value = '']) => [label, value])),
          value: Number(match[3]),
        },
      ];
    });
  }

  /** The sum of the samples that have these labels; null when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number | null> {
    const samples = (await this.samples(name)).filter((sample) =>
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
    return samples.length === 0 ? null : samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** The partitions that this instance works on, as `topic/partition`, sorted. */
  async ownedPartitions(): Promise<readonly string[]> {
    const samples = await this.samples('window_records');
    return samples.map(({ labels }) => `${labels.topic}/${labels.partition}`).sort();
  }

  /** Everything that the process has written so far, both streams. */
  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  /** The log's lines whose message has this in it. */
  logged(part: string): readonly LogLine[] {
    return this.log()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine)
      .filter(({ msg }) => msg.includes(part));
  }

  /** For failure messages. */
  describe(): string {
    return `the log of process ${this.pid} ends with:\n${this.log().slice(-LOG_SHOWN_CHARACTERS)}`;
  }
}

/** One line of the log, with the fields that it has. */
export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly level: string;
  readonly msg: string;
}

/** One sample of a metric. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

let started = 0;
