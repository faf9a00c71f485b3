import { isJsonObject } from '../schemas/json-object.ts';
import { offsetOrNull, textOrNull, type JsonFields } from './json-fields.ts';
import type { ReplicationConfig } from './replication-config.ts';

/** The newest record of a key that was refused. */
export interface ConfigRefusal {
  /** On the control topic. */
  readonly offset: number;
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
  /** Kafka's timestamp of the record, ms since 1970 UTC. */
  readonly time: number;
}

/**
 * What is known of one key of the control topic: the record in force, and the newest one when that was refused.
 *
 * Compaction keeps only the newest record of a key, so a refused one erases the good one: the one in force is kept in
 * `replication-status` under `config/<key>`, and what was judged once is not judged again.
 */
export interface ConfigJudgement {
  /** Records of the key at or below this offset were judged. */
  readonly judgedOffset: number;
  readonly accepted: ReplicationConfig | null;
  /** Null when the newest record was accepted. */
  readonly refused: ConfigRefusal | null;
}

/** A judgement as `replication-status` holds it: the accepted record is as it was written, to be parsed by the rules. */
export interface StoredJudgement extends Omit<ConfigJudgement, 'accepted'> {
  readonly accepted: { readonly record: Readonly<Record<string, unknown>>; readonly offset: number } | null;
}

const PREFIX = 'config/';
/** Keys that are no ids can be of any length. */
const MAX_NAME_LENGTH = 200;
const VERSION = 1;

/** The name under which a key's judgement is kept: valid ids are themselves, everything else is percent-encoded. */
export function judgementName(key: string): string {
  return encodeURIComponent(key.toWellFormed()).slice(0, MAX_NAME_LENGTH);
}

/** The key of a judgement's record in `replication-status`. */
export function judgementKey(name: string): string {
  return PREFIX + name;
}

/** The name of the judgement that a key of `replication-status` holds; null when it holds none. */
export function judgementNameOf(statusKey: string): string | null {
  return statusKey.startsWith(PREFIX) ? statusKey.slice(PREFIX.length) : null;
}

/** The bytes of a judgement's record (CONTRACT: status records). The same judgement always makes the same bytes. */
export function writeJudgement(name: string, { judgedOffset, accepted, refused }: ConfigJudgement): Buffer {
  return Buffer.from(
    JSON.stringify({
      v: VERSION,
      replication_id: name,
      judged_offset: String(judgedOffset),
      // A record may say ERROR, the echo of what was read, and means the status before it.
      accepted: accepted && { ...accepted.record, status: accepted.status },
      accepted_offset: accepted && String(accepted.offset),
      refused: refused && { ...refused, offset: String(refused.offset) },
    }),
  );
}

/** Reads a record of `writeJudgement`; null for one that can't be understood, which counts as absent. */
export function readJudgement(record: JsonFields): StoredJudgement | null {
  const judgedOffset = offsetOrNull(record.judged_offset);
  if (judgedOffset === null) return null;
  const acceptedOffset = offsetOrNull(record.accepted_offset);
  const accepted =
    isJsonObject(record.accepted) && acceptedOffset !== null
      ? { record: record.accepted, offset: acceptedOffset }
      : null;
  return { judgedOffset, accepted, refused: readRefusal(record.refused) };
}

function readRefusal(value: unknown): ConfigRefusal | null {
  if (!isJsonObject(value)) return null;
  const { code, field, message, time } = value;
  const offset = offsetOrNull(value.offset);
  if (offset === null || typeof code !== 'string') return null;
  return {
    offset,
    code,
    field: textOrNull(field),
    message: textOrNull(message) ?? '',
    time: typeof time === 'number' ? time : 0,
  };
}
