import type { ConsumedRecord, RecordHeaders, TopicPartition } from '../kafka-port.ts';

/** The mutation that a dead letter keeps: where it came from, and what tells it from another at the same place. */
export interface LetterSource extends TopicPartition {
  readonly offset: number;
  /** Kafka timestamp of the original, in ms: a topic made anew counts its offsets from 0 again. */
  readonly timestamp: number;
}

/** Where a dead letter is, and for whom: what a redrive keeps of each. */
export interface LetterPlace {
  /** Of the dead-letter topic. */
  readonly partition: number;
  readonly offset: number;
  readonly source: LetterSource;
  readonly reason: string;
  /** Null: the record couldn't be decoded, so nobody knew who wants it. */
  readonly replicationId: string | null;
}

/** A dead letter as its headers tell it, without key and value. */
export interface StoredDeadLetter extends LetterPlace {
  readonly detail: string;
  readonly code: string | null;
  /** When it was stored, in ms since 1970 UTC. */
  readonly time: number;
  readonly datamartId: string | null;
  readonly schemaId: number | null;
  /** The topic refused it for its size: its value wasn't kept. */
  readonly isTruncated: boolean;
}

/** Which dead letters are meant; what is null or absent selects all. */
export interface DeadLetterFilter {
  /** Those that name this datamart, or none. */
  readonly datamartId: string | null;
  readonly replicationId: string | null;
  readonly reason: string | null;
  /** Stored at this time or later, in ms. */
  readonly since: number | null;
  /** Stored before this time, in ms. */
  readonly until: number | null;
  /** The topic of the original. */
  readonly topic: string | null;
}

/** Reads what the headers say; null for a record that is no dead letter of this program. */
export function readDeadLetter(partition: number, record: ConsumedRecord): StoredDeadLetter | null {
  const { headers, offset, timestamp } = record;
  const reason = textOf(headers, 'reason');
  const topic = textOf(headers, 'topic');
  const sourcePartition = numberOf(headers, 'partition');
  const sourceOffset = numberOf(headers, 'offset');
  const time = numberOf(headers, 'time');
  if (reason === null || topic === null || sourcePartition === null || sourceOffset === null || time === null)
    return null;
  return {
    partition,
    offset,
    source: { topic, partition: sourcePartition, offset: sourceOffset, timestamp },
    reason,
    replicationId: textOf(headers, 'replication_id'),
    detail: textOf(headers, 'detail') ?? '',
    code: textOf(headers, 'code'),
    time,
    datamartId: textOf(headers, 'datamart_id'),
    schemaId: numberOf(headers, 'schema_id'),
    isTruncated: textOf(headers, 'truncated') === 'true',
  };
}

export function isSelected(letter: StoredDeadLetter, filter: DeadLetterFilter): boolean {
  const { datamartId, replicationId, reason, since, until, topic } = filter;
  return (
    (datamartId === null || letter.datamartId === null || letter.datamartId === datamartId) &&
    (replicationId === null || letter.replicationId === replicationId) &&
    (reason === null || letter.reason === reason) &&
    (since === null || letter.time >= since) &&
    (until === null || letter.time < until) &&
    (topic === null || letter.source.topic === topic)
  );
}

/**
 * The order of a redrive: of each source partition by offset. A letter that was stored twice (at least once is the
 * promise) counts once.
 */
export function inSourceOrder<Letter extends LetterPlace>(letters: readonly Letter[]): Letter[] {
  const sorted = [...letters].sort(
    (a, b) =>
      compare(a.source.topic, b.source.topic) ||
      a.source.partition - b.source.partition ||
      a.source.offset - b.source.offset ||
      a.source.timestamp - b.source.timestamp ||
      compare(a.replicationId ?? '', b.replicationId ?? ''),
  );
  return sorted.filter((letter, i) => {
    const before = sorted[i - 1];
    return !before || !isSameLetter(before, letter);
  });
}

/** The order of a list: by when they were stored, the last one first. */
export function newestFirst(letters: readonly StoredDeadLetter[]): StoredDeadLetter[] {
  return [...letters].sort(
    (a, b) => b.time - a.time || b.source.partition - a.source.partition || b.source.offset - a.source.offset,
  );
}

function isSameLetter(a: LetterPlace, b: LetterPlace): boolean {
  return (
    a.source.offset === b.source.offset &&
    a.source.partition === b.source.partition &&
    a.source.timestamp === b.source.timestamp &&
    a.source.topic === b.source.topic &&
    a.replicationId === b.replicationId
  );
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Of a repeated header the last counts. */
function textOf(headers: RecordHeaders, name: string): string | null {
  const header = headers[`dead_letter_${name}`];
  const last = Array.isArray(header) ? (header as readonly (Buffer | string)[]).at(-1) : header;
  return last === undefined ? null : String(last);
}

function numberOf(headers: RecordHeaders, name: string): number | null {
  const text = textOf(headers, name);
  if (text === null || !/^\d{1,16}$/.test(text)) return null;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : null;
}
