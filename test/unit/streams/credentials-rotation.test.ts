import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { CredentialsTable } from '../../../processors/credentials-table.ts';
import { kekIdOf, openCredentials, rewrapCredentials } from '../../../sinks/sealed-credentials.ts';
import { CredentialsRotation, type RotationResult } from '../../../streams/credentials-rotation.ts';
import type { Producer } from '../../../streams/kafka-port.ts';
import { InMemoryKafka } from '../../support/in-memory-kafka.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import {
  aSealedRecord,
  KEY,
  keyRing,
  OTHER_KEY as OLD_KEY,
  type SealedOptions,
} from '../../support/sealed-credentials.ts';
import { silentLogger } from '../../support/silent-logger.ts';

const AT = { topic: 'replication-credentials', partition: 0 };
const UNKNOWN_KEY = Buffer.from('a key that is not in the settings');

/** The topic, with uploads as the API makes them. */
class Topic {
  readonly clock = new ManualClock();
  readonly kafka = new InMemoryKafka(this.clock);
  readonly stop = new AbortController();
  readonly progress: string[] = [];

  upload(id: string, options: SealedOptions = {}): this {
    this.kafka.append(AT, {
      key: Buffer.from(id),
      value: aSealedRecord({
        replicationId: id,
        key: OLD_KEY,
        text: `${id} v${options.version ?? 3}`,
        ...options,
      }),
    });
    return this;
  }

  put(id: string, value: Buffer | null): this {
    this.kafka.append(AT, { key: Buffer.from(id), value });
    return this;
  }

  /** Runs once, right before the next record is stored: after the rotation has looked. */
  beforeNextWrite(action: () => void): void {
    this.kafka.produceFault = () => {
      this.kafka.produceFault = null;
      action();
      return null;
    };
  }

  get producer(): Producer {
    return this.kafka.instance().port.producer();
  }

  rotation(producer = this.producer): CredentialsRotation {
    return new CredentialsRotation({
      topic: AT.topic,
      reader: this.kafka.instance().port.partitionReader(),
      producer,
      clock: this.clock,
      random: () => 0.5,
      logger: silentLogger,
      rewrap: (record) => rewrapCredentials(record, { keys: keyRing(KEY, OLD_KEY), randomBytes }),
      onProgress: (settled, total) => void this.progress.push(`${settled}/${total}`),
    });
  }

  rotate(producer?: Producer): Promise<RotationResult> {
    return this.#inTime(this.rotation(producer).rotate(this.stop.signal));
  }

  plan(): Promise<RotationResult> {
    return this.#inTime(this.rotation().plan(this.stop.signal));
  }

  /** What a reader of the whole topic has now: text and key of each. */
  get state(): Readonly<Record<string, string>> {
    const table = new CredentialsTable();
    for (const { key, value } of this.kafka.log(AT)) table.apply(key?.toString() ?? '', value);
    return Object.fromEntries(
      [...table.ids()].map((id) => {
        const record = table.get(id);
        if (record === null) return [id, 'unreadable'];
        const name = record.kekId === kekIdOf(KEY) ? 'new' : 'old';
        return [id, `${openCredentials(record, keyRing(KEY, OLD_KEY, UNKNOWN_KEY.subarray(0, 32)))} ${name}`];
      }),
    );
  }

  get records(): number {
    return this.kafka.log(AT).length;
  }

  async #inTime<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    settled.catch(() => undefined);
    while (!isSettled) await this.clock.advance(50);
    return settled;
  }
}

