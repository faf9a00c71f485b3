import { parseArgs } from 'node:util';
import { runPlanted } from './run-planted.ts';
import { simulate, type SimulationResult } from './simulation.ts';

const USAGE = `npm run simulate -- [options]

  --seeds <n>       how many seeds (1000)
  --seconds <n>     ends after so many seconds, however many seeds that were
  --least <n>       with --seconds: not before so many seeds, however long they take (0)
  --from <seed>     the first seed (0)
  --seed <seed>     this one only
  --trace           with --seed: prints everything that happens
  --keep-going      does not end at the first failure
  --planted [name]  proves that it finds the planted bugs whose names hold this, each in its 200 first seeds
  --json            prints a summary as JSON at the end, for tests
`;
const PROGRESS_MS = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '1000' },
    seconds: { type: 'string' },
    least: { type: 'string', default: '0' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** What a failing seed broke, and how it is run again. */
function printFailure({ seed, violations, trace }: SimulationResult): void {
  for (const line of trace.slice(-40)) print(line);
  print(`seed ${seed}: ${violations[0] ?? ''}`);
  print(`again: npm run simulate -- --seed ${seed} --trace`);
}

async function main(): Promise<void> {
  if (values.help) {
    print(USAGE);
    return;
  }
  if (values.planted) {
    if ((await runPlanted(positionals.join(' '), print)) > 0) process.exitCode = 1;
    return;
  }
  const from = Number(values.seed ?? values.from);
  const seeds = values.seed === undefined ? Number(values.seeds) : 1;
  const startedMs = performance.now();
  const untilMs = values.seconds === undefined ? Infinity : startedMs + Number(values.seconds) * 1_000;
  const reached = new Map<string, number>();
  const failed: SimulationResult[] = [];
  let ran = 0;
  let steps = 0;
  let simulatedMs = 0;
  let shownMs = startedMs;
  const least = Number(values.least);
  for (let seed = from; seed < from + seeds && (ran < least || performance.now() < untilMs); seed += 1) {
    const result = await simulate({ seed, onTrace: values.trace ? print : null });
    ran += 1;
    steps += result.steps;
    simulatedMs += result.simulatedMs;
    for (const [name, count] of result.reached) reached.set(name, (reached.get(name) ?? 0) + count);
    if (result.violations.length > 0) {
      failed.push(result);
      if (values['keep-going']) print(`seed ${seed}: ${result.violations[0] ?? ''}`);
      else break;
    }
    if (!values.json && performance.now() - shownMs > PROGRESS_MS) {
      shownMs = performance.now();
      print(
        `${ran} seeds, ${(ran / ((shownMs - startedMs) / 1_000)).toFixed(1)} a second, ${failed.length} failed`,
      );
    }
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  if (values.json) {
    print(
      JSON.stringify({
        seeds: ran,
        seconds,
        failures: failed.map(({ seed, violations }) => ({ seed, violation: violations[0] })),
        reached: Object.fromEntries(reached),
      }),
    );
  } else {
    for (const [name, count] of [...reached].sort()) print(`${String(count).padStart(9)} ${name}`);
    print(
      `${ran} seeds in ${seconds.toFixed(1)} s (${(ran / seconds).toFixed(1)} a second), ` +
        `${Math.round(simulatedMs / 1_000)} simulated seconds, ${steps} steps, ${failed.length} failed`,
    );
    if (!values.trace && !values['keep-going']) for (const result of failed) printFailure(result);
  }
  if (failed.length > 0) process.exitCode = 1;
}

await main();
