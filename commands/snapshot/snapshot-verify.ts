import { DIFFERENCES, type DifferentDocument, type TypeComparison } from '../../processors/document-fold.ts';
import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { VerifyResult } from '../../streams/snapshot/snapshot-verify.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { percentOf, ProgressLine } from '../progress-line.ts';
import { textTable, type TextOutput } from '../text-output.ts';
import type { SnapshotPartition } from './snapshot-partitions.ts';

export interface SnapshotVerifyOptions {
  readonly isJson: boolean;
  /** Of each kind of difference. */
  readonly maxExamples: number;
}

export interface SnapshotVerifyPorts {
  readonly partitions: readonly SnapshotPartition[];
  readonly verify: (
    partition: SnapshotPartition,
    onProgress: (read: number, total: number) => void,
  ) => Promise<VerifyResult>;
  readonly out: TextOutput;
  readonly errors: TextOutput;
  /** In ms, of a clock that only goes forward. */
  readonly now: () => number;
}

type Example = DifferentDocument & Pick<SnapshotPartition['mutations'], 'topic' | 'partition'>;

/** What was found in all partitions. */
interface Totals {
  readonly byType: Record<keyof TypeComparison, number>[];
  readonly examples: Example[];
  older: number;
  omitted: number;
  foreign: number;
}

/** The `snapshot verify` command. Resolves with the exit code: 1 when there are differences, or it was stopped before the end. */
export async function runSnapshotVerify(
  { isJson, maxExamples }: SnapshotVerifyOptions,
  { partitions, verify, out, errors, now }: SnapshotVerifyPorts,
  signal: AbortSignal,
): Promise<number> {
  const progress = new ProgressLine({ errors, now, isPlainToo: true });
  const totals: Totals = {
    byType: DOCUMENT_TYPES.map(() => ({
      source: 0,
      copy: 0,
      missing: 0,
      stale: 0,
      resurrected: 0,
      extra: 0,
    })),
    examples: [],
    older: 0,
    omitted: 0,
    foreign: 0,
  };
  let compared = 0;
  for (const { mutations, ...partition } of partitions) {
    const { topic, partition: number } = mutations;
    const result = await verify({ mutations, ...partition }, (read, total) => {
      progress.maybeShow(
        () => `${topic}/${number} (${compared + 1} of ${partitions.length}): ${percentOf(read, total)}`,
      );
    });
    progress.clear();
    if (signal.aborted) break;
    compared += 1;
    add(totals, result, mutations, maxExamples);
  }
  if (compared < partitions.length) {
    errors.write(`stopped after ${compared} of ${partitions.length} partitions: nothing is proved\n`);
    return FAILED;
  }
  const differences = DIFFERENCES.reduce((sum, kind) => sum + total(totals.byType, kind), 0);
  out.write(isJson ? asJson(totals, differences) : asText(totals, differences));
  return differences === 0 ? DONE : FAILED;
}

function add(
  totals: Totals,
  result: VerifyResult,
  { topic, partition }: Example | SnapshotPartition['mutations'],
  maxExamples: number,
): void {
  for (const [docType, counts] of result.byType.entries()) {
    const sums = totals.byType[docType];
    if (!sums) continue;
    for (const [name, count] of Object.entries(counts)) sums[name as keyof TypeComparison] += count as number;
  }
  for (const example of result.examples) {
    const shown = totals.examples.filter(({ difference }) => difference === example.difference);
    if (shown.length < maxExamples) totals.examples.push({ ...example, topic, partition });
  }
  totals.older += result.older;
  totals.omitted += result.omitted;
  totals.foreign += result.foreign;
}

function total(byType: Totals['byType'], name: keyof TypeComparison): number {
  return byType.reduce((sum, counts) => sum + counts[name], 0);
}

function asJson({ byType, examples, older, omitted, foreign }: Totals, differences: number): string {
  const documents = Object.fromEntries(DOCUMENT_TYPES.map((type, i) => [type, byType[i]]));
  const shown = examples.map(({ difference, docType, keyHash, topic, partition }) => ({
    difference,
    doc_type: DOCUMENT_TYPES[docType],
    key_hash: keyHash,
    topic,
    partition,
  }));
  return `${JSON.stringify({ status: 'ok', differences, documents, older, omitted, foreign, examples: shown })}\n`;
}

function asText({ byType, examples, older, omitted, foreign }: Totals, differences: number): string {
  const columns = ['source', 'copy', ...DIFFERENCES] as const;
  const rows = DOCUMENT_TYPES.map((type, i) => [type, ...columns.map((name) => byType[i]?.[name] ?? 0)]);
  const sums = ['all', ...columns.map((name) => total(byType, name))];
  const notes = [
    ...(older > 0
      ? [`${older} documents older than the mutations that are left, which can't be compared`]
      : []),
    ...(omitted > 0 ? [`${omitted} of the missing ones were larger than the snapshot topic takes`] : []),
    ...(foreign > 0 ? [`${foreign} records whose key names no document`] : []),
    ...examples.map(
      ({ difference, docType, keyHash, topic, partition }) =>
        `${difference}: ${DOCUMENT_TYPES[docType]} ${keyHash} in ${topic}/${partition}`,
    ),
    differences === 0 ? 'the snapshot holds what the mutations say' : `${differences} documents differ`,
  ];
  const head = ['document type', 'in mutations', 'in snapshot', ...DIFFERENCES];
  return `${textTable(head, [...rows, sums])}${notes.map((note) => `${note}\n`).join('')}`;
}
