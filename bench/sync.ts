import { alternatingRuns } from './alternating-runs.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { QUIET_OTHER_CORES, type Phase } from './isolation-phases.ts';
import { megabytes } from './megabytes.ts';
import { REPLICATIONS, runSyncContention, type SyncContention } from './sync-contention.ts';
import { runSyncTrial } from './sync-trial.ts';
import { table } from './table.ts';
import { runTrial, type Trial } from './trial.ts';
import { warmUpRecords } from './warm-up.ts';

const VALUE_BYTES = 1_024;
const COUNTS = [1, 4] as const;
/** Rows for a second of CPU time, of the live mutations that it does. */
const REQUIRED_RATIO = 0.7;
/** p99 of a live mutation's delay, of what it is without rows. */
const ALLOWED_DELAY = 2;
/** What the README asks a container to have. */
const RSS_CAP_MB = 1_024;

/**
 * What the rows of a snapshot cost beside the same records as live mutations, and what live mutations notice of them: row
 * 53 of the fault matrix (RELIABILITY, section 6). Returns the laws that don't hold.
 */
export async function benchSync(
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const broken: string[] = [];
  if (options.loops.includes('full')) broken.push(...(await benchRows(cluster, options, print)));
  if (options.loops.includes('open')) broken.push(...(await benchContention(cluster, options, print)));
  return broken;
}

async function benchRows(
  cluster: BenchCluster,
  { runs, sync: { rows } }: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const broken: string[] = [];
  const lines = [TRIAL_HEADER];
  for (const count of COUNTS) {
    process.stderr.write(`sync: ${rows} rows, ${count} replications\n`);
    const { live, sync } = await alternatingRuns(runs, await contestants(cluster, rows, count));
    const ratio = live.cpu / sync.cpu;
    lines.push(lineOfTrial(count, 'live', live, null), lineOfTrial(count, 'rows', sync, ratio));
    if (ratio < REQUIRED_RATIO)
      broken.push(
        `sync, N = ${count}: a row costs ${sync.cpu.toFixed(2)} µs, a live mutation ${live.cpu.toFixed(2)}; ` +
          `the ratio is ${ratio.toFixed(2)}, ${REQUIRED_RATIO} is required`,
      );
    for (const { peakRssMb } of [live, sync])
      if (peakRssMb > RSS_CAP_MB) broken.push(`sync, N = ${count}: RSS of ${peakRssMb.toFixed(0)} MB`);
  }
  print(
    `sync, ${rows} rows of a snapshot beside as many live mutations, value ${VALUE_BYTES} B, medians of ${runs}\n` +
      table(lines),
  );
  return broken;
}

async function contestants(
  cluster: BenchCluster,
  rows: number,
  count: number,
): Promise<Readonly<Record<'live' | 'sync', () => Promise<Trial>>>> {
  const replications = await cluster.replicate(count);
  const dataset = await cluster.produce(rows, VALUE_BYTES);
  const snapshot = await cluster.snapshot(rows, VALUE_BYTES);
  const warmUp = await cluster.snapshot(Math.min(rows, warmUpRecords(count)), VALUE_BYTES);
  return {
    live: () =>
      runTrial({
        cluster,
        contestant: 'processor',
        dataset,
        replications,
        delayMs: 0,
        warmUpRecords: warmUpRecords(count),
        passes: 1,
      }),
    sync: () => runSyncTrial({ cluster, warmUp, rows: snapshot, replications }),
  };
}

async function benchContention(
  cluster: BenchCluster,
  { sync: options }: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const { rows, rate } = options;
  process.stderr.write(`sync: ${rows} rows beside ${rate} live mutations a second\n`);
  const run = await runSyncContention(cluster, options, VALUE_BYTES);
  print(
    `sync, ${rows} rows beside ${rate} live mutations a second, ${REPLICATIONS} replications\n` +
      table([PHASE_HEADER, ...run.phases.map(lineOfPhase)]),
  );
  const [alone, during] = [phaseOf(run, 'alone'), phaseOf(run, 'sync')];
  const isQuiet = [alone, during].every(({ otherCores }) => otherCores <= QUIET_OTHER_CORES);
  if (!isQuiet) print(`not judged: p99; something else used more than ${QUIET_OTHER_CORES} of a core\n`);
  return [
    ...(isQuiet && during.delayP99 > ALLOWED_DELAY * alone.delayP99
      ? [`sync: p99 of the delay is ${during.delayP99} ms, it is ${alone.delayP99} ms without`]
      : []),
    ...run.phases.flatMap(({ name, maxRssBytes }) =>
      maxRssBytes > RSS_CAP_MB * 1_048_576 ? [`sync, ${name}: RSS of ${megabytes(maxRssBytes)} MB`] : [],
    ),
    ...progressLaws(run, rows),
  ];
}

/** Every row was sent to each replication, or was older than a live mutation. */
function progressLaws({ outcome: { status, result } }: SyncContention, rows: number): readonly string[] {
  if (status !== 'SUCCEEDED') return [`sync: the execution is ${status} after its time`];
  return Object.entries(result.replications).flatMap(([id, { documents, skipped_newer: skipped }]) => {
    const sent = Object.values(documents).reduce((sum, count) => sum + count, 0);
    return sent + skipped < rows
      ? [`sync: ${id} got ${sent} rows of ${rows}, and ${skipped} were skipped`]
      : [];
  });
}

function phaseOf({ phases }: SyncContention, name: string): Phase {
  const phase = phases.find((candidate) => candidate.name === name);
  if (!phase) throw new Error(`there was no phase ${name}`);
  return phase;
}

const TRIAL_HEADER = [
  'N',
  'what',
  'µs/record',
  'main',
  'ratio',
  'records/s',
  's a million',
  'msg/request',
  'major GC/s',
  'RSS MB',
];

function lineOfTrial(count: number, what: string, trial: Trial, ratio: number | null): string[] {
  return [
    String(count),
    what,
    trial.cpu.toFixed(2),
    trial.mainThreadCpu.toFixed(2),
    ratio === null ? '' : ratio.toFixed(2),
    trial.recordsPerSecond.toFixed(0),
    (1_000_000 / trial.recordsPerSecond).toFixed(1),
    trial.messagesPerRequest.toFixed(0),
    trial.majorGcsPerSecond.toFixed(1),
    trial.peakRssMb.toFixed(0),
  ];
}

const PHASE_HEADER = [
  'phase',
  's',
  'live/s',
  'rows/s',
  'p50 ms',
  'p99 ms',
  'late ms',
  'cores',
  'fake',
  'others',
  'idle',
  'RSS MB',
  'in flight MB',
];

function lineOfPhase(phase: Phase): string[] {
  return [
    phase.name,
    phase.seconds.toFixed(0),
    phase.producedPerSecond.toFixed(0),
    (phase.rowsPerSecond / REPLICATIONS).toFixed(0),
    String(phase.delayP50),
    String(phase.delayP99),
    String(phase.maxLateMs),
    phase.cores.toFixed(2),
    phase.fakeCores.toFixed(2),
    phase.otherCores.toFixed(2),
    phase.idleCores.toFixed(2),
    megabytes(phase.maxRssBytes),
    megabytes(phase.maxInFlightBytes),
  ];
}
