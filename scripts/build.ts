/** Builds the published package into `dist/`: JavaScript with types, the schemas, an executable `bin.js`. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));

rmSync(dist, { recursive: true, force: true });
// Node 24 knows `using` itself; what TypeScript writes in its place keeps the `.ts` of dynamic imports within it.
const options = ['-p', join(root, 'tsconfig.build.json'), '--target', 'esnext'];
try {
  execFileSync(process.execPath, [join(typescript, 'bin', 'tsc'), ...options], { stdio: 'inherit' });
} catch {
  // The compiler has said what is wrong.
  process.exit(1);
}
mkdirSync(join(dist, 'schemas'), { recursive: true });
for (const file of readdirSync(join(root, 'schemas'))) {
  if (/\.(avsc|schema\.json)$/.test(file)) cpSync(join(root, 'schemas', file), join(dist, 'schemas', file));
}
chmodSync(join(dist, 'bin.js'), 0o755);
