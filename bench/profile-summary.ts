/**
 * Summarises a CPU profile: the share of each function's and each module's own time in the time that the process worked.
 *
 * `node bench/profile-summary.ts <file.cpuprofile> [rows]`
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples?: readonly number[];
  readonly timeDeltas?: readonly number[];
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The functions and modules with the most own time, as text. */
export async function summarizeProfile(file: string, rows: number): Promise<string> {
  const profile = JSON.parse(await readFile(file, 'utf8')) as Profile;
  const names = new Map<number, { readonly label: string; readonly module: string }>();
  for (const { id, callFrame } of profile.nodes) {
    const { functionName, url, lineNumber } = callFrame;
    const module = moduleOf(functionName, url);
    const place = url === '' ? '' : `  ${shortened(url)}:${lineNumber + 1}`;
    names.set(id, { label: `${functionName === '' ? '(anonymous)' : functionName}${place}`, module });
  }
  const functions = new Map<string, number>();
  const modules = new Map<string, number>();
  let total = 0;
  for (const [i, id] of (profile.samples ?? []).entries()) {
    const name = names.get(id);
    const micros = profile.timeDeltas?.[i] ?? 0;
    if (!name || name.label === '(idle)') continue;
    total += micros;
    functions.set(name.label, (functions.get(name.label) ?? 0) + micros);
    modules.set(name.module, (modules.get(name.module) ?? 0) + micros);
  }
  return [
    `${(total / 1000).toFixed(0)} ms at work`,
    'by module',
    ...topOf(modules, total, rows),
    'by function',
    ...topOf(functions, total, rows),
    '',
  ].join('\n');
}

function topOf(shares: ReadonlyMap<string, number>, total: number, rows: number): string[] {
  return [...shares]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, rows)
    .map(([name, micros]) => `${((micros * 100) / total).toFixed(1).padStart(6)} %  ${name}`);
}

/** The package, the program's folder, or what V8 calls it. */
function moduleOf(functionName: string, url: string): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'native';
  const packageName = /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(url)?.[1];
  if (packageName !== undefined) return packageName;
  return url.startsWith('node:') ? url : shortened(url);
}

function shortened(url: string): string {
  const path = url.startsWith('file://') ? fileURLToPath(url) : url;
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}

if (import.meta.main) {
  const [file, rows = '25'] = process.argv.slice(2);
  if (file === undefined) {
    process.stderr.write('which profile? node bench/profile-summary.ts <file.cpuprofile> [rows]\n');
    process.exitCode = 2;
  } else process.stdout.write(await summarizeProfile(file, Number(rows)));
}
