import { maxDocumentKeyBytes, writeDocumentKey } from '../../schemas/document-key.ts';
import { Hash64 } from '../../schemas/hash64.ts';
import type { DecodeStatus, MutationDecoder } from '../../schemas/mutation-decoder.ts';
import { MutationView } from '../../schemas/mutation.ts';
import { backoffMs, type Random } from '../backoff.ts';
import { sleep, type Clock } from '../clock.ts';
import type { SchemaLoader } from '../schema-loader.ts';

const SCHEMA_TRIES = 5;

/** Whether mutations can be decoded isn't known: their schema can't be asked for. */
export class SchemaNotLoadedError extends Error {
  override readonly name = 'SchemaNotLoadedError';
}

export interface MutationReaderPorts {
  readonly decoder: MutationDecoder;
  readonly schemas: SchemaLoader;
  readonly clock: Clock;
  readonly random: Random;
}

/** Decodes mutations of every datamart, one after another, loading their schemas, and names their documents. */
export class MutationReader {
  /** The last one that was decoded. */
  readonly mutation = new MutationView();
  readonly #ports: MutationReaderPorts;
  readonly #hash = new Hash64();
  #key = Buffer.alloc(1024);

  constructor(ports: MutationReaderPorts) {
    this.#ports = ports;
  }

  /**
   * Decodes the value of a record and has `then` take it up if it is a mutation that a snapshot holds; false: it isn't.
   * Returns a promise only when its schema must be loaded first, which rejects with a `SchemaNotLoadedError`.
   */
  read(
    value: Buffer | null,
    signal: AbortSignal,
    then: (isMutation: boolean) => Promise<void> | void,
  ): Promise<void> | void {
    if (value === null) return;
    const status = this.#decode(value);
    return status === 'schema_needed' ? this.#readLater(value, signal, then) : then(status === 'ok');
  }

  /** The key of the last mutation's document; it holds until the next. */
  documentKey(): Buffer {
    const room = maxDocumentKeyBytes(this.mutation);
    if (this.#key.length < room) this.#key = Buffer.alloc(room);
    return this.#key.subarray(0, writeDocumentKey(this.mutation, this.#key, 0));
  }

  /** Of that key; it holds until the next. */
  documentHash(): Hash64 {
    return this.#hash.of(this.documentKey());
  }

  async #readLater(
    value: Buffer,
    signal: AbortSignal,
    then: (isMutation: boolean) => Promise<void> | void,
  ): Promise<void> {
    const { decoder, schemas, clock, random } = this.#ports;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const { status, detail } = await schemas.load(decoder.schemaId, signal);
      const decoded = this.#decode(value);
      if (decoded !== 'schema_needed') return then(decoded === 'ok');
      if (status === 'unconfigured' || attempt === SCHEMA_TRIES) throw new SchemaNotLoadedError(detail);
      await sleep(clock, backoffMs(attempt, false, random), signal);
    }
  }

  #decode(value: Buffer): DecodeStatus {
    return this.#ports.decoder.decode(value, this.mutation, () => true);
  }
}
