import { expect, test } from '@jest/globals';
import {
  runSnapshotVerify,
  type SnapshotVerifyPorts,
} from '../../../../commands/snapshot/snapshot-verify.ts';
import { DOCUMENT_TYPES } from '../../../../schemas/document-type.ts';
import type { VerifyResult } from '../../../../streams/snapshot/snapshot-verify.ts';
import { RecordedOutput } from '../../../support/recorded-output.ts';

const PROFILE = DOCUMENT_TYPES.indexOf('UserProfile');

const partition = (number: number) => ({
  mutations: { topic: 'm', partition: number, start: 0, end: 10 },
  partitionCount: 2,
  snapshotTopic: 's',
});

function aResult(
  profile: Partial<VerifyResult['byType'][number]>,
  rest: Partial<VerifyResult> = {},
): VerifyResult {
  const none = { source: 0, copy: 0, missing: 0, stale: 0, resurrected: 0, extra: 0 };
  return {
    byType: DOCUMENT_TYPES.map((_, docType) => (docType === PROFILE ? { ...none, ...profile } : none)),
    examples: [],
    older: 0,
    omitted: 0,
    foreign: 0,
    ...rest,
  };
}

async function verify(
  results: readonly VerifyResult[],
  options: { isJson?: boolean; signal?: AbortSignal } = {},
) {
  const [out, errors] = [new RecordedOutput(), new RecordedOutput()];
  const ports: SnapshotVerifyPorts = {
    partitions: results.map((_, number) => partition(number)),
    verify: ({ mutations }) => Promise.resolve(results[mutations.partition] ?? aResult({})),
    out,
    errors,
    now: () => 0,
  };
  const { isJson = false, signal = new AbortController().signal } = options;
  const code = await runSnapshotVerify({ isJson, maxExamples: 2 }, ports, signal);
  return { code, out: out.text, errors: errors.text };
}

test('no difference in any partition is exit code 0', async () => {
  const { code, out } = await verify([
    aResult({ source: 3, copy: 3 }),
    aResult({ source: 4, copy: 4 }, { older: 5 }),
  ]);

  expect(code).toBe(0);
  expect(out).toMatch(/UserProfile +7 +7 +0 +0 +0 +0\n/);
  expect(out).toContain('5 documents older than the mutations that are left');
  expect(out).toContain('the snapshot holds what the mutations say\n');
});

test('differences are counted over all partitions, with examples by hash, and are exit code 1', async () => {
  const example = (keyHash: string) => ({ difference: 'stale', docType: PROFILE, keyHash }) as const;
  const results = [
    aResult(
      { source: 3, copy: 3, stale: 2 },
      { examples: [example('a'.repeat(16)), example('b'.repeat(16))] },
    ),
    aResult(
      { source: 1, copy: 1, stale: 1 },
      { examples: [example('c'.repeat(16))], omitted: 1, foreign: 2 },
    ),
  ];
  const inWords = await verify(results);
  const asJson = await verify(results, { isJson: true });

  expect(inWords.code).toBe(1);
  expect(inWords.out).toContain('stale: UserProfile aaaaaaaaaaaaaaaa in m/0\n');
  expect(inWords.out).not.toContain('cccc');
  expect(inWords.out).toContain('3 documents differ\n');
  expect(asJson.code).toBe(1);
  expect(JSON.parse(asJson.out)).toMatchObject({
    differences: 3,
    omitted: 1,
    foreign: 2,
    documents: { UserProfile: { source: 4, copy: 4, stale: 3 } },
    examples: [
      { difference: 'stale', doc_type: 'UserProfile', key_hash: 'a'.repeat(16), topic: 'm', partition: 0 },
      {},
    ],
  });
});

test('one that was stopped has proved nothing', async () => {
  const { code, out, errors } = await verify([aResult({})], { signal: AbortSignal.abort() });

  expect(code).toBe(1);
  expect(out).toBe('');
  expect(errors).toContain('stopped after 0 of 1 partitions');
});
