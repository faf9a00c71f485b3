import { ApiError } from '../../api/api-error.ts';
import type { ReplicationResource } from '../../api/replication-resource.ts';
import { ConfigError } from '../../config/config-error.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { failureOf, failureText, type Failure } from '../failure-report.ts';
import { writeJson } from '../text-output.ts';
import { desiredStatus, planReplications, type PlannedStep, type PlanOptions } from './apply-plan.ts';
import type { DesiredReplication } from './desired-file.ts';
import { planText, stepJson, stepName, summaryText, type StepOutcome } from './plan-text.ts';
import { allReplications, type Confirm, type ReplicationsSession } from './session.ts';

export interface ApplyOptions extends PlanOptions {
  readonly isDryRun: boolean;
}

export interface ApplyPorts {
  readonly confirm: Confirm;
  /** Reads a file of credentials. Throws a ConfigError when it can't. */
  readonly readCredentials: (path: string) => Promise<Buffer>;
}

/**
 * `replications apply`: shows what has to change, asks, and changes it one by one, deletions last. Stops at the first
 * change that fails and says what was applied and what wasn't; applying again goes on from there. Nothing is changed
 * when the plan holds a refusal. A change that another writer came before is refused, not written over.
 */
export async function runApply(
  desired: readonly DesiredReplication[],
  options: ApplyOptions,
  session: ReplicationsSession,
  { confirm, readCredentials }: ApplyPorts,
): Promise<number> {
  const { datamartId, isJson, out, errors } = session;
  const datamartIds = new Set([
    ...desired.map((one) => one.datamartId),
    ...(datamartId === null ? [] : [datamartId]),
  ]);
  const current = (await Promise.all([...datamartIds].map((id) => allReplications(session, id)))).flat();
  const steps = planReplications(desired, current, options);
  const isRefused = steps.some(({ action }) => action === 'refused');
  const open = steps.filter((step) => step.action !== 'unchanged');
  if (!isJson) out.write(open.length === 0 ? `nothing to do: ${summaryText(steps)}\n` : planText(steps));
  // Before anything is changed: a file that can't be read would leave half of the work done.
  const credentials = await readAll(steps, readCredentials);
  if (isRefused) {
    if (isJson) writeReport(steps, new Map(), refusalOf(steps), options, session);
    else errors.write('nothing was changed\n');
    return FAILED;
  }
  if (options.isDryRun || open.length === 0) {
    if (isJson) writeReport(steps, new Map(), null, options, session);
    return DONE;
  }
  // What the answers to come are about.
  const etags = await etagsOf(open, session);
  const agreed = await ask(open, confirm);
  if (agreed.length === 0) {
    if (isJson) writeReport(steps, new Map(), null, options, session);
    errors.write('nothing was changed\n');
    return FAILED;
  }
  const { results, failure } = await applyAll(agreed, session, { etags, credentials });
  if (isJson) writeReport(steps, results, failure, options, session);
  else report(agreed, results, failure, session);
  return failure ? FAILED : DONE;
}

async function ask(open: readonly PlannedStep[], confirm: Confirm): Promise<readonly PlannedStep[]> {
  if (!confirm) return open;
  const deletions = open.filter(({ action }) => action === 'delete');
  const others = open.filter(({ action }) => action !== 'delete');
  if (others.length > 0 && !(await confirm(`apply (${summaryText(others)})?`))) return [];
  if (deletions.length === 0) return others;
  const isAgreed = await confirm(`delete ${deletions.length}: ${deletions.map(stepName).join(', ')}?`);
  return isAgreed ? open : others;
}

interface ApplyContext {
  /** By replication id. */
  readonly etags: ReadonlyMap<string, string>;
  /** By path. */
  readonly credentials: ReadonlyMap<string, Buffer>;
}

interface Applied {
  readonly results: ReadonlyMap<PlannedStep, StepOutcome>;
  readonly failure: Failure | null;
}

async function applyAll(
  steps: readonly PlannedStep[],
  session: ReplicationsSession,
  context: ApplyContext,
): Promise<Applied> {
  const results = new Map<PlannedStep, StepOutcome>();
  for (const step of steps) {
    if (session.signal.aborted) {
      const message = 'stopped before everything was applied';
      return { results, failure: { code: 'stopped', message, field: null, hint: null } };
    }
    let partly: StepOutcome = { result: 'failed' };
    try {
      await applyStep(step, session, context, (id) => {
        partly = { result: 'partly_done', id };
      });
      results.set(step, { ...partly, result: 'done' });
      if (!session.isJson) session.out.write(`${DONE_WORDS[step.action]} ${outcomeName(step, partly)}\n`);
    } catch (error) {
      results.set(step, partly);
      return { results, failure: failureOf(error) };
    }
  }
  return { results, failure: null };
}

const DONE_WORDS: Readonly<Record<PlannedStep['action'], string>> = {
  create: 'created',
  change: 'changed',
  delete: 'deleted',
  unchanged: 'left',
  refused: 'refused',
};

