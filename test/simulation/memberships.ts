/** Hears what the members of the group ask their coordinator. */
export interface MembershipObserver {
  /** The process asks to join anew, or to leave. */
  onRejoining(processName: string): void;
  /** A member of this generation was told what is committed in these partitions. */
  onCommitsRead(processName: string, generationId: number, partitions: readonly number[]): void;
}

/**
 * Who has claimed what, as far as the coordinator can see it (PROTOCOL A2, A3): after every join a member reads what is
 * committed, before it commits anything itself; and from the request to join or to leave until then it starts nothing.
 */
export class Memberships implements MembershipObserver {
  /** Processes that have asked to join or to leave, and have claimed nothing since. */
  readonly #rejoining = new Set<string>();
  /** By process and partition: the newest generation in which its commit was read. */
  readonly #readIn = new Map<string, number>();

  onRejoining(processName: string): void {
    this.#rejoining.add(processName);
  }

  onCommitsRead(processName: string, generationId: number, partitions: readonly number[]): void {
    this.#rejoining.delete(processName);
    for (const partition of partitions) this.#readIn.set(`${processName}/${partition}`, generationId);
  }

  maySend(processName: string): boolean {
    return !this.#rejoining.has(processName);
  }

  mayCommit(processName: string, generationId: number, partition: number): boolean {
    return this.#readIn.get(`${processName}/${partition}`) === generationId;
  }
}
