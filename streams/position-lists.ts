import {
  encodeCommitMetadata,
  MAX_METADATA_LENGTH,
  packPositions,
  unpackPositions,
  type CommitMetadata,
  type OwnPosition,
} from './commit-metadata.ts';
import type { TopicPartition } from './kafka-port.ts';
import type { TableWriter } from './table-writer.ts';

const PREFIX = 'positions/';

type CommitToEncode = Parameters<typeof encodeCommitMetadata>[0];

interface StoredList {
  readonly n: number;
  readonly x: readonly OwnPosition[];
}

/**
 * Own positions that are too many for a commit's metadata (PROTOCOL A1): stored in `replication-status` before the commit
 * that names them, in two slots a task. A slot is written again only after the commit that names the other one was
 * acknowledged, so the list that the last acknowledged commit names is always there.
 */
export class PositionLists {
  readonly #writer: TableWriter;
  readonly #maxLength: number;
  readonly #stored = new Map<string, StoredList>();
  /** By task: the number of its newest list, and whether the commit that names it was acknowledged. */
  readonly #newest = new Map<string, { readonly n: number; isAcknowledged: boolean }>();

  /** Metadata of more than `maxLength` characters name a list. */
  constructor(writer: TableWriter, maxLength = MAX_METADATA_LENGTH) {
    this.#writer = writer;
    this.#maxLength = maxLength;
  }

  /** Applies a record of the status topic; returns false when it is none of these. */
  apply(key: string, value: Buffer | null): boolean {
    if (!key.startsWith(PREFIX)) return false;
    const list = value && readList(value);
    if (list) this.#stored.set(key, list);
    else this.#stored.delete(key);
    return true;
  }

  /** The metadata as it can be sent: positions that are too many to travel are durable in a list then. */
  async encode(
    at: TopicPartition,
    task: string,
    metadata: Omit<CommitToEncode, 'task' | 'list'>,
  ): Promise<string> {
    const text = encodeCommitMetadata({ ...metadata, task, list: null });
    if (text.length <= this.#maxLength) return text;
    const newest = this.#newest.get(task);
    const n = !newest ? 0 : newest.isAcknowledged ? newest.n + 1 : newest.n;
    this.#newest.set(task, { n, isAcknowledged: false });
    const list = { v: 1, n, x: packPositions(metadata.x) };
    const isStored = await this.#writer.write(keyOf(at, task, n), Buffer.from(JSON.stringify(list)));
    if (!isStored) throw new Error('a list of positions was not stored');
    return encodeCommitMetadata({ ...metadata, task, x: [], list: n });
  }

  /** The task's last encoded commit was acknowledged. */
  acknowledged(task: string): void {
    const newest = this.#newest.get(task);
    if (newest) newest.isAcknowledged = true;
  }

  /** What a commit carries, with the list that it names. Throws when that list isn't there. */
  resolve(at: TopicPartition, carried: CommitMetadata): CommitMetadata {
    const { task, list } = carried;
    if (task === null || list === null) return carried;
    const stored = this.#stored.get(keyOf(at, task, list));
    if (stored?.n !== list) {
      throw new Error(
        `the commit of ${at.topic}/${at.partition} names list ${list} of positions, which replication-status does not hold`,
      );
    }
    return { ...carried, x: stored.x, list: null };
  }

  /** A new task has committed its own: lists of the partition's earlier tasks are needed no more. */
  forgetOthers(at: TopicPartition, taskId: string): void {
    const own = `${PREFIX}${at.topic}/${at.partition}/${taskId}/`;
    const partition = `${PREFIX}${at.topic}/${at.partition}/`;
    for (const key of this.#stored.keys())
      if (key.startsWith(partition) && !key.startsWith(own)) void this.#writer.write(key, null);
  }
}

function keyOf({ topic, partition }: TopicPartition, task: string, n: number): string {
  return `${PREFIX}${topic}/${partition}/${task}/${n % 2}`;
}

function readList(value: Buffer): StoredList | null {
  try {
    const { n, x } = JSON.parse(value.toString('utf8')) as { n?: unknown; x?: unknown };
    const positions = unpackPositions(x);
    return typeof n === 'number' && positions ? { n, x: positions } : null;
  } catch {
    return null;
  }
}
