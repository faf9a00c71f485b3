import type { ReplicationTable } from '../../processors/replication-table.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';
import type { SimulatedCredentials } from './simulated-credentials.ts';
import { makeTable, TOPICS, type SimulatedInstance } from './simulated-instance.ts';
import type { World } from './world.ts';

/** One replication as its operators see it. */
export interface SimulatedReplication {
  readonly id: string;
  /** Its incarnation. */
  created: number;
  readonly datamart: string;
  readonly resume: 'NOW' | 'WHERE_STOPPED';
  readonly filter: readonly string[] | null;
  status: 'ACTIVE' | 'PAUSED' | 'DELETED';
  ordering: boolean;
  orderingLanes: number;
  messageId: boolean;
  readonly hasCredentials: boolean;
  /** Offset of its newest record. */
  offset: number;
  hasBeenActive: boolean;
  isInError: boolean;
  isDetached: boolean;
}

export interface SimulatedReplicationsOptions {
  readonly world: World;
  /** What the records are judged by. */
  readonly adapter: SinkAdapter<{ target: string }>;
  readonly credentials: SimulatedCredentials;
  /** Those that live. */
  readonly instances: () => readonly SimulatedInstance[];
  /** A replication that was paused is ACTIVE again. */
  readonly onActivated: (replication: SimulatedReplication) => void;
}

/** What `replication-status` says of a replication, as far as its operators care. */
interface StatusValue {
  readonly state: string;
  readonly reason: string | null;
  readonly config_offset: string | null;
  readonly credentials_version?: number | null;
  readonly gap?: { readonly from: string; readonly to: string } | null;
}

/** The replications of one simulated world, and what operators do with them: configs, credentials, the end of an ERROR. */
export class SimulatedReplications {
  readonly all: SimulatedReplication[] = [];
  readonly #options: SimulatedReplicationsOptions;
  readonly #world: World;
  readonly #credentials: SimulatedCredentials;
  readonly #rules: ReplicationTable;

  constructor(options: SimulatedReplicationsOptions) {
    this.#options = options;
    this.#world = options.world;
    this.#credentials = options.credentials;
    this.#rules = makeTable(options.adapter);
  }

  find(id: unknown): SimulatedReplication | null {
    return this.all.find((candidate) => candidate.id === id) ?? null;
  }

  /** The first replication of an isolated world is left alone. */
  isSteady({ id }: Pick<SimulatedReplication, 'id'>): boolean {
    return this.#world.scenario.isIsolated && id === 'r0';
  }

  create(): void {
    const { chance, scenario } = this.#world;
    const id = `r${this.all.length}`;
    const replication: SimulatedReplication = {
      id,
      created: 1,
      datamart: this.all.length === 0 || chance.is(0.75) ? '1' : '2',
      resume: chance.is(scenario.faults.has('initial syncs') ? 0.3 : 0.6) ? 'WHERE_STOPPED' : 'NOW',
      filter: chance.is(0.2) ? ['USER_ACTIVITY'] : null,
      status: 'ACTIVE',
      ordering: chance.is(0.25),
      orderingLanes: chance.of([1, 2, 4]),
      messageId: chance.is(0.5),
      hasCredentials: scenario.faults.has('credentials') && !this.isSteady({ id }) && chance.is(0.6),
      offset: 0,
      hasBeenActive: false,
      isInError: false,
      isDetached: false,
    };
    this.all.push(replication);
    this.#write(replication, 'create');
  }

  /** Whether every instance that may dispatch what comes now knows that the target wants it. */
  isWanted(target: string): boolean {
    const replication = this.all.find((candidate) => targetOf(candidate) === target);
    if (!replication || replication.status === 'DELETED' || replication.isInError) return false;
    const isNow = replication.resume === 'NOW' || !replication.hasBeenActive;
    if (isNow && (replication.status === 'PAUSED' || !this.#areCredentialsKnown(replication))) return false;
    return this.#options.instances().every(({ table, hasRun }) => {
      if (!hasRun) return true;
      const known = table.get(replication.id);
      if (known?.created !== replication.created) return false;
      // While an initial synchronization runs, another status waits.
      return !isNow || (known.offset === replication.offset && known.deferredStatus === null);
    });
  }

