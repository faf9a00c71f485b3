/** `npm run bench`: measures, prints tables, and ends with 1 when a law doesn't hold. See README.md. */
import { BenchCluster } from './bench-cluster.ts';
import { parseBenchOptions, USAGE, type Bench, type BenchOptions } from './bench-options.ts';
import { benchControl } from './control.ts';
import { benchGrowth } from './growth.ts';
import { benchIsolation } from './isolation.ts';
import { benchJoin } from './join.ts';
import { profileProcessor, profileSync } from './profiling.ts';
import { benchSteady } from './steady.ts';
import { benchSync } from './sync.ts';
import { benchThroughput } from './throughput.ts';

type RunBench = (
  cluster: BenchCluster,
  options: BenchOptions,
  print: (text: string) => void,
) => Promise<readonly string[]>;

const BENCH: Readonly<Record<Bench, RunBench>> = {
  throughput: benchThroughput,
  growth: benchGrowth,
  join: benchJoin,
  isolation: benchIsolation,
  steady: benchSteady,
  control: benchControl,
  sync: benchSync,
};

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function runBenches(options: BenchOptions): Promise<void> {
  await using cluster = await BenchCluster.open();
  if (options.profileDirectory !== null) {
    const { benches, profileDirectory } = options;
    const isSyncAlone = benches.every((bench) => bench === 'sync');
    await (isSyncAlone ? profileSync : profileProcessor)(cluster, options, profileDirectory, print);
    return;
  }
  const broken: string[] = [];
  for (const bench of options.benches) broken.push(...(await BENCH[bench](cluster, options, print)));
  print(broken.length === 0 ? 'All laws hold.' : `Broken laws:\n  ${broken.join('\n  ')}`);
  if (broken.length > 0) process.exitCode = 1;
}

async function main(): Promise<void> {
  let options: BenchOptions | null;
  try {
    options = parseBenchOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (options === null) print(USAGE);
  else await runBenches(options);
}

await main();
