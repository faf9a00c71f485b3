import type { FieldProblem } from '../sink.ts';

/** Where a `GOOGLE_PUBSUB` replication publishes. */
export interface GooglePubSubConfig {
  readonly projectId: string;
  readonly topicId: string;
  /** A regional host, for data residency; null = the global one. */
  readonly endpoint: string | null;
}

/** The record's fields that belong to this kind. */
export const GOOGLE_PUBSUB_FIELDS = ['project_id', 'topic_id', 'endpoint'] as const;

const PROJECT_ID = /^[a-z0-9.:-]{1,100}$/;
const TOPIC_ID = /^(?!goog)[A-Za-z][A-Za-z0-9._~%+-]{2,254}$/;
const ENDPOINT = /^[a-z0-9-]+-pubsub\.googleapis\.com$/;

type ParsedConfig = { readonly config: GooglePubSubConfig } | { readonly problem: FieldProblem };

/** Validates the kind's own fields; the first problem wins. Null stands for absent. */
export function parseGooglePubSubConfig(record: Readonly<Record<string, unknown>>): ParsedConfig {
  const projectId = record['project_id'] ?? null;
  const topicId = record['topic_id'] ?? null;
  const endpoint = record['endpoint'] ?? null;
  if (projectId === null) return missing('project_id');
  if (typeof projectId !== 'string' || !PROJECT_ID.test(projectId)) {
    const message = `project_id must match ${PROJECT_ID.source}: the project's id, not its name`;
    return refused('invalid_project_id', 'project_id', message);
  }
  if (topicId === null) return missing('topic_id');
  if (typeof topicId !== 'string' || !TOPIC_ID.test(topicId)) {
    const message =
      'topic_id must be the short id: a letter, then 2 to 254 of letters, digits and ._~%+-, not beginning with goog';
    return refused('invalid_topic_id', 'topic_id', message, 'of projects/acme/topics/users it is users');
  }
  if (endpoint !== null && (typeof endpoint !== 'string' || !ENDPOINT.test(endpoint))) {
    const message = 'endpoint must be a regional host such as europe-west1-pubsub.googleapis.com';
    return refused('invalid_endpoint', 'endpoint', message);
  }
  return { config: { projectId, topicId, endpoint } };
}

/** The topic's full resource name. */
export function topicNameOf(config: GooglePubSubConfig): string {
  return `projects/${config.projectId}/topics/${config.topicId}`;
}

function missing(field: string): ParsedConfig {
  return refused('missing_field', field, `${field} is missing; a GOOGLE_PUBSUB replication needs it`);
}

function refused(code: string, field: string, message: string, hint?: string): ParsedConfig {
  return { problem: { code, field, message, ...(hint === undefined ? {} : { hint }) } };
}
