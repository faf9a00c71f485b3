import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DocumentSet, DocumentSetFullError } from '../../../../streams/initial-sync/document-set.ts';
import { SharedSetMemory } from '../../../../streams/initial-sync/set-memory.ts';

const ENOUGH = 64 * 1024 * 1024;
const aSet = (memory = new SharedSetMemory(ENOUGH)): DocumentSet => new DocumentSet(memory);

test('holds what was added and not deleted, like a Set', () => {
  // Few values for each half, so that documents fall on one another's slots, at the table's end too.
  const half = fc.constantFrom(0, 1, 2, 1_022, 1_023, 1_024, -1, 2_047);
  const step = fc.record({ isAdded: fc.boolean(), high: half, low: half });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const set = aSet();
      const model = new Set<string>();
      for (const { isAdded, high, low } of steps) {
        // Both halves 0 is the free slot: its hash counts as the next one.
        const key = `${high}/${high === 0 && low === 0 ? 1 : low}`;
        if (isAdded) set.add(high, low);
        else set.delete(high, low);
        if (isAdded) model.add(key);
        else model.delete(key);
        expect(set.has(high, low)).toBe(model.has(key));
      }
      expect(set.size).toBe(model.size);
      for (const key of model) {
        const [high, low] = key.split('/').map(Number);
        expect(set.has(high ?? 0, low ?? 0)).toBe(true);
      }
    }),
  );
});

test('grows: 100,000 documents take 11 to 23 bytes each', () => {
  const memory = new SharedSetMemory(ENOUGH);
  const set = aSet(memory);
  for (let i = 0; i < 100_000; i += 1) set.add(Math.imul(i, 0x9e3779b1), i);

  expect(set.size).toBe(100_000);
  expect(set.has(Math.imul(77_777, 0x9e3779b1), 77_777)).toBe(true);
  expect(set.has(Math.imul(100_000, 0x9e3779b1), 100_000)).toBe(false);
  expect(set.byteLength / set.size).toBeGreaterThan(11);
  expect(set.byteLength / set.size).toBeLessThan(23);
  expect(memory.takenBytes).toBe(set.byteLength);
});

test('refuses what there is no memory for, keeps the rest and gives all back', () => {
  const memory = new SharedSetMemory(4 * 20_000);
  const set = aSet(memory);
  const fill = (): void => {
    for (let i = 1; ; i += 1) set.add(i, i);
  };

  expect(fill).toThrow(DocumentSetFullError);
  expect(set.has(700, 700)).toBe(true);

  set.close();
  expect(memory.takenBytes).toBe(0);
});
