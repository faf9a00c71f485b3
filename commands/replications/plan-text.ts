import { safeName, safeWords } from '../safe-text.ts';
import type { FieldChange, PlannedStep } from './apply-plan.ts';
import { DELETION_EFFECT, effectOf } from './effects.ts';
import { nameOf } from './session.ts';

/** The plan for people: what changes with its effect, what is refused and why; of what stays the number only. */
export function planText(steps: readonly PlannedStep[]): string {
  return `${steps.map(stepText).join('')}${summaryText(steps)}\n`;
}

/** `1 to create, 2 to change, 5 unchanged`; what there is none of is left out. */
export function summaryText(steps: readonly PlannedStep[]): string {
  const words = {
    create: 'to create',
    change: 'to change',
    delete: 'to delete',
    refused: 'refused',
    unchanged: 'unchanged',
  };
  const parts = Object.entries(words).flatMap(([action, text]) => {
    const count = steps.filter((step) => step.action === action).length;
    return count === 0 ? [] : [`${count} ${text}`];
  });
  return parts.length === 0 ? 'no replications' : parts.join(', ');
}

/** One step as messages name it. */
export function stepName(step: PlannedStep): string {
  return safeName('current' in step ? nameOf(step.current) : step.desired.label);
}

/** What became of a step; `id` is what a new replication got. */
export interface StepOutcome {
  readonly result: StepResult;
  readonly id?: string;
}

/** `partly_done`: it was made or credentials were stored, and what should have followed failed. */
export type StepResult = 'done' | 'partly_done' | 'failed' | 'not_done' | 'nothing_to_do';

export function stepJson(step: PlannedStep, { result, id }: StepOutcome): object {
  const { action } = step;
  const whose =
    'current' in step
      ? { id: step.current.id, datamart_id: step.current.datamart_id, name: step.current.name }
      : { id: id ?? step.desired.id, datamart_id: step.desired.datamartId, name: step.desired.name };
  const what = action === 'change' ? { changes: step.changes } : action === 'refused' ? step.problem : {};
  const uploads = 'uploads' in step ? { uploads_credentials: step.uploads !== null } : {};
  return { action, ...whose, ...what, ...uploads, result };
}

function stepText(step: PlannedStep): string {
  const name = stepName(step);
  switch (step.action) {
    case 'create': {
      const { desired, uploads } = step;
      const type = typeof desired.fields.type === 'string' ? `, ${safeName(desired.fields.type)}` : '';
      const resume = desired.fields.resume ?? null;
      return [
        `+ create ${name} of datamart ${desired.datamartId}${type}\n`,
        uploadText(uploads),
        desired.status === 'ACTIVE'
          ? `    activates: ${effectOf({ field: 'status', from: null, to: 'ACTIVE', resume })}\n`
          : '    stays PAUSED: nothing is sent yet\n',
      ].join('');
    }
    case 'change':
      return [
        `~ change ${name} of datamart ${step.current.datamart_id}\n`,
        ...step.changes.map(changeText),
        uploadText(step.uploads),
      ].join('');
    case 'delete':
      return `- delete ${name} of datamart ${step.current.datamart_id}: ${DELETION_EFFECT}\n`;
    case 'refused': {
      const { code, field, message, hint } = step.problem;
      return (
        `! refused ${name}: ${safeWords(message)} (${code}${field === null ? '' : `, ${safeName(field)}`})\n` +
        (hint === null ? '' : `    ${safeWords(hint)}\n`)
      );
    }
    case 'unchanged':
      return '';
  }
}

function changeText({ field, from, to, effect }: FieldChange): string {
  return `    ${safeName(field)}: ${valueText(from)} → ${valueText(to)}  (${effect})\n`;
}

function uploadText(path: string | null): string {
  return path === null ? '' : `    credentials: uploaded from ${safeName(path)}\n`;
}

function valueText(value: unknown): string {
  return safeName(typeof value === 'string' ? value : JSON.stringify(value));
}
