import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** The parts of the bench. */
export const BENCHES = ['throughput', 'growth', 'join', 'isolation', 'steady', 'control', 'sync'] as const;
export type Bench = (typeof BENCHES)[number];

/** With all that the machine can, or with mutations that come when they come. */
export const LOOPS = ['full', 'open'] as const;
export type Loop = (typeof LOOPS)[number];

/** How the isolation bench runs. */
export interface IsolationOptions {
  /** Mutations a second of the open loop; null for half of what full load came to. */
  readonly rate: number | null;
  readonly partitions: number;
  /** How long each phase lasts; the catch-up at most. */
  readonly seconds: {
    readonly warmUp: number;
    readonly healthy: number;
    readonly fault: number;
    readonly detached: number;
    readonly catchUp: number;
  };
}

/** How the steady bench runs. */
export interface SteadyOptions {
  /** Of measured time. */
  readonly minutes: number;
  /** Mutations that lie there before the program starts. */
  readonly backlog: number;
}

/** How the sync bench runs. */
export interface SyncOptions {
  /** Mutations a second of the open loop. */
  readonly rate: number;
  /** Of the snapshot. */
  readonly rows: number;
  /** How long live mutations come alone: before anything is measured, then before and after the rows. */
  readonly seconds: { readonly warmUp: number; readonly alone: number };
}

/** What the command line asks for. */
export interface BenchOptions {
  readonly benches: readonly Bench[];
  /** Alternating runs of each contestant. */
  readonly runs: number;
  /** Measured records of each run. */
  readonly records: number;
  readonly replications: readonly number[];
  readonly delaysMs: readonly number[];
  readonly foreign: number;
  /** Which runs the isolation and the sync bench make. */
  readonly loops: readonly Loop[];
  readonly isolation: IsolationOptions;
  readonly steady: SteadyOptions;
  /** Replications of the control bench. */
  readonly table: number;
  readonly sync: SyncOptions;
  /** Another checkout whose program takes part in the throughput bench; null for none. */
  readonly against: string | null;
  /** Whether the throughput bench also measures this program keeping the snapshot, and a profile is of that. */
  readonly hasSnapshot: boolean;
  /** Where CPU profiles of the program go; null for none. */
  readonly profileDirectory: string | null;
}

/** Shown by `--help`. */
export const USAGE = `npm run bench -- [throughput] [growth] [join] [isolation] [steady] [control] [sync] [options]      (default: all)

  throughput   CPU time per record of this program beside a tuned hand-written loop
  growth       of this program, with values of 200 B, 1 KB and 4 KB
  join         of this program, without and with foreign replications on the table
  isolation    what four healthy replications notice of four faulty ones
  steady       whether memory stays while a destination never answers and has 1 GB of backlog
  control      how long a start and a change take with thousands of replications, and what one costs in memory
  sync         what a row of a snapshot costs beside a live mutation, and what live mutations notice of the rows

  --runs <n>             alternating runs, of which the median counts (5)
  --records <n>          records that each run measures, a multiple of 8 (200000)
  --replications <list>  replications of the datamart (1,4,16)
  --delays <list>        ms until the fake Pub/Sub answers (0,20)
  --against <directory>  another checkout of this program, with its node_modules, as a third one in the throughput bench
  --snapshot             in the throughput bench also this program with SNAPSHOT_ENABLED=true; profiles it so
  --foreign <n>          replications of other datamarts in the join bench (10000)
  --loops <list>         which runs the isolation and the sync bench make (full,open)
  --rate <n>             mutations a second of their open loops (isolation: half of what full load came to; sync: 2000)
  --partitions <n>       of the isolation bench's topic (8)
  --phases <list>        its seconds of warm-up, health, fault, detachment and, at most, catch-up (15,30,60,20,90)
  --minutes <n>          that the steady bench measures, after one to settle (10)
  --backlog <n>          mutations that lie there when it starts (860000)
  --table <n>            replications of the control bench, ten a datamart (5000)
  --rows <n>             rows of the sync bench's snapshot, a multiple of 8 (1000000)
  --quick                one run with 40000 records, and short phases, to see that it works
  --profile [directory]  profiles this program instead of comparing it; the directory gets the .cpuprofile files
  --help

KAFKA_BROKERS uses a running Kafka instead of the embedded one. codec.ts is a bench of its own: node bench/codec.ts
`;

