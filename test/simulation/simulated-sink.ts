import {
  SinkError,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkAdapter,
} from '../../sinks/sink.ts';
import { ATTEMPT_DEADLINE_MS } from '../../streams/destination.ts';
import { SegmentSlice } from '../../streams/segment.ts';
import type { Chance } from './chance.ts';
import type { DestinationObserver, SentOperation } from './destination-observer.ts';
import type { Network } from './network.ts';
import type { Scheduler } from './scheduler.ts';
import type { PendingCall, SimulatedProcess } from './simulated-process.ts';

/** PROTOCOL A6: nothing is stored later than this after its attempt began. */
const LATEST_STORE_MS = ATTEMPT_DEADLINE_MS + 2_000;

export const MOODS = [
  'slow',
  'crawls',
  'is down',
  'throttles',
  'refuses',
  'is silent',
  'loses answers',
  'stores a part',
] as const;
/** How a destination behaves for a while. */
export type Mood = 'works' | (typeof MOODS)[number];

/** One opening of a destination by a process. */
interface Client {
  readonly process: SimulatedProcess;
  readonly target: string;
  readonly credentials: string | null;
}

export interface SimulatedSinksOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly network: Network;
  readonly observer: DestinationObserver;
  /** Whether the destination takes these credentials, null being none. */
  readonly isAuthenticated: (target: string, credentials: string | null) => boolean;
  readonly maxRecords: number;
  /** Now and then a request takes seconds, though its destination works. */
  readonly hasHiccups: boolean;
}

/** The destinations of one simulated world, one per `target`, and the adapter of each process. */
export class SimulatedSinks {
  readonly #options: SimulatedSinksOptions;
  readonly #moods = new Map<string, Mood>();
  /** By process and target: the requests in flight, and since when. */
  readonly #inFlight = new Map<string, Map<PendingCall, Client>>();

  constructor(options: SimulatedSinksOptions) {
    this.#options = options;
  }

  setMood(target: string, mood: Mood): void {
    this.#moods.set(target, mood);
  }

  healAll(): void {
    this.#moods.clear();
  }

  adapter(process: SimulatedProcess): SinkAdapter<{ target: string }> {
    return {
      type: 'SIMULATED',
      versions: [1],
      fields: ['target'],
      options: { messageId: true, ordering: false, orderingLanes: true },
      credentials: 'optional',
      parseConfig: ({ target }) =>
        typeof target === 'string'
          ? { config: { target } }
          : { problem: { code: 'missing_field', field: 'target', message: 'target is missing' } },
      checkCredentials: () => null,
      open: ({ config: { target }, credentials }) =>
        Promise.resolve(this.#sink({ process, target, credentials })),
    };
  }

  #moodOf(target: string): Mood {
    return this.#moods.get(target) ?? 'works';
  }

  #sink(client: Client): Sink {
    return {
      limits: { maxRecords: this.#options.maxRecords, maxBytes: 1_000_000, recordOverheadBytes: 10 },
      check: (signal) => this.#check(client, signal),
      send: (batch, signal) => this.#send(client, batch, signal),
      close: () => Promise.resolve(),
    };
  }

