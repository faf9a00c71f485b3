/**
 * The suite that every sink adapter passes before it may carry a customer's data.
 *
 * An adapter's own test calls `describeSinkContract` with what its backend can do and a factory of harnesses, each
 * a fresh destination (a fake of the service, a directory) with the adapter in front. What is special about an
 * adapter (message layout, error table, schema checks) belongs into tests of its own.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ALL_DOCUMENT_TYPES, DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { OperationVersion } from '../../schemas/operation-encoder.ts';
import {
  SinkError,
  type FailureKind,
  type MessageOptions,
  type OperationBatch,
  type SendOutcome,
  type Sink,
  type SinkErrorCode,
} from '../../sinks/sink.ts';
import {
  anOperationBatch,
  binaryOperation,
  bytesOf,
  jsonOperation,
  messageIdOf,
  partOf,
  type OperationSpec,
} from '../support/operation-batch.ts';

/** What can go wrong with the next request; a harness arranges it, the suite knows what must come of it. */
export type ContractFault =
  | 'unavailable'
  | 'throttled'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  /** The destination refuses the records themselves. */
  | 'refused_records'
  /** The records are stored, their answer never arrives: the connection breaks. */
  | 'lost_answer'
  /** Nothing comes back, until somebody gives up. */
  | 'hang';

/** One record as the destination holds it. What the backend has no place for is null. */
export interface ReceivedRecord {
  readonly data: Buffer;
  /** The metadata `doc_type`. */
  readonly docType: string | null;
  /** The metadata `message_id`; null when the record has none. */
  readonly messageId: string | null;
  /** Ordering key, partition key or record key; null when the record has none. */
  readonly key: string | null;
}

/** A fresh destination and the adapter in front of it. */
export interface SinkHarness {
  /** Opens the destination with the adapter. The suite closes what it opens. */
  open(options: MessageOptions): Promise<Sink>;
  /** Everything stored so far, in the order in which it was stored. */
  received(): Promise<readonly ReceivedRecord[]>;
  /** Makes the next request (of `send`, or of `check` for `checkFaults`) fail this way; only that one. */
  fault(kind: ContractFault): Promise<void>;
  stop(): Promise<void>;
}

/** What a backend can do; the suite leaves out the rest. Be honest: a feature left out is a promise not tested. */
export interface SinkFeatures {
  readonly version: OperationVersion;
  /** The records carry `doc_type` beside their bytes. */
  readonly docType: boolean;
  /** The option `messageId` applies. */
  readonly messageId: boolean;
  /** The option `ordering` applies, the lane's decimal text is the records' key. */
  readonly ordering: boolean;
  /** Records carry their ordering lane as the key even when ordering isn't asked for. */
  readonly isAlwaysKeyed?: boolean;
  /** A single record longer than `limits.maxBytes` is refused as `too_large`. */
  readonly refusesOversize: boolean;
  /** The faults that the harness can arrange for `send`. */
  readonly faults: readonly ContractFault[];
  /** The faults that the harness can arrange for `check`. */
  readonly checkFaults: readonly ContractFault[];
}

interface Verdict {
  readonly kind: FailureKind;
  readonly codes: readonly SinkErrorCode[];
  readonly isAmbiguous?: boolean;
}

const VERDICTS: Readonly<Record<Exclude<ContractFault, 'hang'>, Verdict>> = {
  unavailable: { kind: 'retriable', codes: ['unavailable', 'unreachable'] },
  throttled: { kind: 'retriable', codes: ['throttled', 'quota_exceeded'] },
  unauthenticated: { kind: 'fatal', codes: ['unauthenticated'] },
  permission_denied: { kind: 'fatal', codes: ['permission_denied'] },
  not_found: { kind: 'fatal', codes: ['not_found'] },
  refused_records: { kind: 'rejected', codes: ['invalid_record', 'too_large'] },
  lost_answer: { kind: 'retriable', codes: ['unavailable', 'timeout', 'unreachable'], isAmbiguous: true },
};

/** How long anything that must be prompt may take. */
const PROMPT_MS = 3_000;

/** A never aborted signal: a run that needs one to end has failed. */
const noAbort = (): AbortSignal => new AbortController().signal;

