import type { ReplicationResource } from '../../api/replication-resource.ts';
import { ConfigError } from '../../config/config-error.ts';
import { DONE, FAILED } from '../cli-process.ts';
import { safeName } from '../safe-text.ts';
import { writeJson } from '../text-output.ts';
import { idText, type Body } from './body-flags.ts';
import { DELETION_EFFECT } from './effects.ts';
import { datamartOf, nameOf, type Confirm, type ReplicationsSession } from './session.ts';

/** `replications create`: makes it, PAUSED, and says what comes next. */
export async function runCreate(body: Body, session: ReplicationsSession): Promise<number> {
  const { operations, caller, isJson, out } = session;
  const datamartId = session.datamartId ?? idText(body.datamart_id);
  if (datamartId === null) throw new ConfigError(['--datamart-id: not given, and no file says datamart_id']);
  const { value } = await operations.create(datamartId, body, caller);
  if (isJson) writeJson(out, value);
  else
    out.write(
      `created ${safeName(nameOf(value))}, ${value.type}, ${value.status}\n${nextSteps(value, session)}`,
    );
  return DONE;
}

/** `replications update` */
export async function runUpdate(
  replicationId: string,
  body: Body,
  session: ReplicationsSession,
): Promise<number> {
  if (Object.keys(body).length === 0) throw new ConfigError(['--name or --set: what should change?']);
  const datamartId = await datamartOf(session, replicationId);
  const { operations, caller, isJson, out } = session;
  const { value } = await operations.update(datamartId, replicationId, body, caller, null);
  if (isJson) writeJson(out, value);
  else out.write(`updated ${safeName(nameOf(value))}\n`);
  return DONE;
}

/** `replications pause`: stops at once, and says what becomes of what comes meanwhile. */
export async function runPause(replicationId: string, session: ReplicationsSession): Promise<number> {
  const datamartId = await datamartOf(session, replicationId);
  const { operations, caller, isJson, out } = session;
  const { value } = await operations.update(datamartId, replicationId, { status: 'PAUSED' }, caller, null);
  if (isJson) writeJson(out, value);
  else {
    const effect =
      value.resume === 'WHERE_STOPPED'
        ? 'is sent when it is activated (resume: WHERE_STOPPED)'
        : 'is not sent unless resume says WHERE_STOPPED when it is activated';
    out.write(`paused ${safeName(nameOf(value))}; what comes from now on ${effect}\n`);
  }
  return DONE;
}

/** `replications delete`: asks, shows what is deleted, and deletes only what was shown. */
export async function runDelete(
  replicationId: string,
  session: ReplicationsSession,
  confirm: Confirm,
): Promise<number> {
  const datamartId = await datamartOf(session, replicationId);
  const { operations, caller, isJson, out, errors } = session;
  const { value, etag } = await operations.get(datamartId, replicationId);
  const question =
    `delete ${safeName(nameOf(value))} of datamart ${datamartId} (${value.type}, ${value.status})? ` +
    `${DELETION_EFFECT}.`;
  if (confirm && !(await confirm(question))) {
    errors.write('nothing was deleted\n');
    return FAILED;
  }
  const deleted = await operations.delete(datamartId, replicationId, caller, etag || null);
  if (isJson) writeJson(out, deleted);
  else out.write(`deleted ${safeName(nameOf(deleted))}\n`);
  return DONE;
}

/** `replications credentials`: uploads the file's bytes, and shows none of them. */
export async function runCredentials(
  replicationId: string,
  file: Buffer,
  session: ReplicationsSession,
): Promise<number> {
  const datamartId = await datamartOf(session, replicationId);
  const { operations, caller, isJson, out, flagsText } = session;
  const value = await operations.uploadCredentials(datamartId, replicationId, file, caller);
  if (isJson) {
    writeJson(out, value);
    return DONE;
  }
  out.write(`stored the credentials of ${safeName(nameOf(value))}, sealed\n`);
  if (value.status === 'PAUSED') out.write(`next:\n${activationStep(value, flagsText)}`);
  return DONE;
}

/** Credentials are small; a larger file is the wrong one. */
export const MAX_CREDENTIALS_BYTES = 16 * 1024;

/** Destinations that can't be reached without credentials. */
const NEEDS_CREDENTIALS: ReadonlyMap<string, string> = new Map([
  ['GOOGLE_PUBSUB', 'service-account.json'],
  ['AZURE_EVENT_HUBS', 'connection-string.txt'],
]);

function nextSteps(resource: ReplicationResource, { flagsText }: ReplicationsSession): string {
  const { id, type, credentials_uri: uri } = resource;
  const file = NEEDS_CREDENTIALS.get(type);
  const upload =
    file !== undefined && (uri ?? null) === null
      ? `  datamart-replication replications credentials ${id}${flagsText} --file ${file}\n`
      : '';
  return `next:\n${upload}${activationStep(resource, flagsText)}`;
}

function activationStep({ id }: ReplicationResource, flagsText: string): string {
  return `  datamart-replication replications activate ${id}${flagsText}\n`;
}
