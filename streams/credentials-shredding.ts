import type { CredentialsTable } from '../processors/credentials-table.ts';
import type { ReplicationTable } from '../processors/replication-table.ts';
import type { TableWriter } from './table-writer.ts';

export interface CredentialsShreddingOptions {
  readonly replications: ReplicationTable;
  readonly credentials: CredentialsTable;
  /** Writes to `replication-credentials`. */
  readonly writer: TableWriter;
  /** Whether this instance writes for all. */
  readonly isCoordinator: () => boolean;
  /** Resolves when the control topic was read to the end that it has now. */
  readonly caughtUp: () => Promise<void>;
}

/**
 * Destroys the sealed credentials of deleted replications: a null takes record and data key off the topic.
 *
 * A replication is on the control topic before its credentials are uploaded, so credentials without one are known as
 * orphans once that topic was read to its end.
 */
export class CredentialsShredding {
  readonly #options: CredentialsShreddingOptions;

  constructor(options: CredentialsShreddingOptions) {
    this.#options = options;
  }

  /** The replication was deleted. */
  onDeleted(id: string): void {
    const { credentials, writer, isCoordinator } = this.#options;
    if (isCoordinator() && credentials.has(id)) void writer.write(id, null);
  }

  /** The replication has a record of credentials now. */
  onCredentials(id: string): void {
    if (!this.#options.replications.get(id)) void this.#shredOrphans();
  }

  /** This instance has become the coordinator: does what others have left undone. */
  onCoordinator(): void {
    void this.#shredOrphans();
  }

  async #shredOrphans(): Promise<void> {
    const { replications, credentials, isCoordinator, caughtUp } = this.#options;
    const orphans = [...credentials.ids()].filter((id) => !replications.get(id));
    if (orphans.length === 0 || !isCoordinator()) return;
    const isCaughtUp = await caughtUp().then(
      () => true,
      () => false,
    );
    // Kafka is away: the next credentials, or the next coordinator, have another look.
    if (!isCaughtUp) return;
    for (const id of orphans) if (!replications.get(id)) this.onDeleted(id);
  }
}
