import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findFreePorts } from '../local/free-port.ts';
import type { PubSubMood } from '../local/moody-pubsub.ts';
import { SupervisedProcess } from '../local/supervised-process.ts';
import type { FakeCommand, FakeReport } from './isolation-fake.ts';
import type { ProducerCommand, ProducerJob, ProducerReport } from './isolation-producer.ts';

const V8_FLAGS = ['--external-memory-accounted-in-global-limit', '--disable-warning=TimeoutNegativeWarning'];
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 100;

export type FakeSnapshot = Extract<FakeReport, { kind: 'snapshot' }>;

/** The fake Pub/Sub's process. */
export class IsolationFake implements AsyncDisposable {
  readonly host: string;
  readonly #child: ChildProcess;
  #counts: Readonly<Record<string, number>> = {};
  #onSnapshot: (snapshot: FakeSnapshot) => void = () => undefined;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.host = `127.0.0.1:${port}`;
    child.on('message', (report: FakeReport) => {
      if (report.kind !== 'port') this.#counts = report.counts;
      if (report.kind === 'snapshot') this.#onSnapshot(report);
    });
  }

  static async start(): Promise<IsolationFake> {
    const child = forkOf('./isolation-fake.ts', []);
    const [first] = (await once(child, 'message')) as [FakeReport];
    if (first.kind !== 'port') throw new Error('the fake Pub/Sub told no port');
    return new IsolationFake(child, first.port);
  }

  /** The least that any of these topics has got. */
  leastOf(topics: readonly string[]): number {
    return Math.min(...topics.map((topic) => this.#counts[topic] ?? 0));
  }

  /** Measures the delays of these topics' messages but for those whose `ts` is before `liveFromMs`. */
  watch(topics: readonly string[], liveFromMs = 0): void {
    this.#tell({ kind: 'watch', topics, liveFromMs });
  }

  setMood(topic: string, mood: PubSubMood): void {
    this.#tell({ kind: 'mood', topic, mood });
  }

  /** What has arrived so far, and the delays since the last snapshot. */
  async snapshot(): Promise<FakeSnapshot> {
    const { promise, resolve } = Promise.withResolvers<FakeSnapshot>();
    this.#onSnapshot = resolve;
    this.#tell({ kind: 'snapshot' });
    return promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child);
  }

  #tell(command: FakeCommand): void {
    this.#child.send(command);
  }
}

/** The producer's process. */
export class IsolationProducer implements AsyncDisposable {
  readonly #child: ChildProcess;
  #report: ProducerReport = { produced: 0, lateMs: 0, cpuMicros: 0 };
  #maxLateMs = 0;

  constructor(job: ProducerJob) {
    this.#child = forkOf('./isolation-producer.ts', [JSON.stringify(job)]);
    this.#child.on('message', (report: ProducerReport) => {
      this.#report = report;
      this.#maxLateMs = Math.max(this.#maxLateMs, report.lateMs);
    });
  }

  get produced(): number {
    return this.#report.produced;
  }

  get cpuMicros(): number {
    return this.#report.cpuMicros;
  }

  /** The greatest lateness since it was asked last. */
  takeMaxLateMs(): number {
    const late = this.#maxLateMs;
    this.#maxLateMs = 0;
    return late;
  }

  tellDelivered(delivered: number): void {
    this.#child.send({ delivered } satisfies ProducerCommand);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child);
  }
}

/** What the program says of itself. */
export interface ProcessorGauges {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** Buffers, those in pools included. */
  readonly externalBytes: number;
  /** Held for operations that are not delivered. */
  readonly inFlightBytes: number;
  /** Of the partition with the fullest window. */
  readonly windowRecords: number;
  /** Of the replication that lags most. */
  readonly lagRecords: number;
  /** By replication id. */
  readonly detachedPartitions: ReadonlyMap<string, number>;
}

/** The program itself, started as a user starts it. */
export class IsolationProcessor implements AsyncDisposable {
  readonly #process: SupervisedProcess;
  readonly #url: string;

  private constructor(process: SupervisedProcess, url: string) {
    this.#process = process;
    this.#url = url;
  }

  /** Resolves when it is ready. `directory` gets its log. */
  static async start(
    settings: Readonly<Record<string, string>>,
    directory: string,
  ): Promise<IsolationProcessor> {
    const [port = 0] = await findFreePorts(1);
    const { PATH, HOME } = process.env;
    const supervised = await SupervisedProcess.start({
      command: process.execPath,
      arguments: [fileURLToPath(new URL('../bin.ts', import.meta.url)), 'start'],
      logFile: join(directory, `isolation-${port}.log`),
      removeWhenAbandoned: null,
      environment: { PATH, HOME, ...settings, HTTP_PORT: String(port) },
    });
    const processor = new IsolationProcessor(supervised, `http://127.0.0.1:${port}`);
    await processor.#untilReady();
    return processor;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Of the API, health and metrics. */
  get url(): string {
    return this.#url;
  }

  async gauges(): Promise<ProcessorGauges> {
    const text = await (await fetch(`${this.#url}/metrics`)).text();
    const windows = samplesOf(text, 'datamart_replication_window_records').map(([, value]) => value);
    const lags = samplesOf(text, 'datamart_replication_replication_lag_records').map(([, value]) => value);
    return {
      cpuSeconds: sampleOf(text, 'process_cpu_seconds_total'),
      rssBytes: sampleOf(text, 'process_resident_memory_bytes'),
      heapBytes: sampleOf(text, 'nodejs_heap_size_used_bytes'),
      externalBytes: sampleOf(text, 'nodejs_external_memory_bytes'),
      inFlightBytes: sampleOf(text, 'datamart_replication_in_flight_bytes'),
      windowRecords: Math.max(0, ...windows),
      lagRecords: Math.max(0, ...lags),
      detachedPartitions: new Map(samplesOf(text, 'datamart_replication_detached_partitions')),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process.stop();
  }

  async #untilReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const response = await fetch(`${this.#url}/readyz`).catch(() => null);
      if (response?.status === 200) return;
      if (Date.now() > deadline || !this.#process.isRunning)
        throw new Error('the program didn’t become ready');
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }
}

/** The samples of a metric, each by the value of its first label. */
function samplesOf(text: string, name: string): readonly (readonly [string, number])[] {
  const pattern = new RegExp(`^${name}(?:\\{\\w+="([^"]*)"[^}]*\\})? (\\S+)$`, 'gm');
  return [...text.matchAll(pattern)].map(([, label = '', value]) => [label, Number(value)] as const);
}

function sampleOf(text: string, name: string): number {
  return samplesOf(text, name)[0]?.[1] ?? NaN;
}

function forkOf(script: string, args: readonly string[]): ChildProcess {
  return fork(fileURLToPath(new URL(script, import.meta.url)), args, {
    execArgv: V8_FLAGS,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
