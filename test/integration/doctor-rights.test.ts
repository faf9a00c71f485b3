import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ResourcePatternTypes,
  type AclEntry,
} from 'kafkajs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { OwnKafka } from '../fault/own-kafka.ts';
import { kafkaClient } from '../support/kafka.ts';
import { Deployment } from '../support/processor-process.ts';
import { waitFor } from '../support/wait-for.ts';

/* What `doctor` tells of rights, on a Kafka that keeps them. */

jest.setTimeout(120_000);

const BIN = join(import.meta.dirname, '../../bin.ts');

let kafka: OwnKafka;
let deployment: Deployment;

interface Report {
  readonly checks: readonly {
    readonly group: string;
    readonly name: string;
    readonly result: string;
    readonly remedy: string | null;
  }[];
}

beforeAll(async () => {
  kafka = await OwnKafka.start({
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'allow.everyone.if.no.acl.found': 'true',
    },
  });
  deployment = await Deployment.create({ brokers: kafka.brokers });
});

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await kafka?.[Symbol.asyncDispose]();
});

/** In a process of its own: this one has kafkajs as its package is. */
async function rightsTold(): Promise<Report['checks']> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const env = { PATH: process.env.PATH, ...deployment.settings };
  // It ends with 1 when a check failed.
  execFile(process.execPath, [BIN, 'doctor', '--json'], { env }, (_error, out) => {
    resolve(out);
  });
  return (JSON.parse(await promise) as Report).checks.filter(({ group }) => group === 'rights');
}

test('a topic that may not be written, and one that may not be read, are told with the right that is missing', async () => {
  const { replicationStatus, deadLetters } = deployment.topics;
  const admin = kafkaClient(kafka.brokers).admin();
  const entry = (resourceName: string, operation: AclOperationTypes): AclEntry => ({
    resourceType: AclResourceTypes.TOPIC,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: 'User:ANONYMOUS',
    host: '*',
    operation,
    permissionType: AclPermissionTypes.ALLOW,
  });

  const before = await rightsTold();
  // An entry of any kind ends the permission of all that have none.
  await admin.connect();
  await admin.createAcls({
    acl: [entry(replicationStatus, AclOperationTypes.READ), entry(deadLetters, AclOperationTypes.WRITE)],
  });
  await admin.disconnect();
  let after: Awaited<ReturnType<typeof rightsTold>> = [];
  // The broker learns of them from the controller, a little later.
  await waitFor(
    async () => (after = await rightsTold()).filter(({ result }) => result === 'failed').length === 2,
    { timeoutMs: 60_000, message: () => `two rights to be missing, not ${JSON.stringify(after)}` },
  );

  expect(before.map(({ result, name }) => `${result} ${name}`)).toEqual([
    'ok READ',
    `ok group ${deployment.groupId}`,
    'ok WRITE',
  ]);
  expect(after.filter(({ result }) => result === 'failed')).toMatchObject([
    { name: `READ ${deadLetters}`, remedy: expect.stringContaining('READ') },
    {
      name: `WRITE ${replicationStatus}`,
      remedy: `give the principal the right WRITE on ${replicationStatus}`,
    },
  ]);
});
