/**
 * What must hold of everything that arrived at a destination, whatever happened on the way. Each answers with the
 * violations in words, so that a test can say `toEqual([])`.
 */

/** One wanted operation: whose it is, and its bytes. */
export interface ExpectedOperation {
  readonly ctxId: string;
  readonly bytes: string;
}

export interface Arrivals {
  /** Wanted operations that never arrived. */
  readonly lost: readonly string[];
  /** Arrivals that nobody wanted, or whose bytes are other than expected. */
  readonly unknown: readonly string[];
  /** Operations of a user point that arrived for the first time before an older one of it had. */
  readonly outOfOrder: readonly string[];
  /** Arrivals beyond the first of each operation. */
  readonly duplicates: number;
}

/**
 * Compares what arrived, in its order, with what was wanted, in the order of the mutations.
 *
 * Redeliveries are allowed and counted: what counts for order is that an operation's first arrival comes after the
 * first arrivals of all older ones of its user point. Expected operations must differ in their bytes.
 */
export function compareArrivals(
  expected: readonly ExpectedOperation[],
  arrived: readonly string[],
): Arrivals {
  const indexOf = new Map<string, { ctxId: string; index: number }>();
  const perUser = new Map<string, number>();
  for (const { ctxId, bytes } of expected) {
    if (indexOf.has(bytes)) throw new Error('two expected operations have the same bytes');
    const index = perUser.get(ctxId) ?? 0;
    perUser.set(ctxId, index + 1);
    indexOf.set(bytes, { ctxId, index });
  }
  const nextOf = new Map<string, number>();
  const seen = new Set<string>();
  const unknown: string[] = [];
  const outOfOrder: string[] = [];
  let duplicates = 0;
  for (const bytes of arrived) {
    const found = indexOf.get(bytes);
    if (!found) {
      unknown.push(bytes.slice(0, 200));
      continue;
    }
    if (seen.has(bytes)) {
      duplicates += 1;
      continue;
    }
    seen.add(bytes);
    const next = nextOf.get(found.ctxId) ?? 0;
    if (found.index !== next)
      outOfOrder.push(`${found.ctxId}: operation ${found.index} came when ${next} was due`);
    nextOf.set(found.ctxId, Math.max(next, found.index + 1));
  }
  const lost = expected.filter(({ bytes }) => !seen.has(bytes)).map(({ bytes }) => bytes.slice(0, 200));
  return { lost, unknown, outOfOrder, duplicates };
}
