import {
  parseCommitMetadata,
  unpackPositions,
  type CommitMetadata,
  type OwnPosition,
} from '../../streams/commit-metadata.ts';

const PREFIX = 'positions/';

/** What the metadata of commits say, with the lists of positions that they name (PROTOCOL A1), as they are stored now. */
export class CommittedMetadata {
  readonly #topic: string;
  readonly #lists = new Map<string, { readonly n: number; readonly x: readonly OwnPosition[] }>();

  /** Of one mutation topic. */
  constructor(topic: string) {
    this.#topic = topic;
  }

  /** A record of the status topic; returns whether it is a list. */
  onStatus(key: string, value: Buffer | null): boolean {
    if (!key.startsWith(PREFIX)) return false;
    if (value === null) this.#lists.delete(key);
    else {
      const { n, x } = JSON.parse(value.toString()) as { n: number; x: string };
      this.#lists.set(key, { n, x: unpackPositions(x) ?? [] });
    }
    return true;
  }

  /** Null when the list that the metadata name isn't stored. */
  read(partition: number, text: string | null): CommitMetadata | null {
    const metadata = parseCommitMetadata(text);
    const { task, list } = metadata;
    if (task === null || list === null) return metadata;
    const stored = this.#lists.get(`${PREFIX}${this.#topic}/${partition}/${task}/${list % 2}`);
    return stored?.n === list ? { ...metadata, x: stored.x } : null;
  }
}
