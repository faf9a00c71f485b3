import type { ReplicationConfig } from '../processors/replication-config.ts';
import {
  REPLICATION_TRANSITIONS,
  replicationState,
  strongerVerdict,
  verdictFor,
  type ReplicationState,
  type Verdict,
} from '../processors/replication-state.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import {
  replicationKey,
  writeReplicationStatus,
  type ReplicationStatus,
} from '../processors/status-record.ts';
import type { StatusTable } from '../processors/status-table.ts';
import type { SinkError } from '../sinks/sink.ts';
import { backoffMs, type Random } from './backoff.ts';
import { sleep, type Clock } from './clock.ts';
import type { Destinations } from './destinations.ts';
import type { Logger } from './logger.ts';
import { identityOf } from './replication-identity.ts';
import type { TableWriter } from './table-writer.ts';

const CHECKS_AT_ONCE = 16;
/** Credentials are written apart from the record that names them. */
const CREDENTIALS_GRACE_MS = 10_000;

export interface ReplicationStatesOptions {
  readonly table: ReplicationTable;
  readonly status: StatusTable;
  readonly writer: TableWriter;
  readonly destinations: () => Destinations;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Aborts when the application stops. */
  readonly signal: AbortSignal;
  /** Whether this instance owns partition 0 of the first mutation topic: then it checks and writes for all. */
  readonly isCoordinator: () => boolean;
  /** The version of the replication's sealed credentials; null without. */
  readonly credentialsVersionOf: (config: ReplicationConfig) => number | null;
  /** A replication is to be served otherwise from now on. */
  readonly onStance: (config: ReplicationConfig, stance: Stance) => void;
}

/** How the tasks are to treat a replication. */
export interface Stance {
  readonly state: Exclude<ReplicationState, 'DETACHED' | 'DELETED'>;
  /** True when the failure is that of the check: nothing was sent since the activation. */
  readonly isActivationFailed: boolean;
}

/**
 * Drives the state machine of every replication (`processors/replication-state.ts`) from the control topic, the verdicts
 * in `replication-status` and what happens at the destinations.
 *
 * Every instance follows the verdicts that are on the topic, so one owner's ERROR stops all. The coordinator makes those
 * of activations, and writes what follows from the tables alone: two of them for a moment do no harm.
 */
export class ReplicationStates {
  readonly #options: ReplicationStatesOptions;
  readonly #states = new Map<string, { readonly state: ReplicationState; readonly sinceMs: number }>();
  readonly #stances = new Map<string, Stance['state']>();
  /** By id, what is being checked: `attemptOf`. */
  readonly #checking = new Map<string, string>();
  /** Verdicts of this instance that the status table doesn't hold yet: what is written meanwhile must not lose them. */
  readonly #decided = new Map<string, Verdict>();
  #toCheck: Check[] = [];

  constructor(options: ReplicationStatesOptions) {
    this.#options = options;
  }

