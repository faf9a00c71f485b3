import { parseExecutionKey } from '../../processors/initial-sync/execution-keys.ts';
import { TOPICS } from './simulated-instance.ts';
import { targetOf, type SimulatedReplications } from './simulated-replications.ts';
import type { World } from './world.ts';

interface OpenSync {
  readonly datamart: string;
  /** Where it is to arrive, by replication; empty until it runs. */
  readonly targets: Map<string, string>;
  readonly liveOffsets: Map<number, number>;
  readonly hasBudget: boolean;
}

interface ExecutionValue {
  readonly status: string;
  readonly parameters?: { readonly replication_ids: readonly string[] };
  readonly result?: { readonly replications?: Readonly<Record<string, { readonly outcome: string | null }>> };
}

interface TaskValue {
  readonly partition: number;
  readonly live_offset: string;
}

/** The initial synchronizations of one simulated world: asks for them, and sees that they end as was promised. */
export class SimulatedSyncs {
  readonly #world: World;
  readonly #replications: SimulatedReplications;
  readonly #open = new Map<string, OpenSync>();
  #requested = 0;

  constructor(world: World, replications: SimulatedReplications) {
    this.#world = world;
    this.#replications = replications;
  }

  /** What must end before the world is at rest; null: nothing. */
  get unended(): string | null {
    const [id] = this.#open.keys();
    return id === undefined ? null : `${id} has not ended`;
  }

  /** An operator asks for one, of all or of some of a datamart's replications. */
  launch(datamart = this.#world.chance.is(0.75) ? '1' : '2'): void {
    const { chance, scheduler } = this.#world;
    const candidates = this.#replications.all.filter((each) => each.datamart === datamart);
    const some = candidates.filter(({ status }) => status === 'ACTIVE' && chance.is(0.7)).map(({ id }) => id);
    if (candidates.length === 0) return;
    const id = `sync-${this.#requested++}`;
    const hasBudget = chance.is(0.15);
    this.#open.set(id, { datamart, targets: new Map(), liveOffsets: new Map(), hasBudget });
    this.#ask(id, {
      replication_ids: chance.is(0.4) || some.length === 0 ? null : some,
      max_operations: hasBudget ? chance.between(1, 30) : null,
    });
    const later = (work: () => void): void => {
      scheduler.at(chance.mostlyLow(500, 30_000), () => {
        if (!this.#world.isHealed) work();
      });
    };
    if (hasBudget)
      later(() => {
        this.#raiseBudget(id);
      });
    if (chance.is(0.1))
      later(() => {
        this.#ask(id, { cancel: true });
      });
  }

  /** The tasks of the partition begin anew, with other live offsets. */
  metadataLost(partition: number): void {
    for (const { liveOffsets } of this.#open.values()) liveOffsets.delete(partition);
  }

  /** A record of `initial-sync-executions`. */
  onRecord(key: string, value: Buffer | null): void {
    const parsed = parseExecutionKey(key);
    if (!parsed || value === null) return;
    const open = this.#open.get(parsed.id);
    if (!open) return;
    const record: unknown = JSON.parse(value.toString());
    if (parsed.kind === 'task') this.#onTask(parsed.id, open, record as TaskValue);
    else if (parsed.kind === 'result') this.#onResult(parsed.id, open, record as ExecutionValue);
    else this.#onExecution(parsed.id, open, record as ExecutionValue);
  }

  /** None is held any more. */
  heal(): void {
    for (const [id, { hasBudget }] of this.#open) if (hasBudget) this.#raiseBudget(id);
  }

  #raiseBudget(id: string): void {
    this.#world.reach('sync budget raised');
    this.#ask(id, { max_operations: 1_000_000 });
  }

  #ask(id: string, fields: Readonly<Record<string, unknown>>): void {
    const { kafka } = this.#world;
    const open = this.#open.get(id);
    if (!open) return;
    const request = { id, datamart_id: open.datamart, ...fields };
    this.#world.note(`request ${JSON.stringify(request)}`);
    const at = { topic: TOPICS.initialSyncRequests, partition: 0 };
    kafka.append(at, { key: Buffer.from(id), value: Buffer.from(JSON.stringify(request)), headers: {} });
  }

  #onExecution(id: string, open: OpenSync, { status, parameters }: ExecutionValue): void {
    if (status !== 'RUNNING' || open.targets.size > 0) return;
    this.#world.note(`${id} runs for ${parameters?.replication_ids.join(' ') ?? ''}`);
    this.#world.reach('sync RUNNING');
    for (const replicationId of parameters?.replication_ids ?? []) {
      const replication = this.#replications.find(replicationId);
      if (!replication) continue;
      const target = targetOf(replication);
      open.targets.set(replicationId, target);
      this.#world.oracle.chosen(target);
    }
  }

  #onTask(id: string, { liveOffsets }: OpenSync, { partition, live_offset: text }: TaskValue): void {
    const liveOffset = Number(text);
    const before = liveOffsets.get(partition) ?? liveOffset;
    if (before !== liveOffset)
      this.#world.violated(
        `${id} began p${partition} at ${before}, and goes on as if it had at ${liveOffset}`,
      );
    liveOffsets.set(partition, liveOffset);
  }

  #onResult(id: string, { targets, liveOffsets }: OpenSync, { status, result }: ExecutionValue): void {
    const world = this.#world;
    const { snapshotOracle } = world;
    this.#open.delete(id);
    const isRefused = status === 'FAILED' && targets.size === 0;
    world.note(`${id} ${status} ${JSON.stringify(result?.replications ?? {})}`);
    world.reach(isRefused ? 'sync refused' : `sync ${status}`);
    for (const [replicationId, target] of targets) {
      const outcome = result?.replications?.[replicationId]?.outcome ?? null;
      world.reach(`sync part ${outcome ?? 'unfinished'}`);
      const replication = this.#replications.find(replicationId);
      const isThere = replication?.status !== 'DELETED' && replication && targetOf(replication) === target;
      if (outcome === 'deleted' && isThere) world.violated(`${id} takes ${target} for deleted`);
      if (status !== 'SUCCEEDED' || outcome !== 'succeeded') {
        world.oracle.leftUnfinished(target);
        continue;
      }
      world.oracle.converged(
        target,
        liveOffsets,
        (partition, offset) => snapshotOracle?.hasGot(partition, offset) ?? false,
      );
    }
  }
}
