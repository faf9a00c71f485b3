import type { ReplicationConfig } from '../processors/replication-config.ts';
import type { OwnPosition, OwnPositionKind } from './commit-metadata.ts';
import type { Destinations } from './destinations.ts';
import { Lane, type LaneContext, type LaneOwner } from './lane.ts';
import { identityHash, identityOf } from './replication-identity.ts';

export interface LanesContext extends LaneContext {
  readonly destinations: Destinations;
}

interface Entry {
  readonly config: ReplicationConfig;
  readonly hash: number;
  /** The replication's lane, or where it is parked: never both. */
  readonly served: Lane | { readonly position: number; readonly kind: OwnPositionKind };
}

/**
 * The replications of one partition: the lane of each that is served, the position of each that is parked.
 *
 * A replication without entry follows the live mutations and has had none yet. The own positions are what no commit may
 * leave out (PROTOCOL A1): those of parked and detached replications, and of lanes that still deliver what a replay fed
 * them. Positions of replications that nobody knows (yet) are carried over unchanged.
 */
export class Lanes {
  readonly #context: LanesContext;
  readonly #owner: LaneOwner;
  readonly #entries = new Map<string, Entry>();
  #unknown: readonly OwnPosition[] = [];

  constructor(context: LanesContext, owner: LaneOwner) {
    this.#context = context;
    this.#owner = owner;
  }

  /** Every lane, live or detached. */
  *all(): Generator<Lane> {
    for (const { served } of this.#entries.values()) if (served instanceof Lane) yield served;
  }

  /** The lane through which live mutations go to the replication; null while it is detached or parked. */
  liveLaneOf(config: ReplicationConfig): Lane | null {
    const served = this.#entries.get(identityOf(config))?.served;
    if (served instanceof Lane) return served.isDetached ? null : served;
    return served ? null : this.#open(config);
  }

  /** Where the replication is parked, and why; null when it isn't. */
  parkedAt(config: ReplicationConfig): { readonly position: number; readonly kind: OwnPositionKind } | null {
    const served = this.#entries.get(identityOf(config))?.served;
    return !served || served instanceof Lane ? null : served;
  }

  laneOf(config: ReplicationConfig): Lane | null {
    const served = this.#entries.get(identityOf(config))?.served;
    return served instanceof Lane ? served : null;
  }

  /** A lane that goes on at `position`, fed by a replay. */
  openDetached(config: ReplicationConfig, position: number): Lane {
    const lane = this.#open(config);
    lane.detach(position);
    return lane;
  }

  /** Nothing more is sent to the replication; it keeps its position, or `position` when it had none of its own. */
  park(config: ReplicationConfig, kind: OwnPositionKind, position: number): void {
    const identity = identityOf(config);
    const previous = this.#entries.get(identity);
    let at = position;
    if (previous?.served instanceof Lane) {
      at = previous.served.position ?? position;
      previous.served.close();
    } else if (previous) {
      at = previous.served.position;
    }
    this.#entries.set(identity, { config, hash: identityHash(config), served: { position: at, kind } });
  }

  /** Forgets lane and position: deleted, or to follow the live mutations from now on. */
  forget(config: ReplicationConfig): void {
    const identity = identityOf(config);
    const entry = this.#entries.get(identity);
    if (entry?.served instanceof Lane) entry.served.close();
    this.#entries.delete(identity);
    this.#unknown = this.#unknown.filter(({ replication }) => replication !== identityHash(config));
  }

  /** Positions of a commit whose replications aren't in the table. */
  carryOver(positions: readonly OwnPosition[]): void {
    this.#unknown = positions;
  }

  /** Takes the position that was carried for a replication the table didn't know. */
  takeCarried(config: ReplicationConfig): OwnPosition | null {
    const hash = identityHash(config);
    const found = this.#unknown.find(({ replication }) => replication === hash) ?? null;
    if (found) this.#unknown = this.#unknown.filter((position) => position !== found);
    return found;
  }

  /** What every commit must carry beside its offset. */
  ownPositions(): readonly OwnPosition[] {
    const positions = [...this.#unknown];
    for (const { hash, served } of this.#entries.values()) {
      if (!(served instanceof Lane)) {
        positions.push({ replication: hash, ...served });
        continue;
      }
      const { position } = served;
      if (position !== null && (served.isDetached || position < served.countedFrom))
        positions.push({ replication: hash, position, kind: 'DETACHED' });
    }
    return positions;
  }

  /** Closes every lane. */
  close(): void {
    for (const lane of this.all()) lane.close();
    this.#entries.clear();
  }

  #open(config: ReplicationConfig): Lane {
    const lane = new Lane(this.#context.destinations.of(config), this.#owner, this.#context);
    this.#entries.set(identityOf(config), { config, hash: identityHash(config), served: lane });
    return lane;
  }
}
