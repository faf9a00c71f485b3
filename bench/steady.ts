import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { megabytes } from './megabytes.ts';
import { median } from './statistics.ts';
import { LIVE_PER_SECOND, runSteady, VALUE_BYTES, type Sample, type SteadyRun } from './steady-run.ts';
import { table } from './table.ts';

const WINDOW_SECONDS = 10;
/** Of the median of all windows; of the heap before. */
const TOLERANCE = 0.1;

/** Whether memory stays while one destination never answers and a backlog lies there for it. Returns the laws that don't hold. */
export async function benchSteady(
  cluster: BenchCluster,
  { steady }: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  process.stderr.write(`steady: ${steady.minutes} minutes\n`);
  const run = await runSteady(cluster, steady);
  const windows = windowsOf(run.samples);
  const middle = median(windows.map(({ rss }) => rss));
  print(
    `steady, ${steady.backlog} mutations of backlog with values of ${VALUE_BYTES} B, then ${LIVE_PER_SECOND} a second; ` +
      `one destination of two never answers\n${show(run, windows)}`,
  );
  return [
    ...windows
      .filter(({ rss }) => Math.abs(rss - middle) > TOLERANCE * middle)
      .map(
        ({ from, rss }) =>
          `steady, ${from} s: RSS ${megabytes(rss)} MB in the median of ${WINDOW_SECONDS} s, ${megabytes(middle)} MB over all`,
      ),
    ...heapLaws(run),
    ...deliveryLaws(run, steady.backlog),
  ];
}

function heapLaws({ collected: { before, after } }: SteadyRun): readonly string[] {
  const change = after.heapUsed / before.heapUsed - 1;
  return Math.abs(change) > TOLERANCE
    ? [
        `steady: the heap after a forced collection was ${megabytes(before.heapUsed)} MB, then ${megabytes(after.heapUsed)} MB`,
      ]
    : [];
}

/** Memory says nothing of a program that does nothing. */
function deliveryLaws({ delivered, produced, samples }: SteadyRun, backlog: number): readonly string[] {
  const lag = samples.at(-1)?.lagRecords ?? 0;
  return [
    ...(delivered.healthy < produced
      ? [`steady: the healthy destination got ${delivered.healthy} of ${produced}`]
      : []),
    ...(delivered.stalled > 0
      ? [`steady: the stalled destination got ${delivered.stalled}; nothing was stalled`]
      : []),
    ...(lag < backlog ? [`steady: the stalled destination lags by ${lag}, ${backlog} was the backlog`] : []),
  ];
}

interface Window {
  /** Seconds from the start of the measured time. */
  readonly from: number;
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly inFlight: number;
  readonly cores: number;
  readonly delivered: number;
}

/** The medians of each ten seconds, rates from their ends. */
function windowsOf(samples: readonly Sample[]): readonly Window[] {
  const windows: Window[] = [];
  for (let at = 0; at + WINDOW_SECONDS <= samples.length; at += WINDOW_SECONDS) {
    const part = samples.slice(at, at + WINDOW_SECONDS);
    const [first, last] = [part[0]!, part.at(-1)!];
    const of = (value: (sample: Sample) => number): number => median(part.map(value));
    windows.push({
      from: Math.round(first.seconds),
      rss: of(({ rssBytes }) => rssBytes),
      heap: of(({ heapBytes }) => heapBytes),
      external: of(({ externalBytes }) => externalBytes),
      inFlight: of(({ inFlightBytes }) => inFlightBytes),
      cores: (last.cpuSeconds - first.cpuSeconds) / (last.seconds - first.seconds),
      delivered: (last.delivered - first.delivered) / (last.seconds - first.seconds),
    });
  }
  return windows;
}

function show(run: SteadyRun, windows: readonly Window[]): string {
  const { before, after } = run.collected;
  const rows = windows.map((window) => [
    String(window.from),
    megabytes(window.rss),
    megabytes(window.heap),
    megabytes(window.external),
    megabytes(window.inFlight),
    window.cores.toFixed(2),
    window.delivered.toFixed(0),
  ]);
  const rss = windows.map((window) => window.rss);
  const collected = [
    ['after a forced collection', 'heap MB', 'external MB', 'RSS MB'],
    ...([['before', before] as const, ['after', after] as const] as const).map(([name, memory]) => [
      name,
      megabytes(memory.heapUsed, 1),
      megabytes(memory.external, 1),
      megabytes(memory.rss),
    ]),
  ];
  const lag = run.samples.at(-1)?.lagRecords ?? 0;
  return (
    table([HEADER, ...rows]) +
    `RSS ${megabytes(Math.min(...rss))} to ${megabytes(Math.max(...rss))} MB, ${megabytes(median(rss))} MB in the middle; ` +
    `the backlog took ${run.backlogSeconds.toFixed(0)} s, the stalled destination lags by ${lag}\n` +
    table(collected)
  );
}

const HEADER = ['from s', 'RSS MB', 'heap MB', 'external MB', 'in flight MB', 'cores', 'delivered/s'];
