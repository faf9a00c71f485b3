import { ApiError } from '../api/api-error.ts';
import type {
  Caller,
  Page,
  PageRequest,
  ReplicationOperations,
  Versioned,
} from '../api/replication-operations.ts';
import type { ReplicationResource } from '../api/replication-resource.ts';
import { ConfigError } from '../config/config-error.ts';
import { isJsonObject } from '../schemas/json-object.ts';
import { ApiConnectionError, type ApiAnswer, type ApiConnection } from './api-connection.ts';

/**
 * Replications over HTTP, with what the service itself promises: refusals come as the ApiError that the server made.
 * Who calls is told by the token, so `caller` says nothing here.
 */
export class ApiReplications implements ReplicationOperations {
  readonly #connection: ApiConnection;

  constructor(connection: ApiConnection) {
    this.#connection = connection;
  }

  async list(datamartId: string | null, page: PageRequest): Promise<Page<ReplicationResource>> {
    if (datamartId === null) throw new ConfigError(['--datamart-id: not given, and with --api it is needed']);
    const { firstResult, maxResults, keywords } = page;
    const query = { first_result: String(firstResult), max_results: String(maxResults) };
    const { body } = await this.#connection.call({
      method: 'GET',
      path: pathOf(datamartId),
      query: keywords === null ? query : { ...query, keywords },
    });
    const { data, total } = body;
    if (!Array.isArray(data) || typeof total !== 'number') throw unexpected();
    return { items: data.map(resourceOf), total };
  }

  async get(datamartId: string, replicationId: string): Promise<Versioned<ReplicationResource>> {
    return versioned(await this.#connection.call({ method: 'GET', path: pathOf(datamartId, replicationId) }));
  }

  async create(datamartId: string, body: unknown): Promise<Versioned<ReplicationResource>> {
    return versioned(await this.#connection.call({ method: 'POST', path: pathOf(datamartId), body }));
  }

  async update(
    datamartId: string,
    replicationId: string,
    body: unknown,
    _caller: Caller,
    ifMatch: string | null,
  ): Promise<Versioned<ReplicationResource>> {
    const path = pathOf(datamartId, replicationId);
    return versioned(await this.#connection.call({ method: 'PUT', path, body, ifMatch }));
  }

  async delete(
    datamartId: string,
    replicationId: string,
    _caller: Caller,
    ifMatch: string | null,
  ): Promise<ReplicationResource> {
    const path = pathOf(datamartId, replicationId);
    return resourceOf((await this.#connection.call({ method: 'DELETE', path, ifMatch })).body.data);
  }

  async uploadCredentials(
    datamartId: string,
    replicationId: string,
    file: Buffer,
  ): Promise<ReplicationResource> {
    const form = new FormData();
    form.set('file', new Blob([Uint8Array.from(file)]), 'credentials');
    const path = `${pathOf(datamartId, replicationId)}/credentials`;
    return resourceOf((await this.#connection.call({ method: 'POST', path, form })).body.data);
  }

  async explain(
    datamartId: string | null,
    replicationId: string | null,
    request: unknown,
  ): Promise<Readonly<object>> {
    if (datamartId === null || replicationId === null)
      throw new ConfigError(['which replication? with --api, its id and --datamart-id are needed']);
    const path = `${pathOf(datamartId, replicationId)}/explain`;
    const { body } = await this.#connection.call({ method: 'POST', path, body: request });
    if (!isJsonObject(body.data)) throw unexpected();
    return body.data;
  }
}

function pathOf(datamartId: string, replicationId?: string): string {
  const replications = `/v1/datamarts/${encodeURIComponent(datamartId)}/replications`;
  if (replicationId === undefined) return replications;
  // Paths are shortened by these, and lead elsewhere.
  if (/^\.{1,2}$/.test(replicationId)) throw new ApiError('not_found', 'Resource Not Found');
  return `${replications}/${encodeURIComponent(replicationId)}`;
}

function versioned({ body, etag }: ApiAnswer): Versioned<ReplicationResource> {
  return { value: resourceOf(body.data), etag };
}

/** Checks what the commands rely on; the rest is shown as it is. */
function resourceOf(data: unknown): ReplicationResource {
  if (!isJsonObject(data)) throw unexpected();
  const { id, datamart_id, name, type, status, observed } = data;
  const texts: readonly unknown[] = [id, datamart_id, name, type, status];
  if (texts.some((text) => typeof text !== 'string') || !isJsonObject(observed)) throw unexpected();
  return data as unknown as ReplicationResource;
}

function unexpected(): ApiConnectionError {
  return new ApiConnectionError(
    'unexpected_answer',
    'the answer is no replication as this release knows it',
    'are the API and this command of neighbouring releases? `datamart-replication --version`',
  );
}
