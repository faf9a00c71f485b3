import { expect, test } from '@jest/globals';
import { runSnapshotRebuild } from '../../../../commands/snapshot/snapshot-rebuild.ts';
import type { RebuildResult } from '../../../../streams/snapshot/snapshot-rebuild.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

const RESULT: RebuildResult = { documents: 9, stored: 3, deleted: 1, mended: 0, tooLarge: 0, leftOut: 2 };

async function rebuild(
  result: Partial<RebuildResult>,
  options: { readonly isJson?: boolean; readonly stopAt?: number } = {},
) {
  const [out, errors, stop] = [new RecordedOutput(), new RecordedOutput(), new AbortController()];
  const partitions = [0, 1].map((partition) => ({
    mutations: { topic: 'm', partition, start: 0, end: 10 },
    partitionCount: 2,
    snapshotTopic: 's',
  }));
  const code = await runSnapshotRebuild(
    { isJson: options.isJson ?? false },
    {
      partitions,
      rebuild: ({ mutations }) => {
        if (mutations.partition === options.stopAt) stop.abort();
        return Promise.resolve({ ...RESULT, ...result });
      },
      out,
      errors,
      now: () => 0,
    },
    stop.signal,
  );
  return { code, out: out.text, errors: errors.text };
}

test('tells of each partition what was written', async () => {
  const inWords = await rebuild({});
  const asJson = await rebuild({}, { isJson: true });

  expect(inWords).toMatchObject({ code: 0, errors: '' });
  expect(inWords.out).toMatch(/m\/1 +9 +3 +1 +0 +0 +2\n/);
  expect(JSON.parse(asJson.out)).toMatchObject({
    complete: true,
    partitions: [
      { topic: 'm', partition: 0, snapshot_topic: 's', documents: 9, stored: 3, deleted: 1, left_out: 2 },
      { partition: 1 },
    ],
  });
});

test('what is too large is told, with the remedy', async () => {
  const { code, errors } = await rebuild({ tooLarge: 2 });

  expect(code).toBe(0);
  expect(errors).toContain('4 mutations are larger than the snapshot topic takes');
});

test('stopped, it says how it goes on, and claims nothing of the partition that it was at', async () => {
  const { code, out, errors } = await rebuild({}, { stopAt: 1 });

  expect(code).toBe(0);
  expect(out).not.toContain('m/1');
  expect(errors).toContain('run it again and it goes on');
});
