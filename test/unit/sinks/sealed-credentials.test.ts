import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { readCredentialsRecord, writeCredentialsRecord } from '../../../processors/credentials-record.ts';
import { StateTooNewError } from '../../../processors/status-record.ts';
import type { SealedCredentials } from '../../../schemas/sealed-credentials.ts';
import {
  kekIdOf,
  KeyRing,
  openCredentials,
  rewrapCredentials,
  sealCredentials,
} from '../../../sinks/sealed-credentials.ts';
import { SinkError } from '../../../sinks/sink.ts';
import { aSealed, KEY, keyRing, OTHER_KEY, SEALED_TEXT } from '../../support/sealed-credentials.ts';

const OWNER = { datamartId: '1649', replicationId: '80', version: 3 };
const NOW = 1_763_900_000_000;

function bytesFrom(start: number, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => start + i));
}

/** Hands out these, in order. */
function fixedBytes(...values: readonly Buffer[]): (size: number) => Buffer {
  const left = [...values];
  return (size) => {
    const next = left.shift();
    expect(next).toHaveLength(size);
    return next ?? Buffer.alloc(size);
  };
}

/** Opens a record by nothing but what the contract says, from its JSON. */
function openByTheContract(json: string, key: Buffer): string {
  const record = JSON.parse(json) as Record<string, string>;
  const bytes = (name: string): Buffer => Buffer.from(record[name] ?? '', 'base64');
  const additionalData = Buffer.from(
    `datamart-replication/credentials/v1|${record.datamart_id}|${record.replication_id}|${record.version}`,
  );
  expect(record.kek_id).toBe(createHash('sha256').update(key).digest('hex').slice(0, 16));
  const unwrap = createDecipheriv('aes-256-gcm', key, bytes('wrap_iv'));
  unwrap.setAAD(additionalData);
  unwrap.setAuthTag(bytes('wrap_tag'));
  const dataKey = Buffer.concat([unwrap.update(bytes('wrapped_key')), unwrap.final()]);
  const decipher = createDecipheriv('aes-256-gcm', dataKey, bytes('iv'));
  decipher.setAAD(additionalData);
  decipher.setAuthTag(bytes('tag'));
  return Buffer.concat([decipher.update(bytes('ciphertext')), decipher.final()]).toString('utf8');
}

