import { parseSoakOptions, USAGE, type SoakOptions } from './soak-options.ts';
import { runSoak } from './soak.ts';

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function main(): Promise<void> {
  let options: SoakOptions | null;
  try {
    options = parseSoakOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (options === null) print(USAGE);
  else if (!(await runSoak(options, print))) process.exitCode = 1;
}

await main();
