import { expect, test } from '@jest/globals';
import { MutationView } from '../../../schemas/mutation.ts';
import { JsonOperationEncoder } from '../../../schemas/operation-encoder-json.ts';
import { SegmentLog } from '../../../streams/segment-log.ts';
import { SegmentPool } from '../../../streams/segment-pool.ts';

const reader = (datamart: number) => ({
  datamart,
  enqueue: () => undefined,
  dropDrained: () => undefined,
  pump: () => undefined,
});

const aLog = () =>
  new SegmentLog(1649, new JsonOperationEncoder(), 0, new SegmentPool(1_000_000, () => undefined), false);

test('only replications of its datamart read a log', () => {
  expect(() => {
    aLog().setReaders([reader(1649), reader(1650)]);
  }).toThrow('another datamart');
});

test('only mutations of its datamart get into a log', () => {
  const log = aLog();
  log.setReaders([reader(1649)]);
  const mutation = new MutationView();
  const origin = { offset: 0, timestamp: 0, arrival: 0 };
  mutation.datamart = 1650;
  expect(() => {
    log.append(mutation, origin);
  }).toThrow('another datamart');
  mutation.datamart = 1649;
  log.append(mutation, origin);
});
