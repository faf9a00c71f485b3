import { expect, test } from '@jest/globals';
import { Window } from '../../../streams/window.ts';

const limits = { maxRecords: 10, maxBytes: 1_000 };

test('is full at its records or its bytes, and half empty at half of both', () => {
  const window = new Window(0, limits);
  window.dispatched(5, 5, 900);
  expect(window.isFull).toBe(false);
  expect(window.isHalfEmpty).toBe(false);
  window.dispatched(6, 1, 100);
  expect(window.isFull).toBe(true);
});

test('counts until a commit is acknowledged, exact to a batch', () => {
  const window = new Window(100, limits);
  window.dispatched(104, 4, 10);
  window.dispatched(110, 6, 10);
  expect(window.isFull).toBe(true);
  window.committed(103);
  expect(window.records).toBe(10);
  window.committed(104);
  expect(window.records).toBe(6);
  window.committed(110);
  expect(window).toMatchObject({ records: 0, bytes: 0, isHalfEmpty: true });
});
