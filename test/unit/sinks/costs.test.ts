import { expect, test } from '@jest/globals';
import type { DeliveryCosts } from '../../../schemas/delivery-costs.ts';
import { DOCUMENT_TYPES } from '../../../schemas/document-type.ts';
import { BUILT_IN_ADAPTERS } from '../../support/config-rules.ts';
import { aReplicationConfig } from '../../support/replication-config.ts';

function costsOf(type: string, fields: Readonly<Record<string, unknown>>): DeliveryCosts {
  const adapter = BUILT_IN_ADAPTERS.find((each) => each.type === type);
  const costs = adapter?.costs?.(aReplicationConfig(adapter, fields));
  if (!costs) throw new Error(`${type} tells no costs`);
  return costs;
}

const PUBSUB = { project_id: 'acme', topic_id: 'users', credentials_uri: 'file:google.json' };
const EVENT_HUBS = { event_hub_name: 'users', credentials_uri: 'file:azure.txt' };

test('Pub/Sub bills data, attributes, time and id of each message, and 1,000 bytes of each request', () => {
  const { limits, billing } = costsOf('GOOGLE_PUBSUB', PUBSUB);

  expect(limits).toMatchObject({ maxRecords: 1_000, maxBytes: 9_500_000 });
  expect(billing).toMatchObject({ by: 'volume', minRequestBytes: 1_000 });
  if (billing?.by !== 'volume') throw new Error('it bills by volume');
  expect(billing.messageOverheadBytes[DOCUMENT_TYPES.indexOf('UserPoint')]).toBe(8 + 9 + 20 + 20);
  expect(billing.messageOverheadBytes[DOCUMENT_TYPES.indexOf('UserDeviceTechnicalId')]).toBe(
    8 + 21 + 20 + 20,
  );
});

test('an id of the mutation is an attribute more', () => {
  const [without, withId] = [PUBSUB, { ...PUBSUB, metadata: ['message_id'] }].map((fields) => {
    const { billing } = costsOf('GOOGLE_PUBSUB', fields);
    return billing?.by === 'volume' ? (billing.messageOverheadBytes[0] ?? 0) : 0;
  });

  expect((withId ?? 0) - (without ?? 0)).toBe('message_id'.length + '00008-3-00000000000000001234'.length);
});

test('Event Hubs bills events of 64 KB and throughput units', () => {
  const { limits, billing } = costsOf('AZURE_EVENT_HUBS', EVENT_HUBS);

  expect(limits.maxRecords).toBe(5_000);
  expect(limits.maxBytes).toBeLessThan(1_000_000);
  expect(billing).toMatchObject({
    by: 'events',
    bytesPerBilledEvent: 65_536,
    unit: { bytesPerSecond: 1_000_000, eventsPerSecond: 1_000 },
  });
});

test.each([
  ['KAFKA_TOPIC', { topic: 'acme-operations' }],
  ['FILE', { path: '80.jsonl' }],
])('%s has requests and no bill', (type, fields) => {
  const { limits, billing } = costsOf(type, fields);

  expect(limits.maxRecords).toBeGreaterThan(0);
  expect(billing).toBeNull();
});
