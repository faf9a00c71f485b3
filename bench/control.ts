import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { PER_DATAMART, runControl, type ControlRun } from './control-run.ts';
import { megabytes } from './megabytes.ts';
import { median } from './statistics.ts';
import { table } from './table.ts';

const READY_LIMIT_MS = 20_000;
const CHANGE_LIMIT_MS = 1_000;

/**
 * What thousands of replications cost a start, a change and the memory: row 45 of the fault matrix (RELIABILITY, section
 * 6). Returns the laws that don't hold.
 */
export async function benchControl(
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  process.stderr.write(`control: ${options.table} replications, ${options.runs} starts\n`);
  const empty = await runControl({ cluster, replications: 0, starts: options.runs });
  const full = await runControl({ cluster, replications: options.table, starts: options.runs });
  print(
    `control, ${options.table} ACTIVE replications of ${options.table / PER_DATAMART} datamarts with sealed credentials\n` +
      show(empty, full),
  );
  const slowest = Math.max(...full.readyMs);
  const longest = Math.max(...full.changeMs);
  return [
    ...(slowest < READY_LIMIT_MS ? [] : [`control: a start took ${seconds(slowest)} s until it was ready`]),
    ...(longest < CHANGE_LIMIT_MS ? [] : [`control: a change took ${longest.toFixed(0)} ms`]),
    ...(full.connections === 0
      ? []
      : [`control: ${full.connections} connections to destinations that nobody needs`]),
  ];
}

function show(empty: ControlRun, full: ControlRun): string {
  const perReplication = (of: 'heapUsed' | 'external' | 'rss'): string =>
    ((full.collected[of] - empty.collected[of]) / full.replications / 1_024).toFixed(2);
  return (
    table([
      ['replications', 'ready s', 'slowest s', 'heap MB', 'external MB', 'RSS MB', 'connections'],
      ...[empty, full].map(({ replications, readyMs, collected, connections }) => [
        String(replications),
        seconds(median(readyMs)),
        seconds(Math.max(...readyMs)),
        megabytes(collected.heapUsed, 1),
        megabytes(collected.external, 1),
        megabytes(collected.rss, 1),
        String(connections),
      ]),
      [
        'KB for each',
        '',
        '',
        perReplication('heapUsed'),
        perReplication('external'),
        perReplication('rss'),
        '',
      ],
    ]) +
    `${full.changeMs.length} changes by PUT: ${median(full.changeMs).toFixed(0)} ms in the middle, ` +
    `${Math.max(...full.changeMs).toFixed(0)} ms at most\n`
  );
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1_000).toFixed(1);
}
