import type { DeadLetterLog, ScanProgress } from './dead-letter-log.ts';
import { FirstOf } from './first-of.ts';
import type { RedriveLedger } from './redrive-ledger.ts';
import { inSourceOrder, isSelected, type DeadLetterFilter, type LetterPlace } from './stored-dead-letter.ts';

export interface LetterSelectionOptions {
  readonly log: DeadLetterLog;
  readonly ledger: RedriveLedger;
  readonly filter: DeadLetterFilter;
  /** So many at most, the first ones in the order of their source that no redrive has sent; null: all, sent or not. */
  readonly limit: number | null;
  /** Those that a redrive has sent count as well. */
  readonly isAgain: boolean;
  readonly onProgress: (progress: ScanProgress & { readonly matched: number }) => void;
}

/** The letters of a redrive. */
export interface LetterSelection {
  /** In the order in which they are sent. */
  readonly letters: readonly LetterPlace[];
  /** More match than the limit allows. */
  readonly isCut: boolean;
}

/** Reads the whole topic and keeps what is selected. Ends early when `signal` aborts. Rejects when it can't be read. */
export async function selectLetters(
  { log, ledger, filter, limit, isAgain, onProgress }: LetterSelectionOptions,
  signal: AbortSignal,
): Promise<LetterSelection> {
  const kept = new FirstOf<LetterPlace>(limit ?? Infinity, inSourceOrder);
  const names = new Map<string, string>();
  const one = (name: string): string => {
    const known = names.get(name);
    if (known === undefined) names.set(name, name);
    return known ?? name;
  };
  const wasSent = ({ replicationId, source }: LetterPlace): boolean =>
    replicationId !== null && !isAgain && ledger.has(replicationId, source);
  let matched = 0;
  await log.scan(
    (letter) => {
      if (!isSelected(letter, filter)) return;
      matched += 1;
      if (limit !== null && wasSent(letter)) return;
      const { partition, offset, source, reason, replicationId } = letter;
      kept.add({
        partition,
        offset,
        source: { ...source, topic: one(source.topic) },
        reason: one(reason),
        replicationId: replicationId === null ? null : one(replicationId),
      });
    },
    () => undefined,
    (progress) => {
      onProgress({ ...progress, matched });
    },
    signal,
  );
  return { letters: kept.items, isCut: kept.isCut };
}
