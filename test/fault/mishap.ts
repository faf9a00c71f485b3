import { writeSync } from 'node:fs';

/*
 * Loaded into a processor by `withMishap` before everything else. SIGUSR2 makes it happen:
 *
 * - `block`: nothing else runs for `MISHAP_MS`;
 * - `leak`: the heap is filled until V8 gives up;
 * - `clock`: the wall clock, which is an hour ahead from the start, jumps to an hour behind.
 */

const HOUR_MS = 3_600_000;
const STDERR = 2;

function block(durationMs: number): void {
  const until = performance.now() + durationMs;
  while (performance.now() < until);
}

function leak(): void {
  const kept: number[][] = [];
  for (;;) kept.push(new Array<number>(100_000).fill(Math.random()));
}

/** Makes this process's wall clock wrong; returns how to set it. */
function skewClock(offsetMs: number): (offsetMs: number) => void {
  let skewMs = offsetMs;
  const RealDate = Date;
  const now = (): number => RealDate.now() + skewMs;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, [first = now(), ...rest]: ConstructorParameters<typeof Date>[0][], newTarget) =>
      Reflect.construct(target, [first, ...rest], newTarget) as Date,
    get: (target, property, receiver) =>
      property === 'now' ? now : (Reflect.get(target, property, receiver) as unknown),
  });
  return (changedMs) => (skewMs = changedMs);
}

const { MISHAP, MISHAP_MS } = process.env;
const setSkew = MISHAP === 'clock' ? skewClock(HOUR_MS) : null;
process.on('SIGUSR2', () => {
  writeSync(STDERR, `the mishap: ${MISHAP}\n`);
  if (MISHAP === 'block') block(Number(MISHAP_MS));
  else if (MISHAP === 'leak') leak();
  else setSkew?.(-HOUR_MS);
});
