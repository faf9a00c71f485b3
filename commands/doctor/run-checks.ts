import { sleep, type Clock } from '../../streams/clock.ts';
import { safeWords } from '../safe-text.ts';
import { CheckSkippedError, reasonOf, type Check, type CheckGroup, type Finding } from './check.ts';

/** What the checks of one group found, in their order. */
export interface GroupReport {
  readonly name: string;
  readonly findings: readonly Finding[];
}

export interface RunChecksOptions {
  readonly clock: Clock;
  /** Hears of each check as it begins. */
  readonly onCheck: (group: string, check: string) => void;
}

/**
 * Makes the checks, group after group, since later ones need what earlier ones found. Never rejects and never hangs: a
 * check that throws or takes too long has failed, and those that are left when `signal` aborts are skipped. No finding
 * holds a secret.
 */
export async function runChecks(
  groups: readonly CheckGroup[],
  options: RunChecksOptions,
  signal: AbortSignal,
): Promise<readonly GroupReport[]> {
  const reports: GroupReport[] = [];
  for (const group of groups) {
    const found = await inParallel(group.checks, group.concurrency, (check) => {
      if (!signal.aborted) options.onCheck(group.name, check.name);
      return runCheck(check, options.clock, signal);
    });
    reports.push({ name: group.name, findings: found.flat().map(shown) });
  }
  return reports;
}

async function runCheck(check: Check, clock: Clock, signal: AbortSignal): Promise<readonly Finding[]> {
  const { name, timeoutMs } = check;
  const skip = (message: string): readonly Finding[] => [{ name, result: 'skipped', message, remedy: null }];
  if (signal.aborted) return skip('stopped before it began');
  const ending = new AbortController();
  const stop = (): void => {
    ending.abort(new Error('stopped'));
  };
  signal.addEventListener('abort', stop, { once: true });
  const over = new AbortController();
  const inTime = sleep(clock, timeoutMs, AbortSignal.any([signal, over.signal])).then(
    (): readonly Finding[] =>
      signal.aborted
        ? skip('stopped before it ended')
        : [
            {
              name,
              result: 'failed',
              message: `no answer within ${timeoutMs / 1_000} s`,
              remedy: 'look at network and firewalls between this machine and what is checked',
            },
          ],
  );
  try {
    const findings = Promise.resolve().then(() => check.run(ending.signal));
    findings.catch(() => undefined);
    return await Promise.race([findings, inTime]);
  } catch (error) {
    if (error instanceof CheckSkippedError) return skip(error.message);
    return [{ name, result: 'failed', message: reasonOf(error), remedy: null }];
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort();
    stop();
  }
}

/** Runs `work` on each item, so many at a time; the results are in the items' order. */
async function inParallel<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results = new Map<number, Result>();
  const entries = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results.set(index, await work(item));
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  return items.flatMap((_, index) => {
    const result = results.get(index);
    return result === undefined ? [] : [result];
  });
}

/** Others' words (brokers, registries, destinations) may hold what must not be shown. */
function shown({ name, result, message, remedy }: Finding): Finding {
  return { name: safeWords(name), result, message: safeWords(message), remedy: remedy && safeWords(remedy) };
}
