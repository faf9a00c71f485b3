import { expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { listenForUncaughtErrors } from '../../../commands/uncaught-errors.ts';

test('hands over exceptions and rejections that nobody caught, until it is disposed', () => {
  const source = new EventEmitter();
  const errors: unknown[] = [];
  const listening = listenForUncaughtErrors(source, (error) => errors.push(error));
  source.emit('uncaughtException', 'an exception', 'uncaughtException');
  source.emit('unhandledRejection', 'a rejection', Promise.resolve());
  listening[Symbol.dispose]();

  expect(errors).toEqual(['an exception', 'a rejection']);
  expect(source.eventNames()).toEqual([]);
});
