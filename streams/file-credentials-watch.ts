import {
  schemeOf,
  type CredentialsRequest,
  type CredentialsResolver,
  type ResolvedCredentials,
} from '../sinks/credentials.ts';
import { SinkError } from '../sinks/sink.ts';
import { sleep, type Clock } from './clock.ts';
import type { Logger } from './logger.ts';

const LOOK_EVERY_MS = 30_000;

export interface FileCredentialsWatchOptions {
  /** Reads the credentials. */
  readonly credentials: CredentialsResolver;
  /** What open destinations were given; other schemes than `file:` are passed over. */
  readonly inUse: () => Iterable<CredentialsRequest>;
  /**
   * The file has other content than when it was last read here. Replications that have it already may be told too:
   * fingerprints say which have. Called in the step that noticed it; must not throw.
   */
  readonly onChanged: (uri: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What was last read of a file. */
interface LastRead {
  /** Null while it can't be read, before anything could. */
  readonly fingerprint: string | null;
  readonly isUnreadable: boolean;
}

/**
 * Notices that credentials in files have changed, as when a mounted secret is renewed.
 *
 * Everything that opens a destination reads its credentials through `resolve`, so that the watch knows what was handed
 * out, and no change between an opening and the first look is missed. `follow` looks at the files in use every 30 s. Of
 * their content it keeps nothing but the last fingerprint. A file that is gone or can't be read is no change: what is
 * open goes on with what it has, and one log line says so.
 */
export class FileCredentialsWatch implements CredentialsResolver {
  readonly #options: FileCredentialsWatchOptions;
  readonly #lastRead = new Map<string, LastRead>();
  /** Read, and not in use at the last look: an opening may still be under way. */
  readonly #unused = new Set<string>();

  constructor(options: FileCredentialsWatchOptions) {
    this.#options = options;
  }

  /** As the resolver that it was made with. */
  async resolve(request: CredentialsRequest, signal: AbortSignal): Promise<ResolvedCredentials> {
    const isFile = schemeOf(request.uri) === 'file';
    try {
      const credentials = await this.#options.credentials.resolve(request, signal);
      if (isFile) this.#note(request.uri, credentials.fingerprint);
      return credentials;
    } catch (error) {
      // When it appears, that is a change.
      if (isFile && !this.#lastRead.has(request.uri))
        this.#lastRead.set(request.uri, { fingerprint: null, isUnreadable: false });
      throw error;
    }
  }

  /** Looks every 30 s until `signal` aborts. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await sleep(clock, LOOK_EVERY_MS, signal);
      await this.#look(signal);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const requests = new Map<string, CredentialsRequest>();
    for (const request of this.#options.inUse())
      if (schemeOf(request.uri) === 'file') requests.set(request.uri, request);
    this.#forgetUnused(requests);
    for (const request of requests.values()) {
      if (signal.aborted) return;
      try {
        await this.resolve(request, signal);
      } catch (error) {
        this.#noteUnreadable(request, error);
      }
    }
  }

  #forgetUnused(inUse: ReadonlyMap<string, unknown>): void {
    for (const uri of this.#lastRead.keys()) {
      if (inUse.has(uri)) this.#unused.delete(uri);
      else if (!this.#unused.has(uri)) this.#unused.add(uri);
      else {
        this.#unused.delete(uri);
        this.#lastRead.delete(uri);
      }
    }
  }

  #note(uri: string, fingerprint: string): void {
    this.#unused.delete(uri);
    const last = this.#lastRead.get(uri);
    this.#lastRead.set(uri, { fingerprint, isUnreadable: false });
    // One that could never be read before has appeared.
    if (last && last.fingerprint !== fingerprint) this.#options.onChanged(uri);
  }

  #noteUnreadable({ uri, replicationId }: CredentialsRequest, error: unknown): void {
    const last = this.#lastRead.get(uri);
    if (last?.isUnreadable === true) return;
    this.#lastRead.set(uri, { fingerprint: last?.fingerprint ?? null, isUnreadable: true });
    const code = error instanceof SinkError ? error.code : 'unknown';
    this.#options.logger.warn(
      { replication_id: replicationId, code, error },
      'a credentials file in use can’t be read any more; what is open goes on with what it has',
    );
  }
}