describe('CredentialsRotation', () => {
  test('puts what is under a former key under the current one, and leaves the rest alone', async () => {
    const topic = new Topic().upload('80').upload('81', { key: KEY }).upload('82').put('82', null);

    expect(await topic.rotate()).toEqual({ rewrapped: 1, current: 1, unopened: [], left: 0 });
    expect(topic.state).toEqual({ '80': '80 v3 new', '81': '81 v3 new' });
    expect(topic.records).toBe(5);
  });

  test('finds nothing to do when it runs again', async () => {
    const topic = new Topic().upload('80').upload('81');
    await topic.rotate();
    const { records } = topic;

    expect(await topic.rotate()).toEqual({ rewrapped: 0, current: 2, unopened: [], left: 0 });
    expect(topic.records).toBe(records);
  });

  test('a dry run says what would be done and writes nothing', async () => {
    const topic = new Topic().upload('80').upload('81', { key: KEY }).put('82', Buffer.from('{}'));

    expect(await topic.plan()).toMatchObject({
      rewrapped: 1,
      current: 1,
      unopened: [{ replicationId: '82' }],
    });
    expect(topic.records).toBe(3);
  });

  test('says which can’t be opened and why, and goes on with the others', async () => {
    const unknown = UNKNOWN_KEY.subarray(0, 32);
    const topic = new Topic()
      .upload('80', { key: unknown })
      .put('81', Buffer.from('{"v":1,"replication_id":"81"}'))
      .put('82', aSealedRecord({ replicationId: '83', key: OLD_KEY }))
      .put('84', damaged(aSealedRecord({ replicationId: '84', key: KEY })))
      .upload('85');

    const { unopened, ...counts } = await topic.rotate();
    expect(counts).toEqual({ rewrapped: 1, current: 0, left: 0 });
    expect(unopened).toEqual([
      expect.objectContaining({
        replicationId: '80',
        kekId: kekIdOf(unknown),
        code: 'credential_decrypt_failed',
      }),
      expect.objectContaining({ replicationId: '81', kekId: null, code: 'credentials_invalid' }),
      expect.objectContaining({ replicationId: '82', message: 'the record was sealed for 83' }),
      expect.objectContaining({
        replicationId: '84',
        kekId: kekIdOf(KEY),
        code: 'credential_decrypt_failed',
      }),
    ]);
    expect(topic.records).toBe(6);
  });

  test('an upload that comes in between stays in force', async () => {
    const topic = new Topic().upload('80').upload('81');
    topic.beforeNextWrite(() => topic.upload('80', { version: 4 }));

    expect(await topic.rotate()).toEqual({ rewrapped: 2, current: 0, unopened: [], left: 0 });
    expect(topic.state).toEqual({ '80': '80 v4 new', '81': '81 v3 new' });
  });

  test('so does one that is under the current key already, and one that follows while it is put back', async () => {
    const topic = new Topic().upload('80');
    topic.beforeNextWrite(() => {
      topic.upload('80', { version: 4, key: KEY });
      topic.beforeNextWrite(() => topic.upload('80', { version: 5, key: KEY }));
    });

    expect(await topic.rotate()).toMatchObject({ rewrapped: 0, current: 1 });
    expect(topic.state).toEqual({ '80': '80 v5 new' });
  });

  test('a deletion that comes in between stays one', async () => {
    const topic = new Topic().upload('80').upload('81');
    topic.beforeNextWrite(() => topic.put('80', null));

    expect(await topic.rotate()).toEqual({ rewrapped: 1, current: 0, unopened: [], left: 0 });
    expect(topic.state).toEqual({ '81': '81 v3 new' });
  });

  test('credentials of a replication that was deleted and made anew in between stay, with a lower version', async () => {
    const topic = new Topic().upload('80');
    topic.beforeNextWrite(() => topic.put('80', null).upload('80', { version: 1 }));

    await topic.rotate();
    expect(topic.state).toEqual({ '80': '80 v1 new' });
  });

  test('what can’t be opened and came in between is put back as it was', async () => {
    const topic = new Topic().upload('80');
    const value = aSealedRecord({ replicationId: '80', version: 4, key: UNKNOWN_KEY.subarray(0, 32) });
    topic.beforeNextWrite(() => topic.put('80', value));

    expect(await topic.rotate()).toMatchObject({ unopened: [{ replicationId: '80' }], rewrapped: 0 });
    expect(topic.kafka.log(AT).at(-1)?.value).toEqual(value);
  });

  test('makes good what a run that was killed has overwritten', async () => {
    const topic = new Topic().upload('80', { version: 4 }).upload('80', { version: 3, key: KEY });

    await topic.rotate();
    expect(topic.state).toEqual({ '80': '80 v4 new' });
  });

  test('two at once end with what one would', async () => {
    const topic = new Topic().upload('80').upload('81');

    const results = await Promise.all([topic.rotate(), topic.rotate()]);
    expect(topic.state).toEqual({ '80': '80 v3 new', '81': '81 v3 new' });
    expect(topic.records).toBeLessThanOrEqual(6);
    expect(results.every(({ unopened, left }) => unopened.length === 0 && left === 0)).toBe(true);
  });

  test('tries again after a failure, also when the record was stored and only the answer was lost', async () => {
    const topic = new Topic().upload('80').upload('81');
    const { producer } = topic;
    let isFirst = true;
    const losing: Producer = {
      ...producer,
      send: async (name, records) => {
        const stored = await producer.send(name, records);
        if (!isFirst) return stored;
        isFirst = false;
        throw new Error('no answer');
      },
    };
    topic.kafka.produceFault = () => {
      topic.kafka.produceFault = null;
      return new Error('not stored');
    };

    expect(await topic.rotate(losing)).toMatchObject({ rewrapped: 2, left: 0 });
    expect(topic.records).toBe(4);
  });

  test('gives up when nothing can be written, and says what failed', async () => {
    const topic = new Topic().upload('80');
    topic.kafka.produceFault = () => new Error('the broker is full');

    await expect(topic.rotate()).rejects.toThrow(
      'rotating the keys of replication-credentials: the broker is full; run it again',
    );
  });

  test('stops at a record of a newer release and has written nothing', async () => {
    const topic = new Topic().upload('80').put('81', Buffer.from('{"v":2}'));

    await expect(topic.rotate()).rejects.toThrow('state_too_new: the credentials record 81 has version 2');
    expect(topic.records).toBe(2);
  });

  test('works through many in steps, telling how far it is', async () => {
    const topic = new Topic();
    for (let id = 0; id < 120; id += 1) topic.upload(String(id));

    expect(await topic.rotate()).toMatchObject({ rewrapped: 120 });
    expect(topic.progress).toEqual(['0/120', '50/120', '100/120']);
  });

  test('after a stop it re-wraps nothing more, but puts back what it has overwritten', async () => {
    const topic = new Topic();
    for (let id = 100; id < 220; id += 1) topic.upload(String(id));
    topic.beforeNextWrite(() => {
      topic.upload('100', { version: 4 });
      topic.stop.abort();
    });

    expect(await topic.rotate()).toMatchObject({ rewrapped: 50, left: 70, unopened: [] });
    expect(topic.state['100']).toBe('100 v4 new');
    expect(topic.state['219']).toBe('219 v3 old');
  });
});

/** With another tag. */
function damaged(value: Buffer): Buffer {
  const record = JSON.parse(value.toString()) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...record, wrap_tag: Buffer.alloc(16).toString('base64') }));
}
