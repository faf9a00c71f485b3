import { expect, test } from '@jest/globals';
import { ReadSlots } from '../../../../streams/initial-sync/read-slots.ts';
import { settle } from '../../../support/manual-clock.ts';

/** Reads that are ended one by one; `running` has those that were let in. */
class Reads {
  readonly running: string[] = [];
  readonly #slots = new ReadSlots();
  readonly #ends = new Map<string, (error?: Error) => void>();

  begin(name: string, mib?: number): void {
    const work = (): Promise<void> => {
      this.running.push(name);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#ends.set(name, (error) => {
        this.running.splice(this.running.indexOf(name), 1);
        if (error) reject(error);
        else resolve();
      });
      return promise;
    };
    void this.#slots.run(work, mib).catch(() => undefined);
  }

  async end(name: string, error?: Error): Promise<void> {
    this.#ends.get(name)?.(error);
    await settle();
  }
}

test('reads of 16 MiB are under way at once, the others wait in order', async () => {
  const reads = new Reads();
  for (let n = 0; n < 18; n += 1) reads.begin(String(n));
  await settle();
  expect(reads.running).toHaveLength(16);

  await reads.end('3');
  expect(reads.running).toContain('16');
  expect(reads.running).not.toContain('17');
});

test('a large one waits until there is room for it, and nobody overtakes it', async () => {
  const reads = new Reads();
  for (const name of ['a', 'b', 'c', 'd']) reads.begin(name, 4);
  reads.begin('large', 4);
  reads.begin('small');
  await settle();
  expect(reads.running).toEqual(['a', 'b', 'c', 'd']);

  await reads.end('b');
  expect(reads.running).toEqual(['a', 'c', 'd', 'large']);
  await reads.end('large', new Error('it failed'));
  expect(reads.running).toEqual(['a', 'c', 'd', 'small']);
});
