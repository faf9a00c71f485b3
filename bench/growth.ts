import { alternatingRuns } from './alternating-runs.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { table } from './table.ts';
import { runTrial } from './trial.ts';
import { warmUpRecords } from './warm-up.ts';

const VALUE_BYTES = [200, 1_024, 4_096] as const;
const REPLICATIONS = [1, 16] as const;
/** What a mutation has beside its value. */
const ENVELOPE_BYTES = 230;
/** So that all sizes move about as many bytes. */
const LARGE_RECORDS_SHARE = 4;
/** Cost may grow this much faster than size. */
const TOLERANCE = 1.5;

/** How CPU time per record grows with the size of the value. Returns the laws that don't hold. */
export async function benchGrowth(
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const broken: string[] = [];
  const rows = [['N', 'value B', 'µs/record', 'µs/KB', 'rec/s', 'RSS MB']];
  const datasets = [];
  for (const bytes of VALUE_BYTES) {
    const share = bytes > 2_000 ? LARGE_RECORDS_SHARE : 1;
    datasets.push({
      bytes,
      dataset: await cluster.produce(Math.floor(options.records / share / 8) * 8, bytes),
    });
  }
  for (const count of REPLICATIONS) {
    const replications = await cluster.replicate(count);
    process.stderr.write(`growth: ${count} replications\n`);
    const contestants = Object.fromEntries(
      datasets.map(({ bytes, dataset }) => [
        `${bytes} B`,
        () =>
          runTrial({
            cluster,
            contestant: 'processor',
            dataset,
            replications,
            delayMs: 0,
            warmUpRecords: warmUpRecords(count),
            passes: 1,
          }),
      ]),
    );
    const results = await alternatingRuns(options.runs, contestants);
    const costs = VALUE_BYTES.map((bytes) => {
      const trial = results[`${bytes} B`]!;
      const kilobytes = (bytes + ENVELOPE_BYTES) / 1_024;
      rows.push([
        String(count),
        String(bytes),
        trial.cpu.toFixed(2),
        (trial.cpu / kilobytes).toFixed(2),
        trial.recordsPerSecond.toFixed(0),
        trial.peakRssMb.toFixed(0),
      ]);
      return trial.cpu / kilobytes;
    });
    // Linear or better: a kilobyte of a large record may not cost more than one of a middling record.
    const [, middle = NaN, large = NaN] = costs;
    if (large > middle * TOLERANCE) {
      broken.push(
        `growth, N = ${count}: a KB costs ${large.toFixed(2)} µs at 4 KB and ${middle.toFixed(2)} at 1 KB`,
      );
    }
  }
  print(`growth with size, medians of ${options.runs}\n${table(rows)}`);
  return broken;
}
