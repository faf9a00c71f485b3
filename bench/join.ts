import { alternatingRuns } from './alternating-runs.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { BenchOptions } from './bench-options.ts';
import { table } from './table.ts';
import { runTrial } from './trial.ts';
import { warmUpRecords } from './warm-up.ts';

const VALUE_BYTES = 1_024;
/** Several readings a run: the law is about three in a hundred. */
const PASSES = 4;
const ALLOWED_RATIO = 1.03;

/** What foreign replications on the table cost a mutation. Returns the laws that don't hold. */
export async function benchJoin(
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
): Promise<readonly string[]> {
  const dataset = await cluster.produce(options.records, VALUE_BYTES);
  const trial = async (foreign: number) => {
    const replications = await cluster.replicate(1, foreign);
    return () =>
      runTrial({
        cluster,
        contestant: 'processor',
        dataset,
        replications,
        delayMs: 0,
        warmUpRecords: warmUpRecords(1),
        passes: PASSES,
      });
  };
  process.stderr.write(`join: ${options.foreign} foreign replications\n`);
  const { without, many } = await alternatingRuns(options.runs, {
    without: await trial(0),
    many: await trial(options.foreign),
  });
  const ratio = many.cpu / without.cpu;
  print(
    `join, N = 1, medians of ${options.runs}\n` +
      table([
        ['foreign replications', 'µs/record', 'ratio', 'RSS MB'],
        ['0', without.cpu.toFixed(2), '', without.peakRssMb.toFixed(0)],
        [String(options.foreign), many.cpu.toFixed(2), ratio.toFixed(3), many.peakRssMb.toFixed(0)],
      ]),
  );
  return ratio > ALLOWED_RATIO
    ? [
        `join: ${options.foreign} foreign replications make it ${ratio.toFixed(3)} times as dear, ${ALLOWED_RATIO} is allowed`,
      ]
    : [];
}
