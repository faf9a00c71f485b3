import { ApiError } from '../../api/api-error.ts';
import type {
  Page,
  PageRequest,
  ReplicationOperations,
  Versioned,
} from '../../api/replication-operations.ts';
import type { ReplicationResource } from '../../api/replication-resource.ts';

type Body = Readonly<Record<string, unknown>>;

const OWN_FIELDS: Readonly<Record<string, readonly string[]>> = {
  GOOGLE_PUBSUB: ['project_id', 'topic_id', 'endpoint'],
  AZURE_EVENT_HUBS: ['event_hub_name'],
  KAFKA_TOPIC: ['topic', 'brokers'],
  FILE: ['path'],
};
const CHANGEABLE = [
  'name',
  'status',
  'resume',
  'metadata',
  'user_point_parent',
  'ordering',
  'ordering_lanes',
];

/** Replications in memory, with what the commands rely on: defaults, what can't change, versions, refusals. */
export class MemoryReplications implements ReplicationOperations {
  /** In the order of their creation. */
  readonly replications = new Map<string, ReplicationResource>();
  readonly credentials = new Map<string, string>();
  /** What was called, in words. */
  readonly calls: string[] = [];
  /** Refuses or changes what is about to happen; called with the words of the call. */
  beforeWrite: (call: string) => void = () => undefined;
  #versions = new Map<string, number>();
  #nextId = 1;

  /** Puts a replication there as it is. */
  put(fields: Body & { readonly type: string }, id = `r${this.#nextId++}`): ReplicationResource {
    const { type, status = 'PAUSED', version = type === 'GOOGLE_PUBSUB' ? 2 : 1, name = id } = fields;
    const { datamart_id = '1649', metadata, ordering, ordering_lanes, user_point_parent } = fields;
    const filters = fields.replication_filters as readonly { readonly document: string }[] | null | undefined;
    const documents = filters ? [...new Set(filters.map(({ document }) => document))] : null;
    const isOrdered = type === 'GOOGLE_PUBSUB' || type === 'AZURE_EVENT_HUBS';
    const own = (OWN_FIELDS[type] ?? []).flatMap((field) =>
      (fields[field] ?? null) === null ? [] : [[field, fields[field]]],
    );
    const resource = {
      id,
      version,
      status,
      name,
      type,
      datamart_id: String(datamart_id),
      ...(Object.fromEntries(own) as Body),
      ...(type === 'FILE' ? {} : { credentials_uri: fields.credentials_uri ?? null }),
      replication_filters:
        documents?.map((document, i) => ({ id: `${i + 1}`, replication_id: id, document, filter: null })) ??
        null,
      resume: fields.resume ?? null,
      ...(type === 'FILE' ? {} : { metadata: metadata ?? [] }),
      ...(version === 2 ? { user_point_parent: user_point_parent ?? false } : {}),
      ...(isOrdered ? { ordering: ordering ?? type === 'AZURE_EVENT_HUBS' } : {}),
      ...(type === 'FILE' ? {} : { ordering_lanes: ordering_lanes ?? 16 }),
      observed: {
        state: status === 'PAUSED' ? 'PAUSED' : status,
        reason: null,
        code: null,
        message: null,
        remedy: null,
        since: 1_763_900_000_000,
        deferred_status: null,
        needs_initial_sync: false,
        lost_offsets: '0',
        lag_records: 0,
        lag_seconds: 0,
        refused: null,
      },
    } as unknown as ReplicationResource;
    this.replications.set(id, resource);
    this.#versions.set(id, (this.#versions.get(id) ?? 0) + 1);
    return resource;
  }

  /** Changes what is observed of a replication. */
  observe(id: string, observed: Partial<ReplicationResource['observed']>): void {
    const resource = this.replications.get(id);
    if (!resource) return;
    this.replications.set(id, {
      ...resource,
      status: observed.state === 'ERROR' ? 'ERROR' : resource.status,
      observed: { ...resource.observed, ...observed },
    });
  }

