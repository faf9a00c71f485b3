import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { OwnPosition, OwnPositionKind } from './commit-metadata.ts';
import type { Destinations } from './destinations.ts';
import { Lane, type LaneContext, type LaneOwner } from './lane.ts';
import { identityHash, identityOf } from './replication-identity.ts';
import { SeenMutations } from './seen-mutations.ts';

export interface LanesContext extends LaneContext {
  readonly destinations: Destinations;
  readonly table: ReplicationTable;
}

/** What the lanes need of their task. */
export interface LanesOwner extends LaneOwner {
  /** The next offset that will be dispatched. */
  readonly position: number;
}

/** A replication that nothing is sent to. */
export interface Parked {
  readonly kind: OwnPositionKind;
  /** Where it goes on; null: nowhere, it begins anew. */
  readonly position: number | null;
  /** What it isn't sent is at least since then, in ms since 1970 UTC. */
  readonly sinceMs: number;
}

/** Keeps the lane that delivered before: the position is known exactly when its last request was answered. */
class ParkedLane implements Parked {
  readonly kind: OwnPositionKind;
  readonly lane: Lane;

  constructor(kind: OwnPositionKind, lane: Lane) {
    this.kind = kind;
    this.lane = lane;
  }

  get position(): number | null {
    return this.lane.position;
  }

  get sinceMs(): number {
    return this.lane.oldestTimestamp ?? Infinity;
  }
}

/** The last interval that a replication was not sent, `[from, to)`. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

interface Entry {
  readonly config: ReplicationConfig;
  readonly hash: number;
  served: Lane | Parked;
  /** True when what it missed before its last activation is to be sent, whatever becomes of the activation. */
  keepsPosition: boolean;
  /** The gap that isn't durable yet: its start travels with the commits until it is. */
  openGap: Gap | null;
  /** From this offset on the task has looked at every mutation of the replication's datamart. */
  lookedFrom: number;
}

/**
 * The replications of one partition: the lane of each that is served, the position of each that is parked.
 *
 * A replication without entry follows the live mutations and has had none yet. The own positions are what no commit may
 * leave out (PROTOCOL A1): those of parked and detached replications, of lanes that still deliver what a replay fed
 * them, and the start of a gap that isn't durable. Positions of replications that nobody knows (yet) are carried over
 * unchanged.
 */
export class Lanes {
  /** The mutations that the task has dispatched. */
  readonly seen = new SeenMutations();
  readonly #context: LanesContext;
  readonly #owner: LanesOwner;
  readonly #entries = new Map<string, Entry>();
  #unknown: readonly OwnPosition[] = [];

  constructor(context: LanesContext, owner: LanesOwner) {
    this.#context = context;
    this.#owner = owner;
  }

