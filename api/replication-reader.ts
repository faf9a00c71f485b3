import type { ReplicationConfig } from '../processors/replication-config.ts';
import { ApiError, notFound } from './api-error.ts';
import type { ControlState } from './control-plane.ts';
import type { Page, PageRequest, Versioned } from './replication-operations.ts';
import { observationOf, resourceOf, type ReplicationResource } from './replication-resource.ts';

/** Reads replications from this instance's tables. */
export class ReplicationReader {
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  async list(
    datamartId: string | null,
    { firstResult, maxResults, keywords }: PageRequest,
  ): Promise<Page<ReplicationResource>> {
    assertReady(this.#state);
    const { replications } = this.#state;
    const all = datamartId === null ? [...replications.all()] : replications.ofDatamart(datamartId);
    const found = all.filter(({ id, name }) => hasWords(`${name}\n${id}`, keywords));
    const shown = found.sort(newestFirst).slice(firstResult, firstResult + maxResults);
    const observation = await observationOf(this.#state);
    return {
      items: shown.map((config) => resourceOf(config, observation, 'withoutPositions')),
      total: found.length,
    };
  }

  /** The replication in force; throws `not_found`, also when it is another datamart's, and `not_ready`. */
  find(datamartId: string, replicationId: string): ReplicationConfig {
    assertReady(this.#state);
    const config = this.#state.replications.get(replicationId);
    if (config?.datamartId !== datamartId) throw notFound();
    return config;
  }

  async get(datamartId: string, replicationId: string): Promise<Versioned<ReplicationResource>> {
    return this.show(this.find(datamartId, replicationId));
  }

  /** The answer that tells of `config`. */
  async show(config: ReplicationConfig): Promise<Versioned<ReplicationResource>> {
    const observation = await observationOf(this.#state);
    return { value: resourceOf(config, observation, 'withPositions'), etag: String(config.offset) };
  }
}

/** Whether the text holds every one of the words, without case; null holds none. */
export function hasWords(text: string, keywords: string | null): boolean {
  const words = (keywords ?? '').toLowerCase().split(/\s+/);
  return words.every((word) => text.toLowerCase().includes(word));
}

/** Tables that aren't read to the end would answer 404 for what is there. */
export function assertReady(state: ControlState): void {
  if (state.isCaughtUp) return;
  throw new ApiError('not_ready', 'this instance is still reading its tables', {
    hint: 'try again; /readyz says what is missing',
    retryAfterSeconds: 1,
  });
}

/** By when they were created; those that nobody dated come last, by their ids. */
function newestFirst(a: ReplicationConfig, b: ReplicationConfig): number {
  const [createdA, createdB] = [a.created ?? 0, b.created ?? 0];
  if (createdA !== createdB) return createdB - createdA;
  return b.id.localeCompare(a.id, 'en', { numeric: true });
}
