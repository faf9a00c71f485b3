import { HttpSchemaRegistry, type SchemaRegistryOptions } from './schema-registry.ts';
import { compileWriterSchema } from './writer-schema.ts';

/** What the registry holds under a subject. */
export interface InspectedSubject {
  /** Null when nothing is registered under it. */
  readonly registered: {
    readonly id: number;
    readonly version: number;
    /** Why records of that schema can't be read as mutations; empty when they can. */
    readonly problem: string;
    /** Whether the registry would take the other schema as the next version; null when it doesn't tell. */
    readonly takes: boolean | null;
  } | null;
  /** The registry's clock, in ms since 1970 UTC, to the second; null when it doesn't tell. */
  readonly dateMs: number | null;
}

/** Looks at a schema registry, and registers nothing. */
export interface RegistryInspector {
  /** Rejects, with the reason in words, when the registry can't be reached or doesn't answer as one. */
  inspect(subject: string, avsc: string, signal: AbortSignal): Promise<InspectedSubject>;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly dateMs: number | null;
}

/** `RegistryInspector` over the Confluent API. */
export class HttpRegistryInspector implements RegistryInspector {
  readonly #options: SchemaRegistryOptions;
  readonly #schemas: HttpSchemaRegistry;

  constructor(options: SchemaRegistryOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, '') };
    this.#schemas = new HttpSchemaRegistry(options);
  }

  async inspect(subject: string, avsc: string, signal: AbortSignal): Promise<InspectedSubject> {
    const name = encodeURIComponent(subject);
    const { status, body, dateMs } = await this.#ask(`/subjects/${name}/versions/latest`, null, signal);
    if (status === 401 || status === 403)
      throw new Error(`the registry answered ${status}: user or password are not right, or lack the right`);
    if (status === 404 && field(body, 'error_code') !== undefined) return { registered: null, dateMs };
    if (status === 404) throw new Error('the address answered 404, not as a schema registry does');
    if (status !== 200) throw new Error(`the registry answered ${status}`);
    const [id, version] = [field(body, 'id'), field(body, 'version')];
    if (typeof id !== 'number' || typeof version !== 'number')
      throw new Error('the address answers, but not as a schema registry does');
    const problem = await this.#problemOf(id, signal);
    const takes = await this.#takes(name, avsc, signal);
    return { registered: { id, version, problem, takes }, dateMs };
  }

  /** With the schemas that it refers to, as the decoder reads it. */
  async #problemOf(id: number, signal: AbortSignal): Promise<string> {
    const answer = await this.#schemas.fetchSchema(id, signal);
    switch (answer.kind) {
      case 'schema':
        return compileWriterSchema(answer.schema.text, answer.schema.references).problem;
      case 'unknown':
        return `the registry has no schema ${id}`;
      case 'unavailable':
        throw new Error(answer.detail);
    }
  }

  /** Registries of other makers may not know the call: nothing is told then. */
  async #takes(name: string, avsc: string, signal: AbortSignal): Promise<boolean | null> {
    const path = `/compatibility/subjects/${name}/versions/latest`;
    const { status, body } = await this.#ask(path, { schema: avsc }, signal);
    const compatible = field(body, 'is_compatible');
    return status === 200 && typeof compatible === 'boolean' ? compatible : null;
  }

  async #ask(path: string, content: object | null, signal: AbortSignal): Promise<Answer> {
    const { url, username, password, timeoutMs } = this.#options;
    const type = 'application/vnd.schemaregistry.v1+json';
    const headers: Record<string, string> = { accept: `${type}, application/json`, 'content-type': type };
    if (username !== null)
      headers.authorization = `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`;
    const response = await fetch(url + path, {
      headers,
      ...(content === null ? {} : { method: 'POST', body: JSON.stringify(content) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const dateMs = Date.parse(response.headers.get('date') ?? '');
    return {
      status: response.status,
      body: parse(await response.text()),
      dateMs: Number.isNaN(dateMs) ? null : dateMs,
    };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function field(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? new Map(Object.entries(body)).get(name) : undefined;
}
