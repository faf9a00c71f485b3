import { CHECK_RESULTS, type CheckResult } from './check.ts';
import type { GroupReport } from './run-checks.ts';

const COLOURS: Readonly<Record<CheckResult, number>> = { ok: 32, warning: 33, failed: 31, skipped: 90 };
const WIDEST_NAME = 40;

/** How many findings of each result there are. */
export function countsOf(groups: readonly GroupReport[]): Readonly<Record<CheckResult, number>> {
  const counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for (const { findings } of groups) for (const { result } of findings) counts[result] += 1;
  return counts;
}

/** The report for people: groups, one line a finding, its remedy below. Pure. */
export function reportText(groups: readonly GroupReport[], hasColours: boolean): string {
  const names = groups.flatMap(({ findings }) => findings.map(({ name }) => name.length));
  const width = Math.min(WIDEST_NAME, Math.max(0, ...names));
  const resultWidth = Math.max(...CHECK_RESULTS.map((result) => result.length));
  const lines: string[] = [];
  for (const { name: group, findings } of groups) {
    if (findings.length === 0) continue;
    lines.push(group);
    for (const { name, result, message, remedy } of findings) {
      const word = colour(result, result.padEnd(resultWidth), hasColours);
      lines.push(`  ${word}  ${name.padEnd(width)}  ${message}`);
      if (remedy !== null) lines.push(`  ${' '.repeat(resultWidth + width + 4)}→ ${remedy}`);
    }
    lines.push('');
  }
  const counts = countsOf(groups);
  const summary = CHECK_RESULTS.filter((result) => counts[result] > 0).map((result) =>
    colour(result, `${counts[result]} ${result}`, hasColours),
  );
  return `${[...lines, summary.join(', ')].join('\n')}\n`;
}

/** The report for programs, as one object. Pure. */
export function reportJson(groups: readonly GroupReport[]): object {
  const summary = countsOf(groups);
  return {
    status: summary.failed > 0 ? 'error' : 'ok',
    summary,
    checks: groups.flatMap(({ name: group, findings }) =>
      findings.map(({ name, result, message, remedy }) => ({ group, name, result, message, remedy })),
    ),
  };
}

function colour(result: CheckResult, text: string, hasColours: boolean): string {
  return hasColours ? `\u001b[${COLOURS[result]}m${text}\u001b[0m` : text;
}
