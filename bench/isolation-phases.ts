import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  FakeSnapshot,
  IsolationFake,
  IsolationProcessor,
  IsolationProducer,
} from './isolation-children.ts';

/** What was measured from one moment to another. */
export interface Phase {
  readonly name: string;
  readonly seconds: number;
  /** Messages a second, by topic. */
  readonly rates: ReadonlyMap<string, number>;
  /** Messages of all topics for each second of the program's CPU time. */
  readonly messagesPerCpuSecond: number;
  /** How many cores the program used. */
  readonly cores: number;
  /** How many the fake used. */
  readonly fakeCores: number;
  /** How many were busy with what is no part of the bench. */
  readonly otherCores: number;
  /** How many had nothing to do. */
  readonly idleCores: number;
  /** From the time at which a mutation was due until the healthy fakes had it; ms. */
  readonly delayP50: number;
  readonly delayP99: number;
  readonly producedPerSecond: number;
  /** Messages a second of all watched topics that were rows of a snapshot. */
  readonly rowsPerSecond: number;
  readonly maxLateMs: number;
  readonly maxRssBytes: number;
  readonly maxHeapBytes: number;
  readonly maxExternalBytes: number;
  readonly maxInFlightBytes: number;
  readonly maxWindowRecords: number;
}

export interface PhaseSources {
  readonly fake: IsolationFake;
  readonly processor: IsolationProcessor;
  readonly producer: IsolationProducer;
  readonly brokerPid: number | null;
}

/** When others use more of the machine, delays are theirs as much as the program's. */
export const QUIET_OTHER_CORES = 0.25;

const POLL_MS = 500;
const TICKS_PER_SECOND = 100;

/** Measures what happens while `until` runs; it is asked twice a second whether the phase is over. */
export async function measurePhase(
  name: string,
  { fake, processor, producer, brokerPid }: PhaseSources,
  isOver: (elapsedMs: number) => boolean | Promise<boolean>,
): Promise<Phase> {
  const before = await fake.snapshot();
  const startMs = performance.now();
  const start = await processor.gauges();
  const producedBefore = producer.produced;
  producer.takeMaxLateMs();
  const sidelines = (): number => producer.cpuMicros / 1_000_000 + ownSeconds() + secondsOf(brokerPid);
  const othersBefore = busySeconds() - sidelines();
  const idleBefore = idleSeconds();
  let maxRssBytes = 0;
  let maxHeapBytes = 0;
  let maxExternalBytes = 0;
  let maxInFlightBytes = 0;
  let maxWindowRecords = 0;
  do {
    await sleep(POLL_MS);
    const gauges = await processor.gauges();
    maxRssBytes = Math.max(maxRssBytes, gauges.rssBytes);
    maxHeapBytes = Math.max(maxHeapBytes, gauges.heapBytes);
    maxExternalBytes = Math.max(maxExternalBytes, gauges.externalBytes);
    maxInFlightBytes = Math.max(maxInFlightBytes, gauges.inFlightBytes);
    maxWindowRecords = Math.max(maxWindowRecords, gauges.windowRecords);
  } while (!(await isOver(performance.now() - startMs)));
  const after = await fake.snapshot();
  const seconds = (performance.now() - startMs) / 1_000;
  const cpuSeconds = (await processor.gauges()).cpuSeconds - start.cpuSeconds;
  const fakeSeconds = (after.cpuMicros - before.cpuMicros) / 1_000_000;
  const otherSeconds = busySeconds() - sidelines() - othersBefore - cpuSeconds - fakeSeconds;
  const counts = Object.entries(after.counts).map(
    ([topic, count]) => [topic, count - (before.counts[topic] ?? 0)] as const,
  );
  return {
    name,
    seconds,
    rates: new Map(counts.map(([topic, count]) => [topic, count / seconds])),
    messagesPerCpuSecond: counts.reduce((sum, [, count]) => sum + count, 0) / cpuSeconds,
    cores: cpuSeconds / seconds,
    fakeCores: fakeSeconds / seconds,
    otherCores: Math.max(0, otherSeconds / seconds),
    idleCores: (idleSeconds() - idleBefore) / seconds,
    delayP50: quantile(after, 0.5),
    delayP99: quantile(after, 0.99),
    rowsPerSecond: (after.rows - before.rows) / seconds,
    producedPerSecond: (producer.produced - producedBefore) / seconds,
    maxLateMs: producer.takeMaxLateMs(),
    maxRssBytes,
    maxHeapBytes,
    maxExternalBytes,
    maxInFlightBytes,
    maxWindowRecords,
  };
}

/** Messages a second that each of these topics got, in the mean. */
export function meanRate({ rates }: Phase, topics: readonly string[]): number {
  return topics.reduce((sum, topic) => sum + (rates.get(topic) ?? 0), 0) / topics.length;
}

/** Messages a second of the topic that got the fewest. */
export function leastRate({ rates }: Phase, topics: readonly string[]): number {
  return Math.min(...topics.map((topic) => rates.get(topic) ?? 0));
}

/** CPU time of the whole machine. */
function busySeconds(): number {
  return (
    cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1_000
  );
}

/** What the whole machine didn't use. */
function idleSeconds(): number {
  return cpus().reduce((sum, { times: { idle } }) => sum + idle, 0) / 1_000;
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000_000;
}

/** CPU time of another process, where the system tells it in /proc; 0 elsewhere. */
function secondsOf(pid: number | null): number {
  if (pid === null) return 0;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name, in brackets, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

function quantile({ delays }: FakeSnapshot, share: number): number {
  const total = delays.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [ms, count] of delays) {
    seen += count;
    if (seen >= total * share) return ms;
  }
  return NaN;
}
