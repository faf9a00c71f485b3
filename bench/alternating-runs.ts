import { median } from './statistics.ts';
import type { Trial } from './trial.ts';

/** Runs each contestant in turn, as often as asked: a noisy minute meets all of them. Returns the medians by contestant. */
export async function alternatingRuns<Name extends string>(
  runs: number,
  contestants: Readonly<Record<Name, () => Promise<Trial>>>,
): Promise<Readonly<Record<Name, Trial>>> {
  const names = Object.keys(contestants) as Name[];
  const trials = new Map<Name, Trial[]>(names.map((name) => [name, []]));
  for (let i = 0; i < runs; i++) {
    for (const name of i % 2 === 0 ? names : names.toReversed()) {
      const trial = await contestants[name]();
      trials.get(name)?.push(trial);
      process.stderr.write(`  run ${i + 1} of ${runs}: ${name} ${trial.cpu.toFixed(2)} µs a record\n`);
    }
  }
  return Object.fromEntries(names.map((name) => [name, medians(trials.get(name) ?? [])])) as Record<
    Name,
    Trial
  >;
}

function medians(trials: readonly Trial[]): Trial {
  const of = (field: keyof Trial): number => median(trials.map((trial) => trial[field]));
  return {
    cpu: of('cpu'),
    mainThreadCpu: of('mainThreadCpu'),
    recordsPerSecond: of('recordsPerSecond'),
    majorGcsPerSecond: of('majorGcsPerSecond'),
    peakRssMb: of('peakRssMb'),
    fakeCpu: of('fakeCpu'),
    messagesPerRequest: of('messagesPerRequest'),
  };
}
