/** PROTOCOL A3: so long after the newest proof of membership was asked for an attempt may start (T_s − D − M). */
const LEASE_MS = 14_000;

/** Hears what the members of the group ask their coordinator. */
export interface MembershipObserver {
  /** The process asks to join anew, or to leave. */
  onRejoining(processName: string): void;
  /** A member of this generation was told what is committed in these partitions. */
  onCommitsRead(processName: string, generationId: number, partitions: readonly number[]): void;
  /** The process asks what an answer proves its membership by; what is returned is called with that answer. */
  onAsked(processName: string): () => void;
}

/**
 * Who has claimed what, as far as the coordinator can see it (PROTOCOL A2, A3): after every join a member reads what is
 * committed, before it commits anything itself; from the request to join or to leave until then it starts nothing, nor
 * without its lease.
 */
export class Memberships implements MembershipObserver {
  readonly #now: () => number;
  /** Processes that have asked to join or to leave, and have claimed nothing since. */
  readonly #rejoining = new Set<string>();
  /** By process and partition: the newest generation in which its commit was read. */
  readonly #readIn = new Map<string, number>();
  /** By process: when it asked what was answered then. */
  readonly #provenAt = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  onRejoining(processName: string): void {
    this.#rejoining.add(processName);
  }

  onCommitsRead(processName: string, generationId: number, partitions: readonly number[]): void {
    this.#rejoining.delete(processName);
    for (const partition of partitions) this.#readIn.set(`${processName}/${partition}`, generationId);
  }

  onAsked(processName: string): () => void {
    const askedAt = this.#now();
    return () => {
      this.#provenAt.set(processName, Math.max(askedAt, this.#provenAt.get(processName) ?? 0));
    };
  }

  hasClaimed(processName: string): boolean {
    return !this.#rejoining.has(processName);
  }

  holdsLease(processName: string): boolean {
    return this.#now() - (this.#provenAt.get(processName) ?? -Infinity) < LEASE_MS;
  }

  mayCommit(processName: string, generationId: number, partition: number): boolean {
    return this.#readIn.get(`${processName}/${partition}`) === generationId;
  }
}
