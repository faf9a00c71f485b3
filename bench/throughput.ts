import { alternatingRuns } from './alternating-runs.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { table } from './table.ts';
import { runTrial, type Contestant, type Trial } from './trial.ts';
import { warmUpRecords } from './warm-up.ts';

const VALUE_BYTES = 1_024;
const THIS = 'processor';
const LOOP = 'tuned loop';
const OTHER = 'against';
const WITH_SNAPSHOT = 'with snapshot';

/** How many times less CPU time per record than the tuned loop this program must need, by replications. */
const REQUIRED_RATIOS: ReadonlyMap<number, number> = new Map([
  [1, 3],
  [4, 5],
  [16, 8],
]);

/** What keeping the snapshot may cost of a record of 1 KB, in µs. */
const ALLOWED_FOR_SNAPSHOT = 3;

/** What this program may need of the CPU time that the one of `--against` needs. It differs by as much from itself. */
const ALLOWED_AGAINST = 1.05;

/** This program beside the tuned loop, and beside another checkout's where one is given. Returns the laws that don't hold. */
export async function benchThroughput(
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const broken: string[] = [];
  const dataset = await cluster.produce(options.records, VALUE_BYTES);
  const rows = [HEADER];
  for (const delayMs of options.delaysMs) {
    for (const count of options.replications) {
      process.stderr.write(`throughput: ${count} replications, ${delayMs} ms\n`);
      const replications = await cluster.replicate(count);
      const trial =
        (contestant: Contestant, checkout?: string, hasSnapshot = false) =>
        () =>
          runTrial({
            cluster,
            contestant,
            ...(checkout === undefined ? {} : { checkout }),
            dataset,
            replications,
            delayMs,
            warmUpRecords: warmUpRecords(count),
            passes: 1,
            hasSnapshot,
          });
      const results = await alternatingRuns<string>(options.runs, {
        [THIS]: trial('processor'),
        [LOOP]: trial('tuned-loop'),
        ...(options.against === null ? {} : { [OTHER]: trial('processor', options.against) }),
        ...(options.hasSnapshot ? { [WITH_SNAPSHOT]: trial('processor', undefined, true) } : {}),
      });
      const [here, loop, other] = [results[THIS]!, results[LOOP]!, results[OTHER]];
      const kept = results[WITH_SNAPSHOT];
      const ratio = loop.cpu / here.cpu;
      const required = REQUIRED_RATIOS.get(count);
      rows.push(rowOf(count, delayMs, THIS, here, ratio));
      rows.push(rowOf(count, delayMs, LOOP, loop, null));
      if (other) rows.push(rowOf(count, delayMs, OTHER, other, loop.cpu / other.cpu));
      if (kept) rows.push(rowOf(count, delayMs, WITH_SNAPSHOT, kept, loop.cpu / kept.cpu));
      if (kept && kept.cpu - here.cpu > ALLOWED_FOR_SNAPSHOT) {
        broken.push(
          `throughput, N = ${count}, ${delayMs} ms: the snapshot costs ${(kept.cpu - here.cpu).toFixed(2)} µs a record, ${ALLOWED_FOR_SNAPSHOT} at most`,
        );
      }
      if (other && here.cpu > ALLOWED_AGAINST * other.cpu) {
        broken.push(
          `throughput, N = ${count}, ${delayMs} ms: ${here.cpu.toFixed(2)} µs a record, ${other.cpu.toFixed(2)} in ${options.against}`,
        );
      }
      if (required !== undefined && ratio < required) {
        broken.push(
          `throughput, N = ${count}, ${delayMs} ms: ${ratio.toFixed(2)} times less CPU than the loop, ${required} are required`,
        );
      }
    }
  }
  print(
    `CPU time per record, ${options.records} records, value ${VALUE_BYTES} B, medians of ${options.runs}\n${table(rows)}`,
  );
  return broken;
}

const HEADER = [
  'N',
  'delay',
  'who',
  'µs/record',
  'main',
  'ratio',
  'rec/s',
  'msg/request',
  'major GC/s',
  'RSS MB',
  'fake µs/msg',
];

function rowOf(count: number, delayMs: number, who: string, trial: Trial, ratio: number | null): string[] {
  return [
    String(count),
    `${delayMs} ms`,
    who,
    trial.cpu.toFixed(2),
    trial.mainThreadCpu.toFixed(2),
    ratio === null ? '' : ratio.toFixed(2),
    trial.recordsPerSecond.toFixed(0),
    trial.messagesPerRequest.toFixed(0),
    trial.majorGcsPerSecond.toFixed(1),
    trial.peakRssMb.toFixed(0),
    trial.fakeCpu.toFixed(2),
  ];
}
