import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ResourcePatternTypes,
  type AclEntry,
  type Admin,
} from 'kafkajs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c } from '../../support/crc32c.ts';
import { kafkaClient } from '../../support/kafka.ts';
import { Deployment } from '../../support/processor-process.ts';
import { OwnKafka } from '../own-kafka.ts';
import { send, untilWitnessed, WITNESS, witnessed } from '../witness.ts';

/* What the broker has and the processor can't read: RELIABILITY, section 6. */

jest.setTimeout(150_000);

const UNASSIGNED_CODEC = 5;
/** Of a record batch: https://kafka.apache.org/documentation/#recordbatch */
const LENGTH_AT = 8;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const HEADER_BYTES = 61;
/** A table is read to its end within 120 s or not at all; this is enough for several tries. */
const REFUSED_MS = 10_000;

let kafka: OwnKafka;
let admin: Admin;

beforeAll(async () => {
  kafka = await OwnKafka.start({
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'allow.everyone.if.no.acl.found': 'true',
    },
  });
  admin = kafkaClient(kafka.brokers).admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
  await kafka?.[Symbol.asyncDispose]();
});

async function aDeployment(): Promise<Deployment> {
  const deployment = await Deployment.create({ brokers: kafka.brokers });
  await deployment.configure(WITNESS);
  return deployment;
}

/** Gives the first batch of the topic's log another codec, where it lies: no broker would take such a batch. */
async function setCodec(topic: string, codec: number): Promise<void> {
  await using log = await open(join(kafka.logDirectory, `${topic}-0`, `${'0'.repeat(20)}.log`), 'r+');
  const header = Buffer.alloc(HEADER_BYTES);
  await log.read(header, 0, HEADER_BYTES, 0);
  const batch = Buffer.alloc(LENGTH_AT + 4 + header.readInt32BE(LENGTH_AT));
  await log.read(batch, 0, batch.length, 0);
  batch.writeInt16BE(codec, ATTRIBUTES_AT);
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT);
  await log.write(batch, 0, batch.length, 0);
}

test('row 28: a batch of an unknown codec ends the processor with exit code 1 and the codec’s number', async () => {
  await using deployment = await aDeployment();
  await send(deployment, [1]);
  await setCodec(deployment.mutations, UNASSIGNED_CODEC);
  const processor = await deployment.start();
  expect(await processor.exited).toEqual({ code: 1, signal: null });
  expect(processor.log()).toContain(`compression codec ${UNASSIGNED_CODEC} is not known`);
  expect(processor.logged('restart')).toEqual([]);
  expect(await witnessed(deployment)).toEqual([]);
  expect((await deployment.progress()).map(({ committed }) => committed ?? 0)).toEqual([0]);
});

test('row 43: a control topic that may not be read keeps the processor from being ready; it says why, consumes no mutation, and starts once it may', async () => {
  await using deployment = await aDeployment();
  const { replicationConfig } = deployment.topics;
  const entry = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: replicationConfig,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: 'User:ANONYMOUS',
    host: '*',
  };
  const denied: AclEntry = {
    ...entry,
    operation: AclOperationTypes.READ,
    permissionType: AclPermissionTypes.DENY,
  };
  // An entry of any kind ends the permission of all that have none.
  const rest: AclEntry = {
    ...entry,
    operation: AclOperationTypes.ALL,
    permissionType: AclPermissionTypes.ALLOW,
  };
  await admin.createAcls({ acl: [denied, rest] });
  await send(deployment, [1]);
  const processor = await deployment.start();
  const refused = () =>
    processor.logged('').filter((line) => line.level === 'warn' && line.topic === replicationConfig);
  await processor.waitWhileRunning(() => refused().length > 0, 'the refusal to be told', 60_000);
  const since = performance.now();
  await processor.waitWhileRunning(async () => {
    expect((await processor.readiness()).status).toBe(503);
    return performance.now() - since > REFUSED_MS;
  }, 'a while of refusals');
  expect(JSON.stringify(refused())).toMatch(/not authorized|TOPIC_AUTHORIZATION_FAILED/i);
  expect(await processor.health()).toBe(200);
  expect(await witnessed(deployment)).toEqual([]);
  const { groups } = await admin.describeGroups([deployment.groupId]);
  expect(groups[0]?.members).toEqual([]);

  await admin.deleteAcls({ filters: [denied] });
  await processor.waitUntilReady();
  await untilWitnessed(deployment, processor, [1]);
  expect(await processor.stop()).toBe(0);
});