/** Registers the suite for one adapter and version. `harnessFactory` is called once per test. */
export function describeSinkContract(
  name: string,
  features: SinkFeatures,
  harnessFactory: () => Promise<SinkHarness>,
): void {
  describe(`${name} keeps the sink contract`, () => {
    let harness: SinkHarness;
    const opened: Sink[] = [];

    const messageOptions = (changes: Partial<MessageOptions> = {}): MessageOptions => ({
      version: features.version,
      userPointParent: true,
      messageId: false,
      ordering: false,
      orderingLanes: 16,
      ...changes,
    });

    const open = async (changes: Partial<MessageOptions> = {}): Promise<Sink> => {
      const sink = await harness.open(messageOptions(changes));
      opened.push(sink);
      return sink;
    };

    const operation = (seed: number, byteLength = 300, docType = 0): OperationSpec =>
      features.version === 1
        ? jsonOperation(JSON.stringify({ seed, text: 'x'.repeat(Math.max(0, byteLength - 150)) }), docType)
        : binaryOperation(seed, byteLength, docType);

    const batchOf = (count: number, seed = 0, byteLength = 300): OperationBatch =>
      anOperationBatch({
        version: features.version,
        operations: Array.from({ length: count }, (_, i) => operation(seed + i, byteLength)),
      });

    const expectReceived = async (...batches: readonly OperationBatch[]): Promise<void> => {
      const received = await harness.received();
      const sent = batches.flatMap((batch) =>
        Array.from({ length: batch.count }, (_, i) => bytesOf(batch, i)),
      );
      expect(received.length).toBe(sent.length);
      // Compared as numbers first: a difference in a megabyte would print for minutes.
      const different = sent.findIndex((bytes, i) => !bytes.equals(received[i]!.data));
      expect(different).toBe(-1);
    };

    beforeEach(async () => {
      harness = await harnessFactory();
    });

    afterEach(async () => {
      for (const sink of opened.splice(0)) await sink.close();
      await harness.stop();
    });

    describe('delivery', () => {
      test('stores the bytes of every record exactly, in order, over several sends', async () => {
        const sink = await open();
        const batches = [batchOf(3), batchOf(1, 100), batchOf(40, 200)];

        for (const batch of batches) expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(...batches);
      });

      test('stores every document type with its name beside it', async () => {
        const sink = await open();
        const batch = anOperationBatch({
          version: features.version,
          operations: DOCUMENT_TYPES.map((_, docType) => operation(docType, 300, docType)),
        });

        expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(batch);
        const docTypes = (await harness.received()).map((record) => record.docType);
        expect(docTypes).toEqual(DOCUMENT_TYPES.map((docType) => (features.docType ? docType : null)));
        expect(ALL_DOCUMENT_TYPES).toBe((1 << docTypes.length) - 1);
      });

      test('stores empty values, unicode and escapes as they are', async () => {
        const values = [
          '{}',
          '""',
          '{"name":"Zoë 日本 \u{1f680}"}',
          '"\\ud800 \\u0000 \\" \\\\"',
          '[[[]]]',
          'null',
        ];
        const sink = await open();
        const batch = anOperationBatch({
          version: features.version,
          operations: values.map((value) => jsonOperation(value)),
        });

        expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(batch);
      });

      test('stores a record of half a megabyte between small ones', async () => {
        const sink = await open();
        const batch = anOperationBatch({
          version: features.version,
          operations: [operation(1), operation(2, 500_000), operation(3)],
        });

        expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(batch);
      });

      test('adds no message id and no key unless asked', async () => {
        const sink = await open();

        expect(await deliverAll(sink, batchOf(2))).toBeNull();

        const received = await harness.received();
        expect(received.map((record) => record.messageId)).toEqual([null, null]);
        const key = features.isAlwaysKeyed === true ? '0' : null;
        expect(received.map((record) => record.key)).toEqual([key, key]);
      });

      (features.messageId ? test : test.skip)('adds the message id when asked', async () => {
        const sink = await open({ messageId: true });
        const batch = anOperationBatch({
          version: features.version,
          operations: [7, 1_234_567].map((offset) => ({
            ...operation(offset),
            messageId: messageIdOf(offset),
          })),
        });

        expect(await deliverAll(sink, batch)).toBeNull();

        const messageIds = (await harness.received()).map((record) => record.messageId);
        expect(messageIds).toEqual(['00008-2-00000000000000000007', '00008-2-00000000000001234567']);
        await expectReceived(batch);
      });

      (features.ordering ? test : test.skip)('carries the ordering lane as the key', async () => {
        const sink = await open({ ordering: true });
        const lane = (orderingLane: number): OperationBatch =>
          anOperationBatch({
            version: features.version,
            orderingLane,
            operations: [operation(orderingLane), operation(orderingLane + 50)],
          });

        for (const batch of [lane(0), lane(13)]) expect(await deliverAll(sink, batch)).toBeNull();

        const keys = (await harness.received()).map((record) => record.key);
        expect(keys).toEqual(['0', '0', '13', '13']);
        await expectReceived(lane(0), lane(13));
      });

      test('serves several lanes at the same time', async () => {
        const sink = await open();
        const batches = Array.from({ length: 8 }, (_, lane) => batchOf(20, lane * 31));

        const failures = await Promise.all(batches.map((batch) => deliverAll(sink, batch)));

        expect(failures).toEqual(batches.map(() => null));
        const stored = new Set((await harness.received()).map((record) => record.data.toString('hex')));
        const sent = batches.flatMap((batch) =>
          Array.from({ length: batch.count }, (_, i) => bytesOf(batch, i).toString('hex')),
        );
        expect(sent.every((hex) => stored.has(hex))).toBe(true);
        expect((await harness.received()).length).toBe(sent.length);
      });
    });

    describe('limits', () => {
      test('takes as many records as it says', async () => {
        const sink = await open();
        const count = Math.min(sink.limits.maxRecords, 1_000);
        const batch = batchOf(count, 0, 256);

        expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(batch);
      });

      test('takes as many bytes as it says', async () => {
        const sink = await open();
        const { maxBytes, recordOverheadBytes } = sink.limits;
        const total = Math.min(maxBytes, 9_500_000);
        const count = 8;
        const batch = batchOf(count, 0, Math.floor(total / count) - recordOverheadBytes);

        expect(await deliverAll(sink, batch)).toBeNull();

        await expectReceived(batch);
      });

      (features.refusesOversize ? test : test.skip)(
        'rejects a record that no request can hold, by itself',
        async () => {
          const sink = await open();
          const batch = anOperationBatch({
            version: features.version,
            operations: [operation(1, sink.limits.maxBytes + 1_000_000)],
          });

          const outcome = await sink.send(batch, noAbort());

          expect(verdictOf(outcome)).toEqual({
            delivered: 0,
            kind: 'rejected',
            code: 'too_large',
            isNext: true,
          });
          expect(await deliverAll(sink, batchOf(1))).toBeNull();
          await expectReceived(batchOf(1));
        },
      );
    });

    describe('failures', () => {
      for (const fault of features.faults.filter((kind) => kind !== 'hang')) {
        const verdict = VERDICTS[fault];

        test(`${fault}: answers ${verdict.kind}, and the next send works`, async () => {
          const sink = await open();
          expect(await deliverAll(sink, batchOf(2))).toBeNull();
          await harness.fault(fault);

          const outcome = await promptly(sink.send(batchOf(5, 50), noAbort()));

          expect(outcome.delivered).toBe(0);
          expect(outcome.failure).toBeInstanceOf(SinkError);
          expect(outcome.failure?.kind).toBe(verdict.kind);
          expect(verdict.codes).toContain(outcome.failure?.code);
          expect(outcome.failure?.isAmbiguous).toBe(verdict.isAmbiguous ?? outcome.failure?.isAmbiguous);
          expect(await deliverAll(sink, batchOf(5, 50))).toBeNull();
          const attempts = fault === 'lost_answer' ? [batchOf(5, 50), batchOf(5, 50)] : [batchOf(5, 50)];
          await expectReceived(batchOf(2), ...attempts);
        });
      }
    });

    describe('abort', () => {
      (features.faults.includes('hang') ? test : test.skip)(
        'ends the work at once and answers an ambiguous timeout; the next send works',
        async () => {
          const sink = await open();
          expect(await deliverAll(sink, batchOf(1))).toBeNull();
          await harness.fault('hang');
          const attempt = new AbortController();

          const sending = sink.send(batchOf(3, 10), attempt.signal);
          await new Promise((resolve) => setTimeout(resolve, 100));
          attempt.abort();
          const outcome = await promptly(sending);

          expect(verdictOf(outcome)).toEqual({
            delivered: 0,
            kind: 'retriable',
            code: 'timeout',
            isNext: false,
          });
          expect(outcome.failure?.isAmbiguous).toBe(true);
          expect(await promptly(deliverAll(sink, batchOf(4, 20)))).toBeNull();
          const received = await harness.received();
          expect(received.slice(-4).map((record) => record.data)).toEqual(
            [0, 1, 2, 3].map((i) => bytesOf(batchOf(4, 20), i)),
          );
        },
      );

      test('answers a timeout when the signal was aborted before', async () => {
        const sink = await open();

        const outcome = await promptly(sink.send(batchOf(3), AbortSignal.abort()));

        expect(verdictOf(outcome)).toEqual({
          delivered: 0,
          kind: 'retriable',
          code: 'timeout',
          isNext: false,
        });
        expect(await deliverAll(sink, batchOf(1, 9))).toBeNull();
      });
    });

    describe('check', () => {
      test('passes for a destination in order, and publishes nothing', async () => {
        const sink = await open();

        const warnings = await promptly(sink.check(noAbort()));

        expect(warnings.every((warning) => warning.length > 0)).toBe(true);
        expect(await harness.received()).toEqual([]);
      });

      for (const fault of features.checkFaults.filter((kind) => kind !== 'hang')) {
        const verdict = VERDICTS[fault];

        test(`${fault}: fails as ${verdict.kind}`, async () => {
          const sink = await open();
          await harness.fault(fault);

          const failure = await promptly(failureOf(sink.check(noAbort())));

          expect(failure).toBeInstanceOf(SinkError);
          expect(failure?.kind).toBe(verdict.kind);
          expect(verdict.codes).toContain(failure?.code);
        });
      }

      (features.checkFaults.includes('hang') ? test : test.skip)('ends when its signal aborts', async () => {
        const sink = await open();
        await harness.fault('hang');

        const failure = await promptly(failureOf(sink.check(AbortSignal.timeout(100))));

        expect(failure).toBeInstanceOf(SinkError);
        expect(failure?.kind).toBe('retriable');
        expect(failure?.code).toBe('timeout');
      });
    });

    describe('close', () => {
      test('is idempotent, used or not', async () => {
        const unused = await open();
        const used = await open();
        expect(await deliverAll(used, batchOf(1))).toBeNull();

        await promptly(Promise.all([unused.close(), used.close(), used.close()]));
        await promptly(used.close());

        await expectReceived(batchOf(1));
      });

      (features.faults.includes('hang') ? test : test.skip)('ends what is in flight', async () => {
        const sink = await open();
        expect(await deliverAll(sink, batchOf(1))).toBeNull();
        await harness.fault('hang');

        const sending = sink.send(batchOf(3, 10), noAbort());
        await new Promise((resolve) => setTimeout(resolve, 100));
        await promptly(sink.close());
        const outcome = await promptly(sending);

        expect(outcome.delivered).toBe(0);
        expect(outcome.failure?.kind).toBe('retriable');
        expect(outcome.failure?.isAmbiguous).toBe(true);
      });

      test('leaves a sink that refuses to send, without rejecting', async () => {
        const sink = await open();
        await sink.close();

        const outcome = await promptly(sink.send(batchOf(1), noAbort()));

        expect(outcome.delivered).toBe(0);
        expect(outcome.failure?.kind).toBe('retriable');
        expect(await harness.received()).toEqual([]);
      });
    });
  });
}

/** Sends the batch as a lane does: on from what was delivered, until all is or the first failure, which is returned. */
export async function deliverAll(sink: Sink, batch: OperationBatch): Promise<SinkError | null> {
  let from = 0;
  while (from < batch.count) {
    const outcome = await sink.send(partOf(batch, from), noAbort());
    if (outcome.failure !== null) return outcome.failure;
    if (outcome.delivered < 1) throw new Error('a send without failure must deliver at least one record');
    from += outcome.delivered;
  }
  if (from !== batch.count) throw new Error(`delivered ${from} of ${batch.count} records`);
  return null;
}

function verdictOf(outcome: SendOutcome): Record<string, unknown> {
  return {
    delivered: outcome.delivered,
    kind: outcome.failure?.kind,
    code: outcome.failure?.code,
    isNext: outcome.isNext ?? false,
  };
}

async function failureOf(work: Promise<unknown>): Promise<SinkError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return error as SinkError;
  }
}

async function promptly<T>(work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`took longer than ${PROMPT_MS} ms`)), PROMPT_MS);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
