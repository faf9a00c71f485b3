import {
  judgementKey,
  writeJudgement,
  type ConfigJudgement,
  type StoredJudgement,
} from '../processors/config-judgement.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { StatusTable } from '../processors/status-table.ts';
import type { TableWriter } from './table-writer.ts';

export interface ConfigJudgementsOptions {
  readonly table: ReplicationTable;
  readonly status: StatusTable;
  readonly writer: TableWriter;
  /** Whether this instance writes for all. */
  readonly isCoordinator: () => boolean;
  /** How far this instance has read the control topic, and where that ends, as last seen. */
  readonly progress: () => { readonly position: number; readonly end: number };
}

/**
 * Keeps in `replication-status`, as `config/<key>`, what was judged of each key of the control topic: the record in force
 * survives the compaction that a refused one brings about, and whoever wrote that one can read why.
 *
 * Only the coordinator writes, and what it writes follows from the tables alone.
 */
export class ConfigJudgements {
  readonly #options: ConfigJudgementsOptions;

  constructor(options: ConfigJudgementsOptions) {
    this.#options = options;
  }

  /** A record of the control topic was read. */
  onJudged(name: string): void {
    this.#coordinate(name);
  }

  /** A judgement was stored or removed, by whomever. */
  onStored(name: string): void {
    this.#coordinate(name);
  }

  /** This instance has become the coordinator: writes what is missing or says something else. */
  onCoordinator(): void {
    const { table, status } = this.#options;
    for (const name of new Set([...table.judged(), ...status.judgements.keys()])) this.#coordinate(name);
  }

  #coordinate(name: string): void {
    const { table, status, writer, isCoordinator, progress } = this.#options;
    if (!isCoordinator()) return;
    const judgement = table.judgement(name);
    const stored = status.judgements.get(name);
    const { position, end } = progress();
    // Another coordinator has read further: what it judged is yet to be read here.
    if (stored && stored.judgedOffset >= position && stored.judgedOffset < end) return;
    if (!judgement) {
      if (stored) void writer.write(judgementKey(name), null);
      return;
    }
    if (stored && isSame(stored, judgement)) return;
    void writer.write(judgementKey(name), writeJudgement(name, judgement));
  }
}

function isSame(stored: StoredJudgement, { judgedOffset, accepted, refused }: ConfigJudgement): boolean {
  return (
    stored.judgedOffset === judgedOffset &&
    (stored.accepted?.offset ?? null) === (accepted?.offset ?? null) &&
    (stored.refused?.offset ?? null) === (refused?.offset ?? null)
  );
}
