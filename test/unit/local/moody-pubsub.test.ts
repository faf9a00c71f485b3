import { afterEach, expect, test } from '@jest/globals';
import { startMoodyPubSub, type MoodyPubSub, type PubSubMood } from '../../../local/moody-pubsub.ts';
import { googlePubSubAdapter } from '../../../sinks/google-pubsub/google-pubsub-adapter.ts';
import type { SendOutcome, Sink } from '../../../sinks/sink.ts';
import { anOperationBatch, binaryOperation } from '../../support/operation-batch.ts';
import { aServiceAccountFile } from '../../support/service-account.ts';

const TIMEOUT_MS = 10_000;
/** For an answer that doesn't come. */
const SILENCE_MS = 1_000;

const stored: string[] = [];
const rejected: string[] = [];
let server: MoodyPubSub | null = null;
let sink: Sink | null = null;

afterEach(async () => {
  await sink?.close();
  await server?.stop();
  stored.length = 0;
  rejected.length = 0;
});

/** Sends so many operations to the topic `users` while it and `others` have these moods. */
async function sendTo(mood: PubSubMood, count = 3): Promise<SendOutcome> {
  server = await startMoodyPubSub({
    stored: (topic) => stored.push(topic),
    rejected: (topic) => rejected.push(topic),
  });
  server.setMood('users', mood);
  server.setMood('others', { kind: 'hanging' });
  const adapter = googlePubSubAdapter({ allowEmulators: true, emulatorHost: server.address });
  sink = await adapter.open({
    config: { projectId: 'acme', topicId: 'users', endpoint: null },
    options: { version: 2, userPointParent: false, messageId: false, ordering: false, orderingLanes: 16 },
    credentials: aServiceAccountFile(),
  });
  const operations = Array.from({ length: count }, (_, i) => binaryOperation(i, 100, i % 10));
  const isSilent = mood.kind === 'hanging' || mood.kind === 'forgetful';
  return sink.send(anOperationBatch({ operations }), AbortSignal.timeout(isSilent ? SILENCE_MS : TIMEOUT_MS));
}

test.each<readonly [PubSubMood, number, string | undefined, number]>([
  [{ kind: 'healthy' }, 3, undefined, 3],
  [{ kind: 'slow', delayMs: 50 }, 3, undefined, 3],
  [{ kind: 'hanging' }, 0, 'timeout', 0],
  [{ kind: 'forgetful' }, 0, 'timeout', 3],
  [{ kind: 'refusing', status: 14 }, 0, 'unavailable', 0],
  [{ kind: 'refusing', status: 8 }, 0, 'throttled', 0],
  [{ kind: 'rejecting', isRejected: () => true }, 0, 'invalid_record', 0],
])('a topic that is %j', async (mood, delivered, code, storedCount) => {
  const outcome = await sendTo(mood);

  expect(outcome.delivered).toBe(delivered);
  expect(outcome.failure?.code).toBe(code);
  expect(stored).toEqual(Array.from({ length: storedCount }, () => 'users'));
  expect(rejected).toEqual([]);
});

test('tells of a message that was refused alone', async () => {
  await sendTo({ kind: 'rejecting', isRejected: () => true }, 1);

  expect(rejected).toEqual(['users']);
});
