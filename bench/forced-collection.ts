/**
 * Loaded into the program by the steady bench before everything else: SIGUSR2 collects all garbage and appends a line of
 * JSON to `COLLECTIONS_FILE`, what is in use afterwards (`process.memoryUsage()`).
 */
import { appendFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const { COLLECTIONS_FILE } = process.env;
// Only a context that is made after the flag was set has the function.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

process.on('SIGUSR2', () => {
  // The first one finds what finalizers of the second hold.
  collect();
  collect();
  if (COLLECTIONS_FILE !== undefined)
    appendFileSync(COLLECTIONS_FILE, `${JSON.stringify(process.memoryUsage())}\n`);
});
