/** Why a replication has a position of its own in a partition. */
export const OWN_POSITION_KINDS = ['DETACHED', 'PAUSED', 'ERROR'] as const;
export type OwnPositionKind = (typeof OWN_POSITION_KINDS)[number];

/** Everything of the replication below `position` is settled; the partition's committed offset says nothing about it. */
export interface OwnPosition {
  /** 32-bit hash of the replication's id and incarnation. */
  readonly replication: number;
  readonly position: number;
  readonly kind: OwnPositionKind;
}

/** What travels with the offset of a partition (PROTOCOL A1). */
export interface CommitMetadata {
  /** The task that wrote the commit; null when nobody of ours did. */
  readonly task: string | null;
  readonly x: readonly OwnPosition[];
  /** The number of the list in which `x` is stored, when it is too long to travel (then `x` is empty here). */
  readonly list: number | null;
  /** Initial-sync tasks, carried as they are. */
  readonly s: readonly unknown[];
  /** True when the task had nothing in flight and started nothing more (PROTOCOL A3). */
  readonly isQuiet: boolean;
  /** False when there was no metadata that can be read: nothing is known of own positions then. */
  readonly isReadable: boolean;
}

const UNREADABLE: CommitMetadata = {
  task: null,
  x: [],
  list: null,
  s: [],
  isQuiet: false,
  isReadable: false,
};
/** The broker's default limit is 4,096 bytes; PROTOCOL A1 keeps a distance. */
export const MAX_METADATA_LENGTH = 3_500;
const HEAD_BYTES = 5;
const MAX_VARINT_BYTES = 8;

/**
 * The text of a commit's metadata: `{"task", "x", "s", "quiet"}`. The own positions are packed, since the broker takes
 * 4,096 bytes: sorted by position, each is the hash (4 bytes), the kind (1 byte) and a varint of the distance to
 * the position before; the whole in base64. About ten characters a replication.
 */
export function encodeCommitMetadata(metadata: Omit<CommitMetadata, 'isReadable'>): string {
  const { task, x, list, s, isQuiet } = metadata;
  const positions = list === null ? { x: packPositions(x) } : { n: list };
  return JSON.stringify({ task, ...positions, s, ...(isQuiet ? { quiet: true } : {}) });
}

/** Reads what a commit carries. Anything that isn't ours is unreadable, never an error. */
export function parseCommitMetadata(text: string | null): CommitMetadata {
  if (text === null) return UNREADABLE;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null) return UNREADABLE;
    const { task, x, n, s, quiet } = parsed as Partial<Record<'task' | 'x' | 'n' | 's' | 'quiet', unknown>>;
    const list = typeof n === 'number' && Number.isSafeInteger(n) && n >= 0 ? n : null;
    const positions = list === null ? unpackPositions(x) : [];
    if (typeof task !== 'string' || positions === null || !Array.isArray(s)) return UNREADABLE;
    return { task, x: positions, list, s, isQuiet: quiet === true, isReadable: true };
  } catch {
    return UNREADABLE;
  }
}

/** Own positions as text. */
export function packPositions(positions: readonly OwnPosition[]): string {
  const bytes = Buffer.alloc(positions.length * (HEAD_BYTES + MAX_VARINT_BYTES));
  let at = 0;
  let previous = 0;
  for (const { replication, position, kind } of positions.toSorted((a, b) => a.position - b.position)) {
    at = bytes.writeUInt32LE(replication, at);
    bytes[at++] = OWN_POSITION_KINDS.indexOf(kind);
    let rest = position - previous;
    while (rest >= 0x80) {
      bytes[at++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    bytes[at++] = rest;
    previous = position;
  }
  return bytes.toString('base64', 0, at);
}

/** Reads what `packPositions` wrote; null when it is something else. */
export function unpackPositions(packed: unknown): OwnPosition[] | null {
  if (typeof packed !== 'string') return null;
  const bytes = Buffer.from(packed, 'base64');
  const positions: OwnPosition[] = [];
  let at = 0;
  let previous = 0;
  while (at < bytes.length) {
    if (at + HEAD_BYTES >= bytes.length) return null;
    const replication = bytes.readUInt32LE(at);
    const kind = OWN_POSITION_KINDS[bytes[at + HEAD_BYTES - 1] ?? OWN_POSITION_KINDS.length];
    at += HEAD_BYTES;
    let position = previous;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = bytes[at++];
      if (byte === undefined) return null;
      position += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    if (kind === undefined || !Number.isSafeInteger(position)) return null;
    positions.push({ replication, position, kind });
    previous = position;
  }
  return positions;
}