/** Reads the command line. Null when help is asked for; throws an `Error` with words when it isn't understood. */
export function parseBenchOptions(args: readonly string[]): BenchOptions | null {
  const { values, positionals } = parseArgs({
    // `--profile` may stand without a directory.
    args: args.map((arg, i) =>
      arg === '--profile' && (args[i + 1] ?? '--').startsWith('--') ? '--profile=bench-profiles' : arg,
    ),
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      records: { type: 'string' },
      replications: { type: 'string', default: '1,4,16' },
      delays: { type: 'string', default: '0,20' },
      against: { type: 'string' },
      snapshot: { type: 'boolean', default: false },
      foreign: { type: 'string', default: '10000' },
      rate: { type: 'string' },
      loops: { type: 'string', default: LOOPS.join() },
      partitions: { type: 'string', default: '8' },
      phases: { type: 'string' },
      minutes: { type: 'string' },
      backlog: { type: 'string' },
      table: { type: 'string' },
      rows: { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const benches = positionals.map((name) => {
    const bench = BENCHES.find((candidate) => candidate === name);
    if (bench === undefined) throw new Error(`${name} is no bench; there are ${BENCHES.join(', ')}`);
    return bench;
  });
  const asked = benches.length > 0 ? benches : BENCHES;
  const rate = values.rate === undefined ? null : wholeNumber('--rate', values.rate, 100);
  return {
    benches: asked,
    runs: wholeNumber('--runs', values.runs ?? (values.quick ? '1' : '5'), 1),
    records: evenlySpread('--records', values.records ?? (values.quick ? '40000' : '200000')),
    replications: values.replications.split(',').map((n) => wholeNumber('--replications', n, 1)),
    delaysMs: values.delays.split(',').map((ms) => wholeNumber('--delays', ms, 0)),
    foreign: wholeNumber('--foreign', values.foreign, 1),
    loops: loopsOf(values.loops, asked, rate),
    isolation: {
      rate,
      partitions: wholeNumber('--partitions', values.partitions, 1),
      seconds: phaseSeconds(values.phases ?? (values.quick ? '6,6,14,5,40' : '15,30,60,20,90')),
    },
    steady: {
      minutes: wholeNumber('--minutes', values.minutes ?? (values.quick ? '1' : '10'), 1),
      backlog: wholeNumber('--backlog', values.backlog ?? (values.quick ? '40000' : '860000'), 1),
    },
    table: wholeNumber('--table', values.table ?? (values.quick ? '500' : '5000'), 10),
    sync: {
      rate: rate ?? 2_000,
      rows: evenlySpread('--rows', values.rows ?? (values.quick ? '40000' : '1000000')),
      seconds: values.quick ? { warmUp: 6, alone: 6 } : { warmUp: 20, alone: 30 },
    },
    against: values.against === undefined ? null : checkout(values.against),
    hasSnapshot: values.snapshot,
    profileDirectory: values.profile ?? null,
  };
}

function checkout(directory: string): string {
  const path = resolve(directory);
  if (!existsSync(join(path, 'bench/processor-child.ts')))
    throw new Error(`--against must be a checkout of this program with its bench; ${path} is none`);
  if (!existsSync(join(path, 'node_modules')))
    throw new Error(`--against ${path} has no node_modules; run \`npm ci\` there`);
  return path;
}

function loopsOf(text: string, benches: readonly Bench[], rate: number | null): readonly Loop[] {
  const loops = LOOPS.filter((loop) => text.split(',').includes(loop));
  if (loops.join() !== text) throw new Error(`--loops must be of ${LOOPS.join()}, it is ${text}`);
  if (text === 'open' && rate === null && benches.includes('isolation'))
    throw new Error('isolation with --loops open needs --rate');
  return loops;
}

function phaseSeconds(text: string): IsolationOptions['seconds'] {
  const all = text.split(',').map((seconds) => wholeNumber('--phases', seconds, 1));
  const [warmUp, healthy, fault, detached, catchUp] = all;
  if (all.length !== 5 || !warmUp || !healthy || !fault || !detached || !catchUp)
    throw new Error(`--phases must be five numbers, it is ${text}`);
  return { warmUp, healthy, fault, detached, catchUp };
}

function evenlySpread(name: string, text: string): number {
  const number = wholeNumber(name, text, 8);
  if (number % 8 !== 0) throw new Error(`${name} must be a multiple of 8, the number of partitions`);
  return number;
}

function wholeNumber(name: string, text: string, least: number): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(number) || number < least) {
    throw new Error(`${name} must be whole numbers from ${least} on, it is ${text}`);
  }
  return number;
}
