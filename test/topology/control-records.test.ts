import { afterEach, describe, expect, test } from '@jest/globals';
import { writeCredentialsRecord } from '../../processors/credentials-record.ts';
import { writePartitionReport } from '../../processors/status-record.ts';
import { sealedCredentials, type CredentialsResolver } from '../../sinks/credentials.ts';
import { SinkError } from '../../sinks/sink.ts';
import { aSealedRecord, KEY, keyRing } from '../support/sealed-credentials.ts';
import {
  aMutation,
  CONFIG,
  CREDENTIALS,
  MUTATIONS,
  STATUS,
  TopologyTestDriver,
} from '../support/topology-test-driver.ts';

const drivers: TopologyTestDriver[] = [];

function aDriver(...options: ConstructorParameters<typeof TopologyTestDriver>): TopologyTestDriver {
  const driver = new TopologyTestDriver(...options);
  drivers.push(driver);
  return driver;
}

afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
});

/** The newest record of a key; null when it is deleted or was never there. */
function newest(driver: TopologyTestDriver, at: typeof STATUS, key: string): Record<string, unknown> | null {
  const record = driver.kafka.log(at).findLast((candidate) => candidate.key?.toString() === key);
  return record?.value ? (JSON.parse(record.value.toString()) as Record<string, unknown>) : null;
}

/** A record of sealed credentials whose content nobody opens here. */
function sealed(version: number): Buffer {
  const bytes = (size: number): Buffer => Buffer.alloc(size, version);
  return writeCredentialsRecord({
    replicationId: '80',
    datamartId: '1649',
    version,
    kekId: '0123456789abcdef',
    wrappedKey: bytes(32),
    wrapIv: bytes(12),
    wrapTag: bytes(16),
    iv: bytes(12),
    tag: bytes(16),
    ciphertext: bytes(40),
    createdAt: 1,
  });
}

async function upload(driver: TopologyTestDriver, version: number): Promise<void> {
  driver.kafka.append(CREDENTIALS, { key: Buffer.from('80'), value: sealed(version) });
  await driver.clock.advance(500);
}

const received = (driver: TopologyTestDriver): number[] =>
  driver.sinks.received('80').map((operation) => (JSON.parse(operation) as { value: { n: number } }).value.n);

const activity = (n: number) =>
  aMutation({ doc_type: 'UserActivity', user_activity_id: `a${n}`, value: { n } });

test('what was judged of a record is told under config/<id>, and ends with the replication', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', { name: 'good' });
  await driver.configure('80', { datamart_id: '2' });
  expect(newest(driver, STATUS, 'config/80')).toMatchObject({
    v: 1,
    replication_id: '80',
    judged_offset: '1',
    accepted: { id: '80', name: 'good', datamart_id: '1649' },
    accepted_offset: '0',
    refused: { offset: '1', code: 'immutable_field', field: 'datamart_id' },
  });
  await driver.configure('80', null);
  expect(newest(driver, STATUS, 'config/80')).toBeNull();
  expect(newest(driver, STATUS, 'replication/80')).toBeNull();
});

test('a record in force that compaction has erased stays in force for an instance that starts', async () => {
  const first = aDriver();
  await first.start();
  await first.configure('80', {});
  await first.configure('80', { version: 7 });
  await first.close();
  // Compaction keeps the newest record of a key.
  first.kafka.log(CONFIG)[0] = { ...first.kafka.log(CONFIG)[1]!, key: Buffer.from('gone'), value: null };

  const second = aDriver({ kafka: first.kafka, clock: first.clock });
  await second.start();
  await second.quietTime();
  second.produce(activity(1));
  await second.run(2_000);
  expect(second.table.get('80')).toMatchObject({ status: 'ACTIVE', offset: 0 });
  expect(received(second)).toEqual([1]);
});

