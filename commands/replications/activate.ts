import type { ReplicationResource } from '../../api/replication-resource.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { failureText, type Failure } from '../failure-report.ts';
import { safeName } from '../safe-text.ts';
import { writeJson } from '../text-output.ts';
import { stateText } from './replication-text.ts';
import { datamartOf, nameOf, type ReplicationsSession } from './session.ts';

export interface ActivateOptions {
  /** How long it may take; null doesn't wait for the processors. */
  readonly waitMs: number | null;
}

const POLL_MS = 500;

/**
 * `replications activate`: checks and writes it, then waits until the processors say ACTIVE (DETACHED is: it only lags)
 * or ERROR. Exit code 1 for ERROR, and when neither came in time.
 */
export async function runActivate(
  replicationId: string,
  { waitMs }: ActivateOptions,
  session: ReplicationsSession,
): Promise<number> {
  const { operations, caller, isJson, out, errors } = session;
  const datamartId = await datamartOf(session, replicationId);
  const body = { status: 'ACTIVE' };
  const { value: written } = await operations.update(datamartId, replicationId, body, caller, null);
  const value = waitMs === null ? written : await settled(datamartId, written, waitMs, session);
  const isAwaited = waitMs !== null && !session.signal.aborted;
  const failure = isAwaited ? failureOf(value, waitMs) : null;
  if (isJson) writeJson(out, value);
  else out.write(`${safeName(nameOf(value))}\n${stateText(value)}`);
  if (failure) errors.write(isJson ? `${JSON.stringify(failure)}\n` : `${failureText(failure)}\n`);
  return failure ? FAILED : DONE;
}

async function settled(
  datamartId: string,
  written: ReplicationResource,
  waitMs: number,
  { operations, now, sleep, signal }: ReplicationsSession,
): Promise<ReplicationResource> {
  const deadline = now() + waitMs;
  let value = written;
  while (isUnderWay(value) && now() < deadline && !signal.aborted) {
    await sleep(POLL_MS, signal);
    if (!signal.aborted) ({ value } = await operations.get(datamartId, written.id));
  }
  return value;
}

function isUnderWay({ observed: { state } }: ReplicationResource): boolean {
  return state === 'ACTIVATING' || state === 'PAUSED';
}

function failureOf(value: ReplicationResource, waitMs: number): Failure | null {
  const { state, code, message, remedy } = value.observed;
  if (state === 'ERROR') {
    const words = message ?? 'the processors say nothing more';
    return { code: code ?? 'unknown', message: `not active: ${words}`, field: null, hint: remedy };
  }
  if (!isUnderWay(value)) return null;
  return {
    code: 'timeout',
    message: `still ${state} after ${waitMs / 1_000} s; it goes on by itself`,
    field: null,
    hint: 'does an instance with the role replicate run? `datamart-replication doctor` looks, `replications get` shows the state',
  };
}
