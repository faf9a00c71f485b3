import { findPlanted, SEEDS_PER_BUG } from './plant.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';

/** Runs the simulation against every planted bug whose name holds `part`; resolves to how many were not found. */
export async function runPlanted(part: string, print: (line: string) => void): Promise<number> {
  const bugs = PLANTED_BUGS.filter(({ name }) => name.includes(part));
  let missed = 0;
  for (const bug of bugs) {
    const { seeds, seconds, failures } = await findPlanted(bug);
    const [found] = failures;
    if (!found) missed += 1;
    print(
      `${found ? 'found ' : 'MISSED'} ${bug.rule}: ${bug.name}: ` +
        (found
          ? `in seed ${found.seed} after ${seconds.toFixed(1)} s: ${found.violation}`
          : `not in ${seeds} of ${SEEDS_PER_BUG} seeds`),
    );
  }
  return missed;
}
