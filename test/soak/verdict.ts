import type { StoredRecord } from '../support/kafka.ts';
import type { SoakDestination } from './destinations.ts';
import { Violations, type ProducedDocuments } from './ledger.ts';
import { indexOfText, NO_DOCUMENT } from './soak-mutations.ts';

/** Of an instance: what the README asks a container to have. */
const MAX_RSS_BYTES = 1_024 * 1_024 * 1_024;

export interface VerdictInput {
  readonly destinations: readonly SoakDestination[];
  readonly produced: ProducedDocuments;
  readonly deadLetters: readonly StoredRecord[];
  /** How many duplicates a replication may have that nothing at its destination excuses. */
  readonly duplicatesAllowed: number;
  readonly complaints: readonly string[];
  readonly maxRssBytes: number;
}

export interface Verdict {
  readonly lines: readonly string[];
  readonly isGood: boolean;
}

/** Compares everything with what was promised. */
export function verdictOf(input: VerdictInput): Verdict {
  const { destinations, produced, duplicatesAllowed } = input;
  const broken: string[] = [...input.complaints];
  const lines: string[] = [];
  const report = (what: string, { count, examples }: Violations): void => {
    if (count > 0) broken.push(`${what} ${count}: ${examples.join('; ')}`);
  };
  const unexpected = checkDeadLetters(input);
  for (const { id, ledger } of destinations) {
    const { lost, staleEnds, deadLetters } = ledger.result();
    const allowed = duplicatesAllowed + ledger.excusedDuplicates;
    lines.push(
      `${id.padEnd(16)} arrived ${ledger.distinct}, lost ${lost.count}, unknown ${ledger.unknown.count}, ` +
        `out of order ${ledger.outOfOrder.count}, stale ends ${staleEnds.count}, dead letters ${deadLetters}, ` +
        `duplicates ${ledger.duplicates} (at most ${allowed})`,
    );
    report('lost', lost);
    report('unknown', ledger.unknown);
    report('out of order', ledger.outOfOrder);
    report('documents that end with an older value', staleEnds);
    if (ledger.duplicates > allowed)
      broken.push(`${id}: ${ledger.duplicates} duplicates, at most ${allowed} are allowed`);
  }
  report('unexpected dead letters', unexpected.extra);
  report('missing dead letters of mutations that can’t be decoded', unexpected.missing);
  lines.push(
    `produced ${produced.length}, dead letters ${input.deadLetters.length}, unexpected ${unexpected.extra.count}, missing ${unexpected.missing.count}`,
  );
  lines.push(`largest RSS of an instance ${(input.maxRssBytes / 1_048_576).toFixed(0)} MB`);
  if (input.maxRssBytes > MAX_RSS_BYTES) broken.push('an instance needed more than 1 GiB');
  lines.push(broken.length === 0 ? 'Every promise was kept.' : `Broken promises:\n  ${broken.join('\n  ')}`);
  return { lines, isGood: broken.length === 0 };
}

/** Tells the ledgers of their dead letters; what is left over nobody asked for. */
function checkDeadLetters({ destinations, produced, deadLetters }: VerdictInput): {
  readonly extra: Violations;
  readonly missing: Violations;
} {
  const extra = new Violations();
  const missing = new Violations();
  const undecoded = new Set<number>();
  const ledgers = new Map(destinations.map(({ id, ledger }) => [id, ledger]));
  for (const { value, headers } of deadLetters) {
    const index = value ? indexOfText(value.subarray(0, 200).toString('latin1')) : NaN;
    const replication = String(headers['dead_letter_replication_id'] ?? '');
    const reason = String(headers['dead_letter_reason']);
    const isExpected =
      replication === ''
        ? produced.of(index) === NO_DOCUMENT
        : ledgers.get(replication)?.hasDeadLetter(index) === true;
    if (replication === '') undecoded.add(index);
    if (!isExpected) extra.add(() => `mutation ${index} of replication ${replication}: ${reason}`);
  }
  for (let index = 0; index < produced.length; index += 1)
    if (produced.of(index) === NO_DOCUMENT && !undecoded.has(index)) missing.add(() => `mutation ${index}`);
  return { extra, missing };
}