test('newer credentials end an ERROR of the activation by themselves', async () => {
  let isGood = false;
  const resolver: CredentialsResolver = {
    resolve: async () => {
      const version = drivers[0]?.credentials.versionOf('80') ?? null;
      if (isGood) return { text: 'good', fingerprint: `good ${version}`, version };
      throw new SinkError('fatal', 'credentials_invalid', 'they can’t be used', { remedy: 'upload others' });
    },
  };
  const driver = aDriver({ resolver });
  await driver.start();
  await driver.configure('80', { status: 'PAUSED' });
  await upload(driver, 1);
  await driver.configure('80', { credentials_uri: 'sealed:80' });
  driver.produce(activity(0));
  await driver.run(2_000);
  expect(newest(driver, STATUS, 'replication/80')).toMatchObject({
    state: 'ERROR',
    reason: 'activation_failed',
    code: 'credentials_invalid',
    credentials_version: 1,
  });

  isGood = true;
  await upload(driver, 2);
  await driver.run(2_000);
  expect(newest(driver, STATUS, 'replication/80')).toMatchObject({ state: 'ACTIVE', credentials_version: 2 });
  driver.produce(activity(1));
  await driver.run(2_000);
  expect(received(driver)).toEqual([1]);
});

describe('sealed credentials of an ACTIVE record', () => {
  /** Opens what the driver's own table has. */
  function aDriverThatOpens(): TopologyTestDriver {
    const driver: TopologyTestDriver = aDriver({
      resolver: {
        resolve: (request, signal) =>
          sealedCredentials({ records: driver.credentials, keys: keyRing(KEY) }).resolve(request, signal),
      },
    });
    return driver;
  }

  const activation = (driver: TopologyTestDriver) => {
    const { state, reason, code } = newest(driver, STATUS, 'replication/80') ?? {};
    return { state, reason, code };
  };

  test('row 33: that are not there are waited for, for 10 s, and then it is in ERROR', async () => {
    const driver = aDriverThatOpens();
    await driver.start();
    await driver.configure('80', { credentials_uri: 'sealed:80' });

    await driver.run(5_000);
    const meanwhile = activation(driver);
    await driver.run(10_000);

    expect(meanwhile).toMatchObject({ state: 'ACTIVATING' });
    expect(activation(driver)).toEqual({
      state: 'ERROR',
      reason: 'activation_failed',
      code: 'credentials_missing',
    });
  });

  test('row 41: that were moved from another replication are no credentials of this one', async () => {
    const driver = aDriverThatOpens();
    await driver.start();
    const foreign = JSON.parse(aSealedRecord({ replicationId: '81' }).toString()) as object;
    const moved = Buffer.from(JSON.stringify({ ...foreign, replication_id: '80' }));
    driver.kafka.append(CREDENTIALS, { key: Buffer.from('80'), value: moved });

    await driver.configure('80', { credentials_uri: 'sealed:80' });
    await driver.run(2_000);

    expect(activation(driver)).toEqual({
      state: 'ERROR',
      reason: 'activation_failed',
      code: 'credential_decrypt_failed',
    });
    expect(driver.sinks.opened).toEqual([]);
  });
});

test('the credentials of a deleted replication are destroyed, and those that nobody owns', async () => {
  const driver = aDriver();
  await driver.start();
  await driver.configure('80', {});
  await upload(driver, 1);
  expect(newest(driver, CREDENTIALS, '80')).not.toBeNull();
  await driver.configure('80', null);
  await driver.run(500);
  expect(newest(driver, CREDENTIALS, '80')).toBeNull();
  // A rotation that was killed may bring back a record.
  await upload(driver, 1);
  await driver.run(1_000);
  expect(newest(driver, CREDENTIALS, '80')).toBeNull();
});

test('a group without commits takes the positions that were reported, also when it starts at the end', async () => {
  const driver = aDriver({ startFrom: 'latest' });
  await driver.configure('80', {});
  for (let n = 0; n < 5; n += 1) driver.produce(activity(n));
  driver.kafka.append(STATUS, {
    key: Buffer.from(`replication/80/${MUTATIONS}/0`),
    value: writePartitionReport(
      {
        replicationId: '80',
        topic: MUTATIONS,
        partition: 0,
        state: 'DETACHED',
        offset: 2,
        gap: null,
        lostOffsets: 0,
      },
      'another',
      1,
      driver.clock.now(),
    ),
  });
  await driver.start();
  await driver.quietTime();
  await driver.run(5_000);
  driver.produce(activity(5));
  await driver.run(5_000);
  expect(received(driver)).toEqual([2, 3, 4, 5]);
});
