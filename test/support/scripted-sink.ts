import {
  SinkError,
  type MessageOptions,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkAdapter,
} from '../../sinks/sink.ts';

/** The record of an ACTIVE replication that delivers to `received(id)`, with these fields over it. */
export function scriptedRecord(id: string, fields: Readonly<Record<string, unknown>> = {}): Buffer {
  const record = { id, datamart_id: '1649', type: 'SCRIPTED', target: id, status: 'ACTIVE', version: 1 };
  return Buffer.from(JSON.stringify({ ...record, ...fields }));
}

/** One request as the sink saw it. */
export interface SeenRequest {
  readonly replication: string;
  readonly operations: readonly string[];
  readonly orderingLane: number | null;
  /** What the client was opened with that it came over. */
  readonly options: MessageOptions;
  readonly messageIds: readonly string[];
}

type Script = (operations: readonly string[]) => SendOutcome | Promise<SendOutcome> | null;

/**
 * A destination in memory: replications of type SCRIPTED deliver to `received(target)`, in the order of acceptance.
 * A script may answer instead of it: fail, reject, or wait.
 */
export class ScriptedSinks {
  readonly #received = new Map<string, string[]>();
  readonly #scripts = new Map<string, Script>();
  readonly #refusals = new Map<string, SinkError>();
  readonly requests: SeenRequest[] = [];
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  limits = { maxRecords: 1_000, maxBytes: 9_000_000, recordOverheadBytes: 20 };

  readonly adapter: SinkAdapter<{ target: string }> = {
    type: 'SCRIPTED',
    versions: [1, 2],
    fields: ['target'],
    options: { messageId: true, ordering: false, orderingLanes: true },
    credentials: 'none',
    parseConfig: (record) =>
      typeof record.target === 'string'
        ? { config: { target: record.target } }
        : { problem: { code: 'missing_field', field: 'target', message: 'target is missing' } },
    checkCredentials: () => null,
    open: ({ config, options }) => Promise.resolve(this.#sink(config.target, options)),
  };

  /** Operations accepted for `target`, as latin1 text of their bytes. */
  received(target: string): readonly string[] {
    return this.#received.get(target) ?? [];
  }

  /** Answers requests of `target` until it returns null for one; undefined ends it. */
  script(target: string, script: Script | undefined): void {
    if (script) this.#scripts.set(target, script);
    else this.#scripts.delete(target);
  }

  /** The check of `target` fails with this until null ends it. */
  refuse(target: string, failure: SinkError | null): void {
    if (failure) this.#refusals.set(target, failure);
    else this.#refusals.delete(target);
  }

  #sink(target: string, options: MessageOptions): Sink {
    this.opened.push(target);
    return {
      limits: this.limits,
      check: () => {
        const refusal = this.#refusals.get(target);
        return refusal ? Promise.reject(refusal) : Promise.resolve([]);
      },
      send: (batch) => this.#send(target, options, batch),
      close: () => {
        this.closed.push(target);
        return Promise.resolve();
      },
    };
  }

  async #send(target: string, options: MessageOptions, batch: OperationBatch): Promise<SendOutcome> {
    const indexes = Array.from({ length: batch.count }, (_, i) => i);
    const operations = indexes.map((i) => batch.data.toString('utf8', batch.start(i), batch.end(i)));
    this.requests.push({
      replication: target,
      operations,
      orderingLane: batch.orderingLane,
      options,
      messageIds: indexes.map((i) => batch.messageId(i)),
    });
    const outcome = (await this.#scripts.get(target)?.(operations)) ?? {
      delivered: batch.count,
      failure: null,
    };
    const accepted = this.#received.get(target) ?? [];
    accepted.push(...operations.slice(0, outcome.delivered));
    this.#received.set(target, accepted);
    return outcome;
  }
}

export const unavailable = (): SendOutcome => ({
  delivered: 0,
  failure: new SinkError('retriable', 'unavailable', 'the destination is unavailable'),
});

export const rejected = (): SendOutcome => ({
  delivered: 0,
  failure: new SinkError('rejected', 'invalid_record', 'a record is not acceptable'),
});
