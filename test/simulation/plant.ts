import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { PlantedBug } from './planted-bugs.ts';
import { PlantedSources } from './planted-sources.ts';

const ROOT = join(import.meta.dirname, '../..');
const COPIED = [
  'streams',
  'processors',
  'schemas',
  'sinks',
  'local',
  'test/simulation',
  'test/support',
  'package.json',
];
/** A violation of any of these seeds is enough. */
export const SEEDS_PER_BUG = 200;

/** What a run of the simulation prints with `--json`. */
export interface SimulationSummary {
  readonly seeds: number;
  readonly seconds: number;
  readonly failures: readonly { readonly seed: number; readonly violation: string }[];
  readonly reached: Readonly<Record<string, number>>;
}

/** Runs the simulation in a process of its own, from the sources in `root`. */
export async function runSimulation(args: readonly string[], root = ROOT): Promise<SimulationSummary> {
  const child = spawn(process.execPath, ['test/simulation/run.ts', '--json', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<SimulationSummary>();
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.on('error', reject);
  child.on('close', () => {
    const summary = output.split('\n').findLast((line) => line.startsWith('{"seeds"'));
    if (summary === undefined)
      reject(new Error(`the simulation did not end as it should: ${output.slice(-2_000)}`));
    else resolve(JSON.parse(summary) as SimulationSummary);
  });
  return promise;
}

/** Runs the simulation over a copy of the sources that has the bug, until it is found: at most `SEEDS_PER_BUG` seeds. */
export async function findPlanted({ name, edits, seed }: PlantedBug): Promise<SimulationSummary> {
  using sources = new PlantedSources(name, COPIED, edits);
  const { directory } = sources;
  const known = seed === undefined ? null : await runSimulation(['--seed', String(seed)], directory);
  if (known && known.failures.length > 0) return known;
  return await runSimulation(['--seeds', String(SEEDS_PER_BUG)], directory);
}
