import { SchemaRegistry as RegistryClient, SchemaType } from '@kafkajs/confluent-schema-registry';
import { orAbort } from './or-abort.ts';

/** A schema's text and the texts that it refers to, each after those it refers to itself. */
export interface SchemaText {
  readonly text: string;
  readonly references: readonly string[];
}

/**
 * What the registry says of an id: its schema, that it has none, or nothing that can be relied on (network, timeout,
 * 5xx, refused credentials: all of these may pass).
 */
export type SchemaAnswer =
  | { readonly kind: 'schema'; readonly schema: SchemaText }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unavailable'; readonly detail: string };

/** Where writer schemas come from. */
export interface SchemaSource {
  /** Asks once. Rejects only when `signal` aborts. */
  fetchSchema(id: number, signal: AbortSignal): Promise<SchemaAnswer>;
}

/** How to reach a registry. */
export interface SchemaRegistryOptions {
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly timeoutMs: number;
}

/** A registry's schema response, as far as it is read. */
interface SchemaResponse {
  readonly schema: string;
  readonly references: readonly { readonly subject: string; readonly version: number }[];
}

/** Beyond this a schema's references aren't followed; they may go in circles. */
const MAX_REFERENCES = 100;

class UnexpectedStatusError extends Error {
  override readonly name = 'UnexpectedStatusError';
  /** The registry says that what was asked for isn't there; any other server's 404 isn't that. */
  readonly isNotFound: boolean;

  constructor(status: number, body: string) {
    const isNotFound = status === 404 && hasErrorCode(body);
    super(
      status === 404 && !isNotFound
        ? 'the address answered 404, not as a schema registry does; is KAFKA_SCHEMA_REGISTRY_URL right?'
        : `the registry answered ${status}`,
    );
    this.isNotFound = isNotFound;
  }
}

/** Confluent's API and those like it: `{"error_code":40403,"message":"Schema not found"}`. */
function hasErrorCode(body: string): boolean {
  try {
    const { error_code: code } = JSON.parse(body) as { error_code?: unknown };
    return typeof code === 'number';
  } catch {
    return false;
  }
}

/**
 * A Confluent schema registry.
 *
 * Schemas are read by plain requests: the registry package has no timeout, and shows a connection that failed as
 * status 400. It registers them, which `start` never does.
 */
export class HttpSchemaRegistry implements SchemaSource {
  private readonly options: SchemaRegistryOptions;

  constructor(options: SchemaRegistryOptions) {
    this.options = { ...options, url: options.url.replace(/\/+$/, '') };
  }

  async fetchSchema(id: number, signal: AbortSignal): Promise<SchemaAnswer> {
    try {
      const response = await this.get(`/schemas/ids/${id}`, signal);
      const references = new Map<string, string>();
      await this.collectReferences(parseResponse(response), references, signal);
      return {
        kind: 'schema',
        schema: { text: parseResponse(response).schema, references: [...references.values()] },
      };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnexpectedStatusError && error.isNotFound) return { kind: 'unknown' };
      return { kind: 'unavailable', detail: `asking for schema ${id}: ${reasonOf(error)}` };
    }
  }

  /**
   * Registers an Avro schema under a subject and returns its id; the same schema gets the same id again.
   * Leaves the subject's compatibility as it is. Rejects when the registry refuses, or can't be reached.
   */
  async registerSchema(subject: string, avsc: string, signal: AbortSignal): Promise<number> {
    const { url, username, password, timeoutMs } = this.options;
    const client = new RegistryClient({
      host: url,
      ...(username === null ? {} : { auth: { username, password: password ?? '' } }),
      retry: { retries: 1 },
    });
    const compatibility = await this.compatibilityOf(subject, signal);
    const registered = client.register(
      { type: SchemaType.AVRO, schema: avsc },
      // The package refuses a subject whose compatibility isn't the one named here, and the cast is for its closed list.
      { subject, updateConfig: false, compatibility: compatibility as never },
    );
    const { id } = await orAbort(registered, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * 3)]));
    return id;
  }

  private async compatibilityOf(subject: string, signal: AbortSignal): Promise<string> {
    try {
      const response = await this.get(`/config/${encodeURIComponent(subject)}`, signal);
      const { compatibilityLevel } = response as { readonly compatibilityLevel?: unknown };
      return typeof compatibilityLevel === 'string' ? compatibilityLevel.toUpperCase() : 'BACKWARD';
    } catch (error) {
      if (error instanceof UnexpectedStatusError && error.isNotFound) return 'BACKWARD';
      throw error;
    }
  }

  private async collectReferences(
    { references }: SchemaResponse,
    into: Map<string, string>,
    signal: AbortSignal,
  ): Promise<void> {
    for (const { subject, version } of references) {
      const key = `${subject}/${version}`;
      if (into.has(key)) continue;
      if (into.size >= MAX_REFERENCES)
        throw new Error(`the schema has more than ${MAX_REFERENCES} references`);
      const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
      const response = parseResponse(await this.get(path, signal));
      await this.collectReferences(response, into, signal);
      into.set(key, response.schema);
    }
  }

  private async get(path: string, signal: AbortSignal): Promise<unknown> {
    const { url, username, password, timeoutMs } = this.options;
    const headers: Record<string, string> = {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
    };
    if (username !== null) {
      headers['authorization'] = `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`;
    }
    const response = await fetch(url + path, {
      headers,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const body = await response.text();
    if (!response.ok) throw new UnexpectedStatusError(response.status, body);
    return JSON.parse(body);
  }
}

function parseResponse(response: unknown): SchemaResponse {
  if (typeof response !== 'object' || response === null) throw new Error('the answer is no object');
  const { schema, schemaType, references } = response as Record<string, unknown>;
  if (typeof schema !== 'string') throw new Error('the answer has no schema');
  // A schema that isn't Avro is one whose records can't be read, which compiling it finds out.
  const isAvro = schemaType === undefined || schemaType === 'AVRO';
  return {
    schema: isAvro ? schema : '"not an Avro schema"',
    references: Array.isArray(references) ? references.filter(isReference) : [],
  };
}

function isReference(value: unknown): value is SchemaResponse['references'][number] {
  if (typeof value !== 'object' || value === null) return false;
  const { subject, version } = value as Record<string, unknown>;
  return typeof subject === 'string' && typeof version === 'number';
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
