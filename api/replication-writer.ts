import { desiredStatus } from '../processors/deferred-status.ts';
import type { ReplicationConfig } from '../processors/replication-config.ts';
import { assertDestinationWorks, missingCredentials } from './activation.ts';
import { ApiError, refusedBy } from './api-error.ts';
import {
  NotConfirmedError,
  type ControlLog,
  type ControlState,
  type DestinationChecker,
} from './control-plane.ts';
import {
  assertNewReplication,
  changedRecordOf,
  fieldsOf,
  newRecordOf,
  withoutNulls,
} from './replication-body.ts';
import type { Caller } from './replication-operations.ts';
import { assertReady, type ReplicationReader } from './replication-reader.ts';
import { observedState, type ReplicationResource } from './replication-resource.ts';
import type { SerialByKey } from './serial-by-key.ts';

export interface ReplicationWriterOptions {
  readonly state: ControlState;
  readonly log: ControlLog;
  readonly checker: DestinationChecker;
  readonly reader: ReplicationReader;
  /** Shared by everything that writes, so that two writes of one replication don't overtake each other. */
  readonly turns: SerialByKey;
  /** ms since 1970 UTC. */
  readonly now: () => number;
  /** `[0, 1)` */
  readonly random: () => number;
}

type Fields = Readonly<Record<string, unknown>>;

/** So many ids are drawn before it is given up: one that is taken is drawn by a chance of one in a thousand at most. */
const MAX_DRAWS = 20;
const NO_FREE_ID = 'drawing an id for a new replication: all that were drawn are taken';

/** Writes replications to the control topic, nothing that the topic's own rules would refuse. */
export class ReplicationWriter {
  readonly #options: ReplicationWriterOptions;

  constructor(options: ReplicationWriterOptions) {
    this.#options = options;
  }

  create(datamartId: string, body: unknown, caller: Caller): Promise<ReplicationConfig> {
    // In turn per datamart: they are counted.
    return this.#options.turns.run(`datamart/${datamartId}`, async () => {
      const { state } = this.#options;
      assertReady(state);
      const fields = newRecordOf(body, datamartId, caller, state.replications);
      for (let draws = 0; draws < MAX_DRAWS; draws += 1) {
        const identity = this.#drawIdentity();
        const { version } = this.#judge(identity.id, { ...fields, ...identity });
        assertNewReplication(fields);
        // The version is written out, so that another default of a later release changes nothing.
        const record = { ...withoutNulls(fields), ...identity, version, status: 'PAUSED' };
        const written = await this.write(identity.id, record);
        if (!(written instanceof ApiError)) return written;
        // Somebody else's record under the same id came first, if one is in force.
        if (!state.replications.get(identity.id)) throw written;
      }
      throw new Error(NO_FREE_ID);
    });
  }

  update(
    datamartId: string,
    replicationId: string,
    body: unknown,
    caller: Caller,
    ifMatch: string | null,
  ): Promise<ReplicationConfig> {
    return this.#options.turns.run(`${datamartId}/${replicationId}`, async () => {
      const changed = (): { readonly config: ReplicationConfig; readonly record: Fields } => {
        const config = this.#options.reader.find(datamartId, replicationId);
        assertMatch(config, ifMatch);
        return { config, record: changedRecordOf(config, body, caller) };
      };
      let { config, record } = changed();
      const next = this.#judge(config.id, record);
      if (next.status !== desiredStatus(config)) this.#assertNoSync(datamartId);
      const isAsked = fieldsOf(body).status === 'ACTIVE';
      if (isAsked && !isInUse(config, this.#options.state)) {
        await this.#assertActivatable(next);
        // That takes a while: on another instance it may have been changed, or deleted, and nobody brings it back.
        ({ config, record } = changed());
      }
      const written = await this.write(config.id, withoutNulls(record));
      if (written instanceof ApiError) throw written;
      return written;
    });
  }

  /** Resolves with the replication as it was. */
  delete(datamartId: string, replicationId: string, ifMatch: string | null): Promise<ReplicationResource> {
    return this.#options.turns.run(`${datamartId}/${replicationId}`, async () => {
      const config = this.#options.reader.find(datamartId, replicationId);
      assertMatch(config, ifMatch);
      const { value } = await this.#options.reader.show(config);
      await confirmed(this.#options.log.writeConfig(config.id, null));
      return value;
    });
  }

  /** Resolves with what is in force then, or with why the table has refused the record. Within the key's turn. */
  async write(id: string, record: Fields): Promise<ReplicationConfig | ApiError> {
    const { log, state } = this.#options;
    const offset = await confirmed(log.writeConfig(id, record));
    const refused = state.replications.judgement(id)?.refused ?? null;
    if (refused?.offset === offset) return refusedBy(refused);
    const config = state.replications.get(id);
    // Deleted by a record that came right after.
    return config ?? new ApiError('not_found', 'Resource Not Found');
  }

  /** The config that the record makes, as the table would judge it now. */
  #judge(id: string, record: Fields): ReplicationConfig {
    const { replications } = this.#options.state;
    const offset = (replications.get(id)?.offset ?? -1) + 1;
    const judgement = replications.judge(id, Buffer.from(JSON.stringify(record)), offset);
    if (judgement.kind === 'accepted') return judgement.config;
    throw refusedBy(judgement.problem);
  }

  /** A status that is written while one runs waits for its end: nobody would expect that of a call. */
  #assertNoSync(datamartId: string): void {
    const running = this.#options.state.executions.deferral(datamartId);
    if (!running) return;
    throw new ApiError('sync_in_progress', 'status can’t change while an initial synchronization runs', {
      field: 'status',
      hint: `wait for the end of ${running.executionId}, or cancel it; everything else can change`,
      details: { execution_id: running.executionId },
    });
  }

  async #assertActivatable(next: ReplicationConfig): Promise<void> {
    const { state, checker } = this.#options;
    const type = state.replications.rules.types.get(next.type);
    if (type?.credentials === 'required' && next.credentialsUri === null) throw missingCredentials();
    await assertDestinationWorks(checker, next, null);
  }

  /** An id of 16 digits (until the year 2286), and the moment that it was made of. */
  #drawIdentity(): { readonly id: string; readonly created: number } {
    const { state, now, random } = this.#options;
    for (let draws = 0; draws < MAX_DRAWS; draws += 1) {
      const created = now();
      const id = String(created * 1_000 + Math.floor(random() * 1_000));
      if (!state.replications.get(id)) return { id, created };
    }
    throw new Error(NO_FREE_ID);
  }
}

/** Whether the destination is wanted, and not known to refuse. */
function isInUse(config: ReplicationConfig, state: ControlState): boolean {
  return config.status === 'ACTIVE' && observedState(config, state) !== 'ERROR';
}

function assertMatch({ offset }: ReplicationConfig, ifMatch: string | null): void {
  if (ifMatch === null || ifMatch === String(offset)) return;
  throw new ApiError('precondition_failed', 'the replication was changed since it was read', {
    hint: 'read it again, and send the ETag of that answer as If-Match',
  });
}

/** A write that wasn't seen in time is told as such. */
export async function confirmed<Result>(
  write: Promise<Result>,
  what: 'replication' | 'execution' = 'replication',
): Promise<Result> {
  try {
    return await write;
  } catch (error) {
    if (!(error instanceof NotConfirmedError)) throw error;
    throw new ApiError('write_not_confirmed', 'the write was not seen in time; it may still happen', {
      hint: `read the ${what} before you try again`,
      cause: error,
    });
  }
}
