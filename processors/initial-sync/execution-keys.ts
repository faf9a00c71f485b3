/** A partition of a snapshot topic: each is one task of an execution. */
export interface SnapshotPartition {
  readonly topic: string;
  readonly partition: number;
}

/** What a key of `initial-sync-executions` stands for (CONTRACT section 1). */
export type ExecutionKey =
  | { readonly kind: 'execution'; readonly id: string }
  | { readonly kind: 'result'; readonly id: string }
  | { readonly kind: 'task'; readonly id: string; readonly at: SnapshotPartition };

const RESULT = 'result';

/** The key of an execution's own record. */
export function executionKey(id: string): string {
  return id;
}

/** The key of the outcome, which a late record of the execution can't replace in the compacted topic (PROTOCOL C2). */
export function resultKey(id: string): string {
  return `${id}/${RESULT}`;
}

export function taskKey(id: string, at: SnapshotPartition): string {
  return `${id}/${partitionName(at)}`;
}

/** A partition as records and messages name it. */
export function partitionName({ topic, partition }: SnapshotPartition): string {
  return `${topic}/${partition}`;
}

/** Null for a key that is none of this program's. */
export function parseExecutionKey(key: string): ExecutionKey | null {
  const [id = '', topic, partition, ...rest] = key.split('/');
  if (id === '' || rest.length > 0) return null;
  if (topic === undefined) return { kind: 'execution', id };
  if (partition === undefined) return topic === RESULT ? { kind: 'result', id } : null;
  if (topic === '' || !/^\d{1,9}$/.test(partition)) return null;
  return { kind: 'task', id, at: { topic, partition: Number(partition) } };
}
