import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { leastRate, meanRate, QUIET_OTHER_CORES, type Phase } from './isolation-phases.ts';
import { FAULTS, REPLICATIONS, runIsolation, VALUE_BYTES, type IsolationRun } from './isolation-run.ts';
import { megabytes } from './megabytes.ts';
import { table } from './table.ts';

/** While something is wrong, or being made good. */
const WATCHED = ['fault', 'detached', 'catch-up'] as const;
/** Of what it was before the fault. */
const KEPT_RATE = 0.9;
const ALLOWED_DELAY = 1.2;
/** Of the share of the capacity that the open loop uses. */
const OPEN_LOOP_SHARE = 0.5;
/** With less the backlog goes as fast as the machine, not as the program. */
const LEAST_IDLE_CORES = 0.1;
/** The default of DELIVERY_MEMORY_MB, and what kafkajs may have fetched by the time that it is full. */
const IN_FLIGHT_CAP_BYTES = (256 + 8) * 1_048_576;
/** What the README asks a container to have. */
const RSS_CAP_BYTES = 1_024 * 1_048_576;

/** What four healthy replications notice of four faulty ones. Returns the laws that don't hold. */
export async function benchIsolation(
  cluster: BenchCluster,
  { isolation, loops }: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const broken: string[] = [];
  let capacity: number | null = null;
  if (loops.includes('full')) {
    process.stderr.write('isolation: full load\n');
    const full = await runIsolation(cluster, isolation, null);
    capacity = meanRate(phaseOf(full, 'all healthy'), full.healthy);
    print(`isolation at full load, ${REPLICATIONS} replications, values of ${VALUE_BYTES} B\n${show(full)}`);
    broken.push(...fullLoadLaws(full), ...memoryLaws('full load', full));
    tellUnjudged(full, 'the rate in wall time, and the cost of the catch-up', print);
  }
  if (loops.includes('open')) {
    const rate = isolation.rate ?? Math.round((capacity ?? NaN) * OPEN_LOOP_SHARE);
    process.stderr.write(`isolation: open loop, ${rate} mutations a second\n`);
    const open = await runIsolation(cluster, isolation, rate);
    print(`isolation in an open loop of ${rate} mutations a second\n${show(open)}`);
    broken.push(...openLoopLaws(open, capacity ?? rate / OPEN_LOOP_SHARE), ...memoryLaws('open loop', open));
    tellUnjudged(open, 'p99', print);
    if (!hasRoom(open))
      print('not judged: the backlog, since no core had anything to spare; a lower --rate leaves room\n');
  }
  return broken;
}

/**
 * At full load nothing is to spare: what the catch-up takes, live mutations lose. So the healthy ones must keep their rate
 * while the others are down, for the program's CPU time in any case, in wall time where nobody else takes any. The
 * catch-up may cost no more than delivering live mutations to four replications did, the detached phase's: requests
 * share what they have in common, and eight share more than two times four.
 */
function fullLoadLaws(run: IsolationRun): readonly string[] {
  const before = phaseOf(run, 'all healthy');
  const down = ['fault', 'detached'];
  const quiet = down.filter((name) => isQuiet(run, name));
  const broken = rateLaws('full load', run, quiet);
  for (const name of down) {
    const [now, then] = [healthyPerCpuSecond(run, phaseOf(run, name)), healthyPerCpuSecond(run, before)];
    if (now < KEPT_RATE * then)
      broken.push(
        `isolation, full load, ${name}: ${now.toFixed(0)} messages of a healthy one for a second of CPU, ${then.toFixed(0)} before`,
      );
  }
  const [catchUp, four] = [phaseOf(run, 'catch-up'), phaseOf(run, 'detached')];
  // A program that waits for its turn sends smaller requests, which are dearer.
  const isJudged = isQuiet(run, 'catch-up') && isQuiet(run, 'detached');
  if (isJudged && catchUp.messagesPerCpuSecond < KEPT_RATE * four.messagesPerCpuSecond) {
    broken.push(
      `isolation, full load, catch-up: ${catchUp.messagesPerCpuSecond.toFixed(0)} messages for a second of CPU, ` +
        `${four.messagesPerCpuSecond.toFixed(0)} while four were detached`,
    );
  }
  return broken;
}

function healthyPerCpuSecond({ healthy }: IsolationRun, phase: Phase): number {
  return meanRate(phase, healthy) / phase.cores;
}