  /** Whether what comes now lies in a gap of the target, unless it gets it. */
  isInGap(target: string): boolean {
    const replication = this.all.find((candidate) => targetOf(candidate) === target);
    return (
      replication?.status === 'PAUSED' &&
      replication.resume === 'NOW' &&
      replication.hasBeenActive &&
      this.#options.instances().every(({ table }) => {
        const known = table.get(replication.id);
        return known?.offset === replication.offset && known.deferredStatus === null;
      })
    );
  }

  /** A record of the status topic. */
  onStatus(key: string, value: Buffer | null): void {
    const world = this.#world;
    const [prefix, id, topic, partition] = key.split('/');
    const replication = this.find(id);
    if (prefix !== 'replication' || !replication || value === null) return;
    const status = JSON.parse(value.toString()) as StatusValue;
    if (topic !== undefined) {
      replication.isDetached = status.state === 'DETACHED';
      if (!status.gap) return;
      const { from, to } = status.gap;
      world.reach('gaps');
      world.oracle.told(targetOf(replication), Number(partition), Number(from), Number(to));
      return;
    }
    const { state, reason, config_offset: offset } = status;
    world.note(`status ${replication.id} ${state} ${reason ?? ''} of ${offset ?? ''}`);
    world.reach(`status ${state}`);
    if (state === 'ACTIVE' && replication.status === 'ACTIVE') replication.hasBeenActive = true;
    if (state === 'ERROR' && Number(offset) === replication.offset) this.#onError(replication, status);
  }

  /** The coordinator has destroyed the credentials of a replication that was deleted. */
  onShredded(id: string): void {
    this.#world.note(`the credentials of ${id} are shredded`);
    this.#world.reach('credentials shredded');
    this.#credentials.shredded(id);
  }

  /** One of them gets another config. */
  change(): void {
    const { chance } = this.#world;
    const replication = chance.of(this.all);
    if (this.isSteady(replication)) return;
    const kind = chance.between(0, 9);
    if (replication.status === 'DELETED') {
      replication.created += 1;
      Object.assign(replication, { status: 'ACTIVE', hasBeenActive: false, isInError: false });
      this.#write(replication, 'create');
    } else if (replication.status === 'PAUSED') {
      this.#activate(replication);
    } else if (kind < 5) {
      this.#pause(replication);
    } else if (kind < 6) {
      replication.status = 'DELETED';
      this.#write(replication, 'delete');
    } else if (kind < 8) {
      replication.ordering = !replication.ordering;
      this.#write(replication, 'change');
    } else {
      replication.messageId = !replication.messageId;
      this.#write(replication, 'change');
    }
    this.#world.reach(`config ${replication.status}`);
  }

  /**
   * New credentials take over from old ones that are refused later; or all are refused until there are new ones; or new
   * ones are wrong.
   */
  flipCredentials(): void {
    const world = this.#world;
    const { chance, scheduler } = world;
    const candidates = this.all.filter(
      ({ hasCredentials, status }) => hasCredentials && status !== 'DELETED',
    );
    if (candidates.length === 0) return;
    const replication = chance.of(candidates);
    const { id } = replication;
    switch (chance.of(['rotated', 'refused', 'wrong'])) {
      case 'rotated':
        this.#upload(replication, true);
        scheduler.at(chance.mostlyLow(0, 20_000), () => {
          if (world.isHealed) return;
          world.note(`the former credentials of ${id} are refused`);
          this.#credentials.revoke(id, 'former');
        });
        return;
      case 'refused':
        world.note(`all credentials of ${id} are refused`);
        world.reach('credentials refused');
        this.#credentials.revoke(id, 'all');
        this.#repairCredentials(
          replication,
          chance.is(0.5) ? chance.between(1_000, 30_000) : chance.between(60_000, 120_000),
        );
        return;
      case 'wrong':
        this.#upload(replication, false);
        this.#repairCredentials(replication, chance.between(1_000, 60_000));
    }
  }

  /** All are to be delivered from now on. */
  heal(): void {
    for (const replication of this.all) {
      const { id, status, hasCredentials } = replication;
      if (hasCredentials && status !== 'DELETED' && !this.#credentials.areGood(id))
        this.#upload(replication, true);
      if (status !== 'PAUSED') continue;
      replication.status = 'ACTIVE';
      this.#write(replication, 'change');
    }
  }

  #pause(replication: SimulatedReplication): void {
    const world = this.#world;
    const { chance, scheduler } = world;
    replication.status = 'PAUSED';
    this.#write(replication, 'change');
    const { offset } = replication;
    if (chance.is(0.5)) return;
    scheduler.at(chance.between(500, 10_000), () => {
      if (!world.isHealed && replication.offset === offset) this.#activate(replication);
    });
  }

  #activate(replication: SimulatedReplication): void {
    replication.status = 'ACTIVE';
    this.#write(replication, 'change');
    this.#world.reach('activated again');
    this.#options.onActivated(replication);
  }

  #write(replication: SimulatedReplication, change: 'create' | 'change' | 'delete'): void {
    const { chance, scheduler, kafka, oracle } = this.#world;
    const { id, created, datamart, resume, filter, status, ordering, orderingLanes, messageId } = replication;
    const { hasCredentials } = replication;
    const target = targetOf(replication);
    const record =
      change === 'delete'
        ? null
        : {
            id,
            datamart_id: datamart,
            type: 'SIMULATED',
            target,
            status,
            version: 1,
            resume,
            created,
            ordering,
            ordering_lanes: orderingLanes,
            metadata: messageId ? ['message_id'] : [],
            ...(hasCredentials ? { credentials_uri: `sealed:${id}` } : {}),
            ...(filter ? { replication_filters: filter.map((document) => ({ document })) } : {}),
          };
    const value = record && Buffer.from(JSON.stringify(record));
    const at = { topic: TOPICS.replicationConfig, partition: 0 };
    replication.offset = kafka.append(at, { key: Buffer.from(id), value, headers: {} });
    this.#rules.apply(id, value, replication.offset, 0);
    this.#world.note(`config ${target} ${change} ${status} at ${replication.offset}`);
    const config = this.#rules.get(id);
    // A world whose replications are refused would show nothing.
    if (record && config?.offset !== replication.offset)
      this.#world.violated(`the simulation's own record of ${target} is refused`);
    if (change === 'create' && config) oracle.created(target, config);
    if (change === 'delete') oracle.deleted(target);
    else if (config) oracle.changed(target, config);
    const isPausedForGood = resume === 'NOW' && (status === 'PAUSED' || replication.isInError);
    if (isPausedForGood || (!replication.hasBeenActive && status === 'PAUSED'))
      oracle.pausedForGood(target, replication.hasBeenActive);
    replication.isInError = false;
    // Uploaded after the record that names them, sometimes later than anybody waits for them.
    if (change === 'create' && hasCredentials)
      scheduler.at(chance.mostlyLow(0, 15_000), () => {
        if (replication.status !== 'DELETED' && !this.#credentials.areGood(id))
          this.#upload(replication, true);
      });
  }

  #onError(replication: SimulatedReplication, { reason, credentials_version: tried }: StatusValue): void {
    const { oracle, chance, scheduler, isHealed } = this.#world;
    const isActivationFailed = reason === 'activation_failed';
    const forgets = replication.resume === 'NOW' || (isActivationFailed && !replication.hasBeenActive);
    const version = this.#versionOf(replication);
    if ((tried ?? 0) < (version ?? 0)) {
      // Nobody who has read the newer credentials follows it; others stop for a moment.
      if (forgets && !this.#areCredentialsKnown(replication))
        oracle.pausedForGood(targetOf(replication), !isActivationFailed);
      return;
    }
    if (forgets) {
      replication.isInError = true;
      // Where an activation fails nothing is kept.
      oracle.pausedForGood(targetOf(replication), !isActivationFailed);
    }
    const { offset } = replication;
    scheduler.at(isHealed ? 1_000 : chance.between(1_000, 30_000), () => {
      if (replication.offset !== offset || replication.status !== 'ACTIVE') return;
      // Other credentials end it by themselves.
      if (this.#versionOf(replication) !== version) return;
      if (!replication.hasCredentials || this.#credentials.areGood(replication.id)) {
        this.#write(replication, 'change');
      } else {
        this.#world.reach('credentials uploaded in ERROR');
        this.#upload(replication, true);
      }
    });
  }

  #repairCredentials(replication: SimulatedReplication, inMs: number): void {
    this.#world.scheduler.at(inMs, () => {
      if (this.#world.isHealed || replication.status === 'DELETED') return;
      if (!this.#credentials.areGood(replication.id)) this.#upload(replication, true);
    });
  }

  #upload(replication: SimulatedReplication, isGood: boolean): void {
    const { id, datamart } = replication;
    const value = this.#credentials.upload(id, datamart, isGood);
    this.#world.note(`${isGood ? 'good' : 'bad'} credentials ${this.#versionOf(replication) ?? 0} of ${id}`);
    this.#world.reach(`${isGood ? 'good' : 'bad'} credentials`);
    replication.isInError = false;
    const at = { topic: TOPICS.replicationCredentials, partition: 0 };
    this.#world.kafka.append(at, { key: Buffer.from(id), value, headers: {} });
  }

  /** The version of its sealed credentials; null without. */
  #versionOf({ id, hasCredentials }: SimulatedReplication): number | null {
    return hasCredentials ? this.#credentials.versionOf(id) : null;
  }

  /** Whether every instance that may dispatch has read its newest credentials. */
  #areCredentialsKnown(replication: SimulatedReplication): boolean {
    if (!replication.hasCredentials) return true;
    const version = this.#versionOf(replication);
    return this.#options
      .instances()
      .every(({ hasRun, credentials }) => !hasRun || credentials.versionOf(replication.id) === version);
  }
}

/** What the destination of this incarnation is called. */
export function targetOf({ id, created }: Pick<SimulatedReplication, 'id' | 'created'>): string {
  return `${id}#${created}`;
}

/** Whose destination that is. */
export function idOf(target: string): string {
  return target.split('#')[0] ?? '';
}
