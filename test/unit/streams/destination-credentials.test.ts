import { expect, test } from '@jest/globals';
import { CredentialsTable } from '../../../processors/credentials-table.ts';
import type { ReplicationConfig } from '../../../processors/replication-config.ts';
import { ReplicationTable } from '../../../processors/replication-table.ts';
import { sealedCredentials, type CredentialsRequest } from '../../../sinks/credentials.ts';
import type { SendOutcome, SinkAdapter } from '../../../sinks/sink.ts';
import { Destination } from '../../../streams/destination.ts';
import { EngineMetrics } from '../../../streams/metrics.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { anOperationBatch } from '../../support/operation-batch.ts';
import { ScriptedSinks } from '../../support/scripted-sink.ts';
import { aSealedRecord, KEY, keyRing, OTHER_KEY, SEALED_TEXT } from '../../support/sealed-credentials.ts';
import { silentLogger } from '../../support/silent-logger.ts';

/** Destinations with sealed credentials, under keys that a test takes away and puts back. */
class Sealed {
  readonly sinks = new ScriptedSinks();
  readonly records = new CredentialsTable();
  readonly requests: CredentialsRequest[] = [];
  readonly given: (string | null)[] = [];
  keys = keyRing(KEY);
  readonly #adapter: SinkAdapter = {
    ...(this.sinks.adapter as SinkAdapter),
    credentials: 'required',
    open: (options) => {
      this.given.push(options.credentials);
      return (this.sinks.adapter as SinkAdapter).open(options);
    },
  };

  destination(id: string): Destination {
    return new Destination(this.#config(id), this.#adapter, {
      clock: new ManualClock(),
      random: () => 0.5,
      logger: silentLogger,
      metrics: new EngineMetrics(),
      credentials: {
        resolve: (request, signal) => {
          this.requests.push(request);
          return sealedCredentials({ records: this.records, keys: this.keys }).resolve(request, signal);
        },
      },
      isActivated: () => true,
      onFault: () => undefined,
    });
  }

  #config(id: string): ReplicationConfig {
    const table = new ReplicationTable({
      types: new Map([[this.#adapter.type, this.#adapter]]),
      checkCredentialsUri: () => null,
    });
    const record = {
      id,
      datamart_id: '1649',
      type: 'SCRIPTED',
      target: id,
      credentials_uri: `sealed:${id}`,
      status: 'ACTIVE',
    };
    table.apply(id, Buffer.from(JSON.stringify(record)), 0, 0);
    const config = table.get(id);
    if (!config) throw new Error('the record was refused');
    return config;
  }
}

async function send(destination: Destination): Promise<SendOutcome | null> {
  const batch = anOperationBatch({ operations: [{ data: '{}' }] });
  return await destination.send(batch, 'mutations/0', () => true);
}

test('opens with the credentials that were sealed for its replication and datamart', async () => {
  const sealed = new Sealed();
  sealed.records.apply('80', aSealedRecord());

  expect(await send(sealed.destination('80'))).toEqual({ delivered: 1, failure: null });
  expect(sealed.requests).toEqual([{ uri: 'sealed:80', replicationId: '80', datamartId: '1649' }]);
  expect(sealed.given).toEqual([SEALED_TEXT]);
});

test('row 54: what is open runs on when the key is gone; a new opening fails until the key is there again', async () => {
  const sealed = new Sealed();
  sealed.records.apply('80', aSealedRecord());
  sealed.records.apply('81', aSealedRecord({ replicationId: '81' }));
  const [open, fresh] = [sealed.destination('80'), sealed.destination('81')];
  await send(open);

  sealed.keys = keyRing(null);
  expect(await send(open)).toEqual({ delivered: 1, failure: null });
  expect(await send(fresh)).toMatchObject({
    delivered: 0,
    failure: { kind: 'fatal', code: 'credential_decrypt_failed' },
  });
  sealed.keys = keyRing(OTHER_KEY);
  expect(await send(fresh)).toMatchObject({ failure: { code: 'credential_decrypt_failed' } });

  sealed.keys = keyRing(OTHER_KEY, KEY);
  expect(await send(fresh)).toEqual({ delivered: 1, failure: null });
});
