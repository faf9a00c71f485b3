import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { PerformanceObserver, constants, type PerformanceEntry } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchJob, BenchPass, BenchReport } from './job.ts';

/** A consumer that delivers a mutation topic to the job's Pub/Sub topics. */
export interface Delivery {
  /** Resolves when the consumer has joined its group. */
  start(): Promise<void>;
  /** Messages acknowledged so far, of all Pub/Sub topics. */
  delivered(): number;
  /** Commits the rest and closes everything. */
  stop(): Promise<void>;
}

/** Makes what does one pass; nothing is measured yet. */
export type OpenDelivery = (job: BenchJob, pass: BenchPass) => Promise<Delivery>;

const POLL_MS = 5;
const STALLED_MS = 60_000;
const PROFILE_INTERVAL_MICROS = 400;

/**
 * Does the job that the command line holds, in the same way for everything that is compared: the warm-up, then each
 * pass with a fresh group, measured from the join until the last acknowledgement, so that nothing done before or after
 * is counted in or left out. Writes the report to standard output.
 */
export async function runJob(open: OpenDelivery): Promise<void> {
  const job = JSON.parse(process.argv[2] ?? '') as BenchJob;
  const meter = new Meter();
  await readOnce(job, job.warmUp, open);
  const profiler = job.profileFile === null ? null : new Profiler();
  await profiler?.open();
  for (const pass of job.passes) {
    await readOnce(job, pass, open, {
      onStart: async () => {
        await profiler?.start();
        meter.start();
      },
      onEnd: async () => {
        meter.stop();
        if (job.profileFile !== null) await profiler?.stop(job.profileFile);
      },
    });
  }
  const records = job.passes.reduce((sum, pass) => sum + pass.records, 0);
  process.stdout.write(`${JSON.stringify(meter.report(records))}\n`);
  // Nothing that a library keeps open may hold up the bench.
  process.exit(0);
}

async function readOnce(
  job: BenchJob,
  pass: BenchPass,
  open: OpenDelivery,
  hooks?: { onStart(): Promise<void>; onEnd(): Promise<void> },
): Promise<void> {
  const delivery = await open(job, pass);
  await delivery.start();
  await hooks?.onStart();
  const wanted = pass.records * job.pubsubTopics.length;
  let last = 0;
  let lastChange = performance.now();
  for (;;) {
    const delivered = delivery.delivered();
    if (delivered >= wanted) break;
    const now = performance.now();
    if (delivered !== last) {
      last = delivered;
      lastChange = now;
    } else if (now - lastChange > STALLED_MS) {
      throw new Error(`nothing was delivered for ${STALLED_MS / 1000} s: ${delivered} of ${wanted}`);
    }
    await sleep(POLL_MS);
  }
  await hooks?.onEnd();
  await delivery.stop();
}

/** Adds up CPU time, wall time and full garbage collections of the measured passes. */
class Meter {
  #cpuMicros = 0;
  #mainThreadCpuMicros = 0;
  #wallMs = 0;
  #majorGcs = 0;
  #isRunning = false;
  #cpuStart = process.cpuUsage();
  #mainThreadStart = process.threadCpuUsage();
  #wallStart = 0;
  readonly #observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) this.#note(entry);
  });

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  start(): void {
    this.#observer.takeRecords();
    this.#isRunning = true;
    this.#wallStart = performance.now();
    this.#mainThreadStart = process.threadCpuUsage();
    this.#cpuStart = process.cpuUsage();
  }

  stop(): void {
    const { user, system } = process.cpuUsage(this.#cpuStart);
    const mainThread = process.threadCpuUsage(this.#mainThreadStart);
    this.#cpuMicros += user + system;
    this.#mainThreadCpuMicros += mainThread.user + mainThread.system;
    this.#wallMs += performance.now() - this.#wallStart;
    for (const entry of this.#observer.takeRecords()) this.#note(entry);
    this.#isRunning = false;
  }

  report(records: number): BenchReport {
    return {
      records,
      cpuMicros: this.#cpuMicros,
      mainThreadCpuMicros: this.#mainThreadCpuMicros,
      wallMs: this.#wallMs,
      majorGcs: this.#majorGcs,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
  }

  #note(entry: PerformanceEntry): void {
    // @types/node doesn't know what entries of Node's own carry.
    const { detail } = entry as PerformanceEntry & { readonly detail?: { readonly kind?: number } };
    if (this.#isRunning && detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) this.#majorGcs += 1;
  }
}

/** V8's sampling profiler over the measured passes; the last one's profile stays. */
class Profiler {
  readonly #session = new Session();

  async open(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_MICROS });
  }

  async start(): Promise<void> {
    await this.#session.post('Profiler.start');
  }

  async stop(file: string): Promise<void> {
    const { profile } = await this.#session.post('Profiler.stop');
    await writeFile(file, JSON.stringify(profile));
  }
}