  #check({ process, target, credentials }: Client, signal: AbortSignal): Promise<readonly string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    const call = process.begin('check');
    if (!call) return promise;
    const { scheduler, chance, isAuthenticated } = this.#options;
    const mood = this.#moodOf(target);
    const end = (settle: () => void): void => {
      process.enter(() => {
        process.pending.delete(call);
        settle();
      });
    };
    signal.addEventListener('abort', () => {
      process.pending.delete(call);
      reject(signal.reason as Error);
    });
    if (mood === 'is silent') return promise;
    scheduler.at(chance.mostlyLow(1, 50), () => {
      end(() => {
        if (mood === 'refuses') reject(new SinkError('fatal', 'permission_denied', 'refused'));
        else if (!isAuthenticated(target, credentials))
          reject(new SinkError('fatal', 'unauthenticated', 'these credentials are not taken'));
        else if (mood === 'is down') reject(new SinkError('retriable', 'unavailable', 'down'));
        else resolve([]);
      });
    });
    return promise;
  }

  #send(client: Client, batch: OperationBatch, signal: AbortSignal): Promise<SendOutcome> {
    const { process, target, credentials } = client;
    const { promise, resolve } = Promise.withResolvers<SendOutcome>();
    const call = process.begin('send');
    if (!call) return promise;
    const { scheduler, chance, network, observer, isAuthenticated, hasHiccups } = this.#options;
    const operations = operationsOf(batch);
    const bytes = Buffer.from(batch.data.subarray(batch.start(0), batch.end(batch.count - 1)));
    const onAnswered = observer.onSend(process, target, operations);
    const inFlight = this.#inFlightOf(client);
    for (const [{ sentAt }, other] of inFlight)
      if (other !== client && scheduler.now - sentAt < ATTEMPT_DEADLINE_MS)
        observer.violated(`${process.name} publishes to ${target} with two clients at once`);
    inFlight.set(call, client);
    network.onPhase(process, 'send', 'sent');
    const isStubborn = chance.is(0.1);
    let isOver = false;
    const settle = (outcome: SendOutcome): void => {
      if (isOver) return;
      isOver = true;
      process.pending.delete(call);
      inFlight.delete(call);
      network.onPhase(process, 'send', 'answered');
      if (process.isDead) return;
      onAnswered(!signal.aborted && outcome.failure === null && outcome.delivered === batch.count);
      if (outcome.failure?.isAmbiguous === true) observer.onAmbiguous(target, operations);
      resolve(outcome);
    };
    const answer = (delayMs: number, outcome: SendOutcome): void => {
      scheduler.at(delayMs, () => {
        process.enter(() => {
          settle(outcome);
        });
      });
    };
    const store = (delayMs: number, count: number, then: () => void = () => undefined): void => {
      scheduler.at(Math.min(delayMs, LATEST_STORE_MS - 1), () => {
        if (call.isCut) return;
        if (!isOver && !process.isDead && !signal.aborted) {
          const now = batch.data.subarray(batch.start(0), batch.end(batch.count - 1));
          if (!bytes.equals(now)) observer.violated('the bytes of a request changed while it was in flight');
        }
        observer.onStored(process, target, operations.slice(0, count));
        network.onPhase(process, 'send', 'served');
        then();
      });
    };
    signal.addEventListener('abort', () => {
      if (isStubborn) return;
      queueMicrotask(() => {
        settle(failed(0, 'retriable', 'timeout', true));
      });
    });
    const all = batch.count;
    const latency = hasHiccups && chance.is(0.01) ? chance.between(1_000, 9_500) : chance.mostlyLow(1, 60);
    const late = (): number => chance.between(latency, LATEST_STORE_MS);
    const rejected = operations.findIndex((operation) => observer.isRejected(target, operation));
    const mood = this.#moodOf(target);
    if (!isAuthenticated(target, credentials)) {
      answer(latency, failed(0, 'fatal', 'unauthenticated', false));
      return promise;
    }
    if (rejected >= 0 && (mood === 'works' || mood === 'slow')) {
      if (chance.is(0.5)) {
        store(latency, rejected);
        answer(latency + 1, { ...failed(rejected, 'rejected', 'invalid_record', false), isNext: true });
      } else {
        answer(latency, failed(0, 'rejected', 'invalid_record', false));
      }
      return promise;
    }
    const accepted = rejected < 0 ? all : rejected;
    switch (mood) {
      case 'works':
      case 'slow':
      case 'crawls': {
        const delay =
          mood === 'works'
            ? latency
            : mood === 'slow'
              ? chance.mostlyLow(50, 1_500)
              : chance.between(1_000, 9_500);
        const count = all > 1 && chance.is(0.02) ? chance.between(1, all) : all;
        store(delay, Math.min(count, accepted), () => {
          if (accepted < all) answer(1, failed(0, 'retriable', 'unavailable', true));
          else answer(chance.mostlyLow(0, 20), { delivered: count, failure: null });
        });
        return promise;
      }
      case 'is down':
        answer(latency, failed(0, 'retriable', chance.of(['unavailable', 'unreachable']), false));
        return promise;
      case 'throttles':
        if (chance.is(0.3) && accepted === all)
          store(latency, all, () => {
            answer(1, { delivered: all, failure: null });
          });
        else answer(latency, failed(0, 'retriable', 'throttled', false));
        return promise;
      case 'refuses':
        answer(latency, failed(0, 'fatal', 'permission_denied', false));
        return promise;
      case 'is silent':
        if (chance.is(0.6)) store(late(), accepted);
        return promise;
      case 'loses answers':
        // What is stored late is stored whole: after a retry a late part would leave an older value last.
        if (chance.is(0.5)) store(late(), accepted);
        else if (chance.is(0.4)) store(1, chance.between(0, accepted));
        answer(chance.mostlyLow(1, 4_000), failed(0, 'retriable', 'unavailable', true));
        return promise;
      case 'stores a part': {
        const count = chance.between(0, Math.min(accepted, all - 1));
        store(latency, count, () => {
          answer(1, failed(count, 'retriable', 'unavailable', false));
        });
        return promise;
      }
    }
  }

  #inFlightOf({ process, target }: Client): Map<PendingCall, Client> {
    const key = `${process.name} ${target}`;
    const inFlight = this.#inFlight.get(key) ?? new Map<PendingCall, Client>();
    this.#inFlight.set(key, inFlight);
    return inFlight;
  }
}

function failed(
  delivered: number,
  kind: SinkError['kind'],
  code: SinkError['code'],
  isAmbiguous: boolean,
): SendOutcome {
  return { delivered, failure: new SinkError(kind, code, 'simulated', { isAmbiguous }) };
}

/** What is in the batch, as its bytes and message ids tell. */
function operationsOf(batch: OperationBatch): SentOperation[] {
  const rows = batch instanceof SegmentSlice && batch.segment.rows !== null ? batch : null;
  return Array.from({ length: batch.count }, (_, i) => {
    const [, partition, offset] = batch.messageId(i).split('-');
    return {
      partition: Number(partition),
      offset: Number(offset),
      text: batch.data.toString('latin1', batch.start(i), batch.end(i)),
      row: rows && rows.segment.offset(rows.from + i),
    };
  });
}
