import { parseSoakOptions, USAGE, type SoakOptions } from './soak-options.ts';
import { runSoak, SoakFailure } from './soak.ts';

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
  if (options === null) {
    print(USAGE);
    return;
  }
  try {
    if (!(await runSoak(options, print))) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof SoakFailure)) throw error;
    process.stderr.write(`${error.message}\n`);
    // What still waits for something that failed would hold the process for minutes.
    process.exit(3);
  }
}

await main();
