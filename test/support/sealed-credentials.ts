import { randomBytes } from 'node:crypto';
import { writeCredentialsRecord } from '../../processors/credentials-record.ts';
import type { SealedCredentials } from '../../schemas/sealed-credentials.ts';
import { KeyRing, sealCredentials } from '../../sinks/sealed-credentials.ts';

/** The key of the contract's example; its id is `3eb1bd439947eb76`. */
export const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
export const OTHER_KEY = Buffer.from('another key, of 32 bytes as well');

/** What `aSealed` seals. */
export const SEALED_TEXT = 'Endpoint=sb://acme;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0';

export interface SealedOptions {
  readonly replicationId?: string;
  readonly datamartId?: string;
  readonly version?: number;
  readonly text?: string;
  readonly key?: Buffer;
}

export function keyRing(key: Buffer | null = KEY, ...oldKeys: readonly Buffer[]): KeyRing {
  return new KeyRing({ key, oldKeys });
}

/** Credentials of replication 80 of datamart 1649, version 3, but for what the test chooses. */
export function aSealed(options: SealedOptions = {}): SealedCredentials {
  const { replicationId = '80', datamartId = '1649', version = 3, text = SEALED_TEXT, key = KEY } = options;
  return sealCredentials({ replicationId, datamartId, version }, text, {
    keys: keyRing(key),
    randomBytes,
    now: () => 1_763_900_000_000,
  });
}

/** The same as it lies on the topic. */
export function aSealedRecord(options: SealedOptions = {}): Buffer {
  return writeCredentialsRecord(aSealed(options));
}
