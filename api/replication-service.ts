import type {
  ControlLog,
  ControlState,
  CredentialsSealer,
  DestinationChecker,
  Explainer,
} from './control-plane.ts';
import { CredentialsUpload } from './credentials-upload.ts';
import type {
  Caller,
  Page,
  PageRequest,
  ReplicationOperations,
  Versioned,
} from './replication-operations.ts';
import { assertReady, ReplicationReader } from './replication-reader.ts';
import type { ReplicationResource } from './replication-resource.ts';
import { ReplicationWriter } from './replication-writer.ts';
import { SerialByKey } from './serial-by-key.ts';

export interface ReplicationServiceOptions {
  readonly state: ControlState;
  readonly log: ControlLog;
  readonly checker: DestinationChecker;
  /** Null when this instance has no key to seal with. */
  readonly sealer: CredentialsSealer | null;
  readonly explainer: Explainer;
  /** ms since 1970 UTC. */
  readonly now: () => number;
  /** `[0, 1)` */
  readonly random: () => number;
}

/** An explanation reads a record, the snapshot and dead letters. */
const EXPLAIN_DEADLINE_MS = 30_000;

/** The operations on replications, over this instance's tables and the control topic. */
export class ReplicationService implements ReplicationOperations {
  readonly #state: ControlState;
  readonly #explainer: Explainer;
  readonly #reader: ReplicationReader;
  readonly #writer: ReplicationWriter;
  readonly #upload: CredentialsUpload;

  constructor(options: ReplicationServiceOptions) {
    const turns = new SerialByKey();
    const reader = new ReplicationReader(options.state);
    const writer = new ReplicationWriter({ ...options, reader, turns });
    this.#state = options.state;
    this.#explainer = options.explainer;
    this.#reader = reader;
    this.#writer = writer;
    this.#upload = new CredentialsUpload({ ...options, reader, writer, turns });
  }

  list(datamartId: string | null, page: PageRequest): Promise<Page<ReplicationResource>> {
    return this.#reader.list(datamartId, page);
  }

  get(datamartId: string, replicationId: string): Promise<Versioned<ReplicationResource>> {
    return this.#reader.get(datamartId, replicationId);
  }

  async create(datamartId: string, body: unknown, caller: Caller): Promise<Versioned<ReplicationResource>> {
    return this.#reader.show(await this.#writer.create(datamartId, body, caller));
  }

  async update(
    datamartId: string,
    replicationId: string,
    body: unknown,
    caller: Caller,
    ifMatch: string | null,
  ): Promise<Versioned<ReplicationResource>> {
    return this.#reader.show(await this.#writer.update(datamartId, replicationId, body, caller, ifMatch));
  }

  delete(
    datamartId: string,
    replicationId: string,
    _caller: Caller,
    ifMatch: string | null,
  ): Promise<ReplicationResource> {
    return this.#writer.delete(datamartId, replicationId, ifMatch);
  }

  async uploadCredentials(
    datamartId: string,
    replicationId: string,
    file: Buffer,
  ): Promise<ReplicationResource> {
    const config = await this.#upload.upload(datamartId, replicationId, file);
    return (await this.#reader.show(config)).value;
  }

  async explain(
    datamartId: string | null,
    replicationId: string | null,
    request: unknown,
  ): Promise<Readonly<object>> {
    if (datamartId !== null && replicationId !== null) this.#reader.find(datamartId, replicationId);
    else assertReady(this.#state);
    const signal = AbortSignal.timeout(EXPLAIN_DEADLINE_MS);
    return this.#explainer.explain(datamartId, replicationId, request, signal);
  }
}
