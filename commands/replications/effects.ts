/** What a change means for the operations that come, in words. */

export const DELETION_EFFECT =
  'nothing further is sent, and its credentials are destroyed; what was sent stays at the destination';

/** One field of a replication, as it is and as it shall be. */
export interface FieldValues {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
  /** What `resume` is after the change. */
  readonly resume: unknown;
}

const FIELD_EFFECTS: Readonly<Record<string, string>> = {
  name: 'only the name',
  credentials_uri: 'the new credentials are checked first; the old ones serve until they work',
  resume: 'counts from the next activation',
  metadata: 'for operations from now on',
  user_point_parent: 'for operations from now on',
  ordering: 'once what is on its way is acknowledged',
  ordering_lanes: 'once what is on its way is acknowledged',
};

/** The effect of changing one field. */
export function effectOf({ field, from, to, resume }: FieldValues): string {
  if (field !== 'status') return FIELD_EFFECTS[field] ?? 'as its type says';
  if (to === 'PAUSED') {
    return resume === 'WHERE_STOPPED'
      ? 'pauses: what comes meanwhile is sent when it is activated'
      : 'pauses: what comes meanwhile is not sent';
  }
  if (from === null) return 'the destination is checked, then operations are sent from now on';
  if (resume === 'WHERE_STOPPED') return 'the destination is checked; what came meanwhile is sent first';
  const afterError = resume === 'NOW' ? '' : ' (after an ERROR it goes on where it stopped)';
  return `the destination is checked; goes on from now, what came meanwhile is not sent${afterError}`;
}
