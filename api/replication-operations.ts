import type { ReplicationResource } from './replication-resource.ts';

/** Who calls. Which datamarts they may see is settled before. */
export interface Caller {
  /** Of the token, or of whoever sits at the command line. */
  readonly name: string;
  readonly role: 'customer' | 'operator';
}

/** Which part of a list is wanted. */
export interface PageRequest {
  readonly firstResult: number;
  readonly maxResults: number;
  /** Words that all must be in the name or the id; null for no matter which. */
  readonly keywords: string | null;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  /** How many there are in all. */
  readonly total: number;
}

/** A thing with the version that `ifMatch` of a later write can name: the offset of its control record. */
export interface Versioned<Value> {
  readonly value: Value;
  readonly etag: string;
}

/**
 * What can be done with replications, over HTTP or straight on Kafka. Every write is judged by the rules of the control
 * topic before it is written, and has been applied by this instance's table when its promise resolves.
 *
 * Everything rejects with an `ApiError`. Bodies are as they came: whatever is wrong with them is said.
 */
export interface ReplicationOperations {
  /** The newest first; `datamartId` null: of all datamarts, which HTTP doesn't offer. */
  list(datamartId: string | null, page: PageRequest): Promise<Page<ReplicationResource>>;
  get(datamartId: string, replicationId: string): Promise<Versioned<ReplicationResource>>;
  create(datamartId: string, body: unknown, caller: Caller): Promise<Versioned<ReplicationResource>>;
  /** What `body` leaves out stays, null is the default. `ifMatch` null: whatever came between. */
  update(
    datamartId: string,
    replicationId: string,
    body: unknown,
    caller: Caller,
    ifMatch: string | null,
  ): Promise<Versioned<ReplicationResource>>;
  /** Resolves with the replication as it was. */
  delete(
    datamartId: string,
    replicationId: string,
    caller: Caller,
    ifMatch: string | null,
  ): Promise<ReplicationResource>;
  /** `file` is the uploaded file as it came. */
  uploadCredentials(
    datamartId: string,
    replicationId: string,
    file: Buffer,
    caller: Caller,
  ): Promise<ReplicationResource>;
  /** `replicationId` null: for all of the mutation's datamart; that, and `datamartId` null, HTTP doesn't offer. */
  explain(
    datamartId: string | null,
    replicationId: string | null,
    request: unknown,
  ): Promise<Readonly<object>>;
}