/** With half of the machine to spare nobody may notice anything, and the backlog goes as fast as a healthy one can. */
function openLoopLaws(run: IsolationRun, capacity: number): readonly string[] {
  const before = phaseOf(run, 'all healthy');
  const broken = rateLaws('open loop', run, WATCHED);
  for (const name of WATCHED) {
    const { delayP99 } = phaseOf(run, name);
    if (isQuiet(run, name) && delayP99 > ALLOWED_DELAY * before.delayP99)
      broken.push(
        `isolation, open loop, ${name}: p99 of the delay is ${delayP99} ms, it was ${before.delayP99} ms`,
      );
  }
  if (!hasRoom(run)) return broken;
  const catchUpRate = meanRate(phaseOf(run, 'catch-up'), run.faulty);
  if (run.caughtUpSeconds === null)
    broken.push('isolation, open loop: the backlog was not delivered in time');
  else if (catchUpRate < KEPT_RATE * capacity)
    broken.push(
      `isolation, open loop, catch-up: ${catchUpRate.toFixed(0)}/s, a healthy one can get ${capacity.toFixed(0)}/s`,
    );
  return broken;
}

/** Whether the delays of a phase and of the one before the fault say something. */
function isQuiet(run: IsolationRun, name: string): boolean {
  return [name, 'all healthy'].every((each) => phaseOf(run, each).otherCores <= QUIET_OTHER_CORES);
}

/** Whether the machine could have done more for the backlog than it did. */
function hasRoom(run: IsolationRun): boolean {
  return phaseOf(run, 'catch-up').idleCores >= LEAST_IDLE_CORES;
}

function tellUnjudged(run: IsolationRun, what: string, print: (text: string) => void): void {
  const noisy = WATCHED.filter((name) => !isQuiet(run, name));
  if (noisy.length > 0)
    print(
      `not judged in ${noisy.join(', ')}: ${what}; something else used more than ${QUIET_OTHER_CORES} of a core\n`,
    );
}

function rateLaws(loop: string, run: IsolationRun, names: readonly string[]): string[] {
  const before = meanRate(phaseOf(run, 'all healthy'), run.healthy);
  return names.flatMap((name) => {
    const least = leastRate(phaseOf(run, name), run.healthy);
    return least < KEPT_RATE * before
      ? [`isolation, ${loop}, ${name}: a healthy one got ${least.toFixed(0)}/s, ${before.toFixed(0)} before`]
      : [];
  });
}

function memoryLaws(loop: string, { phases }: IsolationRun): readonly string[] {
  return phases.flatMap(({ name, maxRssBytes, maxInFlightBytes }) => [
    ...(maxInFlightBytes > IN_FLIGHT_CAP_BYTES
      ? [`isolation, ${loop}, ${name}: ${megabytes(maxInFlightBytes)} MB in flight, the cap is 264`]
      : []),
    ...(maxRssBytes > RSS_CAP_BYTES
      ? [`isolation, ${loop}, ${name}: RSS of ${megabytes(maxRssBytes)} MB`]
      : []),
  ]);
}

function phaseOf({ phases }: IsolationRun, name: string): Phase {
  const phase = phases.find((candidate) => candidate.name === name);
  if (!phase) throw new Error(`there was no phase ${name}`);
  return phase;
}

function show(run: IsolationRun): string {
  const { phases, healthy, faulty, caughtUpSeconds } = run;
  const rows = phases.map((phase) => [
    phase.name,
    phase.seconds.toFixed(0),
    phase.producedPerSecond.toFixed(0),
    meanRate(phase, healthy).toFixed(0),
    leastRate(phase, healthy).toFixed(0),
    ...faulty.map((topic) => (phase.rates.get(topic) ?? 0).toFixed(0)),
    healthyPerCpuSecond(run, phase).toFixed(0),
    phase.messagesPerCpuSecond.toFixed(0),
    phase.cores.toFixed(2),
    phase.fakeCores.toFixed(2),
    phase.otherCores.toFixed(2),
    phase.idleCores.toFixed(2),
    String(phase.delayP50),
    String(phase.delayP99),
    String(phase.maxLateMs),
    megabytes(phase.maxRssBytes),
    megabytes(phase.maxHeapBytes),
    megabytes(phase.maxExternalBytes),
    megabytes(phase.maxInFlightBytes),
    String(phase.maxWindowRecords),
  ]);
  const caughtUp =
    caughtUpSeconds === null ? 'not caught up' : `caught up ${caughtUpSeconds.toFixed(1)} s after the repair`;
  return `${table([HEADER, ...rows])}${caughtUp}\n`;
}

const HEADER = [
  'phase',
  's',
  'produced/s',
  'healthy/s',
  'least/s',
  ...FAULTS.map(({ name }) => `${name}/s`),
  'healthy/CPU s',
  'msg/CPU s',
  'cores',
  'fake',
  'others',
  'idle',
  'p50 ms',
  'p99 ms',
  'late ms',
  'RSS MB',
  'heap MB',
  'external MB',
  'in flight MB',
  'window',
];
