import type { SoakDestination } from './destinations.ts';

/** What there was to make up for after a fault, and how long it took. */
interface Recovery {
  readonly fault: string;
  readonly sinceMs: number;
  /** What was produced by then has to arrive. */
  readonly end: number;
  readonly waiting: Set<SoakDestination>;
}

/** What one kind of fault came to. */
export interface FaultCount {
  count: number;
  recovered: number;
  slowestMs: number;
}

/** Measures, from the end of each fault, how long it takes until all that was produced before has arrived. */
export class Recoveries {
  readonly #open = new Set<Recovery>();
  readonly counts = new Map<string, FaultCount>();

  begin(fault: string): void {
    const counted = this.counts.get(fault);
    if (counted) counted.count += 1;
    else this.counts.set(fault, { count: 1, recovered: 0, slowestMs: 0 });
  }

  /** From now on `destinations` can have all of the first `end` mutations. */
  healed(fault: string, end: number, destinations: Iterable<SoakDestination>): void {
    const waiting = new Set([...destinations].filter(({ ledger }) => ledger.isWanted));
    this.#open.add({ fault, sinceMs: performance.now(), end, waiting });
  }

  /** Something new befalls a destination: what it still lacks says nothing about earlier faults. */
  disturbed(destination: SoakDestination): void {
    for (const { waiting } of this.#open) waiting.delete(destination);
  }

  /** The same for all. */
  allDisturbed(): void {
    this.#open.clear();
  }

  /** Whether there is nothing left to wait for. */
  get isDone(): boolean {
    return this.#open.size === 0;
  }

  check(): void {
    for (const recovery of this.#open) {
      for (const destination of recovery.waiting)
        if (!destination.ledger.isWanted || destination.ledger.backlog(recovery.end) === 0)
          recovery.waiting.delete(destination);
      if (recovery.waiting.size > 0) continue;
      this.#open.delete(recovery);
      const counted = this.counts.get(recovery.fault);
      if (!counted) continue;
      counted.recovered += 1;
      counted.slowestMs = Math.max(counted.slowestMs, performance.now() - recovery.sinceMs);
    }
  }
}
