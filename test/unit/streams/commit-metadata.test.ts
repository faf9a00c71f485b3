import { expect, test } from '@jest/globals';
import {
  encodeCommitMetadata,
  parseCommitMetadata,
  type OwnPosition,
} from '../../../streams/commit-metadata.ts';

const TASK = '6f1d7c1e-8a43-4f57-9d55-5b8a7f3d9a10';

test('reads back what it wrote, sorted by position', () => {
  const x: OwnPosition[] = [
    { replication: 0xffff_ffff, position: Number.MAX_SAFE_INTEGER, kind: 'ERROR' },
    { replication: 0, position: 0, kind: 'DETACHED' },
    { replication: 7, position: 0, kind: 'PAUSED' },
    { replication: 8, position: 2 ** 40 + 1, kind: 'DETACHED' },
  ];
  const read = parseCommitMetadata(
    encodeCommitMetadata({ task: TASK, x, list: null, s: [['e', 1]], isQuiet: true }),
  );
  expect(read).toEqual({
    task: TASK,
    x: x.toSorted((a, b) => a.position - b.position),
    list: null,
    s: [['e', 1]],
    isQuiet: true,
    isReadable: true,
  });
});

test('250 replications fit into the 3,500 bytes that a commit may carry', () => {
  const x = Array.from({ length: 250 }, (_, i) => ({
    replication: (i * 2_654_435_761) >>> 0,
    position: 9_000_000_000 + i * 40_000,
    kind: 'DETACHED' as const,
  }));
  expect(encodeCommitMetadata({ task: TASK, x, list: null, s: [], isQuiet: true }).length).toBeLessThan(
    3_500,
  );
});

test.each([
  null,
  '',
  'x',
  'null',
  '[]',
  '{}',
  '{"task":"t","x":[],"s":[]}',
  '{"task":7,"x":"","s":[]}',
  `{"task":"t","x":"${Buffer.from([1, 2, 3]).toString('base64')}","s":[]}`,
  `{"task":"t","x":"${Buffer.from([1, 2, 3, 4, 0, 0x80]).toString('base64')}","s":[]}`,
  `{"task":"t","x":"${Buffer.from([1, 2, 3, 4, 0, ...Array.from({ length: 12 }, () => 0xff), 1]).toString('base64')}","s":[]}`,
  `{"task":"t","x":"${Buffer.from([1, 2, 3, 4, 9, 1]).toString('base64')}","s":[]}`,
])('what is not ours is unreadable, never an error: %s', (text) => {
  expect(parseCommitMetadata(text)).toEqual({
    task: null,
    x: [],
    list: null,
    s: [],
    isQuiet: false,
    isReadable: false,
  });
});