async function applyStep(
  step: PlannedStep,
  session: ReplicationsSession,
  { etags, credentials }: ApplyContext,
  /** Called when a part of it has been done, and more follows. */
  onPart: (id: string) => void,
): Promise<void> {
  const { operations, caller } = session;
  const fileOf = (path: string): Buffer => credentials.get(path) ?? Buffer.alloc(0);
  switch (step.action) {
    case 'create': {
      const { datamartId, fields, status, credentialsFile } = step.desired;
      const { value } = await operations.create(datamartId, { ...fields, datamart_id: datamartId }, caller);
      onPart(value.id);
      if (credentialsFile !== null)
        await operations.uploadCredentials(datamartId, value.id, fileOf(credentialsFile), caller);
      if (status === 'ACTIVE') await operations.update(datamartId, value.id, { status }, caller, null);
      return;
    }
    case 'change': {
      const { id, datamart_id: datamartId } = step.current;
      const body = Object.fromEntries(step.changes.map(({ field, to }) => [field, to]));
      const isPausing = body.status === 'PAUSED';
      let ifMatch = etags.get(id) ?? null;
      const upload = async (): Promise<void> => {
        if (step.uploads !== null)
          await operations.uploadCredentials(datamartId, id, fileOf(step.uploads), caller);
      };
      // An activation needs them; a destination that is left isn't tried once more.
      if (!isPausing && step.uploads !== null) {
        await assertUnchanged(step, session, ifMatch);
        await upload();
        onPart(id);
        ifMatch = null;
      }
      if (step.changes.length > 0) await operations.update(datamartId, id, body, caller, ifMatch);
      if (isPausing && step.uploads !== null) {
        onPart(id);
        await upload();
      }
      return;
    }
    case 'delete': {
      const { id, datamart_id: datamartId } = step.current;
      await operations.delete(datamartId, id, caller, etags.get(id) ?? null);
      return;
    }
    case 'unchanged':
    case 'refused':
      return;
  }
}

/** An upload can't be made conditional. */
async function assertUnchanged(
  step: Extract<PlannedStep, { readonly action: 'change' }>,
  { operations }: ReplicationsSession,
  etag: string | null,
): Promise<void> {
  const { id, datamart_id: datamartId } = step.current;
  if (etag !== null && (await operations.get(datamartId, id)).etag !== etag) throw writtenMeanwhile();
}

/** The versions of what is changed or deleted; refuses when it isn't any more what the plan is about. */
async function etagsOf(
  open: readonly PlannedStep[],
  { operations, signal }: ReplicationsSession,
): Promise<ReadonlyMap<string, string>> {
  const etags = new Map<string, string>();
  for (const step of open) {
    if (step.action !== 'change' && step.action !== 'delete') continue;
    signal.throwIfAborted();
    const { id, datamart_id: datamartId } = step.current;
    const { value, etag } = await operations.get(datamartId, id);
    if (desiredText(value) !== desiredText(step.current)) throw writtenMeanwhile();
    if (etag !== '') etags.set(id, etag);
  }
  return etags;
}

/** To compare: all but what is observed. */
function desiredText(resource: ReplicationResource): string {
  return JSON.stringify({ ...resource, observed: null, status: desiredStatus(resource) });
}

function writtenMeanwhile(): ApiError {
  return new ApiError('precondition_failed', 'somebody else changed it meanwhile', {
    hint: 'run the command again: it makes a new plan',
  });
}

async function readAll(
  steps: readonly PlannedStep[],
  readCredentials: ApplyPorts['readCredentials'],
): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const step of steps) {
    if (!('uploads' in step) || step.uploads === null || files.has(step.uploads)) continue;
    const file = await readCredentials(step.uploads);
    if (file.length === 0) throw new ConfigError([`credentials_file ${step.uploads}: is empty`]);
    files.set(step.uploads, file);
  }
  return files;
}

function report(
  agreed: readonly PlannedStep[],
  results: Applied['results'],
  failure: Failure | null,
  { out, errors }: ReplicationsSession,
): void {
  if (!failure) {
    out.write('applied\n');
    return;
  }
  const failed = agreed.find((step) => results.has(step) && results.get(step)?.result !== 'done');
  const rest = agreed.filter((step) => !results.has(step));
  const done = agreed.length - rest.length - (failed ? 1 : 0);
  errors.write(`${failed ? failedText(failed, results.get(failed)) : ''}${failureText(failure)}\n`);
  errors.write(`applied: ${done} of ${agreed.length}\n`);
  if (rest.length > 0) errors.write(`not applied: ${rest.map(stepName).join(', ')}\n`);
}

function failedText(step: PlannedStep, outcome: StepOutcome | undefined): string {
  if (outcome?.result !== 'partly_done') return `${step.action} ${stepName(step)}: `;
  const part = step.action === 'create' ? 'it was created, and is PAUSED' : 'a part was done';
  return `${step.action} ${outcomeName(step, outcome)}: ${part}; then: `;
}

function outcomeName(step: PlannedStep, { id }: StepOutcome): string {
  return step.action === 'create' && id !== undefined ? `${id} ${stepName(step)}` : stepName(step);
}

/** The first of them stands for all: the steps tell the others. */
function refusalOf(steps: readonly PlannedStep[]): Failure | null {
  const refused = steps.find((step) => step.action === 'refused');
  if (refused?.action !== 'refused') return null;
  const { message, ...problem } = refused.problem;
  return { ...problem, message: `${stepName(refused)}: ${message}; nothing was changed` };
}

function writeReport(
  steps: readonly PlannedStep[],
  results: Applied['results'],
  failure: Failure | null,
  { isDryRun }: ApplyOptions,
  { out, errors }: ReplicationsSession,
): void {
  writeJson(out, {
    status: failure ? 'error' : 'ok',
    dry_run: isDryRun,
    steps: steps.map((step) =>
      stepJson(
        step,
        results.get(step) ?? { result: step.action === 'unchanged' ? 'nothing_to_do' : 'not_done' },
      ),
    ),
  });
  if (failure) writeJson(errors, failure);
}
