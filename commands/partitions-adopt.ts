import type { OwnPosition } from '../streams/commit-metadata.ts';
import type { AdoptionListener, GrownTopic, OldPartition } from '../streams/topics/adopt-partitions.ts';
import { percentOf, type ProgressLine } from './progress-line.ts';
import type { TextOutput } from './text-output.ts';

export interface PartitionsAdoptOptions {
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}

export interface PartitionsAdoptPorts {
  readonly grown: readonly GrownTopic[];
  /** As `adoptPartitions`. */
  readonly adopt: (grown: GrownTopic, signal: AbortSignal, listener: AdoptionListener) => Promise<boolean>;
  /** The id of the replication whose position that is, or null when the control topic doesn't hold it. */
  readonly nameOf: (position: OwnPosition) => string | null;
  /** Asks the operator; null when that isn't wanted. */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
  readonly progress: ProgressLine;
  readonly out: TextOutput;
  readonly errors: TextOutput;
}

/**
 * The `partitions adopt` command: has the partitions worked on that were added to the mutation topics. Resolves with the
 * exit code; 0 also when there was nothing to adopt, or when it was stopped and nothing has changed.
 */
export async function runPartitionsAdopt(
  { isDryRun, isJson }: PartitionsAdoptOptions,
  { grown, adopt, nameOf, confirm, progress, out, errors }: PartitionsAdoptPorts,
  signal: AbortSignal,
): Promise<number> {
  if (grown.length === 0 && !isJson) out.write('no mutation topic has partitions that wait to be adopted\n');
  const results = [];
  for (const topic of grown) {
    const { pinned, partitions } = topic;
    if (!isJson)
      out.write(`topic ${topic.topic}: ${pinned} partitions are worked on, ${partitions} are there\n`);
    const isAsked = !isDryRun && confirm !== null;
    const question = `Do all producers write to ${partitions} partitions already?`;
    const isWanted = !isDryRun && (!isAsked || (await confirm(question)));
    const isAdopted =
      isWanted &&
      (await adopt(topic, signal, {
        onWaiting: (waitsFor) => {
          progress.maybeShow(() => waitingLine(waitsFor, nameOf));
        },
        onMoving: (read, total) => {
          progress.maybeShow(() => `moving the snapshot’s documents: ${percentOf(read, total)}`);
        },
      }));
    progress.clear();
    results.push({
      topic: topic.topic,
      partitions,
      pinned: isAdopted ? partitions : pinned,
      adopted: isAdopted,
    });
    if (isAdopted && !isJson)
      out.write(`adopted: partitions ${pinned} to ${partitions - 1} are worked on now\n`);
    else if (!isDryRun && !isAdopted) errors.write('nothing was adopted\n');
  }
  if (isJson) out.write(`${JSON.stringify({ status: 'ok', topics: results })}\n`);
  return 0;
}

/** What the first of the old partitions waits for, and how many there are. */
function waitingLine(waitsFor: readonly OldPartition[], nameOf: PartitionsAdoptPorts['nameOf']): string {
  const lag = waitsFor.reduce((sum, old) => sum + old.lag, 0);
  const parked = waitsFor.flatMap((old) => old.parked ?? []);
  const names = new Map(
    parked.map((position) => [nameOf(position) ?? 'an unknown replication', position.kind]),
  );
  const isUntold = waitsFor.some((old) => old.parked === null);
  const who = [...names].map(([name, kind]) => `${name} (${kind})`);
  if (isUntold) who.push('replications that a commit does not name');
  const shown = who.length > 5 ? [...who.slice(0, 5), `${who.length - 5} more`] : who;
  return (
    `waiting for ${waitsFor.length} old partitions: ${lag} records to commit` +
    (shown.length > 0 ? `; behind: ${shown.join(', ')}` : '')
  );
}
