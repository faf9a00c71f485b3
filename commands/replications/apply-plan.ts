import type { ReplicationResource } from '../../api/replication-resource.ts';
import { nearestName } from '../../schemas/nearest-name.ts';
import type { Body } from './body-flags.ts';
import type { DesiredReplication } from './desired-file.ts';
import { effectOf } from './effects.ts';

export interface FieldChange {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
  readonly effect: string;
}

/** What has to happen to one replication. */
export type PlannedStep =
  | { readonly action: 'create'; readonly desired: DesiredReplication; readonly uploads: string | null }
  | {
      readonly action: 'change';
      readonly current: ReplicationResource;
      readonly changes: readonly FieldChange[];
      /** The file of credentials to upload; null: none. */
      readonly uploads: string | null;
    }
  | { readonly action: 'unchanged'; readonly current: ReplicationResource }
  | { readonly action: 'delete'; readonly current: ReplicationResource }
  | { readonly action: 'refused'; readonly desired: DesiredReplication; readonly problem: PlanProblem };

/** Why a replication can't become what the file wants. The codes are those of the API. */
export interface PlanProblem {
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
  readonly hint: string | null;
}

export interface PlanOptions {
  /** Deletes what the file doesn't name, within the datamarts of `current`. */
  readonly prunes: boolean;
  /** Uploads the credentials of the file again: whether they have changed can't be known. */
  readonly uploadsCredentials: boolean;
}

/**
 * What has to happen so that the replications are as the file wants them: in the order of the file, deletions last.
 * `current` are all replications of the datamarts that the file names. Pure; what only the API can judge shows when it
 * is applied.
 */
export function planReplications(
  desired: readonly DesiredReplication[],
  current: readonly ReplicationResource[],
  options: PlanOptions,
): readonly PlannedStep[] {
  const matched = new Set<string>();
  const steps = desired.map((wanted): PlannedStep => {
    const found = find(wanted, current);
    if ('code' in found) return { action: 'refused', desired: wanted, problem: found };
    if (!found.match) return { action: 'create', desired: wanted, uploads: wanted.credentialsFile };
    if (matched.has(found.match.id)) return { action: 'refused', desired: wanted, problem: TWICE };
    matched.add(found.match.id);
    return stepFor(wanted, found.match, options);
  });
  const deletions = options.prunes ? current.filter(({ id }) => !matched.has(id)) : [];
  return [...steps, ...deletions.map((one) => ({ action: 'delete', current: one }) as const)];
}

/** The desired status: what is in ERROR was wished ACTIVE. */
export function desiredStatus({ status }: ReplicationResource): 'ACTIVE' | 'PAUSED' {
  return status === 'PAUSED' ? 'PAUSED' : 'ACTIVE';
}

const TWICE: PlanProblem = {
  code: 'invalid_parameter',
  field: 'name',
  message: 'the file names this replication twice, by its id and by its name',
  hint: null,
};

function find(
  { id, name, datamartId }: DesiredReplication,
  current: readonly ReplicationResource[],
): { readonly match: ReplicationResource | null } | PlanProblem {
  const ofDatamart = current.filter(({ datamart_id }) => datamart_id === datamartId);
  if (id !== null) {
    const match = ofDatamart.find((one) => one.id === id);
    if (match) return { match };
    return {
      code: 'not_found',
      field: 'id',
      message: `datamart ${datamartId} has no replication ${id}`,
      hint: 'ids are given when a replication is created: leave it out to create one',
    };
  }
  const [match, ...others] = ofDatamart.filter((one) => one.name === name);
  if (others.length === 0) return { match: match ?? null };
  return {
    code: 'invalid_name',
    field: 'name',
    message: `datamart ${datamartId} has ${others.length + 1} replications of this name`,
    hint: 'give the id',
  };
}

