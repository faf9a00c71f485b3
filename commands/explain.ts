import { ExplainError, type Explainer, type ExplainRequest } from '../processors/explain-request.ts';
import type { Explanation } from '../processors/explanation.ts';
import type { ReplicationExplanation } from '../processors/replication-explanation.ts';
import { safeName, safeWords } from './safe-text.ts';
import type { TextOutput } from './text-output.ts';

export interface ExplainOptions {
  /** Null: all of the mutation's datamart. */
  readonly replicationId: string | null;
  readonly request: ExplainRequest;
  readonly isJson: boolean;
}

export interface ExplainPorts {
  readonly explainer: Explainer;
  readonly out: TextOutput;
  readonly errors: TextOutput;
}

/**
 * The `replications explain` command: says for each replication whether it got the mutation, and why not. Resolves with
 * the exit code: 1 when nothing can be said.
 */
export async function runExplain(
  { replicationId, request, isJson }: ExplainOptions,
  { explainer, out, errors }: ExplainPorts,
  signal: AbortSignal,
): Promise<number> {
  let explanation: Explanation;
  try {
    explanation = await explainer.explain(null, replicationId, request, signal);
  } catch (error) {
    if (!(error instanceof ExplainError)) throw error;
    const { code, field, message, remedy } = error;
    if (isJson)
      out.write(
        `${JSON.stringify({ status: 'error', error: message, error_code: code, field, hint: remedy })}\n`,
      );
    else errors.write(`${code}: ${message}${remedy === null ? '' : `; ${remedy}`}\n`);
    return 1;
  }
  out.write(
    isJson ? `${JSON.stringify({ status: 'ok', data: explanation })}\n` : explanationText(explanation),
  );
  return 0;
}

/**
 * Reads a mutation as a user pastes it: the record's own text, or that in `{"mutation": …}`. The text of the record
 * itself is taken as it is, so that numbers keep their digits.
 */
export function mutationRequest(text: string): ExplainRequest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new ExplainError('invalid_mutation', 'mutation', 'the mutation is not valid JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new ExplainError('invalid_mutation', 'mutation', 'the mutation must be a JSON object');
  const wrapped = 'mutation' in parsed && Object.keys(parsed).length === 1 ? parsed.mutation : null;
  const value = wrapped === null ? text.trim() : JSON.stringify(wrapped);
  return { kind: 'mutation', value: Buffer.from(value) };
}

/** The explanation for people. Pure. */
export function explanationText(explanation: Explanation): string {
  const { message, remedy, record, notes, replications } = explanation;
  return [
    headOf(explanation),
    ...(record === 'mutation' && replications.length > 0 ? [] : [safeWords(message)]),
    ...remedyLines(remedy, ''),
    ...replications.flatMap((replication) => ['', ...replicationLines(replication)]),
    ...(notes.length > 0 ? ['', ...notes.map((note) => `note: ${note}`)] : []),
    '',
  ].join('\n');
}

function headOf(explanation: Explanation): string {
  const { topic, partition, offset, timestamp, op, doc_type: docType, datamart_id: datamartId } = explanation;
  const { committed_offset: committed, log_end_offset: end } = explanation;
  const written = timestamp === null ? '' : `, written ${new Date(timestamp).toISOString()}`;
  const place = topic === null ? 'a pasted mutation' : `${topic}/${partition} offset ${offset}${written}`;
  const what = docType === null ? explanation.record.replaceAll('_', ' ') : `${op} ${docType}`;
  const whose = datamartId === null ? '' : ` of datamart ${datamartId}`;
  const positions =
    topic === null ? '' : `\nthe group has committed ${committed ?? 'nothing'}, the log ends before ${end}`;
  return `${place}: ${what}${whose}${positions}`;
}

const RESULT_WORDS: Readonly<Record<ReplicationExplanation['result'], string>> = {
  sent: 'sent',
  will_be_sent: 'will be sent',
  not_sent: 'not sent',
  unknown: "can't be told",
};

function replicationLines(replication: ReplicationExplanation): string[] {
  const { replication_id: id, name, state, result, certain, reason, message, remedy } = replication;
  const { position, lag_records: lag } = replication;
  const doubt = certain || result === 'unknown' ? '' : 'probably ';
  return [
    `${id} (${safeName(name)}, ${state}): ${doubt}${RESULT_WORDS[result]} [${reason}]`,
    `  ${safeWords(message)}`,
    ...remedyLines(remedy, '  '),
    ...(position === null
      ? []
      : [`  its own position on this partition is ${position}, ${lag ?? 0} records from the end`]),
  ];
}

function remedyLines(remedy: string | null, indent: string): string[] {
  return remedy === null ? [] : [`${indent}remedy: ${safeWords(remedy)}`];
}