  /** The state of each replication of the table. */
  stateOf(config: ReplicationConfig): ReplicationState {
    const verdict = this.#options.status.verdict(config.id);
    return replicationState(config, verdict, this.#versionOf(config), this.#isDetached(config.id));
  }

  /** How tasks are to treat the replication. */
  stanceOf(config: ReplicationConfig): Stance {
    const verdict = this.#options.status.verdict(config.id);
    const state = replicationState(config, verdict, this.#versionOf(config), false) as Stance['state'];
    return {
      state,
      isActivationFailed: state === 'ERROR' && verdict?.failure?.reason === 'activation_failed',
    };
  }

  /** The control topic has another record of the replication, or none any more. */
  onConfigChanged(previous: ReplicationConfig | null, next: ReplicationConfig | null): void {
    if (previous && (!next || identityOf(previous) !== identityOf(next))) {
      this.#note(previous.id, 'DELETED');
      this.#states.delete(previous.id);
      this.#stances.delete(previous.id);
    }
    if (next) this.#refresh(next);
    else if (previous) this.#coordinate(previous.id);
  }

  /** The status topic has another record of the replication. */
  onStatusChanged(id: string): void {
    const { table, status } = this.#options;
    const [stored, decided] = [status.verdict(id), this.#decided.get(id)];
    if (stored && decided && strongerVerdict(stored, decided) === stored) this.#decided.delete(id);
    const config = table.get(id);
    if (config) this.#refresh(config);
    else this.#coordinate(id);
  }

  /**
   * The replication has other credentials: they end an ERROR, once they are found to work. `seenMs` is given for those
   * that have no version of their own (`file:`).
   */
  onCredentialsChanged(config: ReplicationConfig, seenMs: number | null): void {
    if (seenMs === null) this.#refresh(config);
    else if (this.#options.isCoordinator() && this.stateOf(config) === 'ERROR')
      this.#check({ config, credentialsVersion: seenMs });
  }

  /** This instance has become the coordinator, or the tables were read: does what is left to do. */
  onCoordinator(): void {
    const { table, status } = this.#options;
    for (const { id } of table.all()) this.#coordinate(id);
    for (const id of [...status.ids()]) if (!table.get(id)) this.#coordinate(id);
  }

  /** A permanent fault of the destination was confirmed. Resolves when all instances can know. */
  destinationFailed(
    config: ReplicationConfig,
    failure: SinkError,
    credentialsVersion: number | null,
  ): Promise<boolean> {
    const { code, message, remedy } = failure;
    return this.#writeVerdict(config, {
      configOffset: config.offset,
      // A file has no version: what is known of it so far is outweighed.
      credentialsVersion:
        credentialsVersion ?? this.#options.status.verdict(config.id)?.credentialsVersion ?? null,
      failure: { reason: 'destination_failed', code, message, remedy },
    });
  }

  /** Offsets that retention took before the replication got them, by what the partitions report. */
  lostOffsetsOf(id: string): number {
    let sum = 0;
    for (const { lostOffsets } of this.#options.status.reports(id)) sum += lostOffsets;
    return sum;
  }

  #refresh(config: ReplicationConfig): void {
    this.#note(config.id, this.stateOf(config));
    const stance = this.stanceOf(config);
    if (this.#stances.get(config.id) !== stance.state) {
      this.#stances.set(config.id, stance.state);
      this.#options.onStance(config, stance);
    }
    this.#coordinate(config.id);
  }

  #note(id: string, state: ReplicationState): void {
    const { clock, logger, status } = this.#options;
    const previous = this.#states.get(id)?.state;
    if (previous === state) return;
    const stored = previous === undefined ? status.status(id) : null;
    const sinceMs = stored?.state === state && stored.since > 0 ? stored.since : clock.now();
    if (previous && !REPLICATION_TRANSITIONS[previous].includes(state))
      logger.error({ replication_id: id }, `a replication went from ${previous} to ${state}`);
    this.#states.set(id, { state, sinceMs });
    logger.info({ replication_id: id, state }, `replication: ${previous ?? 'new'} → ${state}`);
  }

  #isDetached(id: string): boolean {
    for (const { state } of this.#options.status.reports(id)) if (state === 'DETACHED') return true;
    return false;
  }

  /** What the coordinator writes follows from the tables: what is missing or says something else is written. */
  #coordinate(id: string): void {
    const { table, status, writer, isCoordinator } = this.#options;
    if (!isCoordinator()) return;
    const config = table.get(id);
    if (!config) {
      this.#decided.delete(id);
      for (const key of status.keys(id)) void writer.write(key, null);
      return;
    }
    const verdict = this.#verdictToWrite(config);
    const credentialsVersion = this.#versionOf(config);
    const state = replicationState(config, verdict, credentialsVersion, this.#isDetached(id));
    if (state === 'ACTIVATING') this.#check({ config, credentialsVersion });
    const written = status.status(id);
    const lostOffsets = this.lostOffsetsOf(id);
    const isSame =
      written?.state === state &&
      written.lostOffsets === lostOffsets &&
      written.deferredStatus === config.deferredStatus &&
      (written.verdict?.configOffset ?? null) === (verdict?.configOffset ?? null) &&
      (written.verdict?.credentialsVersion ?? null) === (verdict?.credentialsVersion ?? null);
    if (isSame) return;
    const { datamartId, deferredStatus } = config;
    void this.#write({ replicationId: id, datamartId, state, verdict, lostOffsets, deferredStatus });
  }

  #verdictToWrite(config: ReplicationConfig): Verdict | null {
    // One that was found out while this very record's PAUSED waited says nothing any more, and no record would hold it.
    if (config.status === 'PAUSED') return null;
    const [stored, decided] = [this.#options.status.verdict(config.id), this.#decided.get(config.id)];
    const known = stored && decided ? strongerVerdict(stored, decided) : (decided ?? stored);
    const verdict = known && verdictFor(config, known, this.#versionOf(config));
    return verdict && { ...verdict, configOffset: config.offset };
  }

  #write(status: Omit<ReplicationStatus, 'since'>): Promise<boolean> {
    const { writer, clock } = this.#options;
    const since = this.#states.get(status.replicationId)?.sinceMs ?? clock.now();
    const record = writeReplicationStatus({ ...status, since }, clock.now());
    return writer.write(replicationKey(status.replicationId), record);
  }

  #writeVerdict(config: ReplicationConfig, verdict: Verdict): Promise<boolean> {
    const { id, datamartId, deferredStatus } = config;
    const state = verdict.failure ? 'ERROR' : 'ACTIVE';
    this.#decided.set(id, verdict);
    return this.#write({
      replicationId: id,
      datamartId,
      state,
      verdict,
      lostOffsets: this.lostOffsetsOf(id),
      deferredStatus,
    });
  }

  #versionOf(config: ReplicationConfig): number | null {
    return this.#options.credentialsVersionOf(config);
  }

  #check(check: Check): void {
    const { id } = check.config;
    if (this.#checking.get(id) === nameOf(check)) return;
    this.#checking.set(id, nameOf(check));
    this.#toCheck.push(check);
    if (this.#checking.size - this.#toCheck.length < CHECKS_AT_ONCE) void this.#runChecks();
  }

  async #runChecks(): Promise<void> {
    for (let check = this.#toCheck.shift(); check; check = this.#toCheck.shift()) {
      const { id } = check.config;
      await this.#activate(check);
      if (this.#checking.get(id) === nameOf(check)) this.#checking.delete(id);
    }
  }

  /** Tries until the destination is found to work, or to refuse. */
  async #activate({ config, credentialsVersion }: Check): Promise<void> {
    const { table, destinations, clock, random, logger, signal, isCoordinator } = this.#options;
    const version = this.#versionOf(config);
    const isCurrent = (): boolean =>
      !signal.aborted &&
      isCoordinator() &&
      table.get(config.id)?.offset === config.offset &&
      this.#versionOf(config) === version;
    const startedMs = clock.monotonic();
    for (let attempt = 0; isCurrent(); attempt += 1) {
      const { failure, credentialsVersion: tried } = await destinations().of(config).activate();
      if (!isCurrent()) return;
      const mayAppear =
        failure?.code === 'credentials_missing' && clock.monotonic() - startedMs < CREDENTIALS_GRACE_MS;
      if (!failure || (failure.kind === 'fatal' && !mayAppear)) {
        const verdict: Verdict = {
          configOffset: config.offset,
          credentialsVersion: tried ?? credentialsVersion,
          failure: failure && {
            reason: 'activation_failed',
            code: failure.code,
            message: failure.message,
            remedy: failure.remedy,
          },
        };
        await this.#writeVerdict(config, verdict);
        return;
      }
      if (attempt % 10 === 0)
        logger.warn({ replication_id: config.id, code: failure.code, error: failure }, failure.message);
      await sleep(clock, backoffMs(Math.min(attempt, 6), false, random), signal);
    }
  }
}

/** One record with one version of its credentials, to be tried. */
interface Check {
  readonly config: ReplicationConfig;
  readonly credentialsVersion: number | null;
}

function nameOf({ config, credentialsVersion }: Check): string {
  return `${config.offset}/${credentialsVersion ?? ''}`;
}