function stepFor(
  desired: DesiredReplication,
  current: ReplicationResource,
  { uploadsCredentials }: PlanOptions,
): PlannedStep {
  const changes: FieldChange[] = [];
  const resume = 'resume' in desired.fields ? desired.fields.resume : current.resume;
  const change = (field: string, from: unknown, to: unknown): void => {
    changes.push({ field, from, to, effect: effectOf({ field, from, to, resume }) });
  };
  for (const [field, to] of Object.entries(desired.fields)) {
    const from = current[field];
    if (isSame(field, from, to, current.type)) continue;
    const problem = problemOf(field, from, current);
    if (problem) return { action: 'refused', desired, problem };
    change(field, from ?? null, to);
  }
  const status = desiredStatus(current);
  if (desired.status !== null && desired.status !== status) change('status', status, desired.status);
  const isMissing = (current.credentials_uri ?? null) === null;
  const uploads = uploadsCredentials || isMissing ? desired.credentialsFile : null;
  if (changes.length === 0 && uploads === null) return { action: 'unchanged', current };
  return { action: 'change', current, changes, uploads };
}

const CHANGEABLE: ReadonlySet<string> = new Set([
  'name',
  'credentials_uri',
  'resume',
  'metadata',
  'user_point_parent',
  'ordering',
  'ordering_lanes',
]);

/** The fields of this program's own types, absent in a resource that doesn't set them. */
const TYPE_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['GOOGLE_PUBSUB', ['project_id', 'topic_id', 'endpoint']],
  ['AZURE_EVENT_HUBS', ['event_hub_name']],
  ['KAFKA_TOPIC', ['topic', 'brokers']],
  ['FILE', ['path']],
]);

/** Null when the change may be asked for. */
function problemOf(
  field: string,
  from: unknown,
  { type, ...resource }: ReplicationResource,
): PlanProblem | null {
  if (from === undefined) return absentProblem(field, type, Object.keys(resource));
  if (CHANGEABLE.has(field)) return null;
  const isFilter = field === 'replication_filters';
  return {
    code: isFilter ? 'filters_immutable' : 'immutable_field',
    field,
    message: `${field} can't be changed`,
    hint: 'create a new replication, under another name',
  };
}

/** A field that the resource doesn't show: another type's, one that was never set, or none at all. */
function absentProblem(field: string, type: string, shown: readonly string[]): PlanProblem | null {
  const own = TYPE_FIELDS.get(type);
  // A type that isn't this program's has fields that only the API knows.
  if (!own) return null;
  if (own.includes(field)) {
    const message = `${field} can't be changed`;
    return { code: 'immutable_field', field, message, hint: 'create a new replication, under another name' };
  }
  const isElsewhere =
    CHANGEABLE.has(field) || [...TYPE_FIELDS.values()].some((fields) => fields.includes(field));
  if (isElsewhere) {
    const message = `${field} doesn't apply to this ${type} replication`;
    return { code: 'field_not_applicable', field, message, hint: null };
  }
  const near = nearestName(field, [...shown, ...own, 'type', 'credentials_file']);
  return {
    code: 'unknown_field',
    field,
    message: `${field} is not a field of a replication`,
    hint: near === undefined ? null : `did you mean ${near}?`,
  };
}

function isSame(field: string, from: unknown, to: unknown, type: string): boolean {
  if (field === 'replication_filters')
    return JSON.stringify(documentsOf(from)) === JSON.stringify(documentsOf(to));
  if (from === undefined && to === null) return true;
  const wanted = to === null ? defaultOf(field, from, type) : to;
  if (typeof from === 'string' && typeof wanted === 'number') return from === String(wanted);
  return JSON.stringify(from) === JSON.stringify(wanted);
}

/** What null stands for; the present value where only the API knows. */
function defaultOf(field: string, present: unknown, type: string): unknown {
  switch (field) {
    case 'metadata':
      return [];
    case 'user_point_parent':
      return false;
    case 'ordering_lanes':
      return 16;
    case 'ordering':
      return ({ GOOGLE_PUBSUB: false, AZURE_EVENT_HUBS: true } as Body)[type] ?? present;
    case 'version':
      return present;
    default:
      return null;
  }
}

/** Order and repetition don't count. What isn't a list of documents stays as it is. */
function documentsOf(filters: unknown): unknown {
  if (!Array.isArray(filters)) return filters ?? null;
  const documents = filters.map(documentOf);
  return documents.every((document) => document !== null) ? [...new Set(documents)].sort() : filters;
}

function documentOf(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null || !('document' in entry)) return null;
  const isPlain = !('filter' in entry) || entry.filter === null;
  return isPlain && typeof entry.document === 'string' ? entry.document : null;
}