  /** Every lane, live or detached. */
  *all(): Generator<Lane> {
    for (const { served } of this.#entries.values()) if (served instanceof Lane) yield served;
  }

  /** Every parked replication that has a position. */
  *parked(): Generator<{
    readonly config: ReplicationConfig;
    readonly kind: OwnPositionKind;
    readonly position: number;
    readonly sinceMs: number;
  }> {
    for (const { config, served } of this.#entries.values()) {
      if (!(served instanceof Lane) && served.position !== null)
        yield { config, kind: served.kind, position: served.position, sinceMs: served.sinceMs };
    }
  }

  /** The lane through which live mutations go to the replication; null while it is detached or parked. */
  liveLaneOf(config: ReplicationConfig): Lane | null {
    const served = this.#entries.get(identityOf(config))?.served;
    if (served instanceof Lane) return served.isDetached ? null : served;
    return served ? null : this.#open(config);
  }

  laneOf(config: ReplicationConfig): Lane | null {
    const served = this.#entries.get(identityOf(config))?.served;
    return served instanceof Lane ? served : null;
  }

  /** Null when it is served, or isn't known here. */
  parkedOf(config: ReplicationConfig): Parked | null {
    const served = this.#entries.get(identityOf(config))?.served;
    return !served || served instanceof Lane ? null : served;
  }

  keepsPosition(config: ReplicationConfig): boolean {
    return this.#entries.get(identityOf(config))?.keepsPosition ?? false;
  }

  /** A lane that goes on at `position`, fed by a replay. */
  openDetached(config: ReplicationConfig, position: number): Lane {
    const parked = this.parkedOf(config);
    const lane = parked instanceof ParkedLane ? parked.lane : this.#newLane(config);
    if (!lane.isDetached) lane.detach(position);
    this.#serve(config, lane);
    const entry = this.#entries.get(identityOf(config));
    if (entry) entry.keepsPosition = true;
    return lane;
  }

  /** A lane that follows the live mutations from now on, while the gap that this leaves is made durable. */
  openWithGap(config: ReplicationConfig, gap: Gap): void {
    this.#open(config);
    const entry = this.#entries.get(identityOf(config));
    if (entry) entry.openGap = gap;
  }

  /** The gap that isn't durable yet. */
  openGapOf(config: ReplicationConfig): Gap | null {
    return this.#entries.get(identityOf(config))?.openGap ?? null;
  }

  /** True while the start of a gap travels with the commits: there is no room for a position of the lane beside it. */
  hasOpenGap(config: ReplicationConfig): boolean {
    return (this.#entries.get(identityOf(config))?.openGap ?? null) !== null;
  }

  /** The gap is durable: its start needn't travel any more. */
  gapStored(config: ReplicationConfig, gap: Gap): void {
    const entry = this.#entries.get(identityOf(config));
    if (entry?.openGap === gap) entry.openGap = null;
  }

  /** Nothing more is sent to the replication; a lane's first undelivered offset is kept, else `position`. */
  park(config: ReplicationConfig, kind: OwnPositionKind, position: number | null): void {
    const identity = identityOf(config);
    const previous = this.#entries.get(identity);
    let served: Parked = { kind, position, sinceMs: this.#context.clock.now() };
    if (previous?.served instanceof Lane) {
      const lane = previous.served;
      if (position === null) {
        lane.close();
      } else {
        lane.detach(position);
        served = new ParkedLane(kind, lane);
      }
    } else if (previous?.served instanceof ParkedLane) {
      served = new ParkedLane(kind, previous.served.lane);
    } else if (previous) {
      // An activation that failed left no position; a pause begins one.
      const { position: at, sinceMs } = previous.served;
      if (at !== null || kind !== 'PAUSED') served = { kind, position: at, sinceMs };
    }
    this.#entries.set(identity, {
      config,
      hash: identityHash(config),
      served,
      keepsPosition: false,
      // Paused again before its last gap was durable: the start of that travels on.
      openGap: previous?.openGap ?? null,
      lookedFrom: previous?.lookedFrom ?? this.#owner.position,
    });
  }

  /**
   * Moves positions up to the task's where nothing between was for their replication: of those that are parked, and of
   * detached lanes that are fed nothing (`isWaiting`).
   */
  moveOverUnwanted(isWaiting: (lane: Lane) => boolean): void {
    const to = this.#owner.position;
    const now = this.#context.clock.now();
    for (const entry of this.#entries.values()) {
      const { served, openGap } = entry;
      if (openGap || !this.#hasMissedNothing(entry, to)) continue;
      if (served instanceof Lane) {
        if (served.isDetached && isWaiting(served)) served.fed(to, now);
      } else if (served instanceof ParkedLane) {
        if (served.lane.request === null) served.lane.fed(to, now);
      } else entry.served = { kind: served.kind, position: to, sinceMs: now };
    }
  }

  /** What waits at this position was stored then, in ms since 1970 UTC. */
  backlogSince(position: number, timestamp: number): void {
    for (const entry of this.#entries.values()) {
      const { served } = entry;
      if (served.position !== position) continue;
      if (served instanceof Lane) served.backlogSince(timestamp);
      else if (served instanceof ParkedLane) served.lane.backlogSince(timestamp);
      else entry.served = { ...served, sinceMs: timestamp };
    }
  }

  /** Retention took what the task would have dispatched below `offset`: nobody knows what was there. */
  skipped(offset: number): void {
    for (const entry of this.#entries.values()) entry.lookedFrom = offset;
  }

  /** Whether everything from the entry's position to `to` was looked at and none of it is for the replication. */
  #hasMissedNothing({ config, served, lookedFrom }: Entry, to: number): boolean {
    const { position } = served;
    if (position === null || position >= to || position < lookedFrom) return false;
    const { datamart, filter } = this.#context.table.get(config.id) ?? config;
    return !this.seen.hasSince(position, datamart, filter);
  }

  /** Forgets lane and position: deleted, or to follow the live mutations from now on. */
  forget(config: ReplicationConfig): void {
    const identity = identityOf(config);
    const served = this.#entries.get(identity)?.served;
    if (served instanceof Lane) served.close();
    else if (served instanceof ParkedLane) served.lane.close();
    this.#entries.delete(identity);
    const hash = identityHash(config);
    this.#unknown = this.#unknown.filter(({ replication }) => replication !== hash);
  }

  /** Positions of a commit whose replications aren't in the table. */
  carryOver(positions: readonly OwnPosition[]): void {
    this.#unknown = positions;
  }

  /** No position is carried over any more: their replications are gone. */
  dropCarried(): void {
    this.#unknown = [];
  }

  /** Takes the position that was carried for a replication the table didn't know. */
  takeCarried(config: ReplicationConfig): OwnPosition | null {
    if (this.#unknown.length === 0) return null;
    const hash = identityHash(config);
    const found = this.#unknown.find(({ replication }) => replication === hash) ?? null;
    if (found) this.#unknown = this.#unknown.filter((position) => position !== found);
    return found;
  }

  /** What every commit must carry beside its offset. */
  ownPositions(): readonly OwnPosition[] {
    const positions = [...this.#unknown];
    for (const { hash, served, openGap } of this.#entries.values()) {
      if (openGap) {
        positions.push({ replication: hash, position: openGap.from, kind: 'PAUSED' });
      } else if (!(served instanceof Lane)) {
        const { kind, position } = served;
        if (position !== null) positions.push({ replication: hash, position, kind });
      } else {
        const { position } = served;
        if (position !== null && (served.isDetached || position < served.countedFrom))
          positions.push({ replication: hash, position, kind: 'DETACHED' });
      }
    }
    return positions;
  }

  /** Closes every lane. */
  close(): void {
    for (const { served } of this.#entries.values()) {
      if (served instanceof Lane) served.close();
      else if (served instanceof ParkedLane) served.lane.close();
    }
    this.#entries.clear();
  }

  #open(config: ReplicationConfig): Lane {
    const lane = this.#newLane(config);
    this.#serve(config, lane);
    return lane;
  }

  #newLane(config: ReplicationConfig): Lane {
    return new Lane(this.#context.destinations.of(config), this.#owner, this.#context);
  }

  #serve(config: ReplicationConfig, lane: Lane): void {
    const previous = this.#entries.get(identityOf(config));
    this.#entries.set(identityOf(config), {
      config,
      hash: identityHash(config),
      served: lane,
      keepsPosition: false,
      openGap: previous?.openGap ?? null,
      lookedFrom: previous?.lookedFrom ?? this.#owner.position,
    });
  }
}
