import { expect, jest, test } from '@jest/globals';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { sharedRegistry } from '../support/registry.ts';

jest.setTimeout(120_000);

test('the registry of the run stores an Avro schema and gives it back by its id', async () => {
  const host = await sharedRegistry();
  const schema = { type: 'record', name: 'Point', namespace: 'test', fields: [{ name: 'x', type: 'long' }] };
  const { id } = await new SchemaRegistry({ host }).register(
    { type: SchemaType.AVRO, schema: JSON.stringify(schema) },
    { subject: 'embedded-registry-test-value' },
  );
  const encoded = await new SchemaRegistry({ host }).encode(id, { x: 7 });

  expect(encoded.readUInt8(0)).toBe(0);
  expect(encoded.readUInt32BE(1)).toBe(id);
  expect(await new SchemaRegistry({ host }).decode(encoded)).toMatchObject({ x: 7 });
});
