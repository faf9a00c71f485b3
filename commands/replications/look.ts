import { DONE } from '../cli-process.ts';
import { writeJson } from '../text-output.ts';
import { detailsText, listText } from './replication-text.ts';
import { allReplications, datamartOf, type ReplicationsSession } from './session.ts';

/** `replications list`. Resolves with the exit code, as every command here does. */
export async function runList(
  { keywords }: { readonly keywords: string | null },
  session: ReplicationsSession,
): Promise<number> {
  const { datamartId, isJson, out, errors } = session;
  const resources = await allReplications(session, datamartId, keywords);
  if (isJson) writeJson(out, resources);
  else if (resources.length > 0) out.write(listText(resources));
  else errors.write(keywords === null ? 'no replications\n' : 'no replications with these words\n');
  return DONE;
}

/** `replications get` */
export async function runGet(replicationId: string, session: ReplicationsSession): Promise<number> {
  const datamartId = await datamartOf(session, replicationId);
  const { value } = await session.operations.get(datamartId, replicationId);
  if (session.isJson) writeJson(session.out, value);
  else session.out.write(detailsText(value));
  return DONE;
}