function thrownBy(action: () => unknown): SinkError {
  try {
    action();
  } catch (error) {
    if (error instanceof SinkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('sealCredentials', () => {
  // Made with Python's cryptography 48.
  const GOLDEN =
    '{"v":1,"replication_id":"80","datamart_id":"1649","version":3,"kek_id":"3eb1bd439947eb76",' +
    '"wrapped_key":"jBiN+80CqtiC9LHkvJ6xWf0uL0qtcnmaVhr9yvX8yYg=","wrap_iv":"gIGCg4SFhoeIiYqL",' +
    '"wrap_tag":"zrUfZ9YsNgtufaGPdsxHJg==","iv":"QEFCQ0RFRkdISUpL","tag":"GMtGFbsCDp99mTO+E8criA==",' +
    '"ciphertext":"p9fKU0lV6Xfwt3UMtEtyOBSjfC/SR3lKFCIskOQ9mrL2bJzbrZexMVXbMDz5bK2/rzDJUla0kULkY5plSo8Vs4F9sZFXtkrYMqUi5vUdjxsFHSv2SFhC5RS7cw8=",' +
    '"created_at":1763900000000}';
  const GOLDEN_TEXT =
    'Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0';

  test('makes the golden record, byte for byte', () => {
    const sealed = sealCredentials(OWNER, GOLDEN_TEXT, {
      keys: keyRing(),
      randomBytes: fixedBytes(bytesFrom(0, 32), bytesFrom(0x40, 12), bytesFrom(0x80, 12)),
      now: () => NOW,
    });

    expect(writeCredentialsRecord(sealed).toString()).toBe(GOLDEN);
    const read = readCredentialsRecord('80', Buffer.from(GOLDEN));
    expect(read.kind === 'sealed' && openCredentials(read.credentials, keyRing())).toBe(GOLDEN_TEXT);
  });

  test('makes records that open by what the contract says', () => {
    const json = writeCredentialsRecord(aSealed({ text: 'a key, mit Ümlaut 🗝' })).toString();

    expect(openByTheContract(json, KEY)).toBe('a key, mit Ümlaut 🗝');
  });

  test('takes fresh keys and IVs each time, and leaves no data key behind', () => {
    const drawn: Buffer[] = [];
    const draw = (size: number): Buffer => {
      const bytes = randomBytes(size);
      drawn.push(bytes);
      return bytes;
    };
    const seal = (): SealedCredentials =>
      sealCredentials(OWNER, SEALED_TEXT, { keys: keyRing(), randomBytes: draw, now: () => NOW });

    const [a, b] = [seal(), seal()];

    expect(drawn.map(({ length }) => length)).toEqual([32, 12, 12, 32, 12, 12]);
    expect(drawn.filter(({ length }) => length === 32).every((key) => key.equals(Buffer.alloc(32)))).toBe(
      true,
    );
    expect(a.ciphertext.equals(b.ciphertext) || a.wrappedKey.equals(b.wrappedKey)).toBe(false);
  });

  test.each(['', 'x'.repeat(16 * 1024 + 1), 'ü'.repeat(8 * 1024 + 1)])(
    'refuses what is empty or longer than 16 KiB (case %#)',
    (text) => {
      expect(thrownBy(() => aSealed({ text }))).toMatchObject({ code: 'credentials_invalid' });
    },
  );

  test('refuses an owner whose ids hold the separator of the additional data', () => {
    expect(thrownBy(() => aSealed({ replicationId: '80|3' }))).toMatchObject({
      code: 'credentials_invalid',
    });
  });

  test('without a key says which setting to set', () => {
    const seal = (): unknown =>
      sealCredentials(OWNER, SEALED_TEXT, { keys: keyRing(null), randomBytes, now: () => NOW });

    expect(thrownBy(seal)).toMatchObject({
      code: 'credential_decrypt_failed',
      remedy: 'set CREDENTIALS_KEY',
    });
  });
});

describe('openCredentials', () => {
  test('gives back any text of up to 16 KiB', () => {
    const texts = fc
      .oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 2_000 }), fc.constant('x'.repeat(16_384)))
      .filter((text) => Buffer.byteLength(text) <= 16_384);
    fc.assert(
      fc.property(texts, (text) => {
        const record = readCredentialsRecord('80', writeCredentialsRecord(aSealed({ text })));
        expect(record.kind === 'sealed' && openCredentials(record.credentials, keyRing())).toBe(text);
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ['datamart', { datamartId: '1650' }],
    ['replication', { replicationId: '81' }],
    ['version', { version: 4 }],
  ])('a record moved to another %s does not open', (_, moved) => {
    const error = thrownBy(() => openCredentials({ ...aSealed(), ...moved }, keyRing()));

    expect(error).toMatchObject({ kind: 'fatal', code: 'credential_decrypt_failed' });
    expect(error.remedy).toBe('upload the credentials again');
  });

  test('with a single bit flipped anywhere in the record it does not open', () => {
    const bytes = writeCredentialsRecord(aSealed());
    // Only for people; a record that says another time is the same one.
    const timeAt = bytes.indexOf('"created_at":') + '"created_at":'.length;
    const isTime = (at: number): boolean => at >= timeAt && at < bytes.length - 1;
    const opened: number[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      if (isTime(bit >> 3)) continue;
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (tryOpen(flipped) !== null) opened.push(bit);
    }

    expect(opened).toEqual([]);
  });

  test('with any field taken from another record it does not open', () => {
    const fields = Object.keys(JSON.parse(writeCredentialsRecord(aSealed()).toString()) as object).filter(
      (name) => name !== 'v' && name !== 'created_at',
    );
    const owner = fc.record({
      replicationId: fc.constantFrom('80', '81', 'a.b_c-d'),
      datamartId: fc.constantFrom('1649', '1650'),
      version: fc.integer({ min: 1, max: 9 }),
      key: fc.constantFrom(KEY, OTHER_KEY),
    });
    const swapped = fc.subarray(fields, { minLength: 1, maxLength: fields.length - 1 });
    fc.assert(
      fc.property(owner, owner, swapped, (one, other, names) => {
        const [a, b] = [one, other].map(
          (options) =>
            JSON.parse(writeCredentialsRecord(aSealed(options)).toString()) as Record<string, unknown>,
        );
        const mixed = { ...a };
        for (const name of names) mixed[name] = b?.[name];
        const json = JSON.stringify(mixed);
        // Fields in which the two agree make no other record.
        fc.pre(json !== JSON.stringify(a) && json !== JSON.stringify(b));
        expect(tryOpen(Buffer.from(json))).toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  test('opens under an old key as well', () => {
    const keys = keyRing(OTHER_KEY, KEY);

    expect(openCredentials(aSealed({ key: KEY }), keys)).toBe(SEALED_TEXT);
    expect(openCredentials(aSealed({ key: OTHER_KEY }), keys)).toBe(SEALED_TEXT);
  });

  test('names the key that is needed, and where it goes', () => {
    const missing = thrownBy(() => openCredentials(aSealed(), keyRing(OTHER_KEY)));
    const none = thrownBy(() => openCredentials(aSealed(), keyRing(null)));

    expect([missing.kind, missing.code, none.code]).toEqual([
      'fatal',
      'credential_decrypt_failed',
      'credential_decrypt_failed',
    ]);
    expect(missing.message).toBe(
      'opening the sealed credentials of 80, version 3: the key 3eb1bd439947eb76 is not set',
    );
    expect(missing.remedy).toContain('3eb1bd439947eb76 to CREDENTIALS_OLD_KEYS');
    expect(none.remedy).toContain('set CREDENTIALS_KEY to the key whose id is 3eb1bd439947eb76');
  });

  test('what was sealed and is no text is credentials_invalid, and not shown', () => {
    // A record under a known data key, as another program might seal it.
    const dataKey = bytesFrom(0, 32);
    const sealed = sealCredentials(OWNER, 'AB', {
      keys: keyRing(),
      randomBytes: fixedBytes(Buffer.from(dataKey), bytesFrom(0x40, 12), bytesFrom(0x80, 12)),
      now: () => NOW,
    });
    const cipher = createCipheriv('aes-256-gcm', dataKey, sealed.iv);
    cipher.setAAD(Buffer.from('datamart-replication/credentials/v1|1649|80|3'));
    const ciphertext = Buffer.concat([cipher.update(Buffer.from([0xff, 0xfe])), cipher.final()]);
    const record = { ...sealed, ciphertext, tag: cipher.getAuthTag() };
    const error = thrownBy(() => openCredentials(record, keyRing()));

    expect(error).toMatchObject({ code: 'credentials_invalid', cause: undefined });
    expect(error.message).toContain('no UTF-8 text');
  });
});

describe('rewrapCredentials', () => {
  test('changes the wrapping and nothing else', () => {
    const record = aSealed({ key: OTHER_KEY });
    const rewrapped = rewrapCredentials(record, { keys: keyRing(KEY, OTHER_KEY), randomBytes });

    expect(rewrapped.kekId).toBe(kekIdOf(KEY));
    const { kekId, wrappedKey, wrapIv, wrapTag } = record;
    expect({ ...rewrapped, kekId, wrappedKey, wrapIv, wrapTag }).toEqual(record);
    expect(openCredentials(rewrapped, keyRing(KEY))).toBe(SEALED_TEXT);
    expect(rewrapped.wrapIv.equals(record.wrapIv)).toBe(false);
  });

  test('leaves a record under the current key as it is', () => {
    const record = aSealed();

    expect(rewrapCredentials(record, { keys: keyRing(KEY, OTHER_KEY), randomBytes })).toBe(record);
  });

  test('a record whose data key can’t be had is refused, under the current key too', () => {
    const rewrap = (record: SealedCredentials) => () =>
      rewrapCredentials(record, { keys: keyRing(KEY), randomBytes });

    expect(thrownBy(rewrap(aSealed({ key: OTHER_KEY }))).message).toContain(kekIdOf(OTHER_KEY));
    expect(thrownBy(rewrap({ ...aSealed(), version: 4 })).code).toBe('credential_decrypt_failed');
  });
});

describe('KeyRing', () => {
  test('names keys as the contract does', () => {
    expect(kekIdOf(KEY)).toBe('3eb1bd439947eb76');
    expect(keyRing().currentId).toBe('3eb1bd439947eb76');
    expect(keyRing(null).currentId).toBeNull();
  });

  test('shows no key when it is printed or made JSON', () => {
    const shown = [inspect(keyRing(KEY, OTHER_KEY), { depth: 9 }), JSON.stringify(keyRing())];

    for (const text of shown) {
      expect(text).not.toContain('0123456789abcdef0123');
      expect(text).not.toContain(KEY.toString('hex').slice(0, 20));
      expect(text).not.toContain(KEY.toString('base64').slice(0, 20));
    }
  });

  test('keeps its keys when the caller’s buffers are gone', () => {
    const key = Buffer.from(KEY);
    const keys = new KeyRing({ key, oldKeys: [] });
    key.fill(0);

    expect(openCredentials(aSealed(), keys)).toBe(SEALED_TEXT);
  });
});

/** The text, or null when the bytes are no record that opens. Anything but the errors that are promised gets out. */
function tryOpen(bytes: Buffer): string | null {
  try {
    const record = readCredentialsRecord('80', bytes);
    return record.kind === 'sealed' ? openCredentials(record.credentials, keyRing(KEY, OTHER_KEY)) : null;
  } catch (error) {
    if (error instanceof SinkError && error.code === 'credential_decrypt_failed') return null;
    if (error instanceof StateTooNewError) return null;
    throw error;
  }
}
