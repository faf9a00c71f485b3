import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PlantedBug } from './planted-bugs.ts';

const ROOT = join(import.meta.dirname, '../..');
const COPIED = ['streams', 'processors', 'schemas', 'sinks', 'local', 'test/simulation', 'package.json'];
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
  const directory = mkdtempSync(join(tmpdir(), 'planted-'));
  try {
    for (const path of COPIED) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
    for (const { file, find, replace } of edits) {
      const path = join(directory, file);
      const text = readFileSync(path, 'utf8');
      const parts = text.split(find);
      if (parts.length !== 2) {
        throw new Error(
          `the planted bug "${name}" must be updated: ${file} holds its place ${parts.length - 1} times, not once`,
        );
      }
      writeFileSync(path, parts.join(replace));
    }
    const known = seed === undefined ? null : await runSimulation(['--seed', String(seed)], directory);
    if (known && known.failures.length > 0) return known;
    return await runSimulation(['--seeds', String(SEEDS_PER_BUG)], directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
