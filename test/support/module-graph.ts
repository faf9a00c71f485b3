import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

/** One import, export-from or dynamic import; type imports too. */
export interface ModuleImport {
  /** Path of the importing file, from the repository's root. */
  readonly from: string;
  /** The imported file's path, or the package's name. */
  readonly to: string;
  readonly isPackage: boolean;
}

/** Who may import whom: of the rules whose `from` begins the importing file's path, the longest counts. */
export interface DependencyRule {
  readonly from: string;
  /** Beginnings of the paths that may be imported; the rule's own `from` always may. */
  readonly to: readonly string[];
}

/** Beginnings of the paths of the files that may import a package. */
export type PackageHomes = Readonly<Record<string, readonly string[]>>;

/** Reads the imports of all files that the patterns name. */
export function readImports(root: string, patterns: readonly string[]): readonly ModuleImport[] {
  return globSync(patterns, { cwd: root }).flatMap((from): ModuleImport[] => {
    const text = readFileSync(join(root, from), 'utf8');
    return ts.preProcessFile(text, true, true).importedFiles.flatMap(({ fileName }): ModuleImport[] => {
      if (fileName.startsWith('node:')) return [];
      return fileName.startsWith('.')
        ? [{ from, to: normalize(join(dirname(from), fileName)), isPackage: false }]
        : [{ from, to: packageOf(fileName), isPackage: true }];
    });
  });
}

/** The imports between files that no rule allows, as `from → to`. */
export function forbiddenImports(
  imports: readonly ModuleImport[],
  rules: readonly DependencyRule[],
): readonly string[] {
  return imports
    .filter(({ from, to, isPackage }) => !isPackage && !isAllowed(from, to, rules))
    .map(({ from, to }) => `${from} → ${to}`);
}

/** The imports of packages outside their homes, as `from → package`. A package without an entry has no home. */
export function homelessImports(imports: readonly ModuleImport[], homes: PackageHomes): readonly string[] {
  return imports
    .filter(
      ({ from, to, isPackage }) => isPackage && !(homes[to] ?? []).some((home) => from.startsWith(home)),
    )
    .map(({ from, to }) => `${from} → ${to}`);
}

/** One import cycle as the files on it; empty when there is none. */
export function findCycle(imports: readonly ModuleImport[]): readonly string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to, isPackage } of imports) {
    if (!isPackage) targets.set(from, [...(targets.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): readonly string[] => {
    const start = path.indexOf(file);
    if (start >= 0) return [...path.slice(start), file];
    if (done.has(file)) return [];
    for (const target of targets.get(file) ?? []) {
      const cycle = visit(target, [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  for (const file of targets.keys()) {
    const cycle = visit(file, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

function isAllowed(from: string, to: string, rules: readonly DependencyRule[]): boolean {
  const [rule] = rules
    .filter((candidate) => from.startsWith(candidate.from))
    .sort((one, other) => other.from.length - one.from.length);
  return rule !== undefined && [rule.from, ...rule.to].some((allowed) => to.startsWith(allowed));
}

function packageOf(specifier: string): string {
  const [scopeOrName = '', name = ''] = specifier.split('/');
  return scopeOrName.startsWith('@') ? `${scopeOrName}/${name}` : scopeOrName;
}
