import { InvalidArgumentError } from 'commander';
import { ConfigError } from '../../config/config-error.ts';
import { parseDocuments } from '../../config/documents.ts';

/** The fields of a replication as flags and a file give them. */
export interface BodyFlags {
  readonly type?: string;
  readonly name?: string;
  readonly projectId?: string;
  readonly topicId?: string;
  readonly eventHubName?: string;
  readonly topic?: string;
  readonly path?: string;
  readonly filter?: readonly string[];
  readonly version?: number;
  readonly set?: ReadonlyMap<string, unknown>;
}

export type Body = Readonly<Record<string, unknown>>;

/** Parses one `--set field=value` and adds it: the value is JSON, or a text where it isn't. */
export function setField(
  text: string,
  previous: ReadonlyMap<string, unknown> = new Map(),
): ReadonlyMap<string, unknown> {
  const [, field, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? [];
  if (field === undefined || value === undefined)
    throw new InvalidArgumentError('Allowed is field=value, for example ordering_lanes=4 or resume=null.');
  return new Map([...previous, [field, jsonOrText(value)]]);
}

/** Parses `USER_SEGMENT,USER_EMAIL`; repeated, they add up. */
export function documentNames(text: string, previous: readonly string[] = []): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('Allowed are names with commas between them.');
  return [...previous, ...names];
}

/** The body of a new replication: what the file says, and over it what the flags say. */
export function bodyOf(flags: BodyFlags, file: Body): Body {
  const { type, name, projectId, topicId, eventHubName, topic, path, filter, version, set } = flags;
  const given: Readonly<Record<string, unknown>> = {
    type,
    name,
    project_id: projectId,
    topic_id: topicId,
    event_hub_name: eventHubName,
    topic,
    path,
    version,
    replication_filters: filter?.map((document) => ({ document, filter: null })),
  };
  return Object.fromEntries([
    ...Object.entries(file),
    ...Object.entries(given).filter(([, value]) => value !== undefined),
    ...(set ?? []),
  ]);
}

/** The one replication that a file holds. Throws a ConfigError. */
export function bodyFromText(text: string, source: string): Body {
  const [body, ...others] = parseDocuments(text, source);
  if (others.length > 0 || typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ConfigError([`${source}: has to hold one replication; \`replications apply\` takes several`]);
  return Object.fromEntries(Object.entries(body));
}

/** An id as a text, which files may give as a number; null when it is neither. */
export function idText(value: unknown): string | null {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  return typeof value === 'string' ? value : null;
}

function jsonOrText(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