  async list(
    datamartId: string | null,
    { firstResult, maxResults, keywords }: PageRequest,
  ): Promise<Page<ReplicationResource>> {
    this.calls.push(`list ${datamartId ?? 'all'} ${firstResult}`);
    const all = [...this.replications.values()]
      .reverse()
      .filter((one) => datamartId === null || one.datamart_id === datamartId)
      .filter(({ id, name }) => keywords === null || `${id} ${name}`.includes(keywords));
    return { items: all.slice(firstResult, firstResult + maxResults), total: all.length };
  }

  async get(datamartId: string, replicationId: string): Promise<Versioned<ReplicationResource>> {
    return this.#versioned(this.#find(datamartId, replicationId));
  }

  async create(datamartId: string, body: unknown): Promise<Versioned<ReplicationResource>> {
    const fields = body as Body;
    this.#write(`create ${String(fields.name)}`);
    if (fields.status === 'ACTIVE') throw new ApiError('initial_status_must_be_paused', 'create it PAUSED');
    if (typeof fields.type !== 'string')
      throw new ApiError('missing_field', 'type is missing', { field: 'type' });
    return this.#versioned(this.put({ ...fields, type: fields.type, datamart_id: datamartId }));
  }

  async update(
    datamartId: string,
    replicationId: string,
    body: unknown,
    _caller: unknown,
    ifMatch: string | null,
  ): Promise<Versioned<ReplicationResource>> {
    this.#write(`update ${replicationId} ${JSON.stringify(body)}`);
    const current = this.#find(datamartId, replicationId);
    this.#assertVersion(replicationId, ifMatch);
    const immutable = Object.keys(body as Body).find((field) => !CHANGEABLE.includes(field));
    if (immutable !== undefined) throw new ApiError('immutable_field', `${immutable} can't change`);
    return this.#versioned(this.put({ ...current, ...(body as Body), type: current.type }, replicationId));
  }

  async delete(
    datamartId: string,
    replicationId: string,
    _caller: unknown,
    ifMatch: string | null,
  ): Promise<ReplicationResource> {
    this.#write(`delete ${replicationId}`);
    const current = this.#find(datamartId, replicationId);
    this.#assertVersion(replicationId, ifMatch);
    this.replications.delete(replicationId);
    return current;
  }

  async uploadCredentials(
    datamartId: string,
    replicationId: string,
    file: Buffer,
  ): Promise<ReplicationResource> {
    this.#write(`credentials ${replicationId}`);
    const current = this.#find(datamartId, replicationId);
    this.credentials.set(replicationId, file.toString());
    return this.put({ ...current, credentials_uri: `sealed:${replicationId}` }, replicationId);
  }

  async explain(
    datamartId: string | null,
    replicationId: string | null,
    request: unknown,
  ): Promise<Readonly<object>> {
    if (replicationId !== null && !this.replications.has(replicationId))
      throw new ApiError('not_found', 'Resource Not Found');
    const about = `${replicationId ?? 'all'} of ${datamartId ?? 'whatever datamart'}`;
    const message = `asked about ${about} for ${JSON.stringify(request)}`;
    return { message, remedy: null, replications: [], notes: [] };
  }

  /** Those that change something, as `beforeWrite` gets them. */
  get writes(): readonly string[] {
    return this.calls.filter((call) => !call.startsWith('list'));
  }

  #write(call: string): void {
    this.calls.push(call);
    this.beforeWrite(call);
  }

  #find(datamartId: string, replicationId: string): ReplicationResource {
    const found = this.replications.get(replicationId);
    if (found?.datamart_id === datamartId) return found;
    throw new ApiError('not_found', 'Resource Not Found');
  }

  #assertVersion(id: string, ifMatch: string | null): void {
    if (ifMatch !== null && ifMatch !== this.#etagOf(id))
      throw new ApiError('precondition_failed', 'another write came between');
  }

  #versioned(value: ReplicationResource): Versioned<ReplicationResource> {
    return { value, etag: this.#etagOf(value.id) };
  }

  #etagOf(id: string): string {
    return `"${this.#versions.get(id) ?? 0}"`;
  }
}
