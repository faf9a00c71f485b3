import { createHash } from 'node:crypto';
import type { CredentialsSettings } from '../../config/settings.ts';
import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { ControlView } from '../control-view.ts';
import { failed, ok, skipped, warning, type CheckGroup, type Finding, type Prerequisite } from './check.ts';
import type { SealedHeads } from './sealed-heads.ts';

const TIMEOUT_MS = 5_000;
const SHOWN_IDS = 10;
const NAME = 'CREDENTIALS_KEY';

/** Whether the key-encryption keys of the settings open every sealed record. */
export function keyChecks(
  { key, oldKeys }: Pick<CredentialsSettings, 'key' | 'oldKeys'>,
  sealed: Prerequisite<SealedHeads>,
  view: Prerequisite<ControlView>,
): CheckGroup {
  return {
    name: 'keys',
    concurrency: 1,
    checks: [
      {
        name: NAME,
        timeoutMs: TIMEOUT_MS,
        run: () => Promise.resolve(judgeKeys(key, oldKeys, sealed.get())),
      },
      {
        name: 'sealed: credentials',
        timeoutMs: TIMEOUT_MS,
        run: () => Promise.resolve([missingRecords([...view.get().replications.all()], sealed.get())]),
      },
    ],
  };
}

function judgeKeys(key: Buffer | null, oldKeys: readonly Buffer[], heads: SealedHeads): Finding[] {
  const current = key && kekIdOf(key);
  const former = new Set(oldKeys.map(kekIdOf));
  const unreadable = [...heads].filter(([, kekId]) => kekId === null).map(([id]) => id);
  const byKey = Map.groupBy(
    [...heads].flatMap(([id, kekId]) => (kekId === null ? [] : [{ id, kekId }])),
    ({ kekId }) => kekId,
  );
  const findings: Finding[] = [];
  if (unreadable.length > 0)
    findings.push(
      failed(
        NAME,
        `the sealed records of ${list(unreadable)} can't be read`,
        'upload these replications’ credentials anew',
      ),
    );
  if (current === null)
    return [
      ...findings,
      heads.size === 0
        ? skipped(NAME, 'not set: fine while nobody uploads credentials')
        : failed(
            NAME,
            `not set, and credentials of ${list([...heads.keys()])} are sealed`,
            `set ${NAME} (or ${NAME}_FILE) to the key that they were sealed under`,
          ),
    ];
  for (const [kekId, records] of byKey) {
    const ids = records.map(({ id }) => id);
    if (kekId === current) continue;
    findings.push(
      former.has(kekId)
        ? warning(
            NAME,
            `credentials of ${list(ids)} are under a former key (${kekId})`,
            'run `credentials rotate`',
          )
        : failed(
            NAME,
            `credentials of ${list(ids)} are under a key that isn't set (${kekId})`,
            'add that key to CREDENTIALS_OLD_KEYS, or upload these replications’ credentials anew',
          ),
    );
  }
  const known = byKey.get(current)?.length ?? 0;
  findings.push(ok(NAME, `${current} is set; ${known} of ${heads.size} sealed records are under it`));
  return findings;
}

/** Replications that name a sealed record which isn't there. */
function missingRecords(configs: readonly ReplicationConfig[], heads: SealedHeads): Finding {
  const name = 'sealed: credentials';
  const missing = configs.filter(
    ({ id, credentialsUri }) => credentialsUri?.startsWith('sealed:') === true && !heads.has(id),
  );
  if (missing.length === 0) return ok(name, 'every replication that names some has a record');
  const message = `${list(missing.map(({ id }) => id))}: the sealed record isn't there`;
  const remedy = 'upload their credentials: `replications credentials`';
  return missing.some(({ status }) => status === 'ACTIVE')
    ? failed(name, message, remedy)
    : warning(name, message, remedy);
}

/** As sealed records name it: the first 16 hex digits of the key's SHA-256. */
function kekIdOf(key: Buffer): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}

function list(ids: readonly string[]): string {
  const shown = ids.slice(0, SHOWN_IDS).join(', ');
  return ids.length > SHOWN_IDS ? `${shown} and ${ids.length - SHOWN_IDS} more` : shown;
}
